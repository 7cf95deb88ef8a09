//! What precompiles are there, and what they answer: from a name or an input, by
//! way of the shared memory of answers where there is one.

use revm::{
    DatabaseRef,
    precompile::Precompile,
    primitives::{Address, U256},
};

use super::machine::Machine;
use crate::template::{Answer, answer};

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// Whether a precompile is at this address.
    #[inline]
    pub(crate) fn is_precompile(&self, address: &Address) -> bool {
        // EIP-1352 keeps the addresses of two bytes for them.
        let [front @ .., _, _] = &address.0.0;
        *front == [0; 18] && self.precompiles.get(address).is_some()
    }

    /// What a precompile answers within this gas; none if it fails or takes more.
    pub(super) fn ask(
        &self,
        precompile: &Precompile,
        input: &[u8],
        gas_max: u64,
    ) -> Option<Answer> {
        match self.templates {
            Some(cache) => cache.answers.ask(precompile, self.spec, input, gas_max),
            None => answer(precompile, input, gas_max),
        }
    }

    /// A word of what a precompile answers, zero beyond its end, unless it fails
    /// or takes more gas than the analysis of the block may still follow.
    pub(crate) fn word_of_precompile(
        &mut self,
        number: u8,
        word: u8,
        input: &[u8],
    ) -> Option<U256> {
        let precompile = self.precompiles.get(&Address::with_last_byte(number))?;
        let gas_max = self.block_gas.min(self.limits.gas_max);
        let Answer { gas, output } = self.ask(precompile, input, gas_max)?;
        self.block_gas -= gas;
        let mut bytes = [0; 32];
        let rest = output.get(32 * usize::from(word)..).unwrap_or_default();
        let rest = &rest[..rest.len().min(32)];
        bytes[..rest.len()].copy_from_slice(rest);
        Some(U256::from_be_bytes(bytes))
    }
}
