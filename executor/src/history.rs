//! Which settled transactions changed what: how a thread brings what it holds of
//! the state up to date when it is asked for it, and not before.
//!
//! Accounts and slots fall into buckets by their hashes. Each bucket knows the
//! last settled transaction that changed something in it, and each change, where
//! it stands in a [`Transition`], the one before it in its bucket. So whether
//! anything can have changed since a given transaction is one look into an array;
//! what it was, if it has, is found in the transitions themselves, from the
//! latest backwards.
//!
//! Only the thread whose turn it is to settle adds. Others look meanwhile: a
//! transaction is in its bucket only once its changes are linked and its runs
//! published (released by the bucket, acquired by whoever looks). What shares a
//! bucket costs time, not correctness, and the hashes are seeded anew for each
//! run, so that nobody can choose what does.

use core::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};

use revm::primitives::{Address, B256, StorageKey, StorageValue, map::FbBuildHasher};

use crate::{
    runs::TxRuns,
    transition::{AccountTransition, Transition},
};

/// Buckets for each transaction of a block: a few changes each.
const BUCKETS_PER_TRANSACTION: usize = 4;

const BUCKETS_MIN: usize = 1 << 12;

/// The link of a change whose bucket its transaction had changed before.
const SAME: u32 = u32::MAX;

/// Where a change stands in its bucket: how many transactions precede and include
/// the last one that changed something there before; zero for none.
#[derive(Debug, Default)]
pub(crate) struct Link(AtomicU32);

impl Link {
    fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct History {
    /// One more than the last transaction that changed something in the bucket.
    buckets: Box<[AtomicU32]>,
    by_address: FbBuildHasher<20>,
    by_key: FbBuildHasher<32>,
}

impl History {
    /// The history of a run in which nothing is settled.
    pub(crate) fn new(transactions: usize) -> Self {
        let buckets = transactions.saturating_mul(BUCKETS_PER_TRANSACTION).max(BUCKETS_MIN);
        let buckets = core::iter::repeat_with(AtomicU32::default).take(buckets.next_power_of_two());
        let (by_address, by_key) = (FbBuildHasher::default(), FbBuildHasher::default());
        Self { buckets: buckets.collect(), by_address, by_key }
    }

    /// Adds what a transaction changes, which is the next to be settled. Its runs
    /// are published.
    pub(crate) fn add(&self, tx: usize, transition: &Transition) {
        let added = narrow(tx + 1);
        let add = |bucket: usize, link: &Link| {
            let last = self.buckets[bucket].load(Ordering::Relaxed);
            link.0.store(if last == added { SAME } else { last }, Ordering::Relaxed);
            self.buckets[bucket].store(added, Ordering::Release);
        };
        for (address, change) in &transition.accounts {
            if change.changes_account() {
                add(self.of_account(*address), &change.link);
            }
            for slot in change.slots() {
                add(self.of_slot(*address, slot.key), &slot.link);
            }
        }
    }

    /// One more than the last transaction that changed something in the bucket.
    fn last(&self, bucket: usize) -> u32 {
        self.buckets[bucket].load(Ordering::Acquire)
    }

    /// The same before a transaction that changed something in the bucket.
    fn before(&self, bucket: usize, transition: &Transition) -> u32 {
        let accounts = transition.accounts.iter();
        let links = accounts.flat_map(|(address, change)| {
            let account =
                change.changes_account().then(|| (self.of_account(*address), &change.link));
            let slots = change.slots().iter();
            account
                .into_iter()
                .chain(slots.map(|slot| (self.of_slot(*address, slot.key), &slot.link)))
        });
        let links = links.filter(|(other, _)| *other == bucket).map(|(_, link)| link.get());
        links.min().expect("what is in a bucket is linked")
    }

    fn of_account(&self, address: Address) -> usize {
        self.bucket(self.by_address.hash_one(address))
    }

    fn of_slot(&self, address: Address, key: StorageKey) -> usize {
        let account = self.by_address.hash_one(address).rotate_left(u64::BITS / 2);
        self.bucket(account ^ self.by_key.hash_one(B256::from(key)))
    }

    #[expect(clippy::cast_possible_truncation, reason = "what is cut off is masked out")]
    const fn bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }
}

/// What is settled, to be looked up by location.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled<'a> {
    pub(crate) runs: &'a [TxRuns],
    pub(crate) history: &'a History,
}

impl<'a> Settled<'a> {
    /// Whether one of the settled transactions from `since` on can have changed
    /// the account, its slots aside.
    pub(crate) fn may_change_account(self, address: Address, since: u32) -> bool {
        self.history.last(self.history.of_account(address)) > since
    }

    /// Whether one of the settled transactions from `since` on can have changed
    /// the slot, unless by creating or destroying the account.
    pub(crate) fn may_change_slot(self, address: Address, key: StorageKey, since: u32) -> bool {
        self.history.last(self.history.of_slot(address, key)) > since
    }

    /// Calls `each` with what the transactions from `since` on and before `until`
    /// did to an account, in descending order.
    pub(crate) fn account_changes(
        self,
        address: Address,
        (since, until): (u32, u32),
        mut each: impl FnMut(u32, &'a AccountTransition),
    ) {
        let Self { history, .. } = self;
        let bucket = history.of_account(address);
        let mut after = history.last(bucket);
        while after > since {
            let tx = after - 1;
            let transition = self.transition(tx);
            let change = transition.account(address).filter(|change| change.changes_account());
            if let Some(change) = change.filter(|_| tx < until) {
                each(tx, change);
            }
            after = match change.map(|change| change.link.get()) {
                Some(before) if before != SAME => before,
                _ => history.before(bucket, transition),
            };
        }
    }

    /// What the last of the transactions from `since` on and before `until` that
    /// changed the slot made of it, unless by creating or destroying the account.
    pub(crate) fn slot_change(
        self,
        address: Address,
        key: StorageKey,
        (since, until): (u32, u32),
    ) -> Option<StorageValue> {
        let Self { history, .. } = self;
        let bucket = history.of_slot(address, key);
        let mut after = history.last(bucket);
        while after > since {
            let tx = after - 1;
            let transition = self.transition(tx);
            if tx < until
                && let Some(value) = transition.account(address).and_then(|change| change.slot(key))
            {
                return Some(value);
            }
            after = history.before(bucket, transition);
        }
        None
    }

    /// What a settled transaction did.
    pub(crate) fn transition(self, tx: u32) -> &'a Transition {
        &self.runs[tx as usize].settled().record.transition
    }
}

/// A transaction's number, or how many there are.
pub(crate) fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a block has fewer than 2^32 transactions")
}
