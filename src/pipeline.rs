//! Predictions -> plan -> outcome: the steps between the three crates, one after
//! the other or all at once.

use forewave_analyzer::{
    AnalyzeError, Block, PanickedError, PredictedAccess, Predictor, commute_payments,
};
use forewave_executor::{
    BlockOutcome, CancellableError, ExecutionError, ExecutionMode, Workers, execute_as,
    execute_predicted,
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
    Execute(ExecutionError<E>),
}

impl<E: core::error::Error + 'static> From<ExecutionError<E>> for BlockError<E> {
    fn from(error: ExecutionError<E>) -> Self {
        match error {
            ExecutionError::Analysis(error) => Self::Analyze(error),
            error => Self::Execute(error),
        }
    }
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
        PanickedError::catch(|| commute_payments(block, state, &mut predictions))??;
        Ok(Self::new(&predictions))
    }

    /// Who conflicts with whom, and where.
    pub const fn graph(&self) -> &ConflictGraph {
        &self.graph
    }

    /// Who runs when.
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Executes the block that was planned, on the threads of `pool`.
    pub fn execute<'w, DB>(
        &self,
        block: &Block,
        state: &DB,
        workers: impl Into<Workers<'w>>,
    ) -> Result<BlockOutcome, ExecutionError<DB::Error>>
    where
        DB: DatabaseRef<Error: Send> + Sync,
    {
        self.execute_as(ExecutionMode::Auto, block, state, workers)
    }

    /// The same as [`execute`](Self::execute), in a mode of the caller's choice.
    pub fn execute_as<'w, DB>(
        &self,
        mode: ExecutionMode,
        block: &Block,
        state: &DB,
        workers: impl Into<Workers<'w>>,
    ) -> Result<BlockOutcome, ExecutionError<DB::Error>>
    where
        DB: DatabaseRef<Error: Send> + Sync,
    {
        execute_as(mode, block, state, &self.graph, &self.schedule, workers)
    }
}

/// Predicts what each transaction of a block touches, from the state before it. A
/// panic of the state's is an error.
pub fn predict<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    predictor: &impl Predictor<DB>,
) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
    PanickedError::catch(|| predictor.predict(block, state))?
}

/// Predicts and executes a block, both at once ([`execute_predicted`]). The
/// outcome equals that of [`sequential`](crate::sequential), statistics aside;
/// `state` is only read. A state that is [`Cancellable`](crate::Cancellable) can
/// end it at a deadline. A block that is not worth a prediction is run without one.
pub fn execute_block<'w, DB>(
    block: &Block,
    state: &DB,
    predictor: &(impl Predictor<DB> + ?Sized),
    workers: impl Into<Workers<'w>>,
) -> Result<BlockOutcome, BlockError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    execute_predicted(block, state, predictor, workers).map_err(BlockError::from)
}
