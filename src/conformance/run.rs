//! A block in every way it can be executed, against sequential execution.

use core::fmt;

use forewave_analyzer::{Block, MemoryState, StateError};
use forewave_executor::{
    BlockOutcome, ExecutionError, ExecutionMode, Workers, execute_overlapped, execute_predicted,
    sequential,
};

use super::{Setup, Ways, rejection::Rejection};
use crate::{Plan, PredictorKind, compare::compare_outcomes, predict};

/// The ways to run a plan on several threads, however small the block.
const MODES: [ExecutionMode; 4] = [
    ExecutionMode::Dataflow,
    ExecutionMode::Waves,
    ExecutionMode::Optimistic,
    ExecutionMode::Segments,
];

/// The ways to run it with exact paths, learnt by those before.
const KNOWING_MODES: [ExecutionMode; 3] =
    [ExecutionMode::Serial, ExecutionMode::Optimistic, ExecutionMode::Segments];

/// One way to execute a block did not give what sequential execution gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Divergence {
    predictor: PredictorKind,
    /// Threads and how they were used, once it came to executing.
    on: Option<(usize, ExecutionMode)>,
    difference: String,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { predictor, on, difference } = self;
        match on {
            Some((threads, mode)) => {
                write!(f, "predictor {predictor}, {threads} threads, {mode:?}: {difference}")
            }
            None => write!(f, "predictor {predictor}: {difference}"),
        }
    }
}

/// Executes a block sequentially and with every predictor on every pool, while it
/// is predicted and from a plan in every mode, and with what is learnt of code: all
/// give one outcome, or one error.
pub(super) fn run(
    block: &Block,
    state: &MemoryState,
    setup: &Setup<'_>,
) -> Result<Result<BlockOutcome, Rejection>, Divergence> {
    let truth = sequential(block, state);
    for &predictor in setup.predictors {
        match setup.ways {
            Ways::All => run_all_ways(block, state, predictor, setup, &truth)?,
            Ways::Usual => run_usual_way(block, state, predictor, setup, &truth)?,
        }
    }
    Ok(truth.map_err(Rejection::Execution))
}

/// As an embedder does who chooses nothing.
fn run_usual_way(
    block: &Block,
    state: &MemoryState,
    predictor: PredictorKind,
    setup: &Setup<'_>,
    truth: &Executed,
) -> Result<(), Divergence> {
    for pool in setup.pools {
        let found = execute_predicted(block, state, &predictor, pool);
        if let Some(difference) = difference(&found, truth) {
            let on = Some((pool.current_num_threads(), ExecutionMode::Auto));
            return Err(Divergence { predictor, on, difference });
        }
    }
    Ok(())
}

fn run_all_ways(
    block: &Block,
    state: &MemoryState,
    predictor: PredictorKind,
    setup: &Setup<'_>,
    truth: &Executed,
) -> Result<(), Divergence> {
    let diverges = |on, difference| Divergence { predictor, on, difference };
    let predictions = predict(block, state, &predictor)
        .map_err(|error| diverges(None, format!("no prediction: {error}")))?;
    let plan = Plan::to_run(block, state, predictions)
        .map_err(|error| diverges(None, format!("no plan: {error}")))?;
    for pool in setup.pools {
        let found = execute_overlapped(block, state, &predictor, pool);
        if let Some(difference) = difference(&found, truth) {
            let on = (pool.current_num_threads(), ExecutionMode::Overlapped);
            return Err(diverges(Some(on), difference));
        }
    }
    let alone = setup.pools.iter().flat_map(|pool| MODES.map(|mode| (Workers::new(pool), mode)));
    let knowing = setup.pools.iter().flat_map(|pool| {
        KNOWING_MODES.map(|mode| (Workers::new(pool).with_paths(setup.paths), mode))
    });
    for (workers, mode) in alone.chain(knowing) {
        let found = plan.execute_as(mode, block, state, workers);
        if let Some(difference) = difference(&found, truth) {
            return Err(diverges(Some((workers.threads(), mode)), difference));
        }
    }
    Ok(())
}

type Executed = Result<BlockOutcome, ExecutionError<StateError>>;

fn difference(found: &Executed, truth: &Executed) -> Option<String> {
    match (found, truth) {
        (Ok(found), Ok(truth)) => compare_outcomes(found, truth).map(|mismatch| {
            let (field, expected) = (mismatch.field, mismatch.expected);
            format!("{field} is {}, sequentially {expected}", mismatch.found)
        }),
        (Err(found), Err(truth)) if found == truth => None,
        (Err(found), Err(truth)) => Some(format!("{found}; sequentially: {truth}")),
        (Err(found), Ok(_)) => Some(format!("{found}; sequentially it executes")),
        (Ok(_), Err(truth)) => Some(format!("it executes; sequentially: {truth}")),
    }
}
