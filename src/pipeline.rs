//! Predictions -> plan -> outcome: the steps between the three crates.

use forewave_analyzer::{AnalyzeError, Block, PredictedAccess, Predictor, commute_payments};
use forewave_executor::{
    BlockOutcome, ExecutionError, ExecutionMode, execute_as, execute_unplanned, is_worth_planning,
};
use forewave_scheduler::{ConflictGraph, Schedule, schedule};
use rayon::ThreadPool;
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

/// What is to run when: the conflict graph of a block's predictions and the
/// schedule made from it.
#[derive(Clone, Debug)]
pub struct Plan {
    graph: ConflictGraph,
    schedule: Schedule,
}

impl Plan {
    /// Plans a block from the predictions of its transactions, in block order.
    /// Its graph is what people look at: every conflict.
    pub fn new(predictions: &[PredictedAccess]) -> Self {
        let graph = ConflictGraph::new(predictions);
        let schedule = schedule(&graph);
        Self { graph, schedule }
    }

    /// Plans the run of a block: as [`Plan::new`], but the payments of senders
    /// that can afford all their transactions wait for nobody
    /// ([`commute_payments`]).
    pub fn to_run<DB: DatabaseRef>(
        block: &Block,
        state: &DB,
        mut predictions: Vec<PredictedAccess>,
    ) -> Result<Self, AnalyzeError<DB::Error>> {
        commute_payments(block, state, &mut predictions)?;
        Ok(Self::new(&predictions))
    }

    /// Who conflicts with whom, and where.
    pub const fn graph(&self) -> &ConflictGraph {
        &self.graph
    }

    /// The graph alone.
    pub fn into_graph(self) -> ConflictGraph {
        self.graph
    }

    /// Who runs when.
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Executes the block that was planned, on the threads of `pool`.
    pub fn execute<DB>(
        &self,
        block: &Block,
        state: &DB,
        pool: &ThreadPool,
    ) -> Result<BlockOutcome, ExecutionError<DB::Error>>
    where
        DB: DatabaseRef<Error: Send> + Sync,
    {
        self.execute_as(ExecutionMode::Auto, block, state, pool)
    }

    /// The same as [`execute`](Self::execute), in a mode of the caller's choice.
    pub fn execute_as<DB>(
        &self,
        mode: ExecutionMode,
        block: &Block,
        state: &DB,
        pool: &ThreadPool,
    ) -> Result<BlockOutcome, ExecutionError<DB::Error>>
    where
        DB: DatabaseRef<Error: Send> + Sync,
    {
        execute_as(mode, block, state, &self.graph, &self.schedule, pool)
    }
}

/// Predicts what each transaction of a block touches, from the state before it.
pub fn predict<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    predictor: &impl Predictor<DB>,
) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
    predictor.predict(block, state)
}

/// Predicts, plans and executes a block. The outcome equals that of
/// [`sequential`](crate::sequential), statistics aside; `state` is only read.
/// A block that is not worth a prediction is run without one.
pub fn execute_block<DB>(
    block: &Block,
    state: &DB,
    predictor: &impl Predictor<DB>,
    pool: &ThreadPool,
) -> Result<BlockOutcome, BlockError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    if !is_worth_planning(block) {
        return Ok(execute_unplanned(block, state, pool)?);
    }
    let predictions = predict(block, state, predictor)?;
    Ok(Plan::to_run(block, state, predictions)?.execute(block, state, pool)?)
}
