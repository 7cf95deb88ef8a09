//! The clock, and a parallel run with the clock beside it.

use std::time::{Duration, Instant};

use forewave::{BlockOutcome, MemoryState, Plan, Predictor, input::BlockInput};
use rayon::ThreadPool;

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

/// One parallel run, from block to outcome.
#[derive(Debug)]
pub(super) struct ParallelRun {
    pub(super) plan: Plan,
    pub(super) outcome: BlockOutcome,
    pub(super) phases: Phases,
}

/// How long each part of a parallel run took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phases {
    /// Predicting.
    pub(super) analyze: Duration,
    /// Drawing the graph and making the schedule.
    pub(super) schedule: Duration,
    /// Executing.
    pub(super) execute: Duration,
}

impl Phases {
    /// All of them together.
    pub(super) fn total(self) -> Duration {
        self.analyze + self.schedule + self.execute
    }
}

/// Predicts, plans and executes a block.
pub(super) fn run_parallel(
    input: &BlockInput,
    predictor: &dyn Predictor<MemoryState>,
    pool: &ThreadPool,
) -> Result<ParallelRun, Failure> {
    let BlockInput { block, state, .. } = input;
    let (predictions, analyze) = timed(|| predictor.predict(block, state));
    let predictions = predictions?;
    let (plan, schedule) = timed(|| Plan::to_run(block, state, predictions));
    let plan = plan?;
    let (outcome, execute) = timed(|| plan.execute(block, state, pool));
    let phases = Phases { analyze, schedule, execute };
    Ok(ParallelRun { plan, outcome: outcome?, phases })
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
