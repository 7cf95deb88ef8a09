//! The one trait behind every predictor.
//!
//! Those that execute transactions (`recon`, `oracle`) live with the executor.

use core::ops::Range;

use revm::{DatabaseRef, context::TxEnv};

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
    /// One prediction for each of these transactions of the block, from the state before it.
    fn predict_range(
        &self,
        block: &Block,
        state: &DB,
        transactions: Range<usize>,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>>;

    /// Whether each transaction is predicted by itself, so that threads may share a block.
    fn is_by_transaction(&self) -> bool {
        true
    }

    /// Whether a block's run should be planned by it. What the protocol alone says is known
    /// without a prediction.
    fn knows_code(&self) -> bool {
        true
    }

    /// The predictions of the whole block.
    fn predict(
        &self,
        block: &Block,
        state: &DB,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        self.predict_range(block, state, 0..block.transactions.len())
    }
}

/// Predicts these transactions of the block one after the other.
pub fn predict_each<E: core::error::Error + 'static>(
    block: &Block,
    transactions: Range<usize>,
    mut predict: impl FnMut(&TxEnv) -> Result<PredictedAccess, E>,
) -> Result<Vec<PredictedAccess>, AnalyzeError<E>> {
    let txs = transactions.map(TxIndex::new);
    txs.map(|tx| {
        let prediction = predict(&block.transactions[tx.index()]);
        prediction.map_err(|source| AnalyzeError::State { tx, source })
    })
    .collect()
}

/// Predictions that were made before, in a mempool or while the block was built.
impl<DB: DatabaseRef> Predictor<DB> for [PredictedAccess] {
    fn predict_range(
        &self,
        _: &Block,
        _: &DB,
        transactions: Range<usize>,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        let Range { start, end } = transactions;
        Ok(self.iter().take(end).skip(start).cloned().collect())
    }
}
