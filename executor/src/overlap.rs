//! Runs a block while it is predicted: nothing waits for the whole analysis.
//!
//! The calling thread takes the predictions one by one, works out whom each
//! transaction needs, and publishes it ([`Flow::publish`]); the others run what
//! is published. Once all is published, it works like the others. Threads that
//! have nothing published to run go on in block order without a prediction.
//!
//! A prediction that comes too late is worth nothing, so the predictor is left
//! where it does not keep ahead of the execution: what is left of the block is
//! published by what the protocol alone says of it.
//!
//! What [`run_planned`] promises of an outcome holds here too.

use core::ops::ControlFlow;

use forewave_analyzer::{
    AnalyzeError, Block, PanickedError, Payers, PredictedAccess, Predictor, ProtocolPredictor,
    TxIndex,
};
use forewave_scheduler::Dependencies;
use revm::DatabaseRef;

use crate::{
    BlockOutcome, ExecutionError, ExecutionMode, ExecutionStats,
    choice::{Way, is_worth_planning},
    flow::Flow,
    ledger::Ledger,
    needs::{Needs, Publication},
    parallel::{Plan, Run, execute_unplanned, run_planned},
    tasks::Tasks,
    workers::Workers,
};

/// Predictions before the predictor's pace is judged.
const PREDICTIONS_BEFORE_JUDGED: usize = 16;

/// Predictions for each settled transaction below which a predictor is too slow
/// to be worth its time.
const PREDICTED_PER_SETTLED_MIN: usize = 2;

/// Threads from which on one of them may predict.
const PREDICTING_THREADS_MIN: usize = 3;

/// Executes the block on the threads of `pool` while `predictor` predicts it on
/// the calling thread; without a prediction, or serially, where that is estimated
/// to be as fast. Of two threads none is spared to predict, nor where exact paths are
/// known: most calls are then evaluated in less time than they are predicted in.
///
/// The outcome equals that of [`sequential`](crate::sequential), statistics
/// aside, whatever is predicted. `state` is only read; a panic of it, on whichever
/// thread, is an error, and the pool can be used on. If the state fails the
/// predictor, the run ends with [`ExecutionError::Analysis`].
pub fn execute_predicted<'w, DB>(
    block: &Block,
    state: &DB,
    predictor: &(impl Predictor<DB> + ?Sized),
    workers: impl Into<Workers<'w>>,
) -> Result<BlockOutcome, ExecutionError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let workers = workers.into();
    let threads = workers.threads();
    let knows_code = workers.paths.is_some_and(|paths| !paths.is_empty());
    if threads < PREDICTING_THREADS_MIN || knows_code || !is_worth_planning(block) {
        return execute_unplanned(block, state, workers);
    }
    execute_overlapped(block, state, predictor, workers)
}

/// The same as [`execute_predicted`], on all threads whether or not that pays.
pub fn execute_overlapped<'w, DB>(
    block: &Block,
    state: &DB,
    predictor: &(impl Predictor<DB> + ?Sized),
    workers: impl Into<Workers<'w>>,
) -> Result<BlockOutcome, ExecutionError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let workers = workers.into();
    let tasks = Tasks::published(block, workers.threads());
    let needs = Needs::unpublished(block.transactions.len());
    let mode = ExecutionMode::Overlapped;
    let stats = ExecutionStats { mode, ..ExecutionStats::default() };
    let plan = Plan { way: Way::Tasks(tasks), needs, stats };
    let mut predicted = 0;
    let outcome = PanickedError::catch(|| {
        run_planned(block, state, plan, workers, |run, flow| {
            let mut publisher = Publisher::new(run, flow, state);
            let published = PanickedError::catch(|| publisher.publish_all(predictor));
            let published = published.map_err(AnalyzeError::from).and_then(|published| published);
            if let Err(error) = published {
                run.fail(ExecutionError::Analysis(error), flow);
            }
            predicted = publisher.predicted;
        })
    })??;
    let stats = ExecutionStats { predicted, ..outcome.stats };
    Ok(BlockOutcome { stats, ..outcome })
}

/// The calling thread's part.
struct Publisher<'p, 'a, DB: DatabaseRef> {
    run: &'p Run<'a, DB>,
    flow: &'p Flow<'p, Ledger>,
    state: &'p DB,
    payers: Payers<'p, DB>,
    dependencies: Dependencies,
    next: usize,
    predicted: usize,
}

impl<'p, 'a, DB: DatabaseRef> Publisher<'p, 'a, DB> {
    fn new(run: &'p Run<'a, DB>, flow: &'p Flow<'p, Ledger>, state: &'p DB) -> Self {
        let dependencies = Dependencies::new(run.block.transactions.len());
        let payers = Payers::new(run.block, state);
        Self { run, flow, state, payers, dependencies, next: 0, predicted: 0 }
    }

    fn publish_all(
        &mut self,
        predictor: &(impl Predictor<DB> + ?Sized),
    ) -> Result<(), AnalyzeError<DB::Error>> {
        let block = self.run.block;
        let mut failed = Ok(());
        predictor.predict_each(block, self.state, &mut |prediction| {
            failed = self.publish(prediction);
            if failed.is_err() || !self.is_ahead() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        failed?;
        while !self.flow.is_over() && self.next < block.transactions.len() {
            let prediction =
                ProtocolPredictor::predict_one(block, self.state, &block.transactions[self.next]);
            self.publish(prediction.map_err(|source| self.at(source))?)?;
        }
        Ok(())
    }

    /// Publishes the next transaction, unless somebody has begun with it.
    fn publish(&mut self, mut prediction: PredictedAccess) -> Result<(), AnalyzeError<DB::Error>> {
        let Some(env) = self.run.block.transactions.get(self.next) else { return Ok(()) };
        self.payers.commute(&mut prediction, env).map_err(|source| self.at(source))?;
        let needed = self.dependencies.add(&prediction);
        if self.flow.reserve(self.next) {
            let publication = Publication::new(&prediction, needed);
            self.run.needs.publish(TxIndex::new(self.next), publication);
            self.flow.publish(self.next, needed.iter().map(|tx| tx.index()));
            self.predicted += 1;
        }
        self.next += 1;
        Ok(())
    }

    /// Whether the predictor is so far ahead of the execution that it pays, and
    /// there is anything left to predict.
    fn is_ahead(&self) -> bool {
        let settled = self.flow.settled();
        let is_slow = self.next >= PREDICTIONS_BEFORE_JUDGED
            && settled.saturating_mul(PREDICTED_PER_SETTLED_MIN) > self.next;
        !is_slow && !self.flow.is_over() && self.next < self.run.block.transactions.len()
    }

    fn at<E: core::error::Error + 'static>(&self, source: E) -> AnalyzeError<E> {
        AnalyzeError::State { tx: TxIndex::new(self.next), source }
    }
}
