//! The state below the versions, as one thread has read it: each account and slot once.
//!
//! What a thread has read here needs no lock and touches no memory that others write.

use core::hash::BuildHasher;

use hashbrown::HashTable;
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{Address, B256, StorageKey, StorageValue, map::FbBuildHasher},
    state::AccountInfo,
};

/// What a transaction brings into play at least.
const ACCOUNTS_PER_TX: usize = 2;
const SLOTS_PER_TX: usize = 4;

/// The hashes of accounts and slots, the same for all threads.
#[derive(Clone, Debug, Default)]
pub(super) struct Hashes {
    by_address: FbBuildHasher<20>,
    by_key: FbBuildHasher<32>,
}

impl Hashes {
    /// The hash of an account.
    pub(super) fn account(&self, address: Address) -> u64 {
        self.by_address.hash_one(address)
    }

    /// The hashes of an account and of one of its slots.
    pub(super) fn slot(&self, address: Address, key: StorageKey) -> (u64, u64) {
        let account = self.account(address);
        (account, account.rotate_left(u64::BITS / 2) ^ self.by_key.hash_one(B256::from(key)))
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Below<'r, DB> {
    state: &'r DB,
    hashes: Hashes,
    accounts: HashTable<(Address, Option<AccountInfo>)>,
    slots: HashTable<(Address, StorageKey, StorageValue)>,
}

impl<'r, DB: DatabaseRef> Below<'r, DB> {
    /// The state before the block, with room for what a thread's share of so many
    /// transactions reads at least.
    pub(super) fn new(state: &'r DB, hashes: Hashes, transactions: usize) -> Self {
        let accounts = HashTable::with_capacity(ACCOUNTS_PER_TX * transactions);
        let slots = HashTable::with_capacity(SLOTS_PER_TX * transactions);
        Self { state, hashes, accounts, slots }
    }

    /// The account, which has this hash.
    pub(super) fn account(
        &mut self,
        hash: u64,
        address: Address,
    ) -> Result<Option<AccountInfo>, DB::Error> {
        if let Some((_, info)) = self.accounts.find(hash, |(known, _)| *known == address) {
            return Ok(info.clone());
        }
        let info = self.state.basic_ref(address)?;
        let hasher = |(address, _): &(Address, _)| self.hashes.account(*address);
        self.accounts.insert_unique(hash, (address, info.clone()), hasher);
        Ok(info)
    }

    /// The slot, which has this hash, if it was read.
    pub(super) fn known_slot(
        &self,
        hash: u64,
        address: Address,
        key: StorageKey,
    ) -> Option<StorageValue> {
        let is_it = |slot: &(Address, StorageKey, _)| slot.1 == key && slot.0 == address;
        self.slots.find(hash, is_it).map(|(.., value)| *value)
    }

    /// The slot, which has this hash.
    pub(super) fn slot(
        &mut self,
        hash: u64,
        address: Address,
        key: StorageKey,
    ) -> Result<StorageValue, DB::Error> {
        if let Some(value) = self.known_slot(hash, address, key) {
            return Ok(value);
        }
        let value = self.state.storage_ref(address, key)?;
        let hasher = |slot: &(Address, StorageKey, _)| self.hashes.slot(slot.0, slot.1).1;
        self.slots.insert_unique(hash, (address, key, value), hasher);
        Ok(value)
    }

    pub(super) fn code_by_hash(&self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.state.code_by_hash_ref(code_hash)
    }

    pub(super) fn block_hash(&self, number: u64) -> Result<B256, DB::Error> {
        self.state.block_hash_ref(number)
    }
}
