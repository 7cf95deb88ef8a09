//! What the threads of one run share.

use std::sync::{Mutex, PoisonError};

use forewave_analyzer::{Block, TxIndex};
use revm::DatabaseRef;

use super::{
    listed::Listed,
    slots::TxSlot,
    versions::{Versions, point_after},
};
use crate::{ExecutionError, cancel::Deadline, reuse::Results, transfer::TransferRules};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Shared<'r, DB: DatabaseRef> {
    pub(super) block: &'r Block,
    pub(super) rules: Option<&'r TransferRules<'r>>,
    pub(super) slots: &'r [TxSlot],
    pub(super) state: &'r DB,
    /// Transactions for each thread.
    pub(super) share: usize,
    pub(super) versions: Versions<'r>,
    pub(super) known: Option<&'r Results>,
    /// What the block's access list says of each transaction, if it is run by one.
    pub(super) listed: Option<&'r Listed>,
    pub(super) deadline: Deadline<'r>,
    pub(super) failed: Mutex<Option<ExecutionError<DB::Error>>>,
}

impl<DB: DatabaseRef> Shared<'_, DB> {
    /// Keeps the error that the run ends with: the first.
    pub(super) fn fail(&self, error: ExecutionError<DB::Error>) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(error);
    }

    /// Takes back what the run of a transaction did that does not count.
    pub(super) fn withdraw(&self, tx: TxIndex) {
        let point = point_after(tx);
        match self.listed {
            Some(listed) => self.versions.withdraw(point, listed.transition(tx)),
            None => self.slots[tx.index()]
                .transitions()
                .for_each(|transition| self.versions.withdraw(point, transition)),
        }
    }
}
