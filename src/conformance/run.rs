//! A block in every way it can be executed, against sequential execution.

use core::fmt;

use forewave_analyzer::{Block, MemoryState, StateError};
use forewave_executor::{BlockOutcome, ExecutionError, RunPlan, execute, sequential};
use rayon::ThreadPool;

use super::{Setup, Ways, rejection::Rejection};
use crate::{BlockError, Plan, PredictorKind, compare::compare_outcomes, execute_block, predict};

/// One way to execute a block did not give what sequential execution gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Divergence {
    predictor: PredictorKind,
    /// On how many threads and by what plan, once it came to executing.
    on: Option<(usize, &'static str)>,
    difference: String,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { predictor, on, difference } = self;
        match on {
            Some((threads, plan)) => {
                write!(f, "predictor {predictor}, {threads} threads, {plan}: {difference}")
            }
            None => write!(f, "predictor {predictor}: {difference}"),
        }
    }
}

/// Executes a block sequentially and with every predictor on every pool, in the ways that
/// are asked for: all give one outcome, or one error.
pub(super) fn run(
    block: &Block,
    state: &MemoryState,
    setup: &Setup<'_>,
) -> Result<Result<BlockOutcome, Rejection>, Divergence> {
    let truth = sequential(block, state);
    for &predictor in setup.predictors {
        for pool in setup.pools {
            let run = Run { block, state, truth: &truth, predictor, pool };
            if setup.ways == Ways::All {
                run.on_all_threads()?;
            }
            run.usual()?;
        }
    }
    Ok(truth.map_err(Rejection::Execution))
}

/// A block to be run with one predictor on one pool.
struct Run<'a> {
    block: &'a Block,
    state: &'a MemoryState,
    truth: &'a Executed,
    predictor: PredictorKind,
    pool: &'a ThreadPool,
}

impl Run<'_> {
    /// As an embedder does who chooses nothing.
    fn usual(&self) -> Result<(), Divergence> {
        let Self { block, state, predictor, pool, .. } = self;
        match execute_block(block, state, predictor, *pool) {
            Ok(found) => self.check("as usual", &Ok(found)),
            Err(BlockError::Execute(error)) => self.check("as usual", &Err(error)),
            Err(BlockError::Analyze(error)) => {
                Err(self.differs(None, format!("no prediction: {error}")))
            }
        }
    }

    /// However small the block is.
    fn on_all_threads(&self) -> Result<(), Divergence> {
        let Self { block, state, predictor, pool, .. } = *self;
        let predictions = predict(block, state, &predictor)
            .map_err(|error| self.differs(None, format!("no prediction: {error}")))?;
        let plan = Plan::to_run(block, state, predictions)
            .map_err(|error| self.differs(None, format!("no plan: {error}")))?;
        for (name, plan) in [
            ("planned", plan.run_plan(block)),
            ("in block order", RunPlan::in_block_order(block)),
            ("by its access list", RunPlan::by_access_list(block)),
        ] {
            self.check(name, &execute(block, state, &plan.on_all_threads(), pool))?;
        }
        Ok(())
    }

    fn check(&self, plan: &'static str, found: &Executed) -> Result<(), Divergence> {
        let on = (self.pool.current_num_threads(), plan);
        difference(found, self.truth)
            .map_or(Ok(()), |difference| Err(self.differs(Some(on), difference)))
    }

    const fn differs(&self, on: Option<(usize, &'static str)>, difference: String) -> Divergence {
        Divergence { predictor: self.predictor, on, difference }
    }
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
