//! One frame, followed instruction by instruction with where each word comes from.
//!
//! The real stack, memory and state are the interpreter's; here are only their shadows. What
//! depends on none of the frame's inputs is [`Word::CONSTANT`], so that most instructions
//! cost no more than a push and a pop.

mod calls;

use std::sync::Arc;

use forewave_analyzer::{ANSWER_LEN, LearntCode, Selected, Trace, TraceEvent, Word};
use revm::{
    bytecode::opcode::{self as op, OpCode},
    handler::EthPrecompiles,
    interpreter::{Interpreter, interpreter::EthInterpreter, interpreter_types::Jumps},
    primitives::U256,
};

use super::memory::{ShadowMemory, Source};

/// Bytes that are hashed to find what is created.
const INIT_BYTES_MAX: usize = 1 << 16;

/// Words of the data of all calls of one frame.
const INPUTS_MAX: usize = 1 << 13;

/// Slots of one frame whose stored value is remembered.
const STORED_MAX: usize = 256;

/// What the latest call answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Received {
    /// Nothing, always.
    #[default]
    Nothing,
    Unknown,
    /// What the call that was this event gave.
    Answer(u32),
}

/// The shadow of one frame.
#[derive(Debug, Default)]
pub(super) struct ShadowFrame {
    /// Its code; none if it is not recorded.
    pub(super) code: Option<Arc<LearntCode>>,
    /// Which function it runs, and whether it is also a run of the fallback.
    pub(super) selected: Option<Selected>,
    pub(super) falls_back: bool,
    pub(super) trace: Trace,
    stack: Vec<Word>,
    memory: ShadowMemory,
    /// Slots that it has stored, transient or not.
    stored: Vec<(bool, U256, Word)>,
    received: Received,
    /// The event of the call that is running.
    calling: Option<u32>,
    /// Words of the data of its calls so far.
    inputs: usize,
}

/// The frame cannot be followed any further.
struct Lost;

impl ShadowFrame {
    /// A frame that has not begun.
    pub(super) fn begin(
        &mut self,
        code: Option<Arc<LearntCode>>,
        selected: Option<Selected>,
        falls_back: bool,
    ) {
        self.code = code;
        self.selected = selected;
        self.falls_back = falls_back;
        self.trace.clear();
        self.stack.clear();
        self.memory.clear();
        self.stored.clear();
        self.received = Received::Nothing;
        self.calling = None;
        self.inputs = 0;
    }

    /// Before an instruction runs.
    pub(super) fn step(
        &mut self,
        interpreter: &Interpreter<EthInterpreter>,
        precompiles: &EthPrecompiles,
    ) {
        if self.code.is_some() && self.follow(interpreter, precompiles).is_err() {
            self.code = None;
        }
    }

    /// A call that this frame made has ended.
    pub(super) fn receive(&mut self, at: usize, len: usize, succeeded: bool) {
        let event = self.calling.take().filter(|_| succeeded);
        self.received = event.map_or(Received::Unknown, Received::Answer);
        let source = event.map_or(Source::Unknown, |event| Source::Answer { event, at: 0 });
        self.memory.put_source(at, len, source);
    }

    /// A creation has ended.
    pub(super) fn receive_created(&mut self, succeeded: bool) {
        self.calling = None;
        self.received = if succeeded { Received::Nothing } else { Received::Unknown };
    }

    fn follow(
        &mut self,
        interpreter: &Interpreter<EthInterpreter>,
        precompiles: &EthPrecompiles,
    ) -> Result<(), Lost> {
        let opcode = interpreter.bytecode.opcode();
        let values = interpreter.stack.data();
        if self.stack.len() != values.len() {
            return Err(Lost);
        }
        if self.arrange(opcode, interpreter.bytecode.pc())? {
            return Ok(());
        }
        let info = OpCode::info_by_op(opcode).ok_or(Lost)?;
        let inputs = usize::from(info.inputs());
        let base = values.len().checked_sub(inputs).ok_or(Lost)?;
        let operands = Operands { words: [Word::UNKNOWN; 7], values: [U256::ZERO; 7] };
        let operands = operands.fill(&self.stack[base..], &values[base..]);
        self.stack.truncate(base);
        let result = match opcode {
            op::ADD..=op::SIGNEXTEND | op::LT..=op::SAR | op::CLZ => {
                Some(self.compute(opcode, &operands, inputs))
            }
            op::KECCAK256 => Some(self.hash(interpreter, &operands)),
            op::ADDRESS
            | op::ORIGIN
            | op::CALLER
            | op::CALLVALUE
            | op::CALLDATASIZE
            | op::GASPRICE
            | op::COINBASE
            | op::TIMESTAMP
            | op::NUMBER
            | op::DIFFICULTY
            | op::GASLIMIT
            | op::CHAINID
            | op::BASEFEE
            | op::BLOBBASEFEE => Some(self.trace.environment(opcode)),
            op::PC | op::MSIZE | op::CODESIZE => Some(Word::CONSTANT),
            op::BLOCKHASH | op::BLOBHASH => {
                let number = self.named(&operands, 0);
                Some(self.trace.operation(opcode, [number, Word::CONSTANT, Word::CONSTANT]))
            }
            op::CALLDATALOAD => {
                let at = self.named(&operands, 0);
                Some(self.trace.calldata(at))
            }
            op::RETURNDATASIZE => Some(match self.received {
                Received::Nothing => Word::CONSTANT,
                Received::Unknown => Word::UNKNOWN,
                Received::Answer(event) => self.trace.returned(event, ANSWER_LEN),
            }),
            op::CALLDATACOPY
            | op::CODECOPY
            | op::EXTCODECOPY
            | op::RETURNDATACOPY
            | op::MCOPY
            | op::MLOAD
            | op::MSTORE
            | op::MSTORE8 => self.on_memory(opcode, interpreter, &operands),
            op::SLOAD | op::SSTORE | op::TLOAD | op::TSTORE => self.on_storage(opcode, &operands),
            op::BALANCE | op::EXTCODESIZE | op::EXTCODEHASH => {
                let of = self.named(&operands, 0);
                Some(self.ask(opcode, of))
            }
            op::SELFBALANCE => {
                let of = self.trace.environment(op::ADDRESS);
                Some(self.ask(op::BALANCE, of))
            }
            op::CALL | op::CALLCODE | op::DELEGATECALL | op::STATICCALL => {
                self.call(opcode, interpreter, &operands, precompiles);
                Some(Word::CONSTANT)
            }
            op::CREATE | op::CREATE2 => Some(self.create(opcode, interpreter, &operands)),
            op::RETURN => {
                let [at, len] = [0, 1].map(|at| offset(&operands.values[at]));
                let words = self.words(interpreter, at, len, 0);
                if let Some(words) = words {
                    self.trace.answer(words);
                }
                None
            }
            op::STOP => {
                self.trace.answer(Vec::new());
                None
            }
            op::SELFDESTRUCT => {
                let to = self.named(&operands, 0);
                self.trace.event(TraceEvent::Destroy(to));
                self.trace.answer(Vec::new());
                None
            }
            // Gas left, and whatever is new: not known.
            _ => (info.outputs() > 0).then_some(Word::UNKNOWN),
        };
        self.stack.extend(result);
        Ok(())
    }

    /// Runs an instruction that only moves words on the stack; whether it is one.
    fn arrange(&mut self, opcode: u8, pc: usize) -> Result<bool, Lost> {
        match opcode {
            op::PUSH0..=op::PUSH32 => {
                let word = self.pushed(opcode, pc);
                self.stack.push(word);
            }
            op::DUP1..=op::DUP16 => {
                let depth = usize::from(opcode - op::DUP1) + 1;
                let word = self.stack.len().checked_sub(depth).ok_or(Lost)?;
                self.stack.push(self.stack[word]);
            }
            op::SWAP1..=op::SWAP16 => {
                let top = self.stack.len().checked_sub(1).ok_or(Lost)?;
                let other = top.checked_sub(usize::from(opcode - op::SWAP1) + 1).ok_or(Lost)?;
                self.stack.swap(top, other);
            }
            // Instructions with an operand in the code (EIP-8024).
            0xe0..=0xef => return Err(Lost),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What a push gives: a constant, or an input of the skeleton.
    fn pushed(&mut self, opcode: u8, pc: usize) -> Word {
        let input = match (opcode, &self.code) {
            (op::PUSH20 | op::PUSH32, Some(code)) => code.input_at(pc),
            _ => None,
        };
        input.map_or(Word::CONSTANT, |index| self.trace.immutable(index))
    }

    fn named(&mut self, operands: &Operands, at: usize) -> Word {
        self.trace.named(operands.words[at], operands.values[at])
    }

    fn compute(&mut self, opcode: u8, operands: &Operands, count: usize) -> Word {
        let words = &operands.words[..count];
        if words.iter().all(|word| *word == Word::CONSTANT) {
            return Word::CONSTANT;
        }
        if words.contains(&Word::UNKNOWN) {
            return Word::UNKNOWN;
        }
        let mut named = [Word::CONSTANT; 3];
        for (at, named) in named.iter_mut().enumerate().take(count) {
            *named = self.named(operands, at);
        }
        self.trace.operation(opcode, named)
    }

    fn hash(&mut self, interpreter: &Interpreter<EthInterpreter>, operands: &Operands) -> Word {
        let [at, len] = [0, 1].map(|at| offset(&operands.values[at]));
        if self.memory.is_constant(at, len) {
            return Word::CONSTANT;
        }
        let real = interpreter.memory.context_memory();
        match self.memory.parts(&mut self.trace, &real, at, len) {
            Some(parts) => self.trace.keccak(&parts),
            None => Word::UNKNOWN,
        }
    }

    fn on_memory(
        &mut self,
        opcode: u8,
        interpreter: &Interpreter<EthInterpreter>,
        operands: &Operands,
    ) -> Option<Word> {
        let [first, second, third] = [0, 1, 2].map(|at| offset(&operands.values[at]));
        match opcode {
            op::MLOAD => {
                let real = interpreter.memory.context_memory();
                return Some(self.memory.read(&mut self.trace, &real, first, 32));
            }
            op::MSTORE => self.memory.put_word(first, operands.words[1]),
            op::MSTORE8 => self.memory.put_byte(first, operands.words[1]),
            op::CALLDATACOPY => {
                let (from, at) = (operands.words[1], second);
                let is_known = from != Word::UNKNOWN;
                let source = if is_known { Source::CallData { from, at } } else { Source::Unknown };
                self.memory.put_source(first, third, source);
            }
            op::CODECOPY => self.memory.put_constant(first, third),
            op::RETURNDATACOPY => {
                let source = match self.received {
                    Received::Answer(event) => Source::Answer { event, at: second },
                    _ => Source::Unknown,
                };
                self.memory.put_source(first, third, source);
            }
            op::MCOPY => self.memory.copy(first, second, third),
            _ => {
                let of = self.named(operands, 0);
                self.trace.event(TraceEvent::Account { code: opcode, of });
                self.memory.put_source(second, offset(&operands.values[3]), Source::Unknown);
            }
        }
        None
    }

    fn on_storage(&mut self, opcode: u8, operands: &Operands) -> Option<Word> {
        let (word, slot) = (operands.words[0], operands.values[0]);
        let is_transient = matches!(opcode, op::TLOAD | op::TSTORE);
        if matches!(opcode, op::SSTORE | op::TSTORE) {
            if !is_transient {
                self.trace.event(TraceEvent::Store { key: word, slot });
            }
            self.stored.retain(|(transient, key, _)| (*transient, *key) != (is_transient, slot));
            if self.stored.len() < STORED_MAX {
                self.stored.push((is_transient, slot, operands.words[1]));
            }
            return None;
        }
        if !is_transient {
            self.trace.event(TraceEvent::Load { key: word, slot });
        }
        let mut stored = self.stored.iter();
        let known = stored.find(|(transient, key, _)| (*transient, *key) == (is_transient, slot));
        if let Some((.., word)) = known {
            return Some(*word);
        }
        let key = self.named(operands, 0);
        Some(if is_transient {
            self.trace.operation(opcode, [key, Word::CONSTANT, Word::CONSTANT])
        } else {
            self.trace.load(key)
        })
    }

    fn ask(&mut self, code: u8, of: Word) -> Word {
        self.trace.event(TraceEvent::Account { code, of });
        self.trace.operation(code, [of, Word::CONSTANT, Word::CONSTANT])
    }
}

/// The operands of an instruction, the top of the stack first.
struct Operands {
    words: [Word; 7],
    values: [U256; 7],
}

impl Operands {
    fn fill(mut self, words: &[Word], values: &[U256]) -> Self {
        let pairs = words.iter().zip(values).rev();
        for (at, (word, value)) in pairs.enumerate().take(7) {
            self.words[at] = *word;
            self.values[at] = *value;
        }
        self
    }
}

/// A number of bytes; a large one is beyond all memory.
fn offset(value: &U256) -> usize {
    usize::try_from(*value).unwrap_or(usize::MAX).min(1 << 40)
}
