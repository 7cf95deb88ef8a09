//! Commits the runs of transactions in block order: the one place that decides whether a
//! run counts.
//!
//! A run counts if everything that it looked at has, after all earlier transactions, the
//! value that it saw. One that does not is stale: its versions are withdrawn, and the
//! transaction runs again at once, on exactly that state. By induction each transaction
//! ends as in a sequential run, whatever was predicted and in whatever order the threads
//! ran.

use forewave_analyzer::{Location, TxIndex};
use revm::DatabaseRef;

use super::{
    dispatch::Next,
    shared::Shared,
    slots::{Basis, ReadFilter, Run, TxSlot},
    versions::point_after,
    worker::Worker,
};
use crate::history::narrow;
use crate::{
    ExecutionError, Reexecution, ReexecutionReason, TxReceipt,
    ledger::stale_field,
    system::check_gas_limit,
    tracking::{AccountRead, StorageRead},
    transition::{Lifecycle, Transition},
};

/// Transactions by whose staleness it is judged whether to run ahead, and how many of
/// them may be stale.
const JUDGED: u32 = 32;
const STALE_MAX: u32 = 20;

/// What it costs to look at a location that was read, and at one that was changed, in terms
/// of looking whether a transaction has published something: shards and their locks
/// against a filter against a counter.
const STEPS_PER_READ: usize = 48;
const STEPS_PER_CHANGE: usize = 4;

/// What the committing threads know.
#[derive(Debug, Default)]
pub(super) struct Committer {
    pub(super) receipts: Vec<TxReceipt>,
    gas_used: u64,
    pub(super) reexecuted: Vec<Reexecution>,
    /// Whether each of the last transactions was stale, one bit each.
    stale: u64,
}

impl Committer {
    /// Commits the next transaction; `worker` is of the thread that does.
    pub(super) fn commit<'r, DB: DatabaseRef>(
        &mut self,
        shared: &Shared<'r, DB>,
        worker: &mut Worker<'_, 'r, DB>,
        tx: TxIndex,
    ) -> Next {
        match self.try_commit(shared, worker, tx) {
            Ok(()) if self.stale.count_ones() > STALE_MAX => Next::FallBack,
            Ok(()) => Next::GoOn,
            Err(error) => {
                shared.fail(error);
                Next::Stop
            }
        }
    }

    /// Nothing is committed yet of so many transactions.
    pub(super) fn new(transactions: usize) -> Self {
        Self { receipts: Vec::with_capacity(transactions), ..Self::default() }
    }

    fn try_commit<'r, DB: DatabaseRef>(
        &mut self,
        shared: &Shared<'r, DB>,
        worker: &mut Worker<'_, 'r, DB>,
        tx: TxIndex,
    ) -> Result<(), ExecutionError<DB::Error>> {
        check_gas_limit(shared.block, tx, self.gas_used)?;
        let slot = &shared.slots[tx.index()];
        let reason = judge(shared, tx, slot)?;
        self.stale = (self.stale << 1 | u64::from(reason.is_some())) & ((1 << JUDGED) - 1);
        if let Some(Some(stale)) = slot.ahead.get().filter(|_| reason.is_some()) {
            shared.withdraw(tx, &stale.record.transition)?;
        }
        if reason.is_some() || slot.ahead.get().is_none() {
            worker.run_at_turn(shared, tx)?;
        }
        self.reexecuted.extend(reason.map(|reason| Reexecution { tx, reason }));
        let env = &shared.block.transactions[tx.index()];
        let receipt = TxReceipt::new(env.tx_type, self.gas_used, slot.take_result());
        self.gas_used = receipt.cumulative_gas_used;
        self.receipts.push(receipt);
        let transition = &slot.committed().record.transition;
        let committed = shared.versions.commit(point_after(tx), transition);
        committed.map_err(|source| ExecutionError::State { tx, source })
    }
}

/// Why the run of a transaction does not count. One that has no run yet has no reason.
fn judge<DB: DatabaseRef>(
    shared: &Shared<'_, DB>,
    tx: TxIndex,
    slot: &TxSlot,
) -> Result<Option<ReexecutionReason>, ExecutionError<DB::Error>> {
    match slot.ahead.get() {
        None => Ok(None),
        Some(None) => Ok(Some(ReexecutionReason::NotExecutable)),
        Some(Some(run)) => {
            let validation = Validation { shared, run, tx: tx.index() };
            let stale = validation.first_stale();
            let stale = stale.map_err(|source| ExecutionError::State { tx, source })?;
            Ok(stale.map(|location| ReexecutionReason::StaleRead { location }))
        }
    }
}

/// A run of a transaction whose turn it is.
struct Validation<'c, 'r, DB: DatabaseRef> {
    shared: &'c Shared<'r, DB>,
    run: &'c Run,
    tx: usize,
}

impl<DB: DatabaseRef> Validation<'_, '_, DB> {
    /// A location that was read with another value than it has now.
    ///
    /// What was published before the run began, it has seen. So only what earlier
    /// transactions have published since can make it stale. Where that is much, everything
    /// that was read is looked at instead.
    fn first_stale(&self) -> Result<Option<Location>, DB::Error> {
        let (start, filter) = match &self.run.basis {
            Basis::Committed => return Ok(None),
            Basis::Guessed => return self.first_stale_of_all(),
            Basis::Published { start, reads } => (*start, reads),
        };
        let Shared { versions, slots, .. } = self.shared;
        let reads = &self.run.record.reads;
        let mut left = STEPS_PER_READ * (reads.accounts.len() + reads.storage.len());
        for tx in start.committed..self.tx {
            let mut step = 1;
            let slot = &slots[tx];
            let is_later = versions.was_published_after(tx, start.time);
            let ahead = slot.ahead.get().and_then(Option::as_ref);
            let runs = ahead.into_iter().chain(slot.at_turn.get()).filter(|_| is_later);
            for run in runs.clone() {
                step += STEPS_PER_CHANGE * run.record.transition.len();
            }
            let Some(rest) = left.checked_sub(step) else { return self.first_stale_of_all() };
            left = rest;
            for run in runs {
                let stale = self.first_stale_by(&run.record.transition, filter)?;
                if stale.is_some() {
                    return Ok(stale);
                }
            }
        }
        Ok(None)
    }

    /// The same among what one transition changes.
    fn first_stale_by(
        &self,
        transition: &Transition,
        filter: &ReadFilter,
    ) -> Result<Option<Location>, DB::Error> {
        let versions = &self.shared.versions;
        for (address, change) in transition.accounts() {
            if change.lifecycle != Lifecycle::Kept {
                return self.first_stale_of_all();
            }
            if filter.may_hold(versions.hash_account(*address)) {
                let stale = self.stale_accounts(|read| read.address == *address)?;
                if stale.is_some() {
                    return Ok(stale);
                }
            }
            for slot in change.slots() {
                if filter.may_hold(versions.hash_slot(*address, slot.key).1) {
                    let is_it =
                        |read: &StorageRead| read.key == slot.key && read.address == *address;
                    let stale = self.stale_slots(is_it)?;
                    if stale.is_some() {
                        return Ok(stale);
                    }
                }
            }
        }
        Ok(None)
    }

    /// The same among everything that was read.
    fn first_stale_of_all(&self) -> Result<Option<Location>, DB::Error> {
        match self.stale_accounts(|_| true)? {
            Some(location) => Ok(Some(location)),
            None => self.stale_slots(|_| true),
        }
    }

    fn stale_accounts(
        &self,
        is_asked: impl Fn(&AccountRead) -> bool,
    ) -> Result<Option<Location>, DB::Error> {
        let reads = &self.run.record.reads;
        let looked_at = reads.accounts.iter().filter(|read| !read.looked.is_empty());
        for read in looked_at.filter(|read| is_asked(read)) {
            let now = self.shared.versions.seen(read.address, narrow(self.tx))?;
            if let Some(location) = stale_field(read, reads.cost, &now) {
                return Ok(Some(location));
            }
        }
        Ok(None)
    }

    fn stale_slots(
        &self,
        is_asked: impl Fn(&StorageRead) -> bool,
    ) -> Result<Option<Location>, DB::Error> {
        for read in self.run.record.reads.storage.iter().filter(|read| is_asked(read)) {
            let now = self.shared.versions.slot(read.address, read.key, narrow(self.tx))?;
            if now != read.value {
                return Ok(Some(Location::Storage(read.address, read.key)));
            }
        }
        Ok(None)
    }
}
