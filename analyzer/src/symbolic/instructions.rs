//! One instruction on one path: words, memory, storage. What asks or changes
//! other accounts is in [`outside`](super::outside).

use std::rc::Rc;

use revm::{
    bytecode::opcode::{self as op, OpCode},
    primitives::{KECCAK_EMPTY, U256},
};

use super::{
    explore::{Explorer, Flow, Input},
    graph::{Bytes, Event, Source},
    memory::Place,
    path::Path,
};
use crate::expr::{ExprId, KeyExpr};

/// The EVM's limit of the stack.
const STACK_WORDS_MAX: usize = 1024;

/// Longer copies are not told apart word by word.
const COPY_BYTES_MAX: u32 = 2048;

const WORD_BYTES: u32 = 32;

/// Longer arguments and answers are read from memory when the code is evaluated.
const KNOWN_BYTES_MAX: u32 = 1024;

/// How deep `DUPN` and `SWAPN` reach with this immediate (EIP-8024). The values that stand for
/// jump destinations and pushes stand for no depth.
const fn depth(immediate: u8) -> Option<usize> {
    match immediate {
        91..=127 => None,
        _ => Some((immediate as usize + 145) % 256),
    }
}

/// The depths of the words that `EXCHANGE` swaps with this immediate (EIP-8024).
const fn pair_of_depths(immediate: u8) -> Option<(usize, usize)> {
    if matches!(immediate, 82..=127) {
        return None;
    }
    let both = (immediate ^ 0x8f) as usize;
    let (one, other) = (both / 16, both % 16);
    Some(if one < other { (one + 1, other + 1) } else { (other + 1, 29 - one) })
}

impl Explorer<'_> {
    /// Runs the instruction at the path's place, but for jump destinations.
    pub(super) fn step(&mut self, path: &mut Path, opcode: u8) -> Flow {
        let Some(info) = OpCode::info_by_op(opcode) else { return Flow::Revert };
        let (inputs, outputs) = (usize::from(info.inputs()), usize::from(info.outputs()));
        if path.stack.len() < inputs || path.stack.len() - inputs + outputs > STACK_WORDS_MAX {
            return Flow::Revert;
        }
        match opcode {
            op::STOP => Flow::Return(Bytes::Words(Box::default())),
            op::RETURN => {
                let [at, len] = pops(path);
                Flow::Return(self.bytes(path, at, len))
            }
            op::REVERT | op::INVALID => Flow::Revert,
            op::POP => {
                path.stack.pop();
                Flow::Next
            }
            op::JUMP => Flow::Jump(pop(path)),
            op::JUMPI => {
                let [target, condition] = pops(path);
                Flow::JumpIf { target, condition }
            }
            op::PUSH0..=op::PUSH32 => self.push_constant(path, usize::from(opcode - op::PUSH0)),
            op::DUP1..=op::DUP16 => {
                let word = path.stack[path.stack.len() - 1 - usize::from(opcode - op::DUP1)];
                path.stack.push(word);
                Flow::Next
            }
            op::SWAP1..=op::SWAP16 => {
                let top = path.stack.len() - 1;
                path.stack.swap(top, top - 1 - usize::from(opcode - op::SWAP1));
                Flow::Next
            }
            op::LOG0..=op::LOG4 => {
                path.stack.truncate(path.stack.len() - inputs);
                Flow::Next
            }
            op::ADD..=op::SIGNEXTEND | op::LT..=op::CLZ => self.compute(path, opcode, inputs),
            op::KECCAK256 => self.keccak(path),
            op::ADDRESS
            | op::ORIGIN..=op::CALLVALUE
            | op::GASPRICE
            | op::CALLDATASIZE
            | op::COINBASE..=op::CHAINID
            | op::BASEFEE
            | op::BLOBBASEFEE
            | op::SLOTNUM => self.environment(path, opcode),
            op::DUPN | op::SWAPN | op::EXCHANGE => self.deep(path, opcode),
            op::GAS | op::MSIZE => {
                path.stack.push(ExprId::UNKNOWN);
                Flow::Next
            }
            op::PC => {
                let pc = self.arena.constant(U256::from(path.pc));
                self.push(path, pc)
            }
            op::CODESIZE => {
                let size = self.arena.constant(U256::from(self.code.len()));
                self.push(path, size)
            }
            op::BLOCKHASH | op::BLOBHASH | op::TLOAD => {
                let of = pop(path);
                if opcode == op::TLOAD {
                    self.graph.push(path.node, Event::TransientLoad(of));
                }
                let word = self.arena.operation(opcode, [of, ExprId::ZERO, ExprId::ZERO]);
                self.push(path, word)
            }
            op::TSTORE => {
                let [key, value] = pops(path);
                self.graph.push(path.node, Event::TransientStore { key, value });
                Flow::Next
            }
            op::CALLDATALOAD => {
                let from = pop(path);
                let word = self.calldata(from);
                self.push(path, word)
            }
            op::MLOAD | op::MSTORE | op::MSTORE8 | op::MCOPY => self.memory(path, opcode),
            op::CALLDATACOPY | op::CODECOPY | op::RETURNDATACOPY => self.copy(path, opcode),
            op::SLOAD => {
                let key = pop(path);
                if let Some(word) = path.stored.get(&key) {
                    let word = *word;
                    return self.push(path, word);
                }
                self.graph.push(path.node, Event::Load(key));
                let word = self.arena.intern(KeyExpr::Load(key));
                self.push(path, word)
            }
            op::SSTORE => {
                let [key, value] = pops(path);
                self.graph.push(path.node, Event::Store { key, value });
                path.store(key, value);
                Flow::Next
            }
            _ => self.outside(path, opcode),
        }
    }

    /// Moves words further down the stack than one byte tells (EIP-8024). Which ones, the byte
    /// after the instruction says; one beyond the end of the code is zero.
    fn deep(&mut self, path: &mut Path, opcode: u8) -> Flow {
        let immediate = self.code.get(path.pc + 1).copied().unwrap_or(0);
        let depths = if opcode == op::EXCHANGE {
            pair_of_depths(immediate)
        } else {
            depth(immediate).map(|deep| (0, deep))
        };
        let Some((one, other)) = depths else { return Flow::Revert };
        // `DUPN` counts from the top on, the others from below it.
        let reach = if opcode == op::DUPN { other } else { other + 1 };
        let Some(bottom) = path.stack.len().checked_sub(reach) else { return Flow::Revert };
        if opcode == op::DUPN {
            path.stack.push(path.stack[bottom]);
        } else {
            let top = path.stack.len() - 1;
            path.stack.swap(top - one, bottom);
        }
        path.pc += 1;
        Flow::Next
    }

    /// Pushes a word, with what this input says about it.
    pub(super) fn push(&mut self, path: &mut Path, word: ExprId) -> Flow {
        let word = self.known(word);
        path.stack.push(word);
        Flow::Next
    }

    fn push_constant(&mut self, path: &mut Path, bytes: usize) -> Flow {
        let start = (path.pc + 1).min(self.code.len());
        let immediate = &self.code[start..(start + bytes).min(self.code.len())];
        // Beyond the end of the code there are zeros.
        let missing = bytes - immediate.len();
        let value = U256::try_from_be_slice(immediate).unwrap_or_default() << (8 * missing);
        let word = match self.inputs_at.binary_search(&path.pc) {
            Ok(input) => {
                let input = u32::try_from(input).unwrap_or(u32::MAX);
                self.arena.intern(KeyExpr::Immutable(input))
            }
            Err(_) => self.arena.constant(value),
        };
        path.stack.push(word);
        path.pc += bytes;
        Flow::Next
    }

    fn environment(&mut self, path: &mut Path, opcode: u8) -> Flow {
        let word = self.arena.intern(KeyExpr::Environment(opcode));
        self.push(path, word)
    }

    fn compute(&mut self, path: &mut Path, opcode: u8, inputs: usize) -> Flow {
        let mut operands = [ExprId::ZERO; 3];
        for operand in operands.iter_mut().take(inputs) {
            *operand = pop(path);
        }
        if let Input::Selector(selector) = self.input {
            let [a, b, _] = operands;
            let size = self.calldata_size;
            let small = |id| self.arena.offset(id).is_some_and(|bound| bound <= 4);
            // There are the four bytes of a selector.
            let word = match opcode {
                op::LT if a == size && small(b) => Some(ExprId::ZERO),
                op::GT if b == size && small(a) => Some(ExprId::ZERO),
                op::ISZERO if a == size => Some(ExprId::ZERO),
                _ => None,
            };
            if let Some(word) = word {
                return self.push(path, word);
            }
            let compares = matches!(opcode, op::EQ | op::XOR | op::SUB);
            let is_it = |id| self.arena.offset(id) == Some(selector);
            self.is_matched |= compares && is_it(a) && is_it(b);
        }
        let word = self.arena.operation(opcode, operands);
        self.push(path, word)
    }

    fn calldata(&mut self, from: ExprId) -> ExprId {
        // Behind its end there are zeros.
        if self.arena.as_sum(from).0 == Some(self.calldata_size) {
            return ExprId::ZERO;
        }
        let word = self.arena.intern(KeyExpr::CallData(from));
        self.known(word)
    }

    fn keccak(&mut self, path: &mut Path) -> Flow {
        let [start, len] = pops(path);
        let Some(at) = Place::of(&self.arena, start) else {
            return self.hash_memory(path, start, len, ExprId::UNKNOWN);
        };
        let parts = match self.arena.offset(len) {
            Some(0) => {
                let empty = self.arena.constant(KECCAK_EMPTY.into());
                return self.push(path, empty);
            }
            Some(len) => path.memory.parts(&mut self.arena, at, len),
            None => {
                let end = self.arena.operation(op::ADD, [start, len, ExprId::ZERO]);
                let word = self.arena.constant(U256::from(WORD_BYTES));
                let last = self.arena.operation(op::SUB, [end, word, ExprId::ZERO]);
                let last = Place::of(&self.arena, last);
                path.memory.last_word(&mut self.arena, last)
            }
        };
        let is_known = parts.iter().all(|part| part.word != ExprId::UNKNOWN);
        let word = self.arena.intern(KeyExpr::Keccak(parts));
        if is_known {
            return self.push(path, word);
        }
        self.hash_memory(path, start, len, word)
    }

    /// A hash of what memory holds when the code is evaluated.
    fn hash_memory(&mut self, path: &mut Path, at: ExprId, len: ExprId, known: ExprId) -> Flow {
        let site = self.site();
        self.graph.push(path.node, Event::HashMemory { site, at, len });
        let word = self.arena.intern(KeyExpr::MemoryHash { site, known });
        self.push(path, word)
    }

    /// A word of what memory holds when the code is evaluated.
    fn load_memory(&mut self, path: &mut Path, at: ExprId) -> Flow {
        let site = self.site();
        self.graph.push(path.node, Event::LoadMemory { site, at });
        let word = self.arena.intern(KeyExpr::Memory(site));
        self.push(path, word)
    }

    pub(super) const fn site(&mut self) -> u32 {
        self.sites += 1;
        self.sites
    }

    /// Bytes of memory that leave the frame.
    pub(super) fn bytes(&mut self, path: &Path, at: ExprId, len: ExprId) -> Bytes {
        let place = Place::of(&self.arena, at);
        let is_whole =
            len == self.calldata_size && place.is_some_and(|at| path.memory.holds_calldata(at));
        // Of no call data, nothing is all.
        if is_whole || (self.input == Input::Empty && len == ExprId::ZERO) {
            return Bytes::CallData;
        }
        let words = match (place, self.arena.offset(len)) {
            (_, Some(0)) => Some(Box::default()),
            (Some(at), Some(len)) => {
                path.memory.known_words(&mut self.arena, at, len, KNOWN_BYTES_MAX)
            }
            _ => None,
        };
        words.map_or(Bytes::Memory { at, len }, Bytes::Words)
    }

    fn memory(&mut self, path: &mut Path, opcode: u8) -> Flow {
        if opcode == op::MCOPY {
            let [to, from, len] = pops(path);
            let event = Event::CopyMemory { source: Source::Memory, to, from, len };
            self.graph.push(path.node, event);
            let from = Place::of(&self.arena, from);
            return self.fill(path, to, len, |explorer, memory, at, len| match from {
                Some(from) => memory.copy(&mut explorer.arena, at, from, len),
                None => memory.store_bulk(at, false),
            });
        }
        let pointer = pop(path);
        let Some(at) = Place::of(&self.arena, pointer) else {
            if self.arena.value(pointer).is_some() {
                // Nobody can pay for that much memory.
                return Flow::Revert;
            }
            if opcode == op::MLOAD {
                return self.load_memory(path, pointer);
            }
            let word = pop(path);
            let is_byte = opcode == op::MSTORE8;
            self.graph.push(path.node, Event::StoreMemory { at: pointer, word, is_byte });
            Rc::make_mut(&mut path.memory).forget();
            return Flow::Next;
        };
        match opcode {
            op::MLOAD => {
                let word = path.memory.load(&mut self.arena, at);
                if word == ExprId::UNKNOWN {
                    return self.load_memory(path, pointer);
                }
                self.push(path, word)
            }
            op::MSTORE => {
                let word = pop(path);
                let event = Event::StoreMemory { at: pointer, word, is_byte: false };
                self.graph.push(path.node, event);
                Rc::make_mut(&mut path.memory).store(&self.arena, at, word);
                Flow::Next
            }
            _ => {
                let word = pop(path);
                let event = Event::StoreMemory { at: pointer, word, is_byte: true };
                self.graph.push(path.node, event);
                Rc::make_mut(&mut path.memory).store_byte(at, word);
                Flow::Next
            }
        }
    }

    fn copy(&mut self, path: &mut Path, opcode: u8) -> Flow {
        let [to, from, len] = pops(path);
        let source = match opcode {
            op::CALLDATACOPY => Source::CallData,
            op::CODECOPY => Source::Code,
            _ => Source::Answer,
        };
        self.graph.push(path.node, Event::CopyMemory { source, to, from, len });
        if opcode == op::CALLDATACOPY {
            if len == self.calldata_size && from == ExprId::ZERO {
                return match Place::of(&self.arena, to) {
                    Some(at) => {
                        Rc::make_mut(&mut path.memory).store_bulk(at, true);
                        Flow::Next
                    }
                    None => self.fill(path, to, len, |_, _, _, _| ()),
                };
            }
            return self.fill_words(path, to, len, |explorer, _, start| {
                let start = explorer.arena.constant(U256::from(start));
                let at = explorer.arena.operation(op::ADD, [from, start, ExprId::ZERO]);
                explorer.calldata(at)
            });
        }
        if opcode == op::RETURNDATACOPY {
            let from = self.arena.offset(from);
            return self.fill_words(path, to, len, move |explorer, path, start| {
                let from = from.filter(|from| from % WORD_BYTES == 0);
                from.map_or(ExprId::UNKNOWN, |from| explorer.answer(path, from + start))
            });
        }
        let from = self.arena.offset(from);
        self.fill_words(path, to, len, move |explorer, _, start| {
            let Some(from) = from else { return ExprId::UNKNOWN };
            let code = explorer.code;
            let from = (from as usize).saturating_add(start as usize).min(code.len());
            let bytes = &code[from..(from + WORD_BYTES as usize).min(code.len())];
            if !explorer.is_shared(from, from + bytes.len()) {
                return ExprId::UNKNOWN;
            }
            let mut word = [0; WORD_BYTES as usize];
            word[..bytes.len()].copy_from_slice(bytes);
            explorer.arena.constant(U256::from_be_bytes(word))
        })
    }

    /// Writes words to memory, each by its offset from the first.
    pub(super) fn fill_words(
        &mut self,
        path: &mut Path,
        to: ExprId,
        len: ExprId,
        mut word: impl FnMut(&mut Self, &Path, u32) -> ExprId,
    ) -> Flow {
        let words = match self.arena.offset(len).filter(|len| *len <= COPY_BYTES_MAX) {
            Some(len) => {
                let starts = (0..len).step_by(WORD_BYTES as usize);
                starts.map(|start| (start, word(self, path, start))).collect()
            }
            None => Vec::new(),
        };
        self.fill(path, to, len, |explorer, memory, at, len| {
            for (start, word) in words {
                if let Some(at) = at.plus(start) {
                    memory.store_prefix(&explorer.arena, at, word, WORD_BYTES.min(len - start));
                }
            }
        })
    }

    /// Writes a number of bytes to memory: with `write` if it is known and
    /// small; else what is behind their first is not known any more.
    fn fill(
        &mut self,
        path: &mut Path,
        to: ExprId,
        len: ExprId,
        write: impl FnOnce(&mut Self, &mut super::memory::Memory, Place, u32),
    ) -> Flow {
        let len = match self.arena.value(len).map(u32::try_from) {
            Some(Ok(0)) => return Flow::Next,
            Some(Ok(len)) => Some(len),
            Some(Err(_)) => return Flow::Revert,
            None => None,
        };
        let memory = Rc::make_mut(&mut path.memory);
        match (Place::of(&self.arena, to), len) {
            (Some(at), Some(len)) if len <= COPY_BYTES_MAX => write(self, memory, at, len),
            (Some(at), _) => memory.store_bulk(at, false),
            (None, _) if self.arena.value(to).is_some() => return Flow::Revert,
            (None, _) => memory.forget(),
        }
        Flow::Next
    }
}

/// The top of the stack, of which it was checked that it holds the operands.
pub(super) fn pop(path: &mut Path) -> ExprId {
    path.stack.pop().expect("the stack holds the operands")
}

pub(super) fn pops<const N: usize>(path: &mut Path) -> [ExprId; N] {
    core::array::from_fn(|_| pop(path))
}
