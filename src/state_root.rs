//! Net changes onto a whole state, and a whole state to its root.
//!
//! A root is that of the accounts a [`MemoryState`] holds. It is the chain's
//! only where that is all of them, as in a conformance test; a block directory
//! holds no more than what its block touches.

use alloy_primitives::{B256, U256};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use forewave_analyzer::MemoryState;
use forewave_executor::StateChanges;
use revm::state::AccountInfo;

/// Root of the Merkle-Patricia trie of a state's accounts.
pub fn state_root(state: &MemoryState) -> B256 {
    let accounts = state.accounts();
    state_root_unhashed(
        accounts.map(|(address, info, storage)| (address, trie_account(info, storage))),
    )
}

fn trie_account(info: &AccountInfo, storage: Vec<(U256, U256)>) -> TrieAccount {
    let slots = storage.into_iter().map(|(key, value)| (B256::from(key), value));
    TrieAccount {
        nonce: info.nonce,
        balance: info.balance,
        storage_root: storage_root_unhashed(slots),
        code_hash: info.code_hash,
    }
}

/// Turns the state before a block into the state after it.
pub fn apply_changes(state: &mut MemoryState, changes: &StateChanges) {
    for (&address, change) in changes {
        let Some(info) = &change.info else {
            state.remove_account(address);
            continue;
        };
        if change.storage_cleared {
            state.clear_storage(address);
        }
        state.insert_account(address, info.clone());
        for (&key, &value) in &change.storage {
            state.insert_storage(address, key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use alloy_trie::EMPTY_ROOT_HASH;
    use forewave_executor::AccountChange;

    use super::*;

    #[test]
    fn a_root_follows_accounts_and_slots_and_a_slot_of_zero_is_none() {
        let mut state = MemoryState::default();
        assert_eq!(state_root(&state), EMPTY_ROOT_HASH);
        let address = Address::repeat_byte(1);
        state.insert_account(address, AccountInfo::from_balance(U256::from(5)));
        let with_account = state_root(&state);
        assert_ne!(with_account, EMPTY_ROOT_HASH);
        state.insert_storage(address, U256::from(1), U256::from(2));
        assert_ne!(state_root(&state), with_account);
        state.insert_storage(address, U256::from(1), U256::ZERO);
        assert_eq!(state_root(&state), with_account);
    }

    #[test]
    fn changes_replace_clear_and_remove() {
        let (kept, gone) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let mut state = MemoryState::default();
        for address in [kept, gone] {
            state.insert_account(address, AccountInfo::from_balance(U256::from(5)));
            state.insert_storage(address, U256::from(1), U256::from(2));
        }
        let change = AccountChange {
            info: Some(AccountInfo::from_balance(U256::from(9))),
            storage_cleared: true,
            storage: [(U256::from(3), U256::from(4))].into(),
        };
        let changes = StateChanges::from([(kept, change), (gone, AccountChange::default())]);
        apply_changes(&mut state, &changes);
        let accounts: Vec<_> = state.accounts().collect();
        let [(address, info, storage)] = &accounts[..] else { panic!("{accounts:?}") };
        assert_eq!((*address, info.balance), (kept, U256::from(9)));
        assert_eq!(storage[..], [(U256::from(3), U256::from(4))]);
    }
}
