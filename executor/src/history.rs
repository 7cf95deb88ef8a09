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
        // Whoever finds the transaction in a bucket goes on by any of its links there,
        // so all are made before the first bucket says that it is there.
        for (bucket, link) in self.links(transition) {
            link.0.store(self.buckets[bucket].load(Ordering::Relaxed), Ordering::Relaxed);
        }
        for (bucket, _) in self.links(transition) {
            self.buckets[bucket].store(added, Ordering::Release);
        }
    }

    /// The changes of a transaction, as they are linked.
    fn links<'t>(&self, transition: &'t Transition) -> impl Iterator<Item = (usize, &'t Link)> {
        transition.accounts.iter().flat_map(|(address, change)| {
            let account = change.changes_account();
            let account = account.then(|| (self.of_account(*address), &change.link));
            let slots = change.slots().iter();
            let slots = slots.map(|slot| (self.of_slot(*address, slot.key), &slot.link));
            account.into_iter().chain(slots)
        })
    }

    /// One more than the last transaction that changed something in the bucket.
    fn last(&self, bucket: usize) -> u32 {
        self.buckets[bucket].load(Ordering::Acquire)
    }

    /// The same before a transaction that changed something in the bucket.
    fn before(&self, bucket: usize, transition: &Transition) -> u32 {
        let link = self.links(transition).find(|(other, _)| *other == bucket);
        link.expect("what is in a bucket is linked").1.get()
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
            after = match change {
                Some(change) => change.link.get(),
                None => history.before(bucket, transition),
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

#[cfg(test)]
mod tests {
    use revm::{
        context::result::{ExecutionResult, Output, ResultGas, SuccessReason},
        primitives::{Bytes, U256},
    };

    use super::*;
    use crate::{
        runs::{Basis, TxRun},
        tracking::{Reads, Record},
        transition::BalanceChange,
    };

    const TRANSACTIONS: usize = 200;

    /// What a transaction of this number does, to few accounts with few slots: pays,
    /// stores, or both.
    fn transition(tx: usize) -> Transition {
        let account = |n: usize| {
            let paid = !n.is_multiple_of(3);
            let balance = if paid { BalanceChange::Credit(U256::ONE) } else { BalanceChange::Keep };
            let slots = (0..n % 4).map(|slot| (U256::from(slot), U256::from(tx)));
            let change = AccountTransition::payment(balance, None).with_slots(slots);
            (Address::with_last_byte(u8::try_from(n % 7).unwrap()), change)
        };
        let (one, other) = (account(tx), account(tx * 5 + 1));
        let is_another = one.0 != other.0;
        Transition {
            accounts: [Some(one), is_another.then_some(other)].into_iter().flatten().collect(),
        }
    }

    fn settled_run(tx: usize) -> TxRuns {
        let result = ExecutionResult::Success {
            reason: SuccessReason::Stop,
            gas: ResultGas::default(),
            logs: vec![],
            output: Output::Call(Bytes::new()),
        };
        let record = Record { reads: Reads::default(), transition: transition(tx) };
        let runs = TxRuns::default();
        let run = TxRun {
            result,
            record,
            basis: Basis::Settled,
            names_nonce: false,
            is_evaluated: false,
        };
        runs.again.set(run).unwrap();
        runs
    }

    #[test]
    fn changes_are_found_in_their_order_however_many_share_a_bucket() {
        let runs: Vec<_> = (0..TRANSACTIONS).map(settled_run).collect();
        for buckets in [1, 2, BUCKETS_MIN] {
            let buckets = core::iter::repeat_with(AtomicU32::default).take(buckets).collect();
            let history = History { buckets, ..History::new(0) };
            for (tx, run) in runs.iter().enumerate() {
                history.add(tx, &run.settled().record.transition);
            }
            let settled = Settled { runs: &runs, history: &history };
            let len = narrow(TRANSACTIONS);
            for (since, until) in [(0, len), (0, 1), (17, 90), (len - 1, len), (len, len)] {
                for n in 0..8 {
                    let address = Address::with_last_byte(n);
                    check_account(settled, address, (since, until));
                    for key in (0..5).map(U256::from) {
                        check_slot(settled, address, key, (since, until));
                    }
                }
            }
        }
    }

    /// Against a look at every transaction.
    fn check_account(settled: Settled<'_>, address: Address, (since, until): (u32, u32)) {
        let change = |tx: &u32| {
            let change = settled.transition(*tx).account(address);
            change.is_some_and(AccountTransition::changes_account)
        };
        let expected: Vec<u32> = (since..until).rev().filter(change).collect();
        let mut found = Vec::new();
        settled.account_changes(address, (since, until), |tx, _| found.push(tx));
        assert_eq!(found, expected, "{address} from {since} to {until}");
        let is_changed = (since..narrow(TRANSACTIONS)).any(|tx| change(&tx));
        assert!(!is_changed || settled.may_change_account(address, since));
    }

    fn check_slot(settled: Settled<'_>, address: Address, key: U256, (since, until): (u32, u32)) {
        let value = |tx| settled.transition(tx).account(address)?.slot(key);
        let expected = (since..until).rev().find_map(value);
        let found = settled.slot_change(address, key, (since, until));
        assert_eq!(found, expected, "{address} {key} from {since} to {until}");
        let is_changed = (since..narrow(TRANSACTIONS)).any(|tx| value(tx).is_some());
        assert!(!is_changed || settled.may_change_slot(address, key, since));
    }
}
