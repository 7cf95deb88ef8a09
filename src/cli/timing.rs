//! The clock, and a parallel run with the clock beside it.

use core::{cell::Cell, ops::ControlFlow};
use std::time::{Duration, Instant};

use forewave::{
    AnalyzeError, Block, BlockOutcome, MemoryState, Plan, PredictedAccess, Predictor, StateError,
    Workers, execute_block, input::BlockInput,
};

use super::diagnostic::Failure;

/// What `work` gives, and how long it took.
pub(super) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = work();
    (value, start.elapsed())
}

/// The median of what was measured; of an even number, the mean of the middle two.
pub(super) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let (upper, lower) = (times.len() / 2, times.len().saturating_sub(1) / 2);
    match (times.get(lower), times.get(upper)) {
        (Some(&lower), Some(&upper)) => (lower + upper) / 2,
        _ => Duration::ZERO,
    }
}

/// How a block is predicted and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Predicted while it runs.
    Overlapped,
    /// Predicted and planned as a whole, then run.
    Planned,
}

/// Where the time of the calling thread went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Phases {
    /// Predicting.
    pub(super) analyze: Duration,
    /// Working out who needs whom; of a plan, drawing the graph and making the schedule.
    pub(super) schedule: Duration,
    /// The rest: executing, which other threads may have begun before.
    pub(super) execute: Duration,
}

impl Phases {
    /// All of them together.
    pub(super) fn total(self) -> Duration {
        self.analyze + self.schedule + self.execute
    }
}

/// Predicts and executes a block.
pub(super) fn run_parallel(
    way: Way,
    input: &BlockInput,
    predictor: &dyn Predictor<MemoryState>,
    workers: Workers<'_>,
) -> Result<(BlockOutcome, Phases), Failure> {
    let BlockInput { block, state, .. } = input;
    match way {
        Way::Overlapped => {
            let clocked = Clocked { predictor, phases: Cell::default() };
            let (outcome, total) = timed(|| execute_block(block, state, &clocked, workers));
            let Phases { analyze, schedule, .. } = clocked.phases.get();
            let execute = total.saturating_sub(analyze + schedule);
            Ok((outcome?, Phases { analyze, schedule, execute }))
        }
        Way::Planned => {
            let (predictions, analyze) = timed(|| predictor.predict(block, state));
            let predictions = predictions?;
            let (plan, schedule) = timed(|| Plan::to_run(block, state, predictions));
            let plan = plan?;
            let (outcome, execute) = timed(|| plan.execute(block, state, workers));
            Ok((outcome?, Phases { analyze, schedule, execute }))
        }
    }
}

/// Predicts and plans a block, for those who look at the plan.
pub(super) fn plan(
    input: &BlockInput,
    predictor: &dyn Predictor<MemoryState>,
) -> Result<Plan, Failure> {
    let predictions = predictor.predict(&input.block, &input.state)?;
    Ok(Plan::to_run(&input.block, &input.state, predictions)?)
}

/// A predictor with the clock beside it.
struct Clocked<'a> {
    predictor: &'a dyn Predictor<MemoryState>,
    phases: Cell<Phases>,
}

impl Predictor<MemoryState> for Clocked<'_> {
    fn predict_each(
        &self,
        block: &Block,
        state: &MemoryState,
        each: &mut dyn FnMut(PredictedAccess) -> ControlFlow<()>,
    ) -> Result<(), AnalyzeError<StateError>> {
        let mut phases = Phases::default();
        let mut last = Instant::now();
        let result = self.predictor.predict_each(block, state, &mut |prediction| {
            let predicted = Instant::now();
            let flow = each(prediction);
            let published = Instant::now();
            phases.analyze += predicted - last;
            phases.schedule += published - predicted;
            last = published;
            flow
        });
        phases.analyze += last.elapsed();
        self.phases.set(phases);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let ms = Duration::from_millis;
        for (times, expected) in
            [(vec![], 0), (vec![3], 3), (vec![9, 1, 2], 2), (vec![1, 2, 4, 9], 3)]
        {
            assert_eq!(median(times.into_iter().map(ms).collect()), ms(expected));
        }
    }
}
