//! What the threads of one run share, and what becomes of it in the end.

use std::sync::{Mutex, OnceLock, PoisonError};

use forewave_analyzer::{Block, TxIndex};
use rayon::ThreadPool;
use revm::DatabaseRef;

use super::{
    close::{AfterTransactions, net_changes, transition_of},
    commit::Committer,
    dispatch::Dispatch,
    order::TaskOrder,
    versions::{Versions, point_after},
    worker::Worker,
};
use crate::{
    ExecutionError, StateChanges,
    at_work::AtWork,
    cancel::Deadline,
    flat_state::FlatState,
    runs::{TxRun, TxRuns},
    system::{SystemOutput, apply_post_block},
    transfer::TransferRules,
    transition::Transition,
};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Shared<'r, DB: DatabaseRef> {
    pub(super) block: &'r Block,
    pub(super) rules: Option<&'r TransferRules<'r>>,
    pub(super) runs: &'r [TxRuns],
    pub(super) versions: Versions<'r, DB>,
    pub(super) deadline: Deadline<'r>,
    pub(super) failed: Mutex<Option<ExecutionError<DB::Error>>>,
}

impl<'r, DB: DatabaseRef> Shared<'r, DB> {
    /// Keeps the error that the run ends with: the first.
    pub(super) fn fail(&self, error: ExecutionError<DB::Error>) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(error);
    }

    /// Publishes what a run of a transaction did.
    pub(super) fn publish(
        &self,
        tx: TxIndex,
        run: &'r TxRun,
    ) -> Result<(), ExecutionError<DB::Error>> {
        let published = self.versions.publish(point_after(tx), &run.record.transition);
        published.map_err(|source| ExecutionError::State { tx, source })
    }

    /// Takes back what a stale run of a transaction did.
    pub(super) fn withdraw(
        &self,
        tx: TxIndex,
        transition: &Transition,
    ) -> Result<(), ExecutionError<DB::Error>> {
        let withdrawn = self.versions.withdraw(point_after(tx), transition);
        withdrawn.map_err(|source| ExecutionError::State { tx, source })
    }

    /// What the protocol does after the transactions, and the net changes of the block.
    pub(super) fn close(
        self,
        after: &'r OnceLock<Transition>,
        system: &mut SystemOutput,
    ) -> Result<StateChanges, ExecutionError<DB::Error>> {
        let in_system = ExecutionError::SystemState;
        let Self { block, versions, .. } = self;
        let point = point_after(TxIndex::new(block.transactions.len())) - 1;
        let state = AfterTransactions { versions: &versions, point };
        let mut flat = FlatState::for_block(&state, block);
        apply_post_block(block, &mut flat, system)?;
        let changes = flat.into_changes().map_err(in_system)?;
        let after = after.get_or_init(|| transition_of(changes));
        versions.publish(point + 1, after).map_err(in_system)?;
        net_changes(versions).map_err(in_system)
    }
}

impl<DB: DatabaseRef<Error: Send> + Sync> Shared<'_, DB> {
    /// Runs and commits all transactions on the threads of the pool. The calling thread
    /// works as one of them.
    pub(super) fn run(
        &self,
        order: &TaskOrder,
        pool: &ThreadPool,
    ) -> Result<Committer, ExecutionError<DB::Error>> {
        let dispatch = Dispatch::new(order, Committer::default());
        pool.in_place_scope(|scope| {
            for _ in 1..pool.current_num_threads() {
                scope.spawn(|_| {
                    let at_work = AtWork::of_pool();
                    if at_work.is_some() && !dispatch.is_over() {
                        Worker::new(self).work(self, &dispatch);
                    }
                });
            }
            let _at_work = AtWork::of_caller();
            Worker::new(self).work(self, &dispatch);
        });
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed.map_or_else(|| Ok(dispatch.into_committer()), Err)
    }
}
