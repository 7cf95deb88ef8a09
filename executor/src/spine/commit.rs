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
    slots::{Basis, Run, TxSlot},
    versions::{Point, Versions, point_after},
    worker::Worker,
};
use crate::{
    ExecutionError, Reexecution, ReexecutionReason, TxReceipt, ledger::stale_field,
    system::check_gas_limit,
};

/// Transactions by whose staleness it is judged whether to run ahead, and how many of
/// them may be stale.
const JUDGED: u32 = 32;
const STALE_MAX: u32 = 20;

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
        let reason = judge(&shared.versions, tx, slot)?;
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
    versions: &Versions<'_, DB>,
    tx: TxIndex,
    slot: &TxSlot,
) -> Result<Option<ReexecutionReason>, ExecutionError<DB::Error>> {
    match slot.ahead.get() {
        None => Ok(None),
        Some(None) => Ok(Some(ReexecutionReason::NotExecutable)),
        Some(Some(run)) => {
            let point = point_after(tx) - 1;
            let stale = first_stale(run, versions, point);
            let stale = stale.map_err(|source| ExecutionError::State { tx, source })?;
            Ok(stale.map(|location| ReexecutionReason::StaleRead { location }))
        }
    }
}

/// The first location that was read with another value than it has at a point.
fn first_stale<DB: DatabaseRef>(
    run: &Run,
    versions: &Versions<'_, DB>,
    point: Point,
) -> Result<Option<Location>, DB::Error> {
    if run.basis == Basis::Committed {
        return Ok(None);
    }
    let reads = &run.record.reads;
    for read in reads.accounts.iter().filter(|read| !read.looked.is_empty()) {
        let now = versions.seen(read.address, point)?;
        if let Some(location) = stale_field(read, reads.cost, &now) {
            return Ok(Some(location));
        }
    }
    for read in &reads.storage {
        if versions.slot(read.address, read.key, point)? != read.value {
            return Ok(Some(Location::Storage(read.address, read.key)));
        }
    }
    Ok(None)
}
