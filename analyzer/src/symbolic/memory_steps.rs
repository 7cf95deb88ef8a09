//! Instructions on memory, on one path: loads, stores, copies, and hashes of what it holds.

use std::rc::Rc;

use revm::{
    bytecode::opcode as op,
    primitives::{KECCAK_EMPTY, U256},
};

use super::{
    explore::{Explorer, Flow, Input},
    graph::{Bytes, Event, Source},
    instructions::{pop, pops},
    memory::Place,
    path::Path,
};
use crate::expr::{ExprId, KeyExpr};

/// Longer copies are not told apart word by word.
const COPY_BYTES_MAX: u32 = 2048;

const WORD_BYTES: u32 = 32;

/// Longer arguments and answers are read from memory when the code is evaluated.
const KNOWN_BYTES_MAX: u32 = 1024;

impl Explorer<'_> {
    pub(super) fn keccak(&mut self, path: &mut Path) -> Flow {
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

    pub(super) fn memory(&mut self, path: &mut Path, opcode: u8) -> Flow {
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
                // So much memory costs more gas than any transaction has.
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

    pub(super) fn copy(&mut self, path: &mut Path, opcode: u8) -> Flow {
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
