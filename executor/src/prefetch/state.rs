//! The state before the block as everybody who works on it shares it: each
//! account, slot, code and block hash read once.

use core::{
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering},
};

use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{Address, B256, StorageKey, StorageValue},
    state::AccountInfo,
};
use serde::{Deserialize, Serialize};

use super::{
    cache::{Cache, Claim, Found},
    view::StateView,
};

/// Who read how much from the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PrefetchStats {
    /// Reads that fetchers made.
    pub ahead: u64,
    /// Reads that nobody had made or begun when they were needed.
    pub on_demand: u64,
}

/// A state with a cache in front, which fetchers fill while others read.
///
/// The cache holds what was read until it is dropped: what one block reads,
/// which the gas of its transactions bounds, and of those that only scouts run,
/// their budget.
#[derive(Debug)]
pub struct Prefetched<'s, DB> {
    state: &'s DB,
    pub(super) accounts: Cache<Address, Option<AccountInfo>>,
    pub(super) slots: Cache<(Address, StorageKey), StorageValue>,
    pub(super) code: Cache<B256, Bytecode>,
    pub(super) block_hashes: Cache<u64, B256>,
    ahead: AtomicU64,
    on_demand: AtomicU64,
}

impl<'s, DB: DatabaseRef> Prefetched<'s, DB> {
    /// Nothing read yet.
    pub(super) fn new(state: &'s DB) -> Self {
        Self {
            state,
            accounts: Cache::new(),
            slots: Cache::new(),
            code: Cache::new(),
            block_hashes: Cache::new(),
            ahead: AtomicU64::new(0),
            on_demand: AtomicU64::new(0),
        }
    }

    pub(super) fn stats(&self) -> PrefetchStats {
        PrefetchStats {
            ahead: self.ahead.load(Ordering::Relaxed),
            on_demand: self.on_demand.load(Ordering::Relaxed),
        }
    }

    /// The value of a key as a fetcher reads it. An error is dropped: whoever
    /// needs the value meets it too.
    pub(super) fn read_ahead<K: Copy + Eq + Hash, V: Clone>(
        &self,
        cache: &Cache<K, V>,
        key: K,
        read: impl FnOnce(&DB) -> Result<V, DB::Error>,
    ) -> Option<V> {
        find_or_read(cache, key, &self.ahead, || read(self.state)).ok()
    }
}

impl<DB: StateView> Prefetched<'_, DB> {
    /// Reads accounts that nobody has read, and their code. Gives how many were.
    pub(super) fn fetch_accounts(&self, addresses: &[Address]) -> usize {
        let mut code = Vec::new();
        let fetched = self.fetch(
            &self.accounts,
            addresses,
            |unread| self.state.accounts(unread),
            |info| {
                let info = info.as_ref().filter(|info| has_code_elsewhere(info));
                code.extend(info.map(|info| info.code_hash));
            },
        );
        for hash in code {
            if let Some(claim) = self.code.claim(hash) {
                self.ahead.fetch_add(1, Ordering::Relaxed);
                if let Ok(code) = self.state.code_by_hash_ref(hash) {
                    claim.fill(code);
                }
            }
        }
        fetched
    }

    /// Reads slots that nobody has read. Gives how many were.
    pub(super) fn fetch_slots(&self, slots: &[(Address, StorageKey)]) -> usize {
        self.fetch(&self.slots, slots, |unread| self.state.slots(unread), |_| {})
    }

    /// Reads those keys that nobody has, in requests as large as the state takes,
    /// and shows `see` what is read. What cannot be read stays unread: who needs it
    /// will ask again and hear why.
    fn fetch<K: Copy + Eq + Hash, V: Clone>(
        &self,
        cache: &Cache<K, V>,
        keys: &[K],
        read: impl Fn(&[K]) -> Result<Vec<V>, DB::Error>,
        mut see: impl FnMut(&V),
    ) -> usize {
        let batch = self.state.batch_reads_max().max(1);
        let mut claims = keys.iter().filter_map(|&key| cache.claim(key));
        let mut fetched = 0;
        loop {
            let claims: Vec<_> = claims.by_ref().take(batch).collect();
            if claims.is_empty() {
                return fetched;
            }
            let unread: Vec<_> = claims.iter().map(Claim::key).collect();
            self.ahead.fetch_add(unread.len() as u64, Ordering::Relaxed);
            for (claim, value) in claims.into_iter().zip(read(&unread).unwrap_or_default()) {
                see(&value);
                claim.fill(value);
                fetched += 1;
            }
        }
    }
}

/// Whether an account's code is to be asked for by its hash.
fn has_code_elsewhere(info: &AccountInfo) -> bool {
    info.code.is_none() && !info.is_empty_code_hash() && !info.code_hash.is_zero()
}

/// The value of a key; read, counted and told to everybody if it is not known.
fn find_or_read<K: Copy + Eq + Hash, V: Clone, E>(
    cache: &Cache<K, V>,
    key: K,
    reads: &AtomicU64,
    read: impl FnOnce() -> Result<V, E>,
) -> Result<V, E> {
    match cache.find(key) {
        Found::Known(value) => Ok(value),
        Found::Claimed(claim) => {
            reads.fetch_add(1, Ordering::Relaxed);
            let value = read()?;
            claim.fill(value.clone());
            Ok(value)
        }
    }
}

impl<DB: DatabaseRef> DatabaseRef for Prefetched<'_, DB> {
    type Error = DB::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        let read = || self.state.basic_ref(address);
        find_or_read(&self.accounts, address, &self.on_demand, read)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        let read = || self.state.code_by_hash_ref(code_hash);
        find_or_read(&self.code, code_hash, &self.on_demand, read)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        let read = || self.state.storage_ref(address, key);
        find_or_read(&self.slots, (address, key), &self.on_demand, read)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DB::Error> {
        let read = || self.state.block_hash_ref(number);
        find_or_read(&self.block_hashes, number, &self.on_demand, read)
    }
}
