//! A state that fails or panics when it is told to.

use std::sync::atomic::{AtomicBool, Ordering};

use forewave::MemoryState;
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::DBErrorMarker,
    primitives::{Address, B256, StorageKey, StorageValue},
    state::AccountInfo,
};

/// A state that fails, panics, or answers.
#[derive(Debug)]
pub(crate) struct Fallible {
    pub(crate) state: MemoryState,
    pub(crate) fails: AtomicBool,
    pub(crate) panics: AtomicBool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk is gone")]
pub(crate) struct Gone;

impl DBErrorMarker for Gone {}

impl DatabaseRef for Fallible {
    type Error = Gone;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Gone> {
        assert!(!self.panics.load(Ordering::Relaxed), "out of luck");
        if self.fails.load(Ordering::Relaxed) {
            return Err(Gone);
        }
        self.state.basic_ref(address).map_err(|_| Gone)
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, Gone> {
        self.state.code_by_hash_ref(hash).map_err(|_| Gone)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, Gone> {
        self.state.storage_ref(address, key).map_err(|_| Gone)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Gone> {
        self.state.block_hash_ref(number).map_err(|_| Gone)
    }
}
