//! What values of a template ask of their surroundings, and how they are computed.

use revm::{DatabaseRef, primitives::U256};

use super::value::{Function, Operand, Value};
use crate::{
    alu::compute_of,
    interpreter::{HashCache, Machine},
};

/// Who answers what does not follow from other values alone.
pub(crate) trait Host {
    /// Hashes that have been needed already.
    fn hashes(&mut self) -> &mut HashCache;
    /// A word of what the precompile of this number answers; none if it fails.
    fn precompile(&mut self, number: u8, word: u8, input: &[u8]) -> Option<U256>;
    /// The hash of an earlier block, zero out of reach; none if it is not known.
    fn block_hash(&mut self, number: U256) -> Option<U256>;
}

impl<DB: DatabaseRef> Host for Machine<'_, DB> {
    #[inline]
    fn hashes(&mut self) -> &mut HashCache {
        &mut self.hashes
    }

    fn precompile(&mut self, number: u8, word: u8, input: &[u8]) -> Option<U256> {
        self.word_of_precompile(number, word, input)
    }

    fn block_hash(&mut self, number: U256) -> Option<U256> {
        Self::block_hash(self, number)
    }
}

/// What follows from other values; none if a precompile fails.
#[inline]
pub(crate) fn evaluate<H: Host>(
    host: &mut H,
    value: &Value,
    bytes: &mut Vec<u8>,
    get: impl Fn(Operand) -> U256,
) -> Option<U256> {
    Some(match value {
        Value::Compute(code, args) => {
            compute_of(*code, |at| get(args[at]), |word| word).unwrap_or_default()
        }
        &Value::Piece { of, from, to, len } => piece(get(of), from, to, len),
        Value::Digest { function: Function::Keccak, parts, bytes: 64 }
            if let [first, second] = **parts =>
        {
            host.hashes().keccak256_of_words([get(first), get(second)]).into()
        }
        Value::Digest { function, parts, bytes: len } => {
            bytes.clear();
            for part in parts {
                bytes.extend_from_slice(&get(*part).to_be_bytes::<32>());
            }
            bytes.truncate(*len as usize);
            match *function {
                Function::Keccak => host.hashes().keccak256(bytes).into(),
                Function::Precompile { number, word } => host.precompile(number, word, bytes)?,
            }
        }
        Value::BlockHash(number) => host.block_hash(get(*number))?,
        Value::Input(_) | Value::Found => U256::ZERO,
    })
}

/// `len` bytes of `value` from byte `from`, moved to byte `to`; zeros around.
fn piece(value: U256, from: u8, to: u8, len: u8) -> U256 {
    let [from, to, len] = [from, to, len].map(|bytes| 8 * usize::from(bytes));
    (value << from) >> (256 - len) << (256 - to - len)
}
