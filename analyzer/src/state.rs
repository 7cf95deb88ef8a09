//! The state a block starts from, in memory: accounts, code, block hashes.
//!
//! [`MemoryState`] implements revm's [`DatabaseRef`], the view through which
//! everything in forewave reads. An account or slot it does not hold is empty;
//! code or a block hash that it does not hold is an error, never a guess.

use hashbrown::HashMap;
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::DBErrorMarker,
    primitives::{
        Address, B256, FixedBytes, KECCAK_EMPTY, StorageKey, StorageValue, map::DefaultHashBuilder,
    },
    state::AccountInfo,
};

use crate::keys::{AddressKey, WordKey};

/// Something the state was asked for and cannot know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// No code is held for this hash.
    #[error("the state holds no code with hash {0}")]
    MissingCode(B256),
    /// No hash is held for this block.
    #[error("the state holds no hash of block {0}")]
    MissingBlockHash(u64),
}

impl DBErrorMarker for StateError {}

/// One account of a [`MemoryState`].
#[derive(Clone, Debug, Default)]
struct StateAccount {
    info: AccountInfo,
    storage: HashMap<WordKey, StorageValue, DefaultHashBuilder>,
}

/// A flat state in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryState {
    accounts: HashMap<AddressKey, StateAccount, DefaultHashBuilder>,
    code: HashMap<FixedBytes<32>, Bytecode, DefaultHashBuilder>,
    block_hashes: HashMap<u64, B256, DefaultHashBuilder>,
}

impl MemoryState {
    /// Sets an account's balance, nonce and code; its storage stays.
    pub fn insert_account(&mut self, address: Address, mut info: AccountInfo) {
        if let Some(code) = info.code.as_ref().filter(|code| !code.is_empty()) {
            info.code_hash = code.hash_slow();
            self.code.insert(info.code_hash, code.clone());
        }
        self.accounts.entry(AddressKey(address)).or_default().info = info;
    }

    /// Sets one slot; a zero value removes it. Creates the account if needed.
    pub fn insert_storage(&mut self, address: Address, key: StorageKey, value: StorageValue) {
        let storage = &mut self.accounts.entry(AddressKey(address)).or_default().storage;
        if value.is_zero() {
            storage.remove(&WordKey(key));
        } else {
            storage.insert(WordKey(key), value);
        }
    }

    /// Removes an account and its storage.
    pub fn remove_account(&mut self, address: Address) {
        self.accounts.remove(&AddressKey(address));
    }

    /// Removes every slot of an account.
    pub fn clear_storage(&mut self, address: Address) {
        if let Some(account) = self.accounts.get_mut(&AddressKey(address)) {
            account.storage.clear();
        }
    }

    /// Sets the hash of an earlier block, for `BLOCKHASH`.
    pub fn insert_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    /// The accounts, sorted by address, each with its slots sorted by key.
    pub fn accounts(
        &self,
    ) -> impl Iterator<Item = (Address, &AccountInfo, Vec<(StorageKey, StorageValue)>)> {
        let mut accounts: Vec<_> = self.accounts.iter().collect();
        accounts.sort_unstable_by_key(|(address, _)| address.0);
        accounts.into_iter().map(|(address, account)| {
            let mut storage: Vec<_> = account.storage.iter().map(|(k, v)| (k.0, *v)).collect();
            storage.sort_unstable();
            (address.0, &account.info, storage)
        })
    }

    /// The known block hashes, sorted by number.
    pub fn block_hashes(&self) -> Vec<(u64, B256)> {
        let mut hashes: Vec<_> = self.block_hashes.iter().map(|(n, h)| (*n, *h)).collect();
        hashes.sort_unstable();
        hashes
    }
}

impl DatabaseRef for MemoryState {
    type Error = StateError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        Ok(self.accounts.get(&AddressKey(address)).map(|account| account.info.clone()))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, StateError> {
        if code_hash == KECCAK_EMPTY || code_hash.is_zero() {
            return Ok(Bytecode::default());
        }
        self.code.get(&code_hash).cloned().ok_or(StateError::MissingCode(code_hash))
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, StateError> {
        let slot = self
            .accounts
            .get(&AddressKey(address))
            .and_then(|account| account.storage.get(&WordKey(key)));
        Ok(slot.copied().unwrap_or_default())
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StateError> {
        self.block_hashes.get(&number).copied().ok_or(StateError::MissingBlockHash(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_empty_and_what_cannot_be_known_is_an_error() {
        let mut state = MemoryState::default();
        let address = Address::repeat_byte(1);
        assert_eq!(state.basic_ref(address), Ok(None));
        assert_eq!(state.storage_ref(address, StorageKey::ZERO), Ok(StorageValue::ZERO));
        assert_eq!(state.block_hash_ref(7), Err(StateError::MissingBlockHash(7)));
        let hash = B256::repeat_byte(9);
        assert_eq!(state.code_by_hash_ref(hash), Err(StateError::MissingCode(hash)));
        state.insert_storage(address, StorageKey::ONE, StorageValue::ONE);
        state.insert_storage(address, StorageKey::ONE, StorageValue::ZERO);
        assert_eq!(state.accounts().next().map(|(_, _, storage)| storage.len()), Some(0));
    }
}
