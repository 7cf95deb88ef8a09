//! What code says where it stands: immediates, and destinations of jumps.

use revm::{bytecode::Bytecode, primitives::U256};

use super::word::Word;

/// The `len` bytes at `start` of the code as a number. Code is padded, so that
/// they are there.
#[inline]
pub(super) fn immediate(code: &[u8], start: usize, len: usize) -> U256 {
    let rest = code.get(start..).unwrap_or_default();
    if let (1..=8, Some(first)) = (len, rest.first_chunk::<8>()) {
        return U256::from(u64::from_be_bytes(*first) >> (64 - 8 * len));
    }
    let mut word = [0; 32];
    if let Some(bytes) = rest.get(..len) {
        word[32 - len..].copy_from_slice(bytes);
    }
    U256::from_be_bytes(word)
}

/// Where a jump goes, if that is a `JUMPDEST`.
#[inline]
pub(super) fn destination(code: &Bytecode, target: Word) -> Option<usize> {
    let [target, 0, 0, 0] = target.value.into_limbs() else { return None };
    let target = usize::try_from(target).ok()?;
    code.legacy_jump_table()?.is_valid(target).then_some(target)
}
