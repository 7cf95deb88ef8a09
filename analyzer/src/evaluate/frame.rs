//! One call's program, followed with this transaction's values.
//!
//! Where a branch depends on what is not known, both ways are followed up to the
//! place where they meet. What differs there is not known from then on.

use revm::{
    DatabaseRef,
    bytecode::{Bytecode, opcode as op},
    primitives::{Address, U256},
};

use super::{
    Evaluation,
    data::{Origin, POINTER, UNKNOWN, Value},
};
use crate::{
    Scope, WideningCause,
    alu::compute_of,
    program::{BytesOperand, End, NO_STRETCH, Operand, Operation, Program, Way},
};

/// Bytes that are copied or hashed at the price of one operation.
const BYTES_PER_OPERATION: usize = 64;

/// The registers of one frame.
pub(super) type Registers = Vec<Value>;

/// Who calls whom with what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) this: Address,
    pub(super) caller: Value,
    pub(super) value: Value,
    /// Where the call data is.
    pub(super) calldata: usize,
    /// Where the answer goes.
    pub(super) answer: usize,
    pub(super) is_returned: bool,
    /// Whether it must not change the state (EIP-214).
    pub(super) is_static: bool,
}

/// A frame that is being followed.
pub(super) struct Running<'p> {
    pub(super) frame: Frame,
    pub(super) program: &'p Program,
    pub(super) inputs: &'p [U256],
    pub(super) code: &'p Bytecode,
    pub(super) registers: Registers,
    pub(super) memory: usize,
    /// What the latest call answered.
    pub(super) received: usize,
    pub(super) success: Value,
    /// Branches that are being followed both ways, each with the registers there.
    pub(super) forks: Vec<(u16, Registers)>,
    /// Where the stores begin that came after one of two ways had ended the frame.
    pub(super) may_have_ended: Option<usize>,
    /// What slots held where one of two ways had ended the frame.
    pub(super) left: Vec<(usize, Value)>,
    /// Whether memory is laid out as Solidity does, with a pointer to what is free.
    pub(super) has_pointer: bool,
}

/// How far a frame was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// To the stretch where it was to stop.
    Met,
    /// To its end, or to a limit.
    Ended,
    /// Back to a branch that is being followed, with nothing new.
    Repeated,
}

impl Running<'_> {
    #[inline]
    pub(super) fn value(&self, operand: Operand) -> Value {
        let (word, origin) = self.word(operand);
        Value { word: *word, origin }
    }

    /// The word of an operand, and what it depends on.
    #[inline]
    fn word(&self, Operand(at): Operand) -> (&U256, Origin) {
        if at < Operand::CONSTANTS {
            let register = &self.registers[usize::from(at)];
            (&register.word, register.origin)
        } else if at == Operand::NONE.0 {
            (&U256::ZERO, UNKNOWN)
        } else {
            (&self.program.constants[usize::from(at - Operand::CONSTANTS)], 0)
        }
    }

    #[inline]
    pub(super) fn set(&mut self, Operand(to): Operand, value: Value) {
        if to != Operand::NONE.0 {
            self.registers[usize::from(to)] = value;
        }
    }

    /// How many of the last registers hold pointers to free memory.
    pub(super) fn pointers(&self) -> usize {
        if self.has_pointer { self.program.pointers.into() } else { 0 }
    }

    /// Where what is written at an unknown place can lie: not below what a compiler
    /// allocates.
    pub(super) const fn first_allocated(&self) -> usize {
        if self.has_pointer { 2 * POINTER } else { 0 }
    }

    pub(super) fn compute(&mut self, to: Operand, code: u8, operands: [Operand; 3]) {
        let (a, b) = (self.word(operands[0]), self.word(operands[1]));
        let has_three = matches!(code, op::ADDMOD | op::MULMOD);
        let c = if has_three { self.word(operands[2]) } else { b };
        let origin = a.1 | b.1 | c.1;
        let value = if origin & UNKNOWN == 0 {
            let words = [a.0, b.0, c.0];
            compute_of(code, |at| *words[at], |word| Value { word, origin })
                .unwrap_or(Value::UNKNOWN)
        } else {
            // Nothing of a mask or factor of zero depends on the other.
            let is_zero = |(word, origin): (&U256, Origin)| origin & UNKNOWN == 0 && word.is_zero();
            let is_lost = matches!(code, op::AND | op::MUL) && (is_zero(a) || is_zero(b));
            if is_lost { Value::input(U256::ZERO) } else { Value::UNKNOWN }
        };
        self.set(to, value);
    }

    /// Assigns what is assigned on a way; where it leads.
    pub(super) fn go(&mut self, way: &Way, assigned: &mut Vec<Value>) -> u16 {
        match way.binds.of(&self.program.binds) {
            [] => {}
            [(to, word)] => self.set(*to, self.value(*word)),
            binds => {
                // All at once: none of them sees another.
                assigned.extend(binds.iter().map(|(_, word)| self.value(*word)));
                for ((to, _), value) in binds.iter().zip(assigned.drain(..)) {
                    self.set(*to, value);
                }
            }
        }
        way.to
    }
}

/// Whether code begins as Solidity's does: with a store of the pointer to free memory.
fn has_pointer(code: &Bytecode) -> bool {
    let start = code.original_byte_slice().get(..8).unwrap_or_default();
    start.windows(2).any(|two| two == [op::PUSH1, 0x40])
}

/// Keeps what is the same in both; whether that is less. The last registers hold
/// pointers to free memory: of two the one behind the other.
pub(super) fn meet(registers: &mut [Value], others: &[Value], pointers: usize) -> bool {
    let mut is_less = false;
    let first_pointer = registers.len() - pointers;
    for (at, (register, other)) in registers.iter_mut().zip(others).enumerate() {
        if !register.is_known() || register == other {
            continue;
        }
        if at >= first_pointer && other.is_known() {
            register.word = register.word.max(other.word);
            register.origin |= other.origin;
        } else {
            *register = Value::UNKNOWN;
            is_less = true;
        }
    }
    is_less
}

impl<DB: DatabaseRef> Evaluation<'_, DB> {
    /// Follows a program from its beginning.
    pub(super) fn follow(
        &mut self,
        frame: Frame,
        program: &Program,
        inputs: &[U256],
        code: &Bytecode,
    ) -> bool {
        let mut registers = self.scratch.registers.pop().unwrap_or_default();
        registers.resize(program.registers.into(), Value::UNKNOWN);
        // The others are computed before they are read.
        registers[..program.assigned.into()].fill(Value::UNKNOWN);
        let memory = self.scratch.open();
        let received = self.scratch.open();
        let mut running = Running {
            frame,
            program,
            inputs,
            code,
            registers,
            memory,
            received,
            success: Value::input(U256::ONE),
            forks: Vec::new(),
            may_have_ended: None,
            left: Vec::new(),
            has_pointer: has_pointer(code),
        };
        self.run_from(&mut running, 0, NO_STRETCH);
        if let Some(start) = running.may_have_ended {
            self.may -= 1;
            self.close_stores(start, &running.left);
        }
        self.scratch.registers.push(running.registers);
        running.frame.is_returned
    }

    pub(super) fn run_from(&mut self, running: &mut Running<'_>, from: u16, stop: u16) -> Flow {
        let program = running.program;
        let mut at = from;
        loop {
            if at == stop {
                return Flow::Met;
            }
            let stretch = &program.stretches[usize::from(at)];
            self.gas += u64::from(stretch.gas);
            let count = stretch.operations.len + 1;
            let has_room = self.has_room();
            let budget = self.budget();
            let Some(left) = budget.checked_sub(count).filter(|_| has_room) else {
                self.give_up(running, WideningCause::Limit);
                return Flow::Ended;
            };
            *budget = left;
            for operation in stretch.operations.of(&program.operations) {
                if running.frame.is_static && Self::is_refused(running, operation) {
                    return Flow::Ended;
                }
                self.operate(running, operation);
            }
            at = match &stretch.end {
                End::Goto(way) => running.go(way, &mut self.scratch.assigned),
                End::Branch { condition, ways, join } => {
                    let condition = running.value(*condition);
                    self.decide(&condition);
                    if condition.is_known() {
                        let way = &ways[usize::from(condition.word.is_zero())];
                        running.go(way, &mut self.scratch.assigned)
                    } else {
                        match self.fork(running, at, stretch, stop) {
                            Flow::Met if *join == NO_STRETCH => stop,
                            Flow::Met => *join,
                            flow => return flow,
                        }
                    }
                }
                End::Return(bytes) => {
                    self.give_answer(running, bytes);
                    return Flow::Ended;
                }
                End::GaveUp(_) => {
                    self.give_up(running, WideningCause::GaveUp);
                    return Flow::Ended;
                }
            };
        }
    }

    /// What operations are paid from.
    fn budget(&mut self) -> &mut u32 {
        match () {
            () if self.learnt_depth > 0 => &mut self.learnt_left,
            () if self.must() => &mut self.left,
            () => &mut self.may_left,
        }
    }

    /// Pays for bytes that are copied or hashed.
    pub(super) fn pay_for_bytes(&mut self, bytes: usize) {
        let price = u32::try_from(bytes / BYTES_PER_OPERATION).unwrap_or(u32::MAX);
        let budget = self.budget();
        *budget = budget.saturating_sub(price);
    }

    /// Whether more may be touched, and the state has answered so far.
    const fn has_room(&self) -> bool {
        let record = &self.scratch.record;
        let accesses = record.slots.len() + record.fields.len();
        accesses <= self.evaluator.limits.accesses_max && self.error.is_none()
    }

    /// Whether an operation would change the state: a static call fails there.
    fn is_refused(running: &Running<'_>, operation: &Operation) -> bool {
        match *operation {
            Operation::Store { .. }
            | Operation::TransientStore { .. }
            | Operation::Create(_)
            | Operation::Destroy { .. } => true,
            Operation::Call(position) => {
                let call = &running.program.calls[usize::from(position)];
                let value = running.value(call.value);
                call.code == op::CALL && value.is_known() && !value.word.is_zero()
            }
            _ => false,
        }
    }

    /// Something may be touched that nothing is known of.
    pub(super) fn give_up(&mut self, running: &mut Running<'_>, cause: WideningCause) {
        // What is not followed may call other code as well.
        self.widen(Scope::Everything, cause);
        self.scratch.data[running.frame.answer].lose();
        running.frame.is_returned = true;
    }

    fn give_answer(&mut self, running: &mut Running<'_>, bytes: &BytesOperand) {
        let answer = running.frame.answer;
        if running.frame.is_returned {
            let other = self.scratch.open();
            self.fill(running, bytes, other);
            let (first, rest) = self.scratch.data.split_at_mut(other);
            first[answer].meet(&rest[0]);
            self.scratch.data_used -= 1;
        } else {
            self.fill(running, bytes, answer);
            running.frame.is_returned = true;
        }
    }

    /// Puts bytes that leave the frame where they go.
    pub(super) fn fill(&mut self, running: &Running<'_>, bytes: &BytesOperand, to: usize) {
        let mut data = core::mem::take(&mut self.scratch.data[to]);
        data.clear();
        match *bytes {
            BytesOperand::CallData => {
                let calldata = &self.scratch.data[running.frame.calldata];
                data.assign_from(calldata);
            }
            BytesOperand::Words(parts) => {
                for (bytes, word) in parts.of(&running.program.parts) {
                    data.push(&running.value(*word), usize::from(*bytes));
                }
            }
            BytesOperand::Memory { at, len } => {
                let (at, len) = (running.value(at), running.value(len));
                match (at.offset(), len.offset()) {
                    (Some(start), Some(bytes)) => {
                        data.copy(0, &self.scratch.data[running.memory], start, bytes);
                        data.len_origin = len.origin;
                    }
                    _ => data.lose(),
                }
            }
        }
        self.pay_for_bytes(data.len());
        self.scratch.data[to] = data;
    }
}
