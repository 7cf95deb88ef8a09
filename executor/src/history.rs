//! Which settled transactions changed what: how a thread brings what it holds of
//! the state up to date when it is asked for it, and not before.
//!
//! Accounts and slots fall into [`Buckets`] by their hashes, and the transactions
//! that changed something in a bucket are found there from the latest backwards. So
//! whether anything can have changed since a given transaction is one look into an
//! array; what it was, if it has, is found in the transitions themselves.
//!
//! Only the thread whose turn it is to settle adds, others look meanwhile; what they
//! may rely on is the buckets' protocol. What shares a bucket costs time, not
//! correctness, and the hashes are seeded anew for each run, so that nobody can
//! choose what does. A transaction with many changes is in many buckets: its links are
//! sorted by them, so that a look at another location costs no scan of its changes.

use core::{hash::BuildHasher, iter};

use revm::primitives::{Address, B256, StorageKey, StorageValue, map::FbBuildHasher};

use crate::{
    buckets::{Buckets, Link, link_in},
    runs::TxRuns,
    sync::OnceLock,
    transition::{AccountTransition, Transition},
};

/// Buckets for each transaction of a block: a few changes each.
const BUCKETS_PER_TRANSACTION: usize = 4;

const BUCKETS_MIN: usize = 1 << 12;

/// Changes of a transaction above which its links are sorted by their buckets.
const SCANNED_LINKS_MAX: usize = 16;

/// The links of a transaction by their buckets.
type SortedLinks = Box<[LinkPlace]>;

/// Where in a transition the link is by which a bucket goes on.
#[derive(Debug)]
struct LinkPlace {
    bucket: usize,
    account: u32,
    /// `None`: the account's own link.
    slot: Option<u32>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct History {
    buckets: Buckets,
    /// For each transaction, set where it has many changes, before it is shown.
    sorted: Box<[OnceLock<SortedLinks>]>,
    by_address: FbBuildHasher<20>,
    by_key: FbBuildHasher<32>,
}

impl History {
    /// The history of a run in which nothing is settled.
    pub(crate) fn new(transactions: usize) -> Self {
        let buckets = transactions.saturating_mul(BUCKETS_PER_TRANSACTION).max(BUCKETS_MIN);
        let buckets = Buckets::new(buckets.next_power_of_two());
        let (by_address, by_key) = (FbBuildHasher::default(), FbBuildHasher::default());
        let sorted = iter::repeat_with(OnceLock::new).take(transactions).collect();
        Self { buckets, sorted, by_address, by_key }
    }

    /// Adds what a transaction changes, which is the next to be settled. Its runs
    /// are published.
    pub(crate) fn add(&self, tx: usize, transition: &Transition) {
        let changes = transition.accounts().iter().map(|(_, change)| 1 + change.slots().len());
        if changes.sum::<usize>() > SCANNED_LINKS_MAX {
            let mut links: Vec<_> = self.places(transition).collect();
            links.sort_unstable_by_key(|place| place.bucket);
            self.sorted[tx].set(links.into()).expect("a transaction is settled once");
        }
        self.buckets.add(narrow(tx), || self.links(transition));
    }

    /// The changes of a transaction, as they are linked.
    fn links<'t>(&self, transition: &'t Transition) -> impl Iterator<Item = (usize, &'t Link)> {
        self.places(transition).map(|place| (place.bucket, place.link(transition)))
    }

    /// Where the links of a transaction are.
    fn places(&self, transition: &Transition) -> impl Iterator<Item = LinkPlace> {
        (0..).zip(transition.accounts()).flat_map(move |(account, (address, change))| {
            let own = change.changes_account();
            let own =
                own.then(|| LinkPlace { bucket: self.of_account(*address), account, slot: None });
            let slots = (0..).zip(change.slots()).map(move |(at, slot)| LinkPlace {
                bucket: self.of_slot(*address, slot.key),
                account,
                slot: Some(at),
            });
            own.into_iter().chain(slots)
        })
    }

    /// By which link to go on from a transaction that was found in a bucket.
    fn link_in<'t>(&self, bucket: usize, tx: u32, transition: &'t Transition) -> &'t Link {
        let Some(sorted) = self.sorted[tx as usize].get() else {
            return link_in(bucket, self.links(transition));
        };
        let first = sorted.partition_point(|place| place.bucket < bucket);
        let places = sorted[first..].iter();
        link_in(bucket, places.map(|place| (place.bucket, place.link(transition))))
    }

    fn of_account(&self, address: Address) -> usize {
        self.bucket(self.by_address.hash_one(address))
    }

    fn of_slot(&self, address: Address, key: StorageKey) -> usize {
        let account = self.by_address.hash_one(address).rotate_left(u64::BITS / 2);
        self.bucket(account ^ self.by_key.hash_one(B256::from(key)))
    }

    #[expect(clippy::cast_possible_truncation, reason = "what is cut off is masked out")]
    fn bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }
}

impl LinkPlace {
    fn link<'t>(&self, transition: &'t Transition) -> &'t Link {
        let change = &transition.accounts()[self.account as usize].1;
        self.slot.map_or(&change.link, |slot| &change.slots()[slot as usize].link)
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
        self.history.buckets.last(self.history.of_account(address)) > since
    }

    /// Whether one of the settled transactions from `since` on can have changed
    /// the slot, unless by creating or destroying the account.
    pub(crate) fn may_change_slot(self, address: Address, key: StorageKey, since: u32) -> bool {
        self.history.buckets.last(self.history.of_slot(address, key)) > since
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
        history.buckets.walk(bucket, since, |tx| {
            let transition = self.transition(tx);
            let change = transition.account(address).filter(|change| change.changes_account());
            if let Some(change) = change.filter(|_| tx < until) {
                each(tx, change);
            }
            let link = change.map(|change| &change.link);
            Some(link.unwrap_or_else(|| history.link_in(bucket, tx, transition)))
        });
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
        let mut value = None;
        history.buckets.walk(bucket, since, |tx| {
            let transition = self.transition(tx);
            if tx < until {
                value = transition.account(address).and_then(|change| change.slot(key));
            }
            value.is_none().then(|| history.link_in(bucket, tx, transition))
        });
        value
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
    use std::sync::atomic::{AtomicUsize, Ordering};

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

    /// Fewer where each step is interpreted.
    const TRANSACTIONS: usize = if cfg!(miri) { 20 } else { 200 };

    /// Fewer still, since threads look at every one of them again and again.
    const TRANSACTIONS_AT_ONCE: usize = if cfg!(miri) { 6 } else { 48 };

    /// What a transaction of this number does, to few accounts with few slots: pays,
    /// stores, or both, some of it in many slots.
    fn transition(tx: usize) -> Transition {
        let account = |n: usize| {
            let paid = !n.is_multiple_of(3);
            let balance = if paid { BalanceChange::Credit(U256::ONE) } else { BalanceChange::Keep };
            let many = if n.is_multiple_of(5) { SCANNED_LINKS_MAX } else { 1 };
            let slots = (0..n % 4 * many).map(|slot| (U256::from(slot), U256::from(tx)));
            let change = AccountTransition::payment(balance, None).with_slots(slots);
            (Address::with_last_byte(u8::try_from(n % 7).unwrap()), change)
        };
        let (one, other) = (account(tx), account(tx * 5 + 1));
        let is_another = one.0 != other.0;
        Transition::of([Some(one), is_another.then_some(other)].into_iter().flatten().collect())
    }

    fn run(tx: usize) -> TxRun {
        let result = ExecutionResult::Success {
            reason: SuccessReason::Stop,
            gas: ResultGas::default(),
            logs: vec![],
            output: Output::Call(Bytes::new()),
        };
        let record = Record { reads: Reads::default(), transition: transition(tx) };
        let (basis, names_nonce, is_evaluated) = (Basis::Settled, false, false);
        TxRun { result, record, basis, names_nonce, is_evaluated }
    }

    fn settled_run(tx: usize) -> TxRuns {
        let runs = TxRuns::default();
        runs.again.set(run(tx)).unwrap();
        runs
    }

    #[test]
    fn changes_are_found_in_their_order_however_many_share_a_bucket() {
        let runs: Vec<_> = (0..TRANSACTIONS).map(settled_run).collect();
        for buckets in [1, 2, BUCKETS_MIN] {
            let history = History { buckets: Buckets::new(buckets), ..History::new(TRANSACTIONS) };
            for (tx, run) in runs.iter().enumerate() {
                history.add(tx, &run.settled().record.transition);
            }
            let settled = Settled { runs: &runs, history: &history };
            let len = narrow(TRANSACTIONS);
            for missed in [(0, len), (0, 1), (len / 10, len / 2), (len - 1, len), (len, len)] {
                check(settled, missed);
            }
        }
    }

    #[test]
    fn changes_are_found_while_others_are_added() {
        for buckets in [1, 2] {
            let runs: Vec<_> = (0..TRANSACTIONS_AT_ONCE).map(|_| TxRuns::default()).collect();
            let history =
                History { buckets: Buckets::new(buckets), ..History::new(TRANSACTIONS_AT_ONCE) };
            let settled = Settled { runs: &runs, history: &history };
            let len = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let mut since = 0;
                        while since < narrow(TRANSACTIONS_AT_ONCE) {
                            let until = narrow(len.load(Ordering::Acquire));
                            check(settled, (since, until));
                            since = until;
                        }
                    });
                }
                for (tx, runs) in runs.iter().enumerate() {
                    runs.again.set(run(tx)).unwrap();
                    history.add(tx, &runs.settled().record.transition);
                    len.store(tx + 1, Ordering::Release);
                }
            });
        }
    }

    /// Looks for everything that can have changed, and for what never does.
    fn check(settled: Settled<'_>, missed: (u32, u32)) {
        for n in 0..8 {
            let address = Address::with_last_byte(n);
            check_account(settled, address, missed);
            for key in (0..5).map(U256::from) {
                check_slot(settled, address, key, missed);
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
        let is_changed = (since..until).any(|tx| change(&tx));
        assert!(!is_changed || settled.may_change_account(address, since));
    }

    fn check_slot(settled: Settled<'_>, address: Address, key: U256, (since, until): (u32, u32)) {
        let value = |tx| settled.transition(tx).account(address)?.slot(key);
        let expected = (since..until).rev().find_map(value);
        let found = settled.slot_change(address, key, (since, until));
        assert_eq!(found, expected, "{address} {key} from {since} to {until}");
        let is_changed = (since..until).any(|tx| value(tx).is_some());
        assert!(!is_changed || settled.may_change_slot(address, key, since));
    }
}
