//! A state that can be asked for several things in one request.

use forewave_analyzer::MemoryState;
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{Address, B256, StorageKey, StorageValue},
    state::AccountInfo,
};

/// A [`DatabaseRef`] with batch reads.
///
/// What has none reads one by one, as the provided methods do; then
/// [`OneByOne`] is all that is needed.
pub trait StateView: DatabaseRef {
    /// The most reads that one request should ask for.
    fn batch_reads_max(&self) -> usize {
        1
    }

    /// The accounts at `addresses`, in their order.
    fn accounts(&self, addresses: &[Address]) -> Result<Vec<Option<AccountInfo>>, Self::Error> {
        addresses.iter().map(|&address| self.basic_ref(address)).collect()
    }

    /// The values of `slots`, in their order.
    fn slots(&self, slots: &[(Address, StorageKey)]) -> Result<Vec<StorageValue>, Self::Error> {
        slots.iter().map(|&(address, key)| self.storage_ref(address, key)).collect()
    }
}

impl StateView for MemoryState {}

/// Any database as a [`StateView`] that reads one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneByOne<DB>(pub DB);

impl<DB: DatabaseRef> StateView for OneByOne<DB> {}

impl<DB: DatabaseRef> DatabaseRef for OneByOne<DB> {
    type Error = DB::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        self.0.basic_ref(address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.0.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        self.0.storage_ref(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DB::Error> {
        self.0.block_hash_ref(number)
    }
}
