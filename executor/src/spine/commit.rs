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
    versions::{Point, Versions, point_after},
    worker::Worker,
};
use crate::{
    ExecutionError, Reexecution, ReexecutionReason,
    ledger::stale_field,
    runs::{Basis, TxRun, TxRuns},
    system::check_gas_limit,
};

/// Transactions by whose staleness it is judged whether to run ahead, and how many of
/// them may be stale.
const JUDGED: u32 = 32;
const STALE_MAX: u32 = 20;

/// What the committing threads know.
#[derive(Debug, Default)]
pub(super) struct Committer {
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

    fn try_commit<'r, DB: DatabaseRef>(
        &mut self,
        shared: &Shared<'r, DB>,
        worker: &mut Worker<'_, 'r, DB>,
        tx: TxIndex,
    ) -> Result<(), ExecutionError<DB::Error>> {
        check_gas_limit(shared.block, tx, self.gas_used)?;
        let runs = &shared.runs[tx.index()];
        let reason = judge(&shared.versions, tx, runs)?;
        self.stale = (self.stale << 1 | u64::from(reason.is_some())) & ((1 << JUDGED) - 1);
        if let Some(reason) = reason {
            if let Some(Some(stale)) = runs.first.get() {
                shared.withdraw(tx, &stale.record.transition)?;
            }
            self.reexecuted.push(Reexecution { tx, reason });
            worker.run_again(shared, tx)?;
        } else if runs.first.get().is_none() {
            worker.run_again(shared, tx)?;
        }
        let run = runs.settled();
        self.gas_used += run.result.tx_gas_used();
        let committed = shared.versions.commit(point_after(tx), &run.record.transition);
        committed.map_err(|source| ExecutionError::State { tx, source })
    }
}

/// Why the run of a transaction does not count. One that has no run yet has no reason.
fn judge<DB: DatabaseRef>(
    versions: &Versions<'_, DB>,
    tx: TxIndex,
    runs: &TxRuns,
) -> Result<Option<ReexecutionReason>, ExecutionError<DB::Error>> {
    match runs.first.get() {
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
    run: &TxRun,
    versions: &Versions<'_, DB>,
    point: Point,
) -> Result<Option<Location>, DB::Error> {
    if run.basis == Basis::Settled {
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
