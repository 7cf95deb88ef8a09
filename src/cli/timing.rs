//! The clock, and what is timed.

use std::time::{Duration, Instant};

use forewave::{MemoryState, Plan, Predictor, input::BlockInput};

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

/// A predictor that threads may share.
pub(super) type AnyPredictor = dyn Predictor<MemoryState> + Sync;

/// Predicts and plans a block, for those who look at the plan.
pub(super) fn plan(input: &BlockInput, predictor: &AnyPredictor) -> Result<Plan, Failure> {
    let predictions = predictor.predict(&input.block, &input.state)?;
    Ok(Plan::to_run(&input.block, &input.state, predictions)?)
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
