//! The one trait behind every predictor.
//!
//! Those that execute transactions (`recon`, `oracle`) live with the executor.

use core::ops::ControlFlow;

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
    /// Hands out one prediction for each transaction, in block order, from the
    /// state before the block: one by one, so that the first transactions can run
    /// while later ones are looked at. `each` ends it by breaking off.
    fn predict_each(
        &self,
        block: &Block,
        state: &DB,
        each: &mut dyn FnMut(PredictedAccess) -> ControlFlow<()>,
    ) -> Result<(), AnalyzeError<DB::Error>>;

    /// The predictions of the whole block.
    fn predict(
        &self,
        block: &Block,
        state: &DB,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        let mut predictions = Vec::with_capacity(block.transactions.len());
        self.predict_each(block, state, &mut |prediction| {
            predictions.push(prediction);
            ControlFlow::Continue(())
        })?;
        Ok(predictions)
    }
}

/// Predictions that were made before, in a mempool or while the block was built.
impl<DB: DatabaseRef> Predictor<DB> for [PredictedAccess] {
    fn predict_each(
        &self,
        _: &Block,
        _: &DB,
        each: &mut dyn FnMut(PredictedAccess) -> ControlFlow<()>,
    ) -> Result<(), AnalyzeError<DB::Error>> {
        let _ended = self.iter().cloned().try_for_each(each);
        Ok(())
    }
}
