//! What a block's run tells those who watch: spans of `tracing`, counters and histograms of
//! `metrics`, each behind the feature of its name. Without them all of this is empty.
//!
//! | Metric | Kind | What it is |
//! |---|---|---|
//! | `forewave_transactions_total` | counter | transactions executed |
//! | `forewave_predicted_total` | counter | of them, those that ran by a prediction |
//! | `forewave_reexecutions_total` | counter | of them, those that ran more than once |
//! | `forewave_reused_total` | counter | of them, those whose result was known |
//! | `forewave_late_predictions_total` | counter | transactions predicted again, since an earlier one writes what the prediction was computed from |
//! | `forewave_prefetch_hits_total`, `_misses_total` | counter | reads made ahead, and those made on demand |
//! | `forewave_conflict_rate` | histogram | of each block, the part of its transactions that ran more than once |
//! | `forewave_predict_seconds`, `_plan_seconds`, `_run_seconds` | histogram | what each step of a block took |
//!
//! Spans, each once for a block, at level `INFO`: `predict`, `plan`, `run`, and in it `close`.
//! Transactions are committed while others run, so that committing has no span of its own.

use forewave_analyzer::Block;

use crate::{ExecutionStats, PrefetchStats};

/// A step of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its transactions are predicted.
    Predict,
    /// The graph is drawn, and what runs when is planned.
    Plan,
    /// It runs, up to its outcome.
    Run,
    /// What it changes is worked out, once its transactions are done.
    Close,
}

/// A span that ends when it is dropped.
#[cfg(feature = "tracing")]
pub type StepSpan = tracing::span::EnteredSpan;

/// A span that ends when it is dropped: none without `tracing`.
#[cfg(not(feature = "tracing"))]
#[derive(Clone, Copy, Debug)]
pub struct StepSpan;

/// The span of a step of this block.
#[cfg(feature = "tracing")]
#[must_use = "a span ends when it is dropped"]
pub fn span(step: Step, block: &Block) -> StepSpan {
    let (number, transactions) = (block.number(), block.transactions.len());
    match step {
        Step::Predict => tracing::info_span!(target: "forewave", "predict", number, transactions),
        Step::Plan => tracing::info_span!(target: "forewave", "plan", number, transactions),
        Step::Run => tracing::info_span!(target: "forewave", "run", number, transactions),
        Step::Close => tracing::info_span!(target: "forewave", "close", number, transactions),
    }
    .entered()
}

/// The span of a step of this block.
#[cfg(not(feature = "tracing"))]
#[must_use = "a span ends when it is dropped"]
pub const fn span(_: Step, _: &Block) -> StepSpan {
    StepSpan
}

/// Counts a block that has run.
#[cfg(feature = "metrics")]
pub fn count_run(transactions: usize, stats: &ExecutionStats) {
    let reexecuted = stats.reexecuted.len();
    metrics::counter!("forewave_transactions_total").increment(transactions as u64);
    metrics::counter!("forewave_predicted_total").increment(stats.predicted as u64);
    metrics::counter!("forewave_reexecutions_total").increment(reexecuted as u64);
    metrics::counter!("forewave_reused_total").increment(stats.reused as u64);
    if transactions > 0 {
        let rate = reexecuted as f64 / transactions as f64;
        metrics::histogram!("forewave_conflict_rate").record(rate);
    }
    metrics::histogram!("forewave_run_seconds").record(seconds(stats.run_ns));
}

/// Counts a block that has run.
#[cfg(not(feature = "metrics"))]
pub const fn count_run(_: usize, _: &ExecutionStats) {}

/// Counts what predicting and planning a block took.
#[cfg(feature = "metrics")]
pub fn count_plan(predict_ns: u64, plan_ns: u64) {
    metrics::histogram!("forewave_predict_seconds").record(seconds(predict_ns));
    metrics::histogram!("forewave_plan_seconds").record(seconds(plan_ns));
}

/// Counts what predicting and planning a block took.
#[cfg(not(feature = "metrics"))]
pub const fn count_plan(_: u64, _: u64) {}

/// Counts reads of a state in front of which there was a cache.
#[cfg(feature = "metrics")]
pub(crate) fn count_prefetch(stats: PrefetchStats) {
    metrics::counter!("forewave_prefetch_hits_total").increment(stats.ahead);
    metrics::counter!("forewave_prefetch_misses_total").increment(stats.on_demand);
}

/// Counts reads of a state in front of which there was a cache.
#[cfg(not(feature = "metrics"))]
pub(crate) const fn count_prefetch(_: PrefetchStats) {}

#[cfg(feature = "metrics")]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
