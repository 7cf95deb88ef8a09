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
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use forewave_analyzer::{Block, TxIndex};
use hashbrown::{HashMap, HashTable};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{
        Address, B256, StorageKey, StorageValue,
        map::{DefaultHashBuilder, FbBuildHasher},
    },
    state::AccountInfo,
};

use super::entries::{AccountEntry, SlotEntry};
use crate::{
    history::narrow,
    tracking::Seen,
    transition::{AccountTransition, Lifecycle, Transition},
};

/// Shards of each table for each thread: so many that two threads rarely want the same.
const SHARDS_PER_THREAD: usize = 16;

/// Versions of one account from which on those of committed transactions are merged.
const MERGED_MIN: usize = 8;

/// Words of the filter of accounts whose storage was cleared.
const WIPE_WORDS: usize = 16;

/// Words of the filter of what was written for each transaction: enough that few bits are
/// set, and few cache lines wander between threads.
const WRITTEN_WORDS_PER_TX: usize = 8;

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
    /// When the storage of accounts was cleared, and a filter of these accounts by hash.
    wipes: Mutex<HashMap<Address, Vec<Point>, DefaultHashBuilder>>,
    wiped: [AtomicU64; WIPE_WORDS],
    /// Who is credited with fees by nearly every transaction.
    beneficiary: Address,
    /// The transactions before this point are committed.
    committed: AtomicU32,
    /// A filter of what any transaction has written, by hash: what is not in it is as it
    /// was before the block. Set before the version can be seen.
    written: Box<[AtomicU64]>,
    /// Counts publications, and says of each transaction when its last one was complete.
    clock: AtomicU32,
    published: Box<[AtomicU32]>,
    by_address: FbBuildHasher<20>,
    by_key: FbBuildHasher<32>,
}

impl<'r, DB: DatabaseRef> Versions<'r, DB> {
    /// The state before the block.
    pub(crate) fn new(base: &'r DB, block: &Block, threads: usize) -> Self {
        let shards = (threads * SHARDS_PER_THREAD).next_power_of_two();
        let transactions = block.transactions.len();
        let room = (2 * transactions).div_ceil(shards);
        let written = (WRITTEN_WORDS_PER_TX * transactions).next_power_of_two();
        let accounts = (0..shards).map(|_| Mutex::new(HashTable::with_capacity(room)));
        let slots = (0..shards).map(|_| Mutex::new(HashTable::with_capacity(2 * room)));
        Self {
            base,
            accounts: accounts.collect(),
            slots: slots.collect(),
            wipes: Mutex::default(),
            wiped: Default::default(),
            beneficiary: block.env.beneficiary,
            committed: AtomicU32::new(0),
            written: core::iter::repeat_with(AtomicU64::default).take(written).collect(),
            clock: AtomicU32::new(0),
            published: core::iter::repeat_with(AtomicU32::default).take(transactions).collect(),
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
        self.with_account(address, |entry| entry.info(point))
    }

    /// The same without the code.
    pub(crate) fn seen(&self, address: Address, point: Point) -> Result<Seen, DB::Error> {
        self.with_account(address, |entry| entry.seen(point))
    }

    /// The slot as the transactions before a point have left it.
    pub(crate) fn slot(
        &self,
        address: Address,
        key: StorageKey,
        point: Point,
    ) -> Result<StorageValue, DB::Error> {
        let (account, hash) = self.hash_slot(address, key);
        let wiped = self.last_wipe(address, account, point);
        let is_it = |entry: &SlotEntry| entry.key == key && entry.address == address;
        let shard = &self.slots[self.shard(hash)];
        let known = lock(shard).find(hash, is_it).and_then(|entry| entry.at(point, wiped));
        if let Some(value) = known {
            return Ok(value);
        }
        let original = self.base.storage_ref(address, key)?;
        let mut table = lock(shard);
        let new = || SlotEntry::new(address, key);
        let hasher = |entry: &SlotEntry| self.hash_slot(entry.address, entry.key).1;
        let mut entry = table.entry(hash, is_it, hasher).or_insert_with(new);
        let entry = entry.get_mut();
        let original = *entry.original.get_or_insert(original);
        Ok(entry.at(point, wiped).unwrap_or(original))
    }

    /// Adds what a transaction does, fees aside. Later transactions that have read
    /// something else are found stale when they are committed.
    pub(crate) fn publish(
        &self,
        point: Point,
        transition: &'r Transition,
    ) -> Result<(), DB::Error> {
        for (address, change) in transition.accounts() {
            if change.lifecycle != Lifecycle::Kept {
                lock(&self.wipes).entry(*address).or_default().push(point);
                let (word, bit) = wipe_bit(self.by_address.hash_one(address));
                self.wiped[word].fetch_or(bit, Ordering::Release);
            }
            if change.changes_account() && !self.is_fee(*address, change) {
                self.note_written(self.hash_account(*address));
                self.with_account(*address, |entry| entry.insert(point, change))?;
            }
            for slot in change.slots() {
                self.publish_slot(*address, slot.key, (point, slot.value));
            }
        }
        if let Some(published) = (point as usize).checked_sub(1) {
            let time = self.clock.fetch_add(1, Ordering::AcqRel) + 1;
            if let Some(published) = self.published.get(published) {
                published.store(time, Ordering::Release);
            }
        }
        Ok(())
    }

    /// The time: of what is published later, a run that begins now may have missed some.
    pub(crate) fn now(&self) -> u32 {
        self.clock.load(Ordering::Acquire)
    }

    /// Whether something of a transaction was published after a time.
    pub(crate) fn was_published_after(&self, tx: usize, time: u32) -> bool {
        self.published[tx].load(Ordering::Acquire) > time
    }

    /// Whether a location of this hash may have been written.
    pub(crate) fn may_be_written(&self, hash: u64) -> bool {
        let (word, bit) = self.written_bit(hash);
        self.written[word].load(Ordering::Acquire) & bit != 0
    }

    fn note_written(&self, hash: u64) {
        let (word, bit) = self.written_bit(hash);
        if self.written[word].load(Ordering::Relaxed) & bit == 0 {
            self.written[word].fetch_or(bit, Ordering::AcqRel);
        }
    }

    /// Where a location is in the filter of what was written.
    fn written_bit(&self, hash: u64) -> (usize, u64) {
        let at = (hash >> 16) as usize;
        ((at / 64) & (self.written.len() - 1), 1 << (at % 64))
    }

    /// Adds the fees of a transaction that is being committed: nothing looks at what the
    /// beneficiary has, so earlier they would only cost time. Then the transactions up to
    /// this one are committed.
    pub(crate) fn commit(&self, point: Point, transition: &'r Transition) -> Result<(), DB::Error> {
        let fees = transition.account(self.beneficiary);
        if let Some(fees) = fees.filter(|change| self.is_fee(self.beneficiary, change)) {
            self.with_account(self.beneficiary, |entry| entry.insert(point, fees))?;
        }
        self.committed.store(point, Ordering::Release);
        Ok(())
    }

    /// Whether a change only credits the beneficiary.
    fn is_fee(&self, address: Address, change: &AccountTransition) -> bool {
        address == self.beneficiary && change.only_credits()
    }

    fn publish_slot(&self, address: Address, key: StorageKey, version: (Point, StorageValue)) {
        let (_, hash) = self.hash_slot(address, key);
        let is_it = |entry: &SlotEntry| entry.key == key && entry.address == address;
        self.note_written(hash);
        let new = || SlotEntry::new(address, key);
        let hasher = |entry: &SlotEntry| self.hash_slot(entry.address, entry.key).1;
        let mut table = lock(&self.slots[self.shard(hash)]);
        let mut entry = table.entry(hash, is_it, hasher).or_insert_with(new);
        entry.get_mut().insert(version.0, version.1);
    }

    /// Takes back what a stale run of a transaction did.
    pub(crate) fn withdraw(&self, point: Point, transition: &Transition) -> Result<(), DB::Error> {
        for (address, change) in transition.accounts() {
            if change.lifecycle != Lifecycle::Kept {
                lock(&self.wipes).entry(*address).or_default().retain(|wipe| *wipe != point);
            }
            self.with_account(*address, |entry| entry.remove(point))?;
            for slot in change.slots() {
                let (_, hash) = self.hash_slot(*address, slot.key);
                let is_it = |entry: &SlotEntry| entry.key == slot.key && entry.address == *address;
                if let Some(entry) = lock(&self.slots[self.shard(hash)]).find_mut(hash, is_it) {
                    entry.remove(point);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn code_by_hash(&self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.base.code_by_hash_ref(code_hash)
    }

    pub(crate) fn block_hash(&self, number: u64) -> Result<B256, DB::Error> {
        self.base.block_hash_ref(number)
    }

    /// The last point up to `point` at which the storage of an account, which has this
    /// hash, was cleared.
    fn last_wipe(&self, address: Address, hash: u64, point: Point) -> Option<Point> {
        if !self.may_be_wiped(hash) {
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
        let shard = &self.accounts[self.shard(hash)];
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
        let mut entry =
            table.entry(hash, is_it, hasher).or_insert_with(|| AccountEntry::new(address, info));
        Ok(look(entry.get_mut()))
    }

    /// The shard of a hash. Tables use its lowest and its highest bits.
    fn shard(&self, hash: u64) -> usize {
        (hash >> 24) as usize & (self.accounts.len() - 1)
    }

    /// The hash of an account.
    pub(super) fn hash_account(&self, address: Address) -> u64 {
        self.by_address.hash_one(address)
    }

    /// Whether the storage of an account of this hash may have been cleared.
    pub(super) fn may_be_wiped(&self, hash: u64) -> bool {
        let (word, bit) = wipe_bit(hash);
        self.wiped[word].load(Ordering::Acquire) & bit != 0
    }

    /// The hashes of an account and of one of its slots.
    pub(super) fn hash_slot(&self, address: Address, key: StorageKey) -> (u64, u64) {
        let account = self.by_address.hash_one(address);
        (account, account.rotate_left(u64::BITS / 2) ^ self.by_key.hash_one(B256::from(key)))
    }
}

/// Where an account is in the filter.
fn wipe_bit(hash: u64) -> (usize, u64) {
    let at = (hash >> 40) as usize;
    (at / 64 % WIPE_WORDS, 1 << (at % 64))
}

impl<'r, DB: DatabaseRef> Versions<'r, DB> {
    /// Looks at everything that was loaded, shard by shard from the given one on. Threads
    /// that begin at different ones rarely meet.
    pub(super) fn for_each_account(&self, first: usize, mut look: impl FnMut(&AccountEntry<'r>)) {
        let (before, after) = self.accounts.split_at(first % self.accounts.len());
        after.iter().chain(before).for_each(|shard| lock(shard).iter().for_each(&mut look));
    }

    /// The same for slots.
    pub(super) fn for_each_slot(&self, first: usize, mut look: impl FnMut(&SlotEntry)) {
        let (before, after) = self.slots.split_at(first % self.slots.len());
        after.iter().chain(before).for_each(|shard| lock(shard).iter().for_each(&mut look));
    }

    /// When the storage of accounts was cleared last.
    pub(super) fn last_wipes(&self) -> HashMap<Address, Point, DefaultHashBuilder> {
        let wipes = lock(&self.wipes);
        let last =
            wipes.iter().filter_map(|(address, wipes)| Some((*address, *wipes.iter().max()?)));
        last.collect()
    }

    /// What an account was before the block.
    pub(super) fn original(&self, address: Address) -> Result<Seen, DB::Error> {
        self.with_account(address, |entry| entry.end().original)
    }

    /// What a slot was before the block.
    pub(super) fn original_slot(
        &self,
        address: Address,
        key: StorageKey,
    ) -> Result<StorageValue, DB::Error> {
        let (_, hash) = self.hash_slot(address, key);
        let is_it = |entry: &SlotEntry| entry.key == key && entry.address == address;
        let known =
            lock(&self.slots[self.shard(hash)]).find(hash, is_it).and_then(|slot| slot.original);
        known.map_or_else(|| self.base.storage_ref(address, key), Ok)
    }

    /// An account in the state below.
    pub(super) fn below(&self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        self.base.basic_ref(address)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
