//! One call's program, followed with this transaction's values.
//!
//! Where a branch depends on what is not known, both ways are followed up to the
//! place where they meet. What differs there is not known from then on.

use revm::{
    DatabaseRef,
    bytecode::{Bytecode, opcode as op},
    primitives::{Address, U256},
};

use super::{Evaluation, data::Value};
use crate::{
    Scope, WideningCause,
    program::{BytesOperand, End, NO_STRETCH, Operand, Operation, Program, Stretch, Way},
};

/// Times that a branch is followed both ways within itself: the second time with
/// all that changed since the first unknown.
const ROUNDS_MAX: usize = 2;

/// Bytes that are copied or hashed at the price of one operation.
const BYTES_PER_OPERATION: usize = 64;

/// The registers of all frames, the innermost last.
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
    /// Where its registers begin.
    pub(super) base: usize,
    pub(super) memory: usize,
    /// What the latest call answered.
    pub(super) received: usize,
    pub(super) success: Value,
    /// How many calls have answered.
    pub(super) answers: u32,
    /// Branches that are being followed both ways, each with where its changes of
    /// registers begin.
    pub(super) forks: Vec<(u16, usize)>,
    /// What registers held before they were set on one of two ways.
    pub(super) changes: Vec<(u16, Value)>,
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
        let base = self.scratch.registers_used;
        let end = base + usize::from(program.registers);
        self.scratch.registers_used = end;
        if self.scratch.registers.len() < end {
            self.scratch.registers.resize(end, Value::UNKNOWN);
        }
        // The others are computed before they are read.
        self.scratch.registers[base..base + usize::from(program.assigned)].fill(Value::UNKNOWN);
        let memory = self.scratch.open();
        let received = self.scratch.open();
        let mut running = Running {
            frame,
            program,
            inputs,
            code,
            base,
            memory,
            received,
            success: Value::input(U256::ONE),
            answers: 0,
            forks: Vec::new(),
            changes: Vec::new(),
            written: Vec::new(),
            stored: Vec::new(),
            may_have_ended: false,
        };
        self.run_from(&mut running, 0, NO_STRETCH);
        if running.may_have_ended {
            self.may -= 1;
        }
        self.scratch.registers_used = base;
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
                if running.frame.is_static && self.is_refused(running, operation) {
                    return Flow::Ended;
                }
                self.operate(running, operation);
            }
            at = match &stretch.end {
                End::Goto(way) => self.go(running, way),
                End::Branch { condition, ways, join } => {
                    let condition = self.value(running, *condition);
                    self.decide(&condition);
                    if condition.is_known() {
                        self.go(running, &ways[usize::from(condition.word.is_zero())])
                    } else {
                        match self.fork(running, at, stretch, stop) {
                            Flow::Met if *join == NO_STRETCH => stop,
                            Flow::Met => *join,
                            Flow::Ended => return Flow::Ended,
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
    fn is_refused(&self, running: &Running<'_>, operation: &Operation) -> bool {
        match *operation {
            Operation::Store { .. }
            | Operation::TransientStore { .. }
            | Operation::Create { .. }
            | Operation::Destroy { .. } => true,
            Operation::Call(position) => {
                let call = &running.program.calls[usize::from(position)];
                let value = self.value(running, call.value);
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

    /// Assigns what is assigned on a way; where it leads.
    fn go(&mut self, running: &mut Running<'_>, way: &Way) -> u16 {
        match way.binds.of(&running.program.binds) {
            [] => {}
            [(to, word)] => {
                let value = self.value(running, *word);
                self.set(running, *to, value);
            }
            binds => {
                // All at once: none of them sees another.
                let mut assigned = core::mem::take(&mut self.scratch.assigned);
                assigned.extend(binds.iter().map(|(_, word)| self.value(running, *word)));
                for ((to, _), value) in binds.iter().zip(assigned.drain(..)) {
                    self.set(running, *to, value);
                }
                self.scratch.assigned = assigned;
            }
        }
        way.to
    }

    /// Follows a branch both ways, up to where they meet.
    fn fork(&mut self, running: &mut Running<'_>, at: u16, stretch: &Stretch, stop: u16) -> Flow {
        let End::Branch { ways, join, .. } = stretch.end else { return Flow::Ended };
        if running.forks.iter().filter(|(fork, _)| *fork == at).count() >= ROUNDS_MAX {
            return Flow::Ended;
        }
        if self.forks_left == 0 || self.depth >= self.evaluator.limits.depth_max {
            self.give_up(running, WideningCause::Limit);
            return Flow::Ended;
        }
        self.forks_left -= 1;
        if let Some((_, start)) = running.forks.iter().find(|(fork, _)| *fork == at) {
            // In a loop: what changes from round to round is not known.
            let changed: Vec<u16> = running.changes[*start..].iter().map(|it| it.0).collect();
            for register in changed {
                self.set(running, Operand(register), Value::UNKNOWN);
            }
        }
        let (written, stored, answers) =
            (running.written.len(), running.stored.len(), running.answers);
        let start = running.changes.len();
        running.forks.push((at, start));
        self.may += 1;
        self.depth += 1;
        let there = if join == NO_STRETCH { stop } else { join };
        let ways = ways.map(|way| {
            let to = self.go(running, &way);
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
            (flow, self.take_back(running, start))
        });
        self.may -= 1;
        self.depth -= 1;
        running.forks.pop();
        match ways {
            [(Flow::Ended, _), (Flow::Ended, _)] => return Flow::Ended,
            [(Flow::Met, one), (Flow::Met, other)] => {
                for (mine, theirs) in [(&one, &other), (&other, &one)] {
                    for &(register, value) in mine {
                        let before = self.value(running, Operand(register));
                        let found = theirs.iter().find(|(other, _)| *other == register);
                        let other = found.map_or(before, |(_, value)| *value);
                        let value = if value == other { value } else { Value::UNKNOWN };
                        self.set(running, Operand(register), value);
                    }
                }
            }
            [(Flow::Met, met), _] | [_, (Flow::Met, met)] => {
                for (register, value) in met {
                    self.set(running, Operand(register), value);
                }
                if !running.may_have_ended {
                    running.may_have_ended = true;
                    self.may += 1;
                }
            }
        }
        Flow::Met
    }

    /// Takes back what was set since; what it was set to, each register once.
    fn take_back(&mut self, running: &mut Running<'_>, start: usize) -> Vec<(u16, Value)> {
        let mut changed: Vec<u16> = running.changes[start..].iter().map(|it| it.0).collect();
        changed.sort_unstable();
        changed.dedup();
        let set: Vec<(u16, Value)> = changed
            .into_iter()
            .map(|register| (register, self.value(running, Operand(register))))
            .collect();
        for (register, before) in running.changes.drain(start..).rev() {
            self.scratch.registers[running.base + usize::from(register)] = before;
        }
        set
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
                    data.push(&self.value(running, *word), usize::from(*bytes));
                }
            }
            BytesOperand::Memory { at, len } => {
                let (at, len) = (self.value(running, at), self.value(running, len));
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

    pub(super) fn value(&self, running: &Running<'_>, operand: Operand) -> Value {
        match operand {
            Operand::NONE => Value::UNKNOWN,
            Operand(at) if at >= Operand::CONSTANTS => {
                Value::input(running.program.constants[usize::from(at - Operand::CONSTANTS)])
            }
            Operand(at) => self.scratch.registers[running.base + usize::from(at)],
        }
    }

    pub(super) fn set(&mut self, running: &mut Running<'_>, to: Operand, value: Value) {
        if to == Operand::NONE {
            return;
        }
        let register = &mut self.scratch.registers[running.base + usize::from(to.0)];
        if !running.forks.is_empty() {
            running.changes.push((to.0, *register));
        }
        *register = value;
    }
}
