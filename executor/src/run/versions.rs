//! The state of a block under execution, for all threads at once: who wrote what, and
//! what was there before.
//!
//! ```text
//! (address)      -> before the block | version of tx 3 | version of tx 17
//! (address, key) -> before the block | version of tx 5
//! ```
//!
//! A read of transaction `t` gets what the transactions before `t` have published so far.
//! Once all of them are committed, that is the state after them. What no transaction has
//! written is not here: each thread reads that [below](Below) by itself.
//!
//! The tables are in shards by hash, each with a lock that is held for one look-up.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use forewave_analyzer::{Block, TxIndex};
use hashbrown::{HashMap, HashTable};
use revm::{
    DatabaseRef,
    primitives::{Address, StorageKey, StorageValue, U256, map::DefaultHashBuilder},
    state::AccountInfo,
};

use super::{
    below::{Below, Hashes},
    entries::{AccountEntry, SlotEntry},
    listed::{ByList, Listed},
    narrow,
};
use crate::{
    reads::Seen,
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

/// An account as it was found, if there is one.
#[derive(Debug)]
pub(super) struct Found(pub(super) Option<AccountInfo>);

/// See the module's documentation. `'r` are the runs that the versions come from.
#[derive(Debug)]
pub(crate) struct Versions<'r> {
    accounts: Box<[Mutex<HashTable<AccountEntry<'r>>>]>,
    slots: Box<[Mutex<HashTable<SlotEntry>>]>,
    /// When the storage of accounts was cleared, and a filter of these accounts by hash.
    wipes: Mutex<HashMap<Address, Vec<Point>, DefaultHashBuilder>>,
    wiped: [AtomicU64; WIPE_WORDS],
    /// Who is credited with fees by nearly every transaction, if they are published only when
    /// they are committed.
    late_fees: Option<Address>,
    /// The transactions before this point are committed.
    committed: AtomicU32,
    /// A filter of what any transaction has written, by hash: what is not in it is as it
    /// was before the block. Set before the version can be seen.
    written: Box<[AtomicU64]>,
    /// Counts publications, and says of each transaction when its last one was complete.
    clock: AtomicU32,
    published: Box<[AtomicU32]>,
    hashes: Hashes,
    /// What the block's access list says, if it is run by one: then nothing is published.
    by_list: Option<ByList<'r>>,
}

impl<'r> Versions<'r> {
    /// No version yet.
    pub(crate) fn new(
        block: &Block,
        threads: usize,
        listed: Option<&'r Listed>,
        late_fees: Option<Address>,
    ) -> Self {
        let shards = (threads * SHARDS_PER_THREAD).next_power_of_two();
        let transactions = block.transactions.len();
        let room = (2 * transactions).div_ceil(shards);
        let written = (WRITTEN_WORDS_PER_TX * transactions).next_power_of_two();
        let accounts = (0..shards).map(|_| Mutex::new(HashTable::with_capacity(room)));
        let slots = (0..shards).map(|_| Mutex::new(HashTable::with_capacity(2 * room)));
        Self {
            accounts: accounts.collect(),
            slots: slots.collect(),
            wipes: Mutex::default(),
            wiped: Default::default(),
            late_fees,
            committed: AtomicU32::new(0),
            written: core::iter::repeat_with(AtomicU64::default).take(written).collect(),
            clock: AtomicU32::new(0),
            published: core::iter::repeat_with(AtomicU32::default).take(transactions).collect(),
            hashes: listed.map_or_else(Hashes::default, |listed| listed.hashes().clone()),
            by_list: listed.map(|listed| ByList::new(listed, narrow(transactions))),
        }
    }

    /// The account, which has this hash, as the transactions up to a point have left it;
    /// `None` if none has written it.
    pub(super) fn account(&self, hash: u64, address: Address, point: Point) -> Option<Found> {
        self.with_account(hash, address, |entry| Found(entry.info(point)))
    }

    /// The same without the code.
    pub(super) fn seen(&self, hash: u64, address: Address, point: Point) -> Option<Seen> {
        self.with_account(hash, address, |entry| entry.seen(point))
    }

    /// The slot, of which and of whose account these are the hashes, as the transactions up
    /// to a point have left it; `None` if it is as it was before the block.
    pub(super) fn slot(
        &self,
        (account, hash): (u64, u64),
        address: Address,
        key: StorageKey,
        point: Point,
    ) -> Option<StorageValue> {
        let wiped = self.last_wipe(address, account, point);
        if let Some(by_list) = &self.by_list {
            let change = by_list.slot(account, address, key, point);
            return match (change, wiped) {
                (Some((written, value)), wiped) if wiped.is_none_or(|it| it <= written) => {
                    Some(value)
                }
                (_, Some(_)) => Some(StorageValue::ZERO),
                (_, None) => None,
            };
        }
        let is_it = |entry: &SlotEntry| entry.key == key && entry.address == address;
        let written = self.may_be_written(hash).then(|| lock(&self.slots[self.shard(hash)]));
        let entry = written.as_ref().and_then(|slots| slots.find(hash, is_it));
        entry.map_or_else(|| wiped.map(|_| StorageValue::ZERO), |entry| entry.at(point, wiped))
    }

    /// Adds what a transaction does, fees aside. Later transactions that have read
    /// something else are found stale when they are committed.
    pub(super) fn publish<DB: DatabaseRef>(
        &self,
        point: Point,
        transition: &'r Transition,
        below: &mut Below<'_, DB>,
    ) -> Result<(), DB::Error> {
        for (address, change) in transition.accounts() {
            if change.lifecycle != Lifecycle::Kept {
                self.clear(point, *address);
            }
            if change.changes_account() && !self.is_late(*address, change) {
                self.publish_account(*address, (point, change), below)?;
            }
            for slot in change.slots() {
                self.publish_slot(*address, slot.key, (point, slot.value), below);
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
    fn may_be_written(&self, hash: u64) -> bool {
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

    /// The access list that the block is run by, if any.
    pub(super) const fn by_list(&self) -> Option<&ByList<'r>> {
        self.by_list.as_ref()
    }

    /// Notes that a transaction cleared the storage of an account.
    pub(super) fn clear(&self, point: Point, address: Address) {
        lock(&self.wipes).entry(address).or_default().push(point);
        let (word, bit) = wipe_bit(self.hashes.account(address));
        self.wiped[word].fetch_or(bit, Ordering::Release);
    }

    /// Whether the storage of an account may have been cleared.
    pub(super) fn may_be_cleared(&self, address: Address) -> bool {
        self.may_be_wiped(self.hashes.account(address))
    }

    /// Adds the fees of a transaction that is being committed: where nothing is predicted to
    /// look at what the beneficiary has, earlier they would only cost time. Then the
    /// transactions up to this one are committed.
    pub(super) fn commit<DB: DatabaseRef>(
        &self,
        point: Point,
        transition: &'r Transition,
        below: &mut Below<'_, DB>,
    ) -> Result<(), DB::Error> {
        let fees = self.late_fees.and_then(|payee| Some((payee, transition.account(payee)?)));
        if let Some((payee, fees)) = fees.filter(|(payee, change)| self.is_late(*payee, change)) {
            self.publish_account(payee, (point, fees), below)?;
        }
        self.committed.store(point, Ordering::Release);
        Ok(())
    }

    /// Whether a change is a fee that is published when it is committed.
    fn is_late(&self, address: Address, change: &AccountTransition) -> bool {
        self.late_fees == Some(address) && change.only_credits()
    }

    fn publish_account<DB: DatabaseRef>(
        &self,
        address: Address,
        (point, change): (Point, &'r AccountTransition),
        below: &mut Below<'_, DB>,
    ) -> Result<(), DB::Error> {
        let hash = self.hashes.account(address);
        if self.with_account(hash, address, |entry| entry.insert(point, change)).is_some() {
            return Ok(());
        }
        let info = below.account(hash, address)?;
        self.note_written(hash);
        let is_it = |entry: &AccountEntry<'_>| entry.address == address;
        let new = || AccountEntry::new(address, info);
        let hasher = |entry: &AccountEntry<'_>| self.hashes.account(entry.address);
        let mut table = lock(&self.accounts[self.shard(hash)]);
        table.entry(hash, is_it, hasher).or_insert_with(new).get_mut().insert(point, change);
        Ok(())
    }

    fn publish_slot<DB: DatabaseRef>(
        &self,
        address: Address,
        key: StorageKey,
        version: (Point, StorageValue),
        below: &Below<'_, DB>,
    ) {
        let (_, hash) = self.hashes.slot(address, key);
        let is_it = |entry: &SlotEntry| entry.key == key && entry.address == address;
        self.note_written(hash);
        let new = || SlotEntry::new(address, key, below.known_slot(hash, address, key));
        let hasher = |entry: &SlotEntry| self.hashes.slot(entry.address, entry.key).1;
        let mut table = lock(&self.slots[self.shard(hash)]);
        let mut entry = table.entry(hash, is_it, hasher).or_insert_with(new);
        entry.get_mut().insert(version.0, version.1);
    }

    /// Takes back what a stale run of a transaction did.
    pub(crate) fn withdraw(&self, point: Point, transition: &Transition) {
        for (address, change) in transition.accounts() {
            if change.lifecycle != Lifecycle::Kept {
                lock(&self.wipes).entry(*address).or_default().retain(|wipe| *wipe != point);
            }
            self.with_account(self.hashes.account(*address), *address, |entry| entry.remove(point));
            for slot in change.slots() {
                let (_, hash) = self.hashes.slot(*address, slot.key);
                let is_it = |entry: &SlotEntry| entry.key == slot.key && entry.address == *address;
                if let Some(entry) = lock(&self.slots[self.shard(hash)]).find_mut(hash, is_it) {
                    entry.remove(point);
                }
            }
        }
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

    /// Looks at an account, if any transaction has written it.
    fn with_account<T>(
        &self,
        hash: u64,
        address: Address,
        look: impl FnOnce(&mut AccountEntry<'r>) -> T,
    ) -> Option<T> {
        if !self.may_be_written(hash) {
            return None;
        }
        let mut table = lock(&self.accounts[self.shard(hash)]);
        let entry = table.find_mut(hash, |entry| entry.address == address)?;
        if entry.versions.len() >= MERGED_MIN {
            entry.merge(self.committed.load(Ordering::Acquire));
        }
        Some(look(entry))
    }

    /// The shard of a hash. Tables use its lowest and its highest bits.
    fn shard(&self, hash: u64) -> usize {
        (hash >> 24) as usize & (self.accounts.len() - 1)
    }

    /// Who is credited with fees that are published only when they are committed.
    pub(super) const fn late_fees(&self) -> Option<Address> {
        self.late_fees
    }

    /// The hashes by which accounts and slots are found.
    pub(super) const fn hashes(&self) -> &Hashes {
        &self.hashes
    }

    /// Whether the storage of an account of this hash may have been cleared.
    fn may_be_wiped(&self, hash: u64) -> bool {
        let (word, bit) = wipe_bit(hash);
        self.wiped[word].load(Ordering::Acquire) & bit != 0
    }
}

/// Where an account is in the filter.
fn wipe_bit(hash: u64) -> (usize, u64) {
    let at = (hash >> 40) as usize;
    (at / 64 % WIPE_WORDS, 1 << (at % 64))
}

impl<'r> Versions<'r> {
    /// Looks at every account that was written, shard by shard from the given one on. Threads
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

    /// What an account that was written had before the block.
    pub(super) fn original_balance(&self, address: Address) -> Option<U256> {
        self.with_account(self.hashes.account(address), address, |entry| entry.original().balance)
    }

    /// What a slot, which has this hash, was before the block, if that is known here.
    pub(super) fn original_slot(
        &self,
        hash: u64,
        address: Address,
        key: StorageKey,
    ) -> Option<StorageValue> {
        let is_it = |entry: &SlotEntry| entry.key == key && entry.address == address;
        lock(&self.slots[self.shard(hash)]).find(hash, is_it).and_then(|slot| slot.original)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
