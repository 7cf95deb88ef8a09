//! Words out of bytes: what lies in memory, call data and return data.
//!
//! A word that was stored whole is that value again; one whose bytes come from
//! several is put together from pieces. Whatever is hashed or handed to a
//! precompile is a list of words.

use revm::{bytecode::opcode as op, primitives::U256};

use super::{Trace, WORD_BYTES, simplify::piece_as_instruction};
use crate::{
    interpreter::{
        Word,
        region::{Region, Shadow},
    },
    template::value::{Function, Input, Operand, Value, ValueId},
};

impl Trace {
    /// The word at `start` of a region.
    #[inline]
    pub(crate) fn word(&mut self, region: &Region, start: usize) -> ValueId {
        if !self.is_on {
            return ValueId::CONSTANT;
        }
        if region.is_input() {
            return self.input(Input::CallData(u32::try_from(start).unwrap_or(u32::MAX)));
        }
        match region.shadow(start) {
            Shadow::Constant => ValueId::CONSTANT,
            Shadow::Whole(id) => id,
            Shadow::Mixed => self.compose(region.word(start).value, &region.shadow_bytes(start)),
        }
    }

    /// A word whose bytes come from several values; `bytes` says from which.
    fn compose(&mut self, value: U256, bytes: &[Option<(ValueId, u8)>; WORD_BYTES]) -> ValueId {
        if let Some(start) = self.input_under(bytes) {
            return self.input(Input::CallData(start));
        }
        let mut rest = value.to_be_bytes::<WORD_BYTES>();
        let lead = bytes.iter().take_while(|byte| byte.is_none()).count();
        let mut word: Option<Word> = None;
        let mut at = 0;
        while at < WORD_BYTES {
            let Some((id, from)) = bytes[at] else {
                at += 1;
                continue;
            };
            let len = bytes[at..]
                .iter()
                .zip(from..)
                .take_while(|(byte, from)| **byte == Some((id, *from)))
                .count();
            // Bytes that are constant stay in `rest`: of a pinned value, or of the selector.
            let piece = if self.known(id).pinned {
                ValueId::CONSTANT
            } else {
                self.piece(Word { id, ..Word::default() }, from, at, len)
            };
            if !piece.is_constant() {
                rest[at..at + len].fill(0);
                let piece = Word { id: piece, ..Word::default() };
                word = Some(match word {
                    None => piece,
                    Some(word) => {
                        Word { id: self.compute(op::OR, [word, piece]), ..Word::default() }
                    }
                });
            }
            at += len;
        }
        let rest = Word::constant(U256::from_be_bytes(rest));
        let id = match word {
            None => return ValueId::CONSTANT,
            Some(word) if rest.value.is_zero() => word.id,
            Some(word) => self.compute(op::OR, [word, rest]),
        };
        if let Some(known) = id.position().and_then(|at| self.known.get_mut(at)) {
            known.lead = known.lead.max(u8::try_from(lead).unwrap_or(0));
        }
        id
    }

    /// `len` bytes of a word that is not constant, from byte `from`, moved to byte `to`.
    fn piece(&mut self, of: Word, from: u8, to: usize, len: usize) -> ValueId {
        match piece_as_instruction(usize::from(from), to, len) {
            Some((op::AND, mask)) => self.compute(op::AND, [of, Word::constant(mask)]),
            Some((shift, bits)) => self.compute(shift, [Word::constant(bits), of]),
            None => {
                let of = self.operand(of);
                let [to, len] = [to, len].map(|n| u8::try_from(n).unwrap_or(u8::MAX));
                self.value(Value::Piece { of, from, to, len })
            }
        }
    }

    /// The words of `len` bytes at `start`, as operands; none if all are constant.
    fn parts(&mut self, region: &Region, start: usize, len: usize) -> Option<Box<[Operand]>> {
        let words: Vec<Word> = (start..start + len)
            .step_by(WORD_BYTES)
            .map(|at| Word { id: self.word(region, at), ..region.word(at) })
            .collect();
        let is_constant = words.iter().all(|word| self.is_constant(*word));
        (!is_constant).then(|| words.into_iter().map(|word| self.operand(word)).collect())
    }

    /// The Keccak-256 of `len` bytes at `start` of a region.
    pub(crate) fn keccak(&mut self, region: &Region, start: usize, len: usize) -> ValueId {
        self.digest(Function::Keccak, region, start, len)
    }

    /// A function of `len` bytes at `start` of a region.
    pub(crate) fn digest(
        &mut self,
        function: Function,
        region: &Region,
        start: usize,
        len: usize,
    ) -> ValueId {
        if !self.is_on {
            return ValueId::CONSTANT;
        }
        if len / WORD_BYTES > self.entries_max.saturating_sub(self.values.len()) {
            self.give_up();
            return ValueId::CONSTANT;
        }
        match self.parts(region, start, len) {
            Some(parts) => {
                let bytes = u32::try_from(len).unwrap_or(u32::MAX);
                self.value(Value::Digest { function, parts, bytes })
            }
            None => ValueId::CONSTANT,
        }
    }

    /// Notes bytes of the transaction's call data that were copied to memory.
    pub(crate) fn copy_input(&mut self, memory: &mut Region, to: usize, from: usize, len: usize) {
        if len / WORD_BYTES > self.entries_max.saturating_sub(self.values.len()) {
            self.give_up();
        }
        if !self.is_on {
            return;
        }
        for at in (0..len).step_by(WORD_BYTES) {
            let from = u32::try_from(from.saturating_add(at)).unwrap_or(u32::MAX);
            let id = self.input(Input::CallData(from));
            memory.set_shadow(to + at, WORD_BYTES.min(len - at), id);
        }
    }
}
