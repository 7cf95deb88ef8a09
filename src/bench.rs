//! What `forewave bench` finds: how a block runs sequentially, and how in parallel
//! at each number of threads.
//!
//! Medians with quartiles in, figures out: the clock and the repetitions are
//! the command line's.

use core::time::Duration;

use serde::Serialize;

use crate::{
    PredictorKind,
    compare::Mismatch,
    report::{BlockHeading, FailedBlock, milliseconds},
};

/// `forewave bench --json`: one object.
#[derive(Clone, Debug, Serialize)]
pub struct BenchReport {
    /// Who predicts, where a way to run a block asks a predictor.
    pub predictor: PredictorKind,
    /// Whether the results of an earlier run were known.
    pub warm: bool,
    /// How often each way was run.
    pub repeat: u32,
    /// Cores of the machine.
    pub cores: usize,
    /// The blocks that were measured, in the order given.
    pub blocks: Vec<BlockBench>,
    /// The blocks that could not be.
    pub failed: Vec<FailedBlock>,
    /// All measured blocks together: medians are added up, then divided. None
    /// where no block was measured.
    pub total: Option<Figures>,
}

impl BenchReport {
    /// Adds a block, and its figures to the total.
    pub fn add(&mut self, block: BlockBench) {
        self.total.get_or_insert_default().add(&block.figures);
        self.blocks.push(block);
    }
}

/// One block.
#[derive(Clone, Debug, Serialize)]
pub struct BlockBench {
    /// Which block.
    #[serde(flatten)]
    pub block: BlockHeading,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// What differed from the sequential outcome or from the header, of the
    /// first run in which anything did.
    pub mismatches: Vec<Mismatch>,
}

/// How a block, or several together, run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Plain revm in block order.
    pub sequential: Sequential,
    /// In parallel, by number of threads, as asked for.
    pub measured: Vec<Measured>,
}

/// Sequential execution.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Sequential {
    /// From block to receipts and state changes.
    pub total_ms: Spread,
    /// User and system time of the whole process.
    pub cpu_ms: Spread,
    /// The most memory that the process held, in bytes, where the system says.
    pub peak_bytes: Option<u64>,
}

/// Parallel execution at one number of threads, and where the time went.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measured {
    /// Threads of the pool.
    pub threads: usize,
    /// Predicting.
    pub predict_ms: Spread,
    /// Drawing the graph and planning the run.
    pub plan_ms: Spread,
    /// Executing.
    pub run_ms: Spread,
    /// All three together.
    pub total_ms: Spread,
    /// Sequential `total_ms` over this one, by medians.
    pub speedup: f64,
    /// User and system time of the whole process.
    pub cpu_ms: Spread,
    /// `cpu_ms` over the sequential one, by medians.
    pub cpu_ratio: f64,
    /// The most memory that the process held, in bytes, where the system says.
    pub peak_bytes: Option<u64>,
    /// The most transactions that ran more than once in a repetition.
    pub reexecuted: usize,
    /// The most transactions in a repetition whose result was known, so that no code ran.
    pub reused: usize,
    /// Blocks that the threads shared; the others ran on the calling thread.
    pub shared: usize,
    /// The most transactions that ran by their prediction in a repetition; 0 where
    /// nothing was predicted.
    pub predicted: usize,
}

/// The median of repeated measurements, and the quartiles around it, in
/// milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the runs took less.
    pub median: f64,
    /// A quarter of the runs took less.
    pub lower: f64,
    /// A quarter of the runs took more.
    pub upper: f64,
}

impl Spread {
    /// The spread of what was measured; zero if nothing was.
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let [lower, median, upper] = [1, 2, 3].map(|quarters| quantile(&times, quarters));
        Self { median, lower, upper }
    }

    fn add(&mut self, other: Self) {
        self.median += other.median;
        self.lower += other.lower;
        self.upper += other.upper;
    }
}

/// The value below which that many quarters of the sorted times lie, in
/// milliseconds, interpolated between neighbours.
fn quantile(sorted: &[Duration], quarters: usize) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let (below, rest) = (quarters * last / 4, quarters * last % 4);
    let (low, high) = (milliseconds(sorted[below]), milliseconds(sorted[(below + 1).min(last)]));
    low + (high - low) * rest as f64 / 4.0
}

impl Figures {
    /// Adds the figures of another block, run in the same ways.
    pub fn add(&mut self, other: &Self) {
        let Self { sequential, measured } = self;
        sequential.total_ms.add(other.sequential.total_ms);
        sequential.cpu_ms.add(other.sequential.cpu_ms);
        sequential.peak_bytes = sequential.peak_bytes.max(other.sequential.peak_bytes);
        measured.resize(other.measured.len(), Measured::default());
        for (sum, one) in measured.iter_mut().zip(&other.measured) {
            sum.threads = one.threads;
            sum.predict_ms.add(one.predict_ms);
            sum.plan_ms.add(one.plan_ms);
            sum.run_ms.add(one.run_ms);
            sum.total_ms.add(one.total_ms);
            sum.cpu_ms.add(one.cpu_ms);
            sum.peak_bytes = sum.peak_bytes.max(one.peak_bytes);
            sum.reexecuted += one.reexecuted;
            sum.reused += one.reused;
            sum.shared += one.shared;
            sum.predicted += one.predicted;
            sum.compare_with(sequential);
        }
    }
}

impl Measured {
    /// Sets the ratios to sequential execution.
    pub fn compare_with(&mut self, sequential: &Sequential) {
        self.speedup = ratio(sequential.total_ms.median, self.total_ms.median);
        self.cpu_ratio = ratio(self.cpu_ms.median, sequential.cpu_ms.median);
    }
}

/// `a` over `b`; 1 where there is nothing to compare.
pub fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_between_the_quartiles() {
        for (times, expected) in [
            (vec![], [0.0, 0.0, 0.0]),
            (vec![3], [3.0, 3.0, 3.0]),
            (vec![9, 1, 5], [3.0, 5.0, 7.0]),
            (vec![8, 2, 4, 6], [3.5, 5.0, 6.5]),
        ] {
            let times = times.into_iter().map(Duration::from_millis).collect();
            let [lower, median, upper] = expected;
            assert_eq!(Spread::new(times), Spread { median, lower, upper });
        }
    }

    #[test]
    fn blocks_are_added_up_before_anything_is_divided() {
        let spread = |median| Spread { median, lower: median, upper: median };
        let figures = |sequential, parallel| Figures {
            sequential: Sequential { total_ms: spread(sequential), ..Sequential::default() },
            measured: vec![Measured {
                threads: 2,
                total_ms: spread(parallel),
                ..Measured::default()
            }],
        };
        let mut total = Figures::default();
        total.add(&figures(10.0, 10.0));
        total.add(&figures(90.0, 40.0));
        assert_eq!((total.measured[0].threads, total.measured[0].speedup), (2, 2.0));
    }
}
