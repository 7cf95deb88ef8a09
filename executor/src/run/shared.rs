//! What the threads of one run share.

use std::sync::{Mutex, PoisonError};

use forewave_analyzer::{Block, TxIndex};
use revm::DatabaseRef;

use super::{
    plan::RunPlan,
    slots::TxSlot,
    versions::{Versions, point_after},
};
use crate::{
    ExecutionError, cancel::Deadline, reuse::Results, transfer::TransferRules, workers::Workers,
};

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
    pub(super) deadline: Deadline<'r>,
    pub(super) failed: Mutex<Option<ExecutionError<DB::Error>>>,
}

impl<'r, DB: DatabaseRef> Shared<'r, DB> {
    /// What the threads share that run this plan of a block, with a slot for each transaction.
    pub(super) fn new(
        block: &'r Block,
        (state, plan): (&'r DB, &'r RunPlan),
        workers: Workers<'r>,
        rules: Option<&'r TransferRules<'r>>,
        known: Option<&'r Results>,
        slots: &'r [TxSlot],
    ) -> Self {
        let (threads, listed) = (workers.threads(), plan.listed.as_deref());
        Self {
            block,
            rules,
            slots,
            state,
            share: slots.len() / threads,
            versions: Versions::new(block, threads, listed, plan.late_fees),
            known,
            deadline: workers.deadline,
            failed: Mutex::default(),
        }
    }

    /// Keeps the error that the run ends with: the first.
    pub(super) fn fail(&self, error: ExecutionError<DB::Error>) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(error);
    }

    /// Takes back what the run of a transaction did that does not count.
    pub(super) fn withdraw(&self, tx: TxIndex) {
        for transition in self.slots[tx.index()].transitions() {
            self.versions.withdraw(point_after(tx), transition);
        }
    }
}
