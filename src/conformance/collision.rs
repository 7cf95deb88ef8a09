//! Creation at an address that holds storage but neither code nor nonce.
//!
//! EIP-7610 has it fail. revm, which is the measure here, lets it go on: a chain
//! can hold no such account since EIP-161, so nothing but a made-up genesis
//! tells the two apart. A case that depends on it is found by what it does, not
//! by its name.

use alloy_primitives::Address;
use forewave_analyzer::{AccessKind, Block, Location, MemoryState, ObservedAccess};
use forewave_executor::observe;

/// The reason to leave out a case with such a creation.
pub(super) const REASON: &str =
    "creates where storage but no account lies: EIP-7610, which revm leaves out";

/// Whether the block tries to create where only storage lies. Nothing but a
/// creation looks at the nonce of an account that neither sends nor authorises.
pub(super) fn creates_over_storage(block: &Block, state: &MemoryState) -> bool {
    let storage_only: Vec<Address> = state
        .accounts()
        .filter(|(_, info, storage)| info.has_no_code_and_nonce() && !storage.is_empty())
        .map(|(address, ..)| address)
        .filter(|address| block.transactions.iter().all(|tx| tx.caller != *address))
        .collect();
    if storage_only.is_empty() {
        return false;
    }
    let Ok(observation) = observe(block, state) else { return false };
    observation.accesses.iter().any(|ObservedAccess(set)| {
        let looked = |at: &Address| set.contains(&Location::Nonce(*at), AccessKind::Read);
        storage_only.iter().any(looked)
    })
}
