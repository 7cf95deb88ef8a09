//! Predictions -> plan -> outcome: the steps between the three crates, one after
//! the other or all at once.

use std::time::Instant;

use forewave_analyzer::{
    AnalyzeError, Block, PanickedError, PredictedAccess, Predictor, commute_payments,
};
use forewave_executor::{
    BlockOutcome, CancellableError, ExecutionError, RunPlan, Workers, execute,
    instrument::{self, Step, count_plan},
    predict_on_threads,
};
use forewave_scheduler::{ConflictGraph, Schedule, schedule};
use revm::DatabaseRef;

/// A block could not be predicted, or not executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError<E: core::error::Error + 'static> {
    /// The state failed the predictor.
    #[error(transparent)]
    Analyze(#[from] AnalyzeError<E>),
    /// The block is invalid, or the state failed it.
    #[error(transparent)]
    Execute(#[from] ExecutionError<E>),
}

impl<E: core::error::Error + 'static> BlockError<CancellableError<E>> {
    /// Whether the run ended because its token was set.
    pub const fn is_cancelled(&self) -> bool {
        match self {
            Self::Analyze(error) => {
                matches!(error, AnalyzeError::State { source: CancellableError::Cancelled, .. })
            }
            Self::Execute(error) => error.is_cancelled(),
        }
    }
}

/// What is to run when: a block's predictions, their conflict graph and the schedule made
/// from it.
#[derive(Clone, Debug)]
pub struct Plan {
    predictions: Vec<PredictedAccess>,
    graph: ConflictGraph,
    schedule: Schedule,
}

impl Plan {
    /// Plans a block from the predictions of its transactions, in block order.
    /// Its graph is what people look at: every conflict.
    pub fn new(predictions: Vec<PredictedAccess>) -> Self {
        let graph = ConflictGraph::new(&predictions);
        let schedule = schedule(&graph);
        Self { predictions, graph, schedule }
    }

    /// A plan whose parts are known to fit.
    pub(crate) const fn of_parts(
        predictions: Vec<PredictedAccess>,
        graph: ConflictGraph,
        schedule: Schedule,
    ) -> Self {
        Self { predictions, graph, schedule }
    }

    /// Plans the run of a block: as [`Plan::new`], but the payments of senders
    /// that can afford all their transactions wait for no other ([`commute_payments`]).
    pub fn to_run<DB: DatabaseRef>(
        block: &Block,
        state: &DB,
        predictions: Vec<PredictedAccess>,
    ) -> Result<Self, AnalyzeError<DB::Error>> {
        Ok(Self::new(commuting(block, state, predictions)?))
    }

    /// What each transaction is predicted to touch.
    pub fn predictions(&self) -> &[PredictedAccess] {
        &self.predictions
    }

    /// Which transactions conflict, and where.
    pub const fn graph(&self) -> &ConflictGraph {
        &self.graph
    }

    /// What runs when.
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// What waits for what when the block runs, and who goes first.
    pub fn run_plan(&self, block: &Block) -> RunPlan {
        RunPlan::new(block, &self.predictions, &self.graph)
    }

    /// Executes the block that was planned.
    pub fn execute<'w, DB>(
        &self,
        block: &Block,
        state: &DB,
        workers: impl Into<Workers<'w>>,
    ) -> Result<BlockOutcome, ExecutionError<DB::Error>>
    where
        DB: DatabaseRef<Error: Send> + Sync,
    {
        execute(block, state, &self.run_plan(block), workers)
    }
}

/// Predicts what each transaction of a block touches, from the state before it. A
/// panic of the state's is an error.
pub fn predict<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    predictor: &impl Predictor<DB>,
) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
    let _span = instrument::span(Step::Predict, block);
    PanickedError::catch(|| predictor.predict(block, state))?
}

/// Predicts, plans and executes a block, all on the threads of a pool. A block that is too
/// small for several threads is executed on the calling one, without a prediction; and one
/// whose predictor [knows no code](Predictor::knows_code) by the access list that it came with,
/// or in block order.
///
/// The outcome equals that of [`sequential`](crate::sequential), statistics aside; `state`
/// is only read. A state that is [`Cancellable`](crate::Cancellable) can end it at a
/// deadline.
pub fn execute_block<'w, DB>(
    block: &Block,
    state: &DB,
    predictor: &(impl Predictor<DB> + Sync + ?Sized),
    workers: impl Into<Workers<'w>>,
) -> Result<BlockOutcome, BlockError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let workers = workers.into();
    let (in_order, mut plan_ns) = timed(|| RunPlan::by_access_list(block));
    if !predictor.knows_code() || !in_order.pays_on(workers.threads()) {
        let mut outcome = execute(block, state, &in_order, workers)?;
        outcome.stats.plan_ns = plan_ns;
        return Ok(outcome);
    }
    let (predictions, predict_ns) = timed(|| {
        let _span = instrument::span(Step::Predict, block);
        predict_on_threads(block, state, predictor, workers.pool())
    });
    let predictions = predictions?;
    let (planned, transactions) = (predictions.len(), block.transactions.len());
    if planned != transactions {
        return Err(ExecutionError::PlanMismatch { planned, transactions }.into());
    }
    let (run_plan, planning) = timed(|| {
        let _span = instrument::span(Step::Plan, block);
        let predictions = commuting(block, state, predictions)?;
        let graph = ConflictGraph::new(&predictions);
        Ok::<_, AnalyzeError<DB::Error>>(RunPlan::new(block, &predictions, &graph))
    });
    plan_ns += planning;
    let run_plan = run_plan?;
    count_plan(predict_ns, plan_ns);
    let mut outcome = execute(block, state, &run_plan, workers)?;
    outcome.stats.predict_ns = predict_ns;
    outcome.stats.plan_ns = plan_ns;
    Ok(outcome)
}

/// The same predictions, but the payments of senders that can afford all their transactions
/// wait for no other.
fn commuting<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    mut predictions: Vec<PredictedAccess>,
) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
    PanickedError::catch(|| commute_payments(block, state, &mut predictions))??;
    Ok(predictions)
}

/// What `work` gives, and how many nanoseconds it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let start = Instant::now();
    let value = work();
    (value, u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
}
