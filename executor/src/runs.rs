//! The runs of a block's transactions, as the threads publish them to each other.

use revm::context::result::ExecutionResult;

use crate::{sync::OnceLock, tracking::Record};

/// One run of a transaction.
#[derive(Debug)]
pub(crate) struct TxRun {
    pub(crate) result: ExecutionResult,
    pub(crate) record: Record,
    pub(crate) basis: Basis,
    /// Whether the sender was given the nonce that the transaction names, and
    /// not the one that it had.
    pub(crate) names_nonce: bool,
    /// Whether an exact path gave it, and no code was run.
    pub(crate) is_evaluated: bool,
}

impl TxRun {
    /// What it took, about, in gas of transactions whose code is run.
    pub(crate) fn cost(&self) -> u64 {
        self.result.tx_gas_used() / if self.is_evaluated { 2 } else { 1 }
    }
}

/// The state that a transaction ran on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// All lower transactions, settled.
    Settled,
    /// The first `applied` transactions, settled.
    Behind {
        /// How many.
        applied: u32,
    },
    /// Some that were settled, and unsettled runs of others.
    Ahead,
}

/// The runs of one transaction.
#[derive(Debug)]
pub(crate) struct TxRuns<R = TxRun> {
    /// `None` inside if it could not be executed on what it saw.
    pub(crate) first: OnceLock<Option<R>>,
    /// The one that counts, if the first does not.
    pub(crate) again: OnceLock<R>,
}

impl<R> Default for TxRuns<R> {
    fn default() -> Self {
        Self { first: OnceLock::new(), again: OnceLock::new() }
    }
}

impl<R> TxRuns<R> {
    /// The run that counts, once the transaction is settled.
    pub(crate) fn settled(&self) -> &R {
        let again = self.again.get();
        let first = || self.first.get().and_then(Option::as_ref);
        again.or_else(first).expect("what is settled has been executed")
    }

    /// The run that counts, taken out.
    pub(crate) fn into_settled(self) -> R {
        let again = self.again.into_inner();
        let first = || self.first.into_inner().flatten();
        again.or_else(first).expect("what is settled has been executed")
    }
}
