//! What the values of an exact path ask of their surroundings.

use revm::{
    Database,
    precompile::Precompiles,
    primitives::{Address, BLOCK_HASH_HISTORY, U256, hardfork::SpecId},
};

use super::ExactPaths;
use crate::{
    Block,
    interpreter::HashCache,
    template::{answers::Answer, host::Host},
};

/// Who answers them.
pub(super) struct Surroundings<'s, DB> {
    pub(super) state: &'s mut DB,
    pub(super) hashes: &'s mut HashCache,
    pub(super) paths: &'s ExactPaths,
    pub(super) precompiles: &'static Precompiles,
    pub(super) spec: SpecId,
    pub(super) block: &'s Block,
    /// What is left.
    pub(super) gas: u64,
}

impl<DB: Database> Host for Surroundings<'_, DB> {
    #[inline]
    fn hashes(&mut self) -> &mut HashCache {
        self.hashes
    }

    fn precompile(&mut self, number: u8, word: u8, input: &[u8]) -> Option<U256> {
        let precompile = self.precompiles.get(&Address::with_last_byte(number))?;
        let answer = self.paths.cache.answers.ask(precompile, self.spec, input, self.gas)?;
        // An answer of another length is on another path.
        (!answer.output.is_empty()).then(|| word_of(&answer, word))
    }

    fn block_hash(&mut self, number: U256) -> Option<U256> {
        let age = self.block.env.number.checked_sub(number).unwrap_or_default();
        let in_reach = !age.is_zero() && age <= U256::from(BLOCK_HASH_HISTORY);
        match u64::try_from(number) {
            Ok(number) if in_reach => self.state.block_hash(number).ok().map(Into::into),
            _ => Some(U256::ZERO),
        }
    }
}

/// A word of an answer, zero beyond its end.
fn word_of(answer: &Answer, word: u8) -> U256 {
    let mut bytes = [0; 32];
    let rest = answer.output.get(32 * usize::from(word)..).unwrap_or_default();
    let rest = &rest[..rest.len().min(32)];
    bytes[..rest.len()].copy_from_slice(rest);
    U256::from_be_bytes(bytes)
}
