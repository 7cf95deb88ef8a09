//! The predictor `static`: summaries of code, evaluated per transaction.

use core::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::TxEnv,
    primitives::{Address, B256, StorageKey, StorageValue, map::DefaultHashBuilder},
    state::AccountInfo,
};

use crate::{
    AnalyzeError, Block, EvaluationLimits, Location, PredictedAccess, Predictor, Scratch,
    SummaryCache, TxEvaluator, predict_each,
};

/// Rounds in which code is summarized that the round before has found to be called.
const ROUNDS_MAX: usize = 64;

/// The most threads whose scratch is kept, and summaries that each may hold meanwhile.
const SCRATCHES_MAX: usize = 64;
const SUMMARIES_KEPT_MAX: usize = 4_096;

/// Evaluates each transaction by itself, over the summaries of the code that it calls
/// and the state before the block. Nothing is executed.
///
/// Summaries are kept in a [`SummaryCache`], which predictors share. As a [`Predictor`]
/// it makes those that are missing; who cannot wait for that uses a [`TxEvaluator`].
#[derive(Clone, Debug, Default)]
pub struct StaticPredictor {
    summaries: Arc<SummaryCache>,
    limits: EvaluationLimits,
    /// What no thread works with now.
    scratches: Arc<Mutex<Vec<Scratch>>>,
}

impl StaticPredictor {
    /// A predictor over these summaries.
    pub fn new(summaries: Arc<SummaryCache>, limits: EvaluationLimits) -> Self {
        Self { summaries, limits, scratches: Arc::default() }
    }

    /// The summaries.
    pub fn summaries(&self) -> &SummaryCache {
        &self.summaries
    }

    /// Does something with what an evaluation works with. It is kept for the next time.
    pub fn with_scratch<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let scratches = || self.scratches.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = scratches().pop().unwrap_or_default();
        let done = work(&mut scratch);
        scratch.forget_beyond(SUMMARIES_KEPT_MAX);
        let mut scratches = scratches();
        if scratches.len() < SCRATCHES_MAX {
            scratches.push(scratch);
        }
        done
    }

    /// What evaluates single transactions.
    pub fn evaluator(&self) -> TxEvaluator<'_> {
        TxEvaluator::new(&self.summaries, self.limits)
    }

    /// Summarizes all code that the transactions of a block are predicted to call.
    pub fn summarize_block<DB: DatabaseRef>(
        &self,
        block: &Block,
        state: &DB,
    ) -> Result<(), AnalyzeError<DB::Error>> {
        self.predict(block, state).map(drop)
    }

    /// Predicts one transaction, once all code that it calls is summarized. Needs no
    /// other transaction: any thread may ask for any of them.
    pub fn predict_tx<DB: DatabaseRef>(
        &self,
        scratch: &mut Scratch,
        block: &Block,
        state: &DB,
        tx: &TxEnv,
    ) -> Result<PredictedAccess, DB::Error> {
        let evaluator = self.evaluator();
        for _ in 0..ROUNDS_MAX {
            let prediction = evaluator.predict_tx(scratch, block, state, tx)?;
            let missing = scratch.take_missing();
            if missing.is_empty() {
                return Ok(prediction);
            }
            for (hash, code) in missing {
                self.summaries.summarize(hash, &code);
            }
        }
        evaluator.predict_tx(scratch, block, state, tx)
    }
}

impl<DB: DatabaseRef> Predictor<DB> for StaticPredictor {
    fn predict_range(
        &self,
        block: &Block,
        state: &DB,
        transactions: Range<usize>,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        self.with_scratch(|scratch| {
            let predict = |tx: &TxEnv| self.predict_tx(scratch, block, state, tx);
            predict_each(block, transactions, predict)
        })
    }
}

/// The predictor `static-late`: [`StaticPredictor`], and where an earlier transaction is
/// predicted to write what a prediction was computed from, a second evaluation over the
/// values that the earlier ones are predicted to leave.
#[derive(Clone, Debug, Default)]
pub struct LatePredictor(pub StaticPredictor);

impl<DB: DatabaseRef> Predictor<DB> for LatePredictor {
    fn predict_range(
        &self,
        block: &Block,
        state: &DB,
        transactions: Range<usize>,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        let mut left = Left { state, slots: HashMap::default() };
        let mut predictions = self.0.with_scratch(|scratch| {
            predict_each(block, 0..transactions.end, |tx| {
                let alone = self.0.predict_tx(scratch, block, state, tx)?;
                let is_stale =
                    alone.deciding_reads().into_iter().flatten().any(|read| left.has_changed(read));
                let prediction = if is_stale {
                    count_late();
                    self.0.predict_tx(scratch, block, &left, tx)?
                } else {
                    alone
                };
                left.note(&prediction);
                Ok(prediction)
            })
        })?;
        Ok(predictions.split_off(transactions.start))
    }

    fn is_by_transaction(&self) -> bool {
        false
    }
}

/// Counts a transaction that is predicted again.
#[cfg(feature = "metrics")]
fn count_late() {
    metrics::counter!("forewave_late_predictions_total").increment(1);
}

/// Counts a transaction that is predicted again.
#[cfg(not(feature = "metrics"))]
const fn count_late() {}

/// The state as the transactions so far are predicted to leave it, where that is known.
struct Left<'a, DB> {
    state: &'a DB,
    slots: HashMap<(Address, StorageKey), StorageValue, DefaultHashBuilder>,
}

impl<DB> Left<'_, DB> {
    fn has_changed(&self, location: &Location) -> bool {
        matches!(location, Location::Storage(address, key) if self.slots.contains_key(&(*address, *key)))
    }

    fn note(&mut self, prediction: &PredictedAccess) {
        for (location, value) in prediction.values() {
            if let Location::Storage(address, key) = location {
                self.slots.insert((*address, *key), *value);
            }
        }
    }
}

impl<DB: DatabaseRef> DatabaseRef for Left<'_, DB> {
    type Error = DB::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        self.state.basic_ref(address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.state.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        match self.slots.get(&(address, key)) {
            Some(value) => Ok(*value),
            None => self.state.storage_ref(address, key),
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DB::Error> {
        self.state.block_hash_ref(number)
    }
}
