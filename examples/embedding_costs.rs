//! What a builder pays for each call: predicting, planning, assembling, on one thread.
//!
//! `cargo run --release --example embedding_costs`
//!
//! Predictions are warm: the code of what is called has been summarized before. The transactions are those of
//! the real blocks beside the project, where there are any, and generated ones.

use std::{
    fs,
    time::{Duration, Instant},
};

use forewave::{
    Block, ConflictGraph, Location, MemoryState, PredictedAccess, Predictor, StaticPredictor,
    assembly::{Constraints, Limits, Machine, assemble, assemble_within, candidates},
    commute_payments,
    input::{BlockInput, LoadOptions},
    schedule,
};
use forewave_fixtures::Scenario;

/// Candidates of a large pool.
const CANDIDATES: usize = 10_000;

/// How often everything is measured; the fastest counts.
const ROUNDS: usize = 5;

fn main() {
    let predictor = StaticPredictor::default();
    let real = real_blocks();
    if real.is_empty() {
        println!("there are no real blocks at ../shared/blocks");
    } else {
        let times = real.iter().flat_map(|(block, state)| each(&predictor, block, state));
        print_times("real transactions, predicted one by one", times.collect());
    }
    for scenario in [Scenario::MixedDefi, Scenario::HotPool, Scenario::Transfers] {
        let workload = scenario.generate(CANDIDATES, 1);
        println!("{CANDIDATES} generated transactions, {scenario:?}");
        large_pool(&predictor, &workload.block, &workload.state);
    }
}

/// The real blocks of at least 20 transactions.
fn real_blocks() -> Vec<(Block, MemoryState)> {
    let entries = fs::read_dir("../shared/blocks").into_iter().flatten();
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let inputs =
        paths.iter().filter_map(|path| BlockInput::load(path, &LoadOptions::default()).ok());
    let blocks = inputs.map(|input| (input.block, input.state));
    blocks.filter(|(block, _)| block.transactions.len() >= 20).collect()
}

/// Time to predict each transaction of a block by a call of its own.
fn each(predictor: &StaticPredictor, block: &Block, state: &MemoryState) -> Vec<Duration> {
    let _ = predictor.predict(block, state).expect("the state is in memory");
    // The median over many transactions needs no repetition of each.
    let one = |tx: usize| {
        timed(|| predictor.predict_range(block, state, tx..tx + 1).expect("in memory")).0
    };
    (0..block.transactions.len()).map(one).collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = work();
    (start.elapsed(), value)
}

fn fastest<T>(mut work: impl FnMut() -> T) -> (Duration, T) {
    let mut best: Option<(Duration, T)> = None;
    for _ in 0..ROUNDS {
        let (time, value) = timed(&mut work);
        if best.as_ref().is_none_or(|(least, _)| time < *least) {
            best = Some((time, value));
        }
    }
    best.expect("it was measured at least once")
}

fn print_times(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let us = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e6;
    println!(
        "{what}: {} of them, median {:.1} us, 90th percentile {:.1}, 99th {:.1}",
        times.len(),
        us(50),
        us(90),
        us(99)
    );
}

/// Times and memory of a large pool, all of its transactions together.
fn large_pool(predictor: &StaticPredictor, block: &Block, state: &MemoryState) {
    print_times("  predicted one by one", each(predictor, block, state));
    let mut predictions: Vec<PredictedAccess> =
        predictor.predict(block, state).expect("the state is in memory");
    let bytes: usize = predictions.iter().map(held).sum();
    println!("  {} bytes for each prediction", bytes / predictions.len());
    commute_payments(block, state, &mut predictions).expect("the state is in memory");
    let (time, graph) = fastest(|| ConflictGraph::new(&predictions));
    println!("  conflict graph {:.1} ms", ms(time));
    let (time, planned) = fastest(|| schedule(&graph));
    println!("  schedule {:.1} ms: work {}, span {}", ms(time), planned.work(), planned.span());
    let make =
        || candidates(block, state, &predictions, Constraints::default()).expect("in memory");
    let (time, candidates) = fastest(make);
    println!("  candidates {:.1} ms", ms(time));
    let limits = Limits::of_gas(planned.work() / 2);
    let (time, best) = fastest(|| assemble(&candidates, &limits).expect("nothing is required"));
    println!(
        "  assembled by value {:.1} ms: {} orders, span {}",
        ms(time),
        best.orders.len(),
        best.span
    );
    let bounded = limits.with_span(best.span / 2);
    let (time, half) = fastest(|| assemble(&candidates, &bounded).expect("nothing is required"));
    println!(
        "  at half that span {:.1} ms: {:.2} % of the value",
        ms(time),
        100.0 * half.value as f64 / best.value as f64
    );
    let machine = Machine { cores: 8, gas_per_second: 500_000_000 };
    let in_time = machine.time_of(best.work / 8);
    let (time, timed) = fastest(|| {
        assemble_within(&candidates, &limits, machine, in_time).expect("nothing is required")
    });
    println!(
        "  within {:.1} ms on 8 cores {:.1} ms: {:.2} % of the value, takes {:.1} ms",
        ms(in_time),
        ms(time),
        100.0 * timed.assembly.value as f64 / best.value as f64,
        ms(timed.time)
    );
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Bytes of a prediction: itself and its lists.
fn held(prediction: &PredictedAccess) -> usize {
    let locations =
        prediction.set().iter().count() + prediction.deciding_reads().map_or(0, <[Location]>::len);
    size_of::<PredictedAccess>()
        + locations * size_of::<Location>()
        + size_of_val(prediction.widened())
        + size_of_val(prediction.origins())
        + size_of_val(prediction.values())
}
