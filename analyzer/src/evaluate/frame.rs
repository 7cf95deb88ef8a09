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
    data::{Origin, UNKNOWN, Value},
};
use crate::{
    Scope, WideningCause,
    alu::compute_of,
    program::{BytesOperand, End, NO_STRETCH, Operand, Operation, Program, Stretch, Way},
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
    /// How many calls have answered.
    pub(super) answers: u32,
    /// Branches that are being followed both ways, each with the registers there.
    pub(super) forks: Vec<(u16, Registers)>,
    /// Bytes of memory that were written on one of two ways.
    pub(super) written: Vec<(usize, usize)>,
    /// Slots that were stored on one of two ways.
    pub(super) stored: Vec<usize>,
    /// Whether one of two ways has ended the frame.
    pub(super) may_have_ended: bool,
}

/// How far a frame was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
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
    fn go(&mut self, way: &Way, assigned: &mut Vec<Value>) -> u16 {
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

/// Keeps what is the same in both; whether that is less.
fn meet(registers: &mut [Value], others: &[Value]) -> bool {
    let mut is_less = false;
    for (register, other) in registers.iter_mut().zip(others) {
        if register.is_known() && register != other {
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
            answers: 0,
            forks: Vec::new(),
            written: Vec::new(),
            stored: Vec::new(),
            may_have_ended: false,
        };
        self.run_from(&mut running, 0, NO_STRETCH);
        if running.may_have_ended {
            self.may -= 1;
        }
        self.scratch.registers.push(running.registers);
        running.frame.is_returned
    }

    fn run_from(&mut self, running: &mut Running<'_>, from: u16, stop: u16) -> Flow {
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
        if self.must() { &mut self.left } else { &mut self.may_left }
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
    fn give_up(&mut self, running: &mut Running<'_>, cause: WideningCause) {
        // What is not followed may call other code as well.
        self.widen(Scope::Everything, cause);
        self.scratch.data[running.frame.answer].lose();
        running.frame.is_returned = true;
    }

    /// Follows a branch both ways, up to where they meet.
    fn fork(&mut self, running: &mut Running<'_>, at: u16, stretch: &Stretch, stop: u16) -> Flow {
        let End::Branch { ways, join, .. } = stretch.end else { return Flow::Ended };
        if let Some((_, before)) = running.forks.iter().rev().find(|(fork, _)| *fork == at) {
            // In a loop: what changes from round to round is not known.
            let mut kept = self.scratch.copy(before);
            let is_new = meet(&mut kept, &running.registers);
            let last = core::mem::replace(&mut running.registers, kept);
            self.scratch.registers.push(last);
            if !is_new {
                return Flow::Repeated;
            }
        }
        if self.forks_left == 0 || self.depth >= self.evaluator.limits.depth_max {
            self.give_up(running, WideningCause::Limit);
            return Flow::Ended;
        }
        self.forks_left -= 1;
        let (written, stored, answers) =
            (running.written.len(), running.stored.len(), running.answers);
        running.forks.push((at, self.scratch.copy(&running.registers)));
        self.may += 1;
        self.depth += 1;
        let there = if join == NO_STRETCH { stop } else { join };
        let mut met: Option<Registers> = None;
        let mut has_ended = false;
        for way in &ways {
            let to = running.go(way, &mut self.scratch.assigned);
            let flow = self.run_from(running, to, there);
            // Whether this way is taken is not known, nor is what it leaves.
            for (start, len) in running.written.drain(written..) {
                self.scratch.data[running.memory].lose_range(start, len);
            }
            for slot in running.stored.drain(stored..) {
                self.scratch.record.slots[slot].value = Some(Value::UNKNOWN);
            }
            if running.answers != answers {
                self.scratch.data[running.received].lose();
                running.success = Value::UNKNOWN;
            }
            has_ended |= flow == Flow::Ended;
            let before = running.forks.last().map_or(&[][..], |(_, before)| before);
            match &mut met {
                None if flow == Flow::Met => {
                    let before = self.scratch.copy(before);
                    met = Some(core::mem::replace(&mut running.registers, before));
                }
                Some(met) if flow == Flow::Met => {
                    meet(met, &running.registers);
                }
                _ => running.registers.copy_from_slice(before),
            }
        }
        self.may -= 1;
        self.depth -= 1;
        let before = running.forks.pop().map(|(_, before)| before);
        self.scratch.registers.extend(before);
        let Some(met) = met else {
            return if has_ended { Flow::Ended } else { Flow::Repeated };
        };
        let last = core::mem::replace(&mut running.registers, met);
        self.scratch.registers.push(last);
        if has_ended && !running.may_have_ended {
            running.may_have_ended = true;
            self.may += 1;
        }
        Flow::Met
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
                data.clone_from(calldata);
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
