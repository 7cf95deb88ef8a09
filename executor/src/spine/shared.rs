//! What the threads of one run share.

use std::sync::{Mutex, PoisonError};

use forewave_analyzer::{Block, TxIndex};
use revm::DatabaseRef;

use super::{
    slots::{Run, TxSlot},
    versions::{Versions, point_after},
};
use crate::{ExecutionError, cancel::Deadline, transfer::TransferRules, transition::Transition};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Shared<'r, DB: DatabaseRef> {
    pub(super) block: &'r Block,
    pub(super) rules: Option<&'r TransferRules<'r>>,
    pub(super) slots: &'r [TxSlot],
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
        run: &'r Run,
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
}
