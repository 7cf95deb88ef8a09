//! The state of a block under execution, for all threads at once: who wrote what, and
//! what was there before.
//!
//! ```text
//! (address)      -> before the block | version of tx 3 | version of tx 17
//! (address, key) -> before the block | version of tx 5
//! ```
//!
//! A read of transaction `t` gets what the transactions before `t` have published so far.
//! Once all of them are committed, that is the state after them. Reads of the state below
//! are made once for all threads, outside the locks.
//!
//! The tables are in shards by hash, each with a lock that is held for one look-up.

use core::hash::BuildHasher;
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use forewave_analyzer::TxIndex;
use hashbrown::{HashMap, HashTable};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{
        Address, B256, KECCAK_EMPTY, StorageKey, StorageValue, U256,
        map::{DefaultHashBuilder, FbBuildHasher},
    },
    state::AccountInfo,
};

use crate::{
    history::narrow,
    tracking::Seen,
    transition::{AccountTransition, Lifecycle, Transition},
};

/// Shards of each table: many more than threads, so that two rarely want the same.
const SHARDS: usize = 128;

/// Versions of one account from which on those of committed transactions are merged.
const MERGED_MIN: usize = 8;

/// A point in the block: 0 is before the transactions, `t + 1` is after transaction `t`.
/// A version carries the point after the transaction that wrote it.
pub(crate) type Point = u32;

/// The point after a transaction.
pub(crate) fn point_after(tx: TxIndex) -> Point {
    narrow(tx.index() + 1)
}

/// See the module's documentation. `'r` are the runs that the versions come from.
#[derive(Debug)]
pub(crate) struct Versions<'r, DB> {
    base: &'r DB,
    accounts: Box<[Mutex<HashTable<AccountEntry<'r>>>]>,
    slots: Box<[Mutex<HashTable<SlotEntry>>]>,
    /// When the storage of accounts was cleared.
    wipes: Mutex<HashMap<Address, Vec<Point>, DefaultHashBuilder>>,
    wipe_count: AtomicU32,
    /// The transactions before this point are committed.
    committed: AtomicU32,
    by_address: FbBuildHasher<20>,
    by_key: FbBuildHasher<32>,
}

/// An account that was loaded.
#[derive(Debug)]
pub(super) struct AccountEntry<'r> {
    pub(super) address: Address,
    /// As it was before the versions.
    info: Option<AccountInfo>,
    /// What it was before the block, if versions were merged into `info`.
    original: Option<Seen>,
    /// Whether one of those cleared its storage.
    is_cleared: bool,
    /// Ascending.
    versions: Vec<(Point, &'r AccountTransition)>,
}

/// A slot that was loaded or written.
#[derive(Debug)]
pub(super) struct SlotEntry {
    pub(super) address: Address,
    pub(super) key: StorageKey,
    /// Value before the block, if it was read.
    original: Option<StorageValue>,
    /// Ascending.
    versions: Vec<(Point, StorageValue)>,
}

/// An account at some point, its code not cloned.
#[derive(Clone, Copy, Debug)]
struct Fields<'e> {
    seen: Seen,
    code: Option<&'e Bytecode>,
}

impl<'e> Fields<'e> {
    fn of(info: Option<&'e AccountInfo>) -> Self {
        Self { seen: Seen::new(info), code: info.and_then(|info| info.code.as_ref()) }
    }

    const NONE: Self = Self {
        seen: Seen { exists: false, balance: U256::ZERO, nonce: 0, code_hash: KECCAK_EMPTY },
        code: None,
    };

    /// What a transaction makes of it.
    fn after(mut self, change: &'e AccountTransition) -> Self {
        if change.lifecycle == Lifecycle::Destroyed {
            return Self::NONE;
        }
        self.seen.balance = change.balance.apply(self.seen.balance);
        self.seen.nonce = change.nonce.unwrap_or(self.seen.nonce);
        if let Some((hash, code)) = &change.code {
            (self.seen.code_hash, self.code) = (*hash, code.as_ref());
        }
        // EIP-161: what is empty and was touched ceases to exist.
        self.seen.exists = change.lifecycle == Lifecycle::Created || !self.seen.is_empty();
        if self.seen.exists { self } else { Self::NONE }
    }

    fn info(self) -> Option<AccountInfo> {
        let Seen { exists, balance, nonce, code_hash } = self.seen;
        let info = || AccountInfo {
            balance,
            nonce,
            code_hash,
            account_id: None,
            code: self.code.cloned(),
        };
        exists.then(info)
    }
}

impl AccountEntry<'_> {
    /// The account as the versions up to a point have it.
    fn at(&self, point: Point) -> Fields<'_> {
        let versions = self.versions.iter().take_while(|(written, _)| *written <= point);
        versions.fold(Fields::of(self.info.as_ref()), |fields, (_, change)| fields.after(change))
    }

    /// Merges the versions up to a point, which are final.
    fn merge(&mut self, point: Point) {
        let merged = self.versions.partition_point(|(written, _)| *written <= point);
        if merged == 0 {
            return;
        }
        let info = self.at(point).info();
        let cleared = |(_, change): &(_, &AccountTransition)| change.lifecycle != Lifecycle::Kept;
        self.is_cleared |= self.versions[..merged].iter().any(cleared);
        self.original.get_or_insert_with(|| Seen::new(self.info.as_ref()));
        self.info = info;
        self.versions.drain(..merged);
    }

    /// What it was before the block, what it is in the end, and whether its storage was
    /// cleared. An account to which nothing was done is as it was.
    pub(super) fn end(mut self) -> (Seen, Option<AccountInfo>, bool) {
        self.merge(Point::MAX);
        let original = self.original.unwrap_or_else(|| Seen::new(self.info.as_ref()));
        (original, self.info, self.is_cleared)
    }

    /// Whether nothing was done to it, its slots aside.
    pub(super) fn is_as_before(&self) -> bool {
        self.original.is_none() && self.versions.is_empty()
    }
}

impl SlotEntry {
    /// Value before the block, if it was read, and the last version, if there is one.
    pub(super) fn end(&self) -> (Option<StorageValue>, Option<(Point, StorageValue)>) {
        (self.original, self.versions.last().copied())
    }

    fn at(&self, point: Point, wiped: Option<Point>) -> Option<StorageValue> {
        let version = self.versions.iter().rev().find(|(written, _)| *written <= point);
        match (version, wiped) {
            (Some((written, value)), wiped) if wiped.is_none_or(|wiped| wiped <= *written) => {
                Some(*value)
            }
            (_, Some(_)) => Some(StorageValue::ZERO),
            (_, None) => self.original,
        }
    }
}

impl<'r, DB: DatabaseRef> Versions<'r, DB> {
    /// The state before the transactions; `transactions` says how much room is needed.
    pub(crate) fn new(base: &'r DB, transactions: usize) -> Self {
        let room = (2 * transactions).div_ceil(SHARDS);
        let accounts = (0..SHARDS).map(|_| Mutex::new(HashTable::with_capacity(room)));
        let slots = (0..SHARDS).map(|_| Mutex::new(HashTable::with_capacity(2 * room)));
        Self {
            base,
            accounts: accounts.collect(),
            slots: slots.collect(),
            wipes: Mutex::default(),
            wipe_count: AtomicU32::new(0),
            committed: AtomicU32::new(0),
            by_address: FbBuildHasher::default(),
            by_key: FbBuildHasher::default(),
        }
    }

    /// The account as the transactions before a point have left it.
    pub(crate) fn account(
        &self,
        address: Address,
        point: Point,
    ) -> Result<Option<AccountInfo>, DB::Error> {
        self.with_account(address, |entry| {
            if entry.versions.is_empty() { entry.info.clone() } else { entry.at(point).info() }
        })
    }

    /// The same without the code.
    pub(crate) fn seen(&self, address: Address, point: Point) -> Result<Seen, DB::Error> {
        self.with_account(address, |entry| entry.at(point).seen)
    }

    /// The slot as the transactions before a point have left it.
    pub(crate) fn slot(
        &self,
        address: Address,
        key: StorageKey,
        point: Point,
    ) -> Result<StorageValue, DB::Error> {
        let wiped = self.wiped(address, point);
        let hash = self.hash_slot(address, key);
        let is_it = |entry: &SlotEntry| entry.key == key && entry.address == address;
        let shard = &self.slots[shard(hash)];
        let known = lock(shard).find(hash, is_it).and_then(|entry| entry.at(point, wiped));
        if let Some(value) = known {
            return Ok(value);
        }
        let original = self.base.storage_ref(address, key)?;
        let mut table = lock(shard);
        let new = || SlotEntry { address, key, original: None, versions: Vec::new() };
        let hasher = |entry: &SlotEntry| self.hash_slot(entry.address, entry.key);
        let mut entry = table.entry(hash, is_it, hasher).or_insert_with(new);
        let entry = entry.get_mut();
        let original = *entry.original.get_or_insert(original);
        Ok(entry.at(point, wiped).unwrap_or(original))
    }

    /// Adds what a transaction does. Later transactions that have read something else are
    /// found stale when they are committed.
    pub(crate) fn publish(
        &self,
        point: Point,
        transition: &'r Transition,
    ) -> Result<(), DB::Error> {
        for (address, change) in transition.accounts() {
            if change.lifecycle != Lifecycle::Kept {
                lock(&self.wipes).entry(*address).or_default().push(point);
                self.wipe_count.fetch_add(1, Ordering::Release);
            }
            if change.changes_account() {
                self.with_account(*address, |entry| {
                    insert(&mut entry.versions, point, change);
                })?;
            }
            for slot in change.slots() {
                self.publish_slot(*address, slot.key, (point, slot.value));
            }
        }
        Ok(())
    }

    fn publish_slot(&self, address: Address, key: StorageKey, version: (Point, StorageValue)) {
        let hash = self.hash_slot(address, key);
        let is_it = |entry: &SlotEntry| entry.key == key && entry.address == address;
        let new = || SlotEntry { address, key, original: None, versions: Vec::new() };
        let hasher = |entry: &SlotEntry| self.hash_slot(entry.address, entry.key);
        let mut table = lock(&self.slots[shard(hash)]);
        let mut entry = table.entry(hash, is_it, hasher).or_insert_with(new);
        insert(&mut entry.get_mut().versions, version.0, version.1);
    }

    /// Takes back what a stale run of a transaction did.
    pub(crate) fn withdraw(&self, point: Point, transition: &Transition) -> Result<(), DB::Error> {
        for (address, change) in transition.accounts() {
            if change.lifecycle != Lifecycle::Kept {
                lock(&self.wipes).entry(*address).or_default().retain(|wipe| *wipe != point);
            }
            self.with_account(*address, |entry| {
                entry.versions.retain(|(written, _)| *written != point);
            })?;
            for slot in change.slots() {
                let hash = self.hash_slot(*address, slot.key);
                let is_it = |entry: &SlotEntry| entry.key == slot.key && entry.address == *address;
                if let Some(entry) = lock(&self.slots[shard(hash)]).find_mut(hash, is_it) {
                    entry.versions.retain(|(written, _)| *written != point);
                }
            }
        }
        Ok(())
    }

    /// Notes that the transactions before a point are committed.
    pub(crate) fn note_committed(&self, point: Point) {
        self.committed.store(point, Ordering::Release);
    }

    pub(crate) fn code_by_hash(&self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.base.code_by_hash_ref(code_hash)
    }

    pub(crate) fn block_hash(&self, number: u64) -> Result<B256, DB::Error> {
        self.base.block_hash_ref(number)
    }

    /// The last point up to `point` at which the account's storage was cleared.
    fn wiped(&self, address: Address, point: Point) -> Option<Point> {
        if self.wipe_count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let wipes = lock(&self.wipes);
        wipes.get(&address)?.iter().copied().filter(|wipe| *wipe <= point).max()
    }

    /// Looks at an account, loaded from the state below if it is not here yet.
    fn with_account<T>(
        &self,
        address: Address,
        look: impl FnOnce(&mut AccountEntry<'r>) -> T,
    ) -> Result<T, DB::Error> {
        let hash = self.by_address.hash_one(address);
        let shard = &self.accounts[shard(hash)];
        let is_it = |entry: &AccountEntry<'_>| entry.address == address;
        if let Some(entry) = lock(shard).find_mut(hash, is_it) {
            if entry.versions.len() >= MERGED_MIN {
                entry.merge(self.committed.load(Ordering::Acquire));
            }
            return Ok(look(entry));
        }
        let info = self.base.basic_ref(address)?;
        let mut table = lock(shard);
        let hasher = |entry: &AccountEntry<'_>| self.by_address.hash_one(entry.address);
        let mut entry = table.entry(hash, is_it, hasher).or_insert_with(|| AccountEntry {
            address,
            info,
            original: None,
            is_cleared: false,
            versions: Vec::new(),
        });
        Ok(look(entry.get_mut()))
    }

    fn hash_slot(&self, address: Address, key: StorageKey) -> u64 {
        let account = self.by_address.hash_one(address).rotate_left(u64::BITS / 2);
        account ^ self.by_key.hash_one(B256::from(key))
    }
}

/// Adds a version where it belongs.
fn insert<V>(versions: &mut Vec<(Point, V)>, point: Point, version: V) {
    let at = versions.iter().rposition(|(written, _)| *written < point).map_or(0, |at| at + 1);
    versions.insert(at, (point, version));
}

#[expect(clippy::cast_possible_truncation, reason = "what is cut off is masked out")]
fn shard(hash: u64) -> usize {
    // Tables use the lowest and the highest bits.
    (hash >> 24) as usize % SHARDS
}

impl<'r, DB: DatabaseRef> Versions<'r, DB> {
    /// When the storage of accounts was cleared last.
    pub(super) fn last_wipes(&self) -> HashMap<Address, Point, DefaultHashBuilder> {
        let wipes = lock(&self.wipes);
        let last =
            wipes.iter().filter_map(|(address, wipes)| Some((*address, *wipes.iter().max()?)));
        last.collect()
    }

    /// Everything that was loaded or written, and the state below.
    pub(super) fn into_entries(
        self,
    ) -> (&'r DB, impl Iterator<Item = AccountEntry<'r>>, impl Iterator<Item = SlotEntry>) {
        let accounts = self.accounts.into_iter().flat_map(|shard| unlocked(shard).into_iter());
        let slots = self.slots.into_iter().flat_map(|shard| unlocked(shard).into_iter());
        (self.base, accounts, slots)
    }
}

fn unlocked<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
