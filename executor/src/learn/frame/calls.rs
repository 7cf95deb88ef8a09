//! Calls and creations of a frame, with their data as words.

use forewave_analyzer::{INPUT_WORDS_MAX, TraceEvent, TraceInput, Word};
use revm::{
    bytecode::opcode as op,
    handler::EthPrecompiles,
    interpreter::{
        Interpreter,
        interpreter::EthInterpreter,
        interpreter_types::{InputsTr, Jumps},
    },
    primitives::{Address, U256, keccak256},
};

use super::{INIT_BYTES_MAX, INPUTS_MAX, Operands, ShadowFrame, offset};
use crate::learn::memory::word_of;

impl ShadowFrame {
    pub(super) fn call(
        &mut self,
        code: u8,
        interpreter: &Interpreter<EthInterpreter>,
        operands: &Operands,
        precompiles: &EthPrecompiles,
    ) {
        self.calling = None;
        let has_value = matches!(code, op::CALL | op::CALLCODE);
        if matches!(code, op::DELEGATECALL | op::CALLCODE) {
            // Other code runs on the same slots.
            self.stored.clear();
        }
        let address = Address::from_word(operands.values[1].into());
        if precompiles.contains(&address) {
            return;
        }
        let target = self.named(operands, 1);
        let sends = has_value && !operands.values[2].is_zero();
        let value = sends.then(|| self.named(operands, 2));
        let first = if has_value { 3 } else { 2 };
        let [at, len] = [first, first + 1].map(|at| offset(&operands.values[at]));
        let input = self.input(interpreter, at, len);
        let pc = u32::try_from(interpreter.bytecode.pc()).unwrap_or(u32::MAX);
        self.calling = self.trace.event(TraceEvent::Call { pc, code, target, value, input });
    }

    /// The data of a call; what is too long is cut.
    fn input(
        &mut self,
        interpreter: &Interpreter<EthInterpreter>,
        at: usize,
        len: usize,
    ) -> TraceInput {
        let is_all =
            len > 0 && interpreter.input.input().len() == len && self.memory.is_calldata(at, len);
        if is_all {
            return TraceInput::CallData;
        }
        // A selector, then words.
        let head = if len.is_multiple_of(32) { 0 } else { len.min(4) };
        let cut = len.min(head + 32 * INPUT_WORDS_MAX);
        TraceInput::Words(self.words(interpreter, at, cut, head).unwrap_or_default())
    }

    /// Bytes of memory as words, the first of `head` bytes; none if they are too many.
    pub(super) fn words(
        &mut self,
        interpreter: &Interpreter<EthInterpreter>,
        at: usize,
        len: usize,
        head: usize,
    ) -> Option<Vec<(u8, Word, U256)>> {
        if len > head + 32 * INPUT_WORDS_MAX {
            return None;
        }
        let real = interpreter.memory.context_memory();
        self.inputs += len / 32;
        if self.inputs > INPUTS_MAX {
            return None;
        }
        let mut words = Vec::with_capacity(len / 32 + 1);
        let mut next = 0;
        while next < len {
            let bytes = if next == 0 && head > 0 { head } else { (len - next).min(32) };
            let word = self.memory.read(&mut self.trace, &real, at + next, bytes);
            let value = word_of(&real, at + next, bytes);
            words.push((u8::try_from(bytes).unwrap_or(32), word, value));
            next += bytes;
        }
        Some(words)
    }

    pub(super) fn create(
        &mut self,
        code: u8,
        interpreter: &Interpreter<EthInterpreter>,
        operands: &Operands,
    ) -> Word {
        self.calling = None;
        let value = self.named(operands, 0);
        let [at, len] = [1, 2].map(|at| offset(&operands.values[at]));
        let salt = (code == op::CREATE2).then(|| self.named(operands, 3));
        let init = self.words(interpreter, at, len, 0).map(TraceInput::Words);
        let is_constant = len <= INIT_BYTES_MAX && self.memory.is_constant(at, len);
        let init_hash = is_constant.then(|| {
            let real = interpreter.memory.context_memory();
            // Memory grows only once the instruction runs.
            let start = at.min(real.len());
            let mut bytes = real[start..at.saturating_add(len).min(real.len()).max(start)].to_vec();
            bytes.resize(len, 0);
            self.trace.constant(keccak256(bytes).into())
        });
        let pc = u32::try_from(interpreter.bytecode.pc()).unwrap_or(u32::MAX);
        let created = TraceEvent::Create { pc, value, init, salt, init_hash };
        match self.trace.event(created) {
            Some(event) => self.trace.returned(event, 0),
            None => Word::UNKNOWN,
        }
    }
}
