//! The state before the block as everybody who works on it shares it: each
//! account, slot, code and block hash read once.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::DBErrorMarker,
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
    accounts: Cache<Address, Option<AccountInfo>>,
    slots: Cache<(Address, StorageKey), StorageValue>,
    code: Cache<B256, Bytecode>,
    block_hashes: Cache<u64, B256>,
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

    /// The same cache as a fetcher sees it, until `stopped`.
    pub(super) const fn ahead<'p>(&'p self, stopped: &'p AtomicBool) -> Ahead<'p, 's, DB> {
        Ahead { prefetched: self, stopped }
    }
}

impl<DB: StateView> Prefetched<'_, DB> {
    /// Reads accounts that nobody has read, and their code.
    pub(super) fn fetch_accounts(&self, addresses: &[Address]) {
        let claims = addresses.iter().filter_map(|&address| self.accounts.claim(address));
        let claims: Vec<_> = claims.collect();
        let unread: Vec<_> = claims.iter().map(Claim::key).collect();
        let fetched = self.fetch(&unread, |unread| self.state.accounts(unread));
        let mut code = Vec::new();
        for (claim, info) in claims.into_iter().zip(fetched) {
            code.extend(
                info.as_ref().filter(|info| has_code_elsewhere(info)).map(|it| it.code_hash),
            );
            claim.fill(info);
        }
        for hash in code {
            if let Some(claim) = self.code.claim(hash)
                && let Some(code) = self
                    .fetch(&[hash], |_| self.state.code_by_hash_ref(hash).map(|it| vec![it]))
                    .pop()
            {
                claim.fill(code);
            }
        }
    }

    /// Reads slots that nobody has read.
    pub(super) fn fetch_slots(&self, slots: &[(Address, StorageKey)]) {
        let claims: Vec<_> = slots.iter().filter_map(|&slot| self.slots.claim(slot)).collect();
        let unread: Vec<_> = claims.iter().map(Claim::key).collect();
        let fetched = self.fetch(&unread, |unread| self.state.slots(unread));
        for (claim, value) in claims.into_iter().zip(fetched) {
            claim.fill(value);
        }
    }

    /// What was asked for, or nothing if it cannot be read: who needs it will
    /// ask again and hear why.
    fn fetch<K, V>(
        &self,
        unread: &[K],
        read: impl FnOnce(&[K]) -> Result<Vec<V>, DB::Error>,
    ) -> Vec<V> {
        if unread.is_empty() {
            return Vec::new();
        }
        self.ahead.fetch_add(unread.len() as u64, Ordering::Relaxed);
        read(unread).unwrap_or_default()
    }
}

/// Whether an account's code is to be asked for by its hash.
fn has_code_elsewhere(info: &AccountInfo) -> bool {
    info.code.is_none() && !info.is_empty_code_hash() && !info.code_hash.is_zero()
}

/// The value of a key; read, counted and told to everybody if it is not known.
fn find_or_read<K: Copy + Eq + core::hash::Hash, V: Clone, E>(
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

/// A [`Prefetched`] state as a fetcher reads it: its reads are ahead, and end
/// when there is nobody left to read for.
#[derive(Debug)]
pub(super) struct Ahead<'p, 's, DB> {
    prefetched: &'p Prefetched<'s, DB>,
    stopped: &'p AtomicBool,
}

/// A fetcher is to stop, or met an error; whoever needs the value meets it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing is read ahead any more")]
pub(super) struct Stopped;

impl DBErrorMarker for Stopped {}

impl<DB: DatabaseRef> Ahead<'_, '_, DB> {
    fn read<K: Copy + Eq + core::hash::Hash, V: Clone>(
        &self,
        cache: &Cache<K, V>,
        key: K,
        read: impl FnOnce(&DB) -> Result<V, DB::Error>,
    ) -> Result<V, Stopped> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        let Prefetched { state, ahead, .. } = self.prefetched;
        find_or_read(cache, key, ahead, || read(state).map_err(|_| Stopped))
    }
}

impl<DB: DatabaseRef> DatabaseRef for Ahead<'_, '_, DB> {
    type Error = Stopped;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Stopped> {
        self.read(&self.prefetched.accounts, address, |state| state.basic_ref(address))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Stopped> {
        self.read(&self.prefetched.code, code_hash, |state| state.code_by_hash_ref(code_hash))
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, Stopped> {
        let read = |state: &DB| state.storage_ref(address, key);
        self.read(&self.prefetched.slots, (address, key), read)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Stopped> {
        self.read(&self.prefetched.block_hashes, number, |state| state.block_hash_ref(number))
    }
}
