//! One call's program, followed with this transaction's values.
//!
//! Where a branch depends on what is not known, both ways are followed up to the
//! place where they meet. What differs there is not known from then on.

use revm::{
    DatabaseRef,
    bytecode::{Bytecode, opcode as op},
    context_interface::{Block as _, Cfg as _},
    primitives::{Address, KECCAK_EMPTY, U256, keccak256},
};

use super::{
    Evaluation,
    data::{Data, Origin, UNKNOWN, Value},
};
use crate::{
    Scope, WideningCause,
    alu::compute,
    program::{BytesOperand, End, NO_STRETCH, Operand, Operation, Program, Span, Stretch, Way},
    symbolic::graph::Source,
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
    program: &'p Program,
    inputs: &'p [U256],
    code: &'p Bytecode,
    /// Where its registers begin.
    base: usize,
    pub(super) memory: usize,
    /// What the latest call answered.
    pub(super) received: usize,
    pub(super) success: Value,
    /// How many calls have answered.
    pub(super) answers: u32,
    /// Branches that are being followed both ways, each with where its changes of
    /// registers begin.
    forks: Vec<(u16, usize)>,
    /// What registers held before they were set on one of two ways.
    changes: Vec<(u16, Value)>,
    /// Bytes of memory that were written on one of two ways.
    written: Vec<(usize, usize)>,
    /// Slots that were stored on one of two ways.
    stored: Vec<usize>,
    /// Whether one of two ways has ended the frame.
    may_have_ended: bool,
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

    fn set(&mut self, running: &mut Running<'_>, to: Operand, value: Value) {
        if to == Operand::NONE {
            return;
        }
        let register = &mut self.scratch.registers[running.base + usize::from(to.0)];
        if !running.forks.is_empty() {
            running.changes.push((to.0, *register));
        }
        *register = value;
    }

    fn operate(&mut self, running: &mut Running<'_>, operation: &Operation) {
        let this = running.frame.this;
        match *operation {
            Operation::Immutable { to, index } => {
                let word = running.inputs.get(usize::from(index)).copied();
                let value = word.map_or(Value::UNKNOWN, Value::input);
                self.set(running, to, value);
            }
            Operation::Environment { to, code } => {
                let value = self.environment(running, code);
                self.set(running, to, value);
            }
            Operation::CallData { to, at } => {
                let at = self.value(running, at);
                let value = self.scratch.data[running.frame.calldata].load(&at);
                self.set(running, to, value);
            }
            Operation::Compute { to, code, operands } => {
                let value = self.compute(running, code, operands);
                self.set(running, to, value);
            }
            Operation::Keccak { to, parts } => {
                let value = self.keccak(running, parts);
                self.set(running, to, value);
            }
            Operation::Load { to, key, scope } => {
                let key = self.value(running, key);
                let scope = self.scope(running, scope);
                let value = self.load(this, &key, scope, to != Operand::NONE);
                self.set(running, to, value);
            }
            Operation::Store { key, value, scope } => {
                let (key, value) = (self.value(running, key), self.value(running, value));
                let scope = self.scope(running, scope);
                self.store(this, &key, value, scope);
                if !self.must() && key.is_known() {
                    let slot = self.scratch.record.slot(this, key.word);
                    running.stored.push(slot);
                }
            }
            Operation::TransientLoad { to, key } => {
                let key = self.value(running, key);
                let value = self.scratch.transient.load(this, &key);
                self.set(running, to, value);
            }
            Operation::TransientStore { key, value } => {
                let (key, value) = (self.value(running, key), self.value(running, value));
                let value = if self.must() { value } else { Value::UNKNOWN };
                self.scratch.transient.store(this, &key, value);
            }
            Operation::Account { to, code, of } => {
                let of = self.value(running, of);
                let value = self.ask_account(code, &of);
                self.set(running, to, value);
            }
            Operation::Call(position) => {
                let call = running.program.calls[usize::from(position)];
                self.call(running, &call);
            }
            Operation::Answer { to, word } => {
                let value = self.answered(running, word);
                self.set(running, to, value);
            }
            Operation::Create { value, init, salt } => self.create(running, value, init, salt),
            Operation::Destroy { to } => {
                let to = self.value(running, to);
                self.destroy(this, &to);
            }
            _ => self.operate_on_memory(running, operation),
        }
    }

    fn operate_on_memory(&mut self, running: &mut Running<'_>, operation: &Operation) {
        match *operation {
            Operation::StoreMemory { at, word, is_byte } => {
                let (at, word) = (self.value(running, at), self.value(running, word));
                let len = if is_byte { 1 } else { 32 };
                let memory = &mut self.scratch.data[running.memory];
                match at.offset() {
                    Some(start) => {
                        memory.store(start, &word, len);
                        Self::note_written(running, start, len);
                    }
                    None => memory.lose_from(0),
                }
            }
            Operation::CopyMemory { source, to, from, len } => {
                let [to, from, len] = [to, from, len].map(|it| self.value(running, it));
                self.copy(running, source, [&to, &from, &len]);
            }
            Operation::LoadMemory { to, at } => {
                let at = self.value(running, at);
                let value = self.scratch.data[running.memory].load(&at);
                self.set(running, to, value);
            }
            Operation::HashMemory { to, at, len } => {
                let (at, len) = (self.value(running, at), self.value(running, len));
                let value = match (at.offset(), len.offset()) {
                    (_, Some(0)) => Value::input(KECCAK_EMPTY.into()),
                    (Some(start), Some(bytes)) => {
                        let mut data = core::mem::take(&mut self.scratch.room);
                        data.clear();
                        data.copy(0, &self.scratch.data[running.memory], start, bytes);
                        self.pay_for_bytes(bytes);
                        let value = data.hash();
                        self.scratch.room = data;
                        value
                    }
                    _ => Value::UNKNOWN,
                };
                self.set(running, to, value);
            }
            _ => {}
        }
    }

    fn copy(&mut self, running: &mut Running<'_>, source: Source, [to, from, len]: [&Value; 3]) {
        if len.is_known() && len.word.is_zero() {
            return;
        }
        let (Some(at), Some(bytes)) = (to.offset(), len.offset()) else {
            self.scratch.data[running.memory].lose_from(to.offset().unwrap_or(0));
            return;
        };
        Self::note_written(running, at, bytes);
        self.pay_for_bytes(bytes);
        let start = from.offset();
        let mut memory = core::mem::take(&mut self.scratch.data[running.memory]);
        match (source, start) {
            (Source::CallData, Some(start)) => {
                memory.copy(at, &self.scratch.data[running.frame.calldata], start, bytes);
            }
            (Source::Answer, Some(start)) => {
                memory.copy(at, &self.scratch.data[running.received], start, bytes);
            }
            (Source::Memory, Some(start)) => {
                memory.copy_within(at, start, bytes, &mut self.scratch.room);
            }
            (Source::Code, Some(start)) => {
                self.pay_for_bytes(running.code.len());
                let mut room = core::mem::take(&mut self.scratch.room);
                room.assign(running.code.original_byte_slice());
                memory.copy(at, &room, start, bytes);
                self.scratch.room = room;
            }
            _ => memory.lose_range(at, bytes),
        }
        self.scratch.data[running.memory] = memory;
    }

    /// On one of two ways, what memory held before may stay.
    fn note_written(running: &mut Running<'_>, at: usize, len: usize) {
        if !running.forks.is_empty() {
            running.written.push((at, len));
        }
    }

    /// What a call answered goes to memory.
    pub(super) fn receive(&mut self, running: &mut Running<'_>, output: [Operand; 2]) {
        let [to, len] = output.map(|word| self.value(running, word));
        if len.is_known() && len.word.is_zero() {
            return;
        }
        let (Some(at), Some(asked)) = (to.offset(), len.offset()) else {
            self.scratch.data[running.memory].lose_from(to.offset().unwrap_or(0));
            return;
        };
        let received = &self.scratch.data[running.received];
        if received.len_origin & UNKNOWN != 0 {
            self.scratch.data[running.memory].lose_range(at, asked);
        } else {
            let bytes = asked.min(received.len());
            let mut memory = core::mem::take(&mut self.scratch.data[running.memory]);
            memory.copy(at, &self.scratch.data[running.received], 0, bytes);
            self.scratch.data[running.memory] = memory;
        }
        Self::note_written(running, at, asked);
    }

    fn scope(&self, running: &Running<'_>, scope: Operand) -> Option<U256> {
        (scope != Operand::NONE).then(|| self.value(running, scope).word)
    }

    fn compute(&self, running: &Running<'_>, code: u8, operands: [Operand; 3]) -> Value {
        let a = self.value(running, operands[0]);
        if matches!(code, op::BLOCKHASH | op::BLOBHASH) {
            return self.hash_by_number(code, &a);
        }
        let has_one = matches!(code, op::ISZERO | op::NOT | op::CLZ);
        let b = if has_one { Value::input(U256::ZERO) } else { self.value(running, operands[1]) };
        let has_three = matches!(code, op::ADDMOD | op::MULMOD);
        let c = if has_three { self.value(running, operands[2]) } else { Value::input(U256::ZERO) };
        let origin: Origin = a.origin | b.origin | c.origin;
        if origin & UNKNOWN != 0 {
            // Nothing of a mask or factor of zero depends on the other.
            let is_zero = |value: &Value| value.is_known() && value.word.is_zero();
            let is_lost = matches!(code, op::AND | op::MUL) && (is_zero(&a) || is_zero(&b));
            return if is_lost { Value::input(U256::ZERO) } else { Value::UNKNOWN };
        }
        match compute(code, [a.word, b.word, c.word]) {
            Some(word) => Value { word, origin },
            None => Value::UNKNOWN,
        }
    }

    /// `BLOCKHASH` and `BLOBHASH`.
    fn hash_by_number(&self, code: u8, number: &Value) -> Value {
        if !number.is_known() {
            return Value::UNKNOWN;
        }
        if code == op::BLOCKHASH {
            let number = u64::try_from(number.word);
            return number.map_or(Value::input(U256::ZERO), |number| self.block_hash(number));
        }
        let at = usize::try_from(number.word).ok();
        let hash = at.and_then(|at| self.tx.blob_hashes.get(at));
        Value::input(hash.map_or(U256::ZERO, |hash| (*hash).into()))
    }

    fn keccak(&self, running: &Running<'_>, parts: Span) -> Value {
        let mut bytes = [0; 32 * crate::expr::KECCAK_PARTS_MAX];
        let (mut len, mut origin) = (0, 0);
        for (part, word) in parts.of(&running.program.parts) {
            let part = usize::from(*part);
            let value = self.value(running, *word);
            origin |= value.origin;
            // A part of no bytes stands for some that are not known.
            let Some(room) = bytes.get_mut(len..len + part).filter(|_| part > 0) else {
                return Value::UNKNOWN;
            };
            room.copy_from_slice(&value.word.to_be_bytes::<32>()[32 - part..]);
            len += part;
        }
        if origin & UNKNOWN != 0 {
            return Value::UNKNOWN;
        }
        Value { word: keccak256(&bytes[..len]).into(), origin }
    }

    fn environment(&self, running: &Running<'_>, code: u8) -> Value {
        let env = &self.block.env;
        let word = match code {
            op::ADDRESS => running.frame.this.into_word().into(),
            op::ORIGIN => return self.origin,
            op::CALLER => return running.frame.caller,
            op::CALLVALUE => return running.frame.value,
            op::CALLDATASIZE => {
                let calldata = &self.scratch.data[running.frame.calldata];
                let origin = calldata.len_origin;
                return Value { word: U256::from(calldata.len()), origin };
            }
            op::GASPRICE => self.gas_price,
            op::COINBASE => env.beneficiary.into_word().into(),
            op::TIMESTAMP => env.timestamp,
            op::NUMBER => env.number,
            op::DIFFICULTY => env.prevrandao.map_or(env.difficulty, Into::into),
            op::GASLIMIT => U256::from(env.gas_limit),
            op::CHAINID => U256::from(self.block.cfg.chain_id()),
            op::BASEFEE => U256::from(env.basefee),
            op::BLOBBASEFEE => env.blob_gasprice().map_or(U256::ZERO, U256::from),
            _ => return Value::UNKNOWN,
        };
        Value::input(word)
    }

    fn block_hash(&self, number: u64) -> Value {
        let now = self.block.number();
        if number >= now || now - number > 256 {
            return Value::input(U256::ZERO);
        }
        // A hash that the state does not hold decides no access that is known.
        let hash = self.state.block_hash_ref(number);
        hash.map_or(Value::UNKNOWN, |hash| Value::input(hash.into()))
    }
}

impl Data {
    /// The word that begins at an offset.
    fn load(&self, at: &Value) -> Value {
        match at.offset() {
            Some(start) => {
                let mut value = self.word(start);
                value.origin |= at.origin;
                value
            }
            // Far behind the end.
            None if at.is_known() && !self.is_lost => Value::input(U256::ZERO),
            None => Value::UNKNOWN,
        }
    }

    /// The Keccak-256 of all bytes.
    fn hash(&self) -> Value {
        let origin = self.origin(0, self.len());
        if origin & UNKNOWN != 0 {
            return Value::UNKNOWN;
        }
        Value { word: keccak256(self.slice(0, self.len())).into(), origin }
    }
}
