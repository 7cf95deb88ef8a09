//! The one trait behind every predictor.
//!
//! Those that execute transactions (`recon`, `oracle`) live with the executor.

use revm::DatabaseRef;

use crate::{Block, PanickedError, PredictedAccess, TxIndex};

/// A prediction could not be made.
///
/// Imprecision is never an error: what is not known is widened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnalyzeError<E: core::error::Error + 'static> {
    /// The state could not answer.
    #[error("the state could not be read while {tx} was analysed: {source}")]
    State {
        /// The transaction under analysis.
        tx: TxIndex,
        /// What the state answered.
        source: E,
    },
    /// The state panicked, or the predictor did.
    #[error("the analysis {0}")]
    Panicked(#[from] PanickedError),
}

/// Predicts the accesses of a block's transactions before they run.
pub trait Predictor<DB: DatabaseRef> {
    /// One prediction for each transaction, in block order, from the state
    /// before the block.
    fn predict(
        &self,
        block: &Block,
        state: &DB,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>>;
}
