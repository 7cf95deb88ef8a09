//! Shorter ways to the same word, found while recording.
//!
//! Compilers mask what is narrow already, divide by powers of two, and copy call
//! data word by word to where it does not lie in words. None of it has to be
//! computed again with each transaction. Everything here is an identity: it holds
//! for every value of the operands, so it is no guard.

use revm::{bytecode::opcode as op, primitives::U256};

use super::{Trace, WORD_BYTES};
use crate::{
    interpreter::Word,
    template::value::{Input, Operand, Value, ValueId},
};

/// Bytes of a word, by bit, the lowest byte first.
pub(super) type ByteSet = u32;

/// Bytes above the twenty of an address.
pub(super) const ABOVE_ADDRESS: ByteSet = !0 << 20;

/// Bytes above a 64-bit number.
const ABOVE_U64: ByteSet = !0 << 8;

/// Bytes above a flag.
const ABOVE_FLAG: ByteSet = !0 << 1;

/// A simpler way to a word.
pub(super) enum Simpler {
    /// There is nothing simpler.
    No,
    /// A word that is there.
    Is(ValueId),
    /// Another instruction.
    Compute(u8, [Word; 2]),
}

impl Trace {
    /// A simpler way to what the instruction `code` computes.
    pub(super) fn simpler(&self, code: u8, words: &[Word]) -> Simpler {
        let &[first, second] = words else { return Simpler::No };
        match [first, second].map(|word| self.is_constant(word)) {
            [true, false] => match code {
                op::AND => self.masked(second, first),
                op::OR | op::XOR | op::ADD | op::SHL | op::SHR | op::SAR
                    if first.value.is_zero() =>
                {
                    Simpler::Is(second.id)
                }
                op::MUL => scaled(op::SHL, second, first),
                _ => Simpler::No,
            },
            [false, true] => match code {
                op::AND => self.masked(first, second),
                op::OR | op::XOR | op::ADD | op::SUB if second.value.is_zero() => {
                    Simpler::Is(first.id)
                }
                op::MUL => scaled(op::SHL, first, second),
                op::DIV => scaled(op::SHR, first, second),
                _ => Simpler::No,
            },
            _ => Simpler::No,
        }
    }

    /// A word under a constant mask.
    fn masked(&self, word: Word, mask: Word) -> Simpler {
        let may_be_set = !self.zeros(word);
        if may_be_set & !bytes_where(mask.value, 0xFF) == 0 {
            return Simpler::Is(word.id);
        }
        if may_be_set & !bytes_where(mask.value, 0) == 0 {
            return Simpler::Is(ValueId::CONSTANT);
        }
        let inner = word.id.position().and_then(|at| self.values.get(at));
        let Some(Value::Compute(op::AND, [one, other, _])) = inner else { return Simpler::No };
        let (of, inner_mask) = match (one.split(), other.split()) {
            ((of, false), (mask, true)) | ((mask, true), (of, false)) => (of, self.constant(mask)),
            _ => return Simpler::No,
        };
        if self.known[of].pinned {
            return Simpler::No;
        }
        let of = Word { id: ValueId::at(of), ..Word::default() };
        Simpler::Compute(op::AND, [of, Word::constant(mask.value & inner_mask)])
    }

    /// Bytes of a word that are zero whatever the transaction and the state.
    pub(super) fn zeros(&self, word: Word) -> ByteSet {
        if self.is_constant(word) {
            bytes_where(word.value, 0)
        } else {
            word.id.position().and_then(|at| self.known.get(at)).map_or(0, |known| known.zeros)
        }
    }

    /// Bytes that are zero in what the instruction `code` computes.
    pub(super) fn zeros_of(&self, code: u8, words: &[Word]) -> ByteSet {
        let zeros = |at: usize| words.get(at).map_or(0, |word| self.zeros(*word));
        let width = |at: usize| WORD_BYTES - zeros(at).leading_ones() as usize;
        match code {
            op::AND => zeros(0) | zeros(1),
            op::OR | op::XOR => zeros(0) & zeros(1),
            op::LT | op::GT | op::SLT | op::SGT | op::EQ | op::ISZERO | op::BYTE => ABOVE_FLAG,
            op::ADD => above(width(0).max(width(1)) + 1),
            op::MUL => above(width(0) + width(1)),
            op::DIV => above(width(0)),
            op::MOD => above(width(0).min(width(1))),
            op::ADDMOD | op::MULMOD => above(width(2)),
            op::SHL | op::SHR if self.is_constant(words[0]) => {
                let bits = usize::try_from(words[0].value).unwrap_or(256).min(256);
                let (bytes, is_split) = (bits / 8, !bits.is_multiple_of(8));
                let set = u64::from(!zeros(1));
                let moved = if code == op::SHL {
                    let moved = set << bytes;
                    if is_split { moved | moved << 1 } else { moved }
                } else {
                    let moved = set >> bytes;
                    if is_split { moved | moved >> 1 } else { moved }
                };
                !u32::try_from(moved & u64::from(u32::MAX)).unwrap_or(u32::MAX)
            }
            _ => 0,
        }
    }

    /// Where in the call data a word lies, all of whose bytes come from there.
    pub(super) fn input_under(&self, bytes: &[Option<(ValueId, u8)>; WORD_BYTES]) -> Option<u32> {
        let start_of = |at: usize| {
            let (id, from) = bytes[at]?;
            let position = id.position().filter(|at| !self.known[*at].pinned)?;
            let &Value::Input(Input::CallData(start)) = self.values.get(position)? else {
                return None;
            };
            start.checked_add(u32::from(from))?.checked_sub(u32::try_from(at).ok()?)
        };
        let start = start_of(0)?;
        (1..WORD_BYTES).all(|at| start_of(at) == Some(start)).then_some(start)
    }

    /// What an account is named by: its address, whatever stands above it.
    pub(super) fn address_under(&self, name: Operand) -> Operand {
        let mut name = name;
        while let Some(Value::Compute(op::AND, [one, other, _])) =
            name.position().and_then(|at| self.values.get(at))
        {
            let (of, mask) = match (one.split(), other.split()) {
                ((_, false), (mask, true)) => (*one, mask),
                ((mask, true), (_, false)) => (*other, mask),
                _ => break,
            };
            if ABOVE_ADDRESS | bytes_where(self.constant(mask), 0xFF) != ByteSet::MAX {
                break;
            }
            name = of;
        }
        name
    }
}

/// What is known of an input: bytes that are zero.
pub(super) const fn zeros_of_input(input: Input) -> ByteSet {
    match input {
        Input::Caller | Input::To | Input::Coinbase => ABOVE_ADDRESS,
        Input::CallDataSize | Input::GasLimit | Input::ChainId | Input::BaseFee | Input::Gas(_) => {
            ABOVE_U64
        }
        _ => 0,
    }
}

/// The one instruction that does what a piece does, if there is one.
pub(super) fn piece_as_instruction(from: usize, to: usize, len: usize) -> Option<(u8, U256)> {
    let bits = |bytes: usize| U256::from(8 * bytes);
    if from == to {
        let ones = if len == WORD_BYTES { U256::MAX } else { (U256::ONE << (8 * len)) - U256::ONE };
        return Some((op::AND, ones << (8 * (WORD_BYTES - to - len))));
    }
    if from == 0 && to + len == WORD_BYTES {
        return Some((op::SHR, bits(to)));
    }
    (to == 0 && from + len == WORD_BYTES).then(|| (op::SHL, bits(from)))
}

/// A factor or divisor that is a power of two, as a shift.
fn scaled(shift: u8, word: Word, by: Word) -> Simpler {
    if by.value == U256::ONE {
        Simpler::Is(word.id)
    } else if by.value.is_power_of_two() {
        let bits = Word::constant(U256::from(by.value.trailing_zeros()));
        Simpler::Compute(shift, [bits, word])
    } else {
        Simpler::No
    }
}

/// The bytes of a word that are this one.
fn bytes_where(word: U256, byte: u8) -> ByteSet {
    let bytes = word.to_le_bytes::<WORD_BYTES>();
    bytes.iter().rev().fold(0, |set, here| set << 1 | ByteSet::from(*here == byte))
}

/// The bytes above so many.
const fn above(bytes: usize) -> ByteSet {
    if bytes >= WORD_BYTES { 0 } else { !0 << bytes }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alu::compute;

    fn word() -> impl Strategy<Value = U256> {
        (any::<[u64; 4]>(), 0..=256_usize, 0..=256_usize)
            .prop_map(|(limbs, up, down)| U256::from_limbs(limbs) << up.min(255) >> down.min(255))
    }

    proptest! {
        #[test]
        fn what_is_computed_in_a_simpler_way_is_the_same_and_zero_where_it_is_said_to_be(
            first in word(),
            second in word(),
            mask in word(),
            code in prop::sample::select(vec![
                op::ADD, op::SUB, op::MUL, op::DIV, op::MOD, op::AND, op::OR, op::XOR, op::SHL,
                op::SHR, op::SAR, op::LT, op::EQ, op::BYTE,
            ]),
            is_constant in any::<[bool; 2]>(),
            power in proptest::option::of(0..256_usize),
        ) {
            let mut trace = Trace::default();
            trace.start(1 << 10, 0, true);
            let mut known = Vec::new();
            let mut operands = [first & mask, second];
            if let Some(power) = power {
                operands[usize::from(is_constant[1])] = U256::ONE << power;
            }
            let words = [0, 1].map(|at| {
                let word = Word::constant(operands[at]);
                if is_constant[at] {
                    return word;
                }
                // A value of its own, or the same under a mask.
                let id = trace.input(Input::CallData(32 * u32::try_from(at).unwrap()));
                known.push(if at == 0 { first } else { second });
                let of = Word { id, value: known[known.len() - 1], ..word };
                if at == 0 && power.is_none() {
                    let id = trace.compute(op::AND, [of, Word::constant(mask)]);
                    return word.with_id(id);
                }
                known.pop();
                known.push(operands[at]);
                word.with_id(id)
            });
            let id = trace.compute(code, words);
            let expected = compute(code, [operands[0], operands[1], U256::ZERO]).unwrap();
            let mut inputs = known.into_iter();
            let mut values = Vec::new();
            for value in &trace.values {
                let get = |operand: Operand| match operand.split() {
                    (at, true) => trace.constant(at),
                    (at, false) => values[at],
                };
                let word = match value {
                    Value::Compute(code, args) => compute(*code, args.map(get)).unwrap(),
                    _ => inputs.next().unwrap(),
                };
                values.push(word);
            }
            if let Some(at) = id.position() {
                prop_assert_eq!(values[at], expected);
                let zeros = trace.zeros(Word { id, ..Word::default() });
                prop_assert_eq!(zeros & !bytes_where(expected, 0), 0);
            } else {
                let is_zero = expected.is_zero();
                let is_constant = words.iter().all(|word| trace.is_constant(*word));
                prop_assert!(is_constant || is_zero || trace.is_front(code, &words));
            }
        }

        #[test]
        fn a_piece_that_is_one_instruction_is_what_that_computes(
            value in word(),
            from in 0..32_usize,
            to in 0..32_usize,
            len in 1..=32_usize,
        ) {
            let len = len.min(32 - from).min(32 - to);
            if let Some((code, constant)) = piece_as_instruction(from, to, len) {
                let args = if code == op::AND { [value, constant] } else { [constant, value] };
                let mut bytes = [0; 32];
                bytes[to..to + len].copy_from_slice(&value.to_be_bytes::<32>()[from..from + len]);
                let computed = compute(code, [args[0], args[1], U256::ZERO]).unwrap();
                prop_assert_eq!(computed, U256::from_be_bytes(bytes));
            }
        }
    }
}
