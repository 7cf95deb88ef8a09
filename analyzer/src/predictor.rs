//! The one trait behind every predictor.
//!
//! Those that execute transactions (`recon`, `oracle`) live with the executor.

use revm::DatabaseRef;

use crate::{Block, PredictedAccess, TxIndex};

/// A prediction could not be made because the state could not be read.
///
/// Imprecision is never an error: what is not known is widened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state could not be read while {tx} was analysed: {source}")]
pub struct AnalyzeError<E: core::error::Error + 'static> {
    /// The transaction under analysis.
    pub tx: TxIndex,
    /// What the state answered.
    pub source: E,
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
