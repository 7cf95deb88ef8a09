//! Block to outcome: sequentially; in parallel from a plan that is ready; and
//! the whole way, analysis and scheduling included.
//!
//! Every set-up checks that the parallel outcome equals the sequential one.

#[path = "support/cases.rs"]
mod cases;

use std::{thread::available_parallelism, time::Duration};

use cases::Case;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use forewave::{Plan, PredictorKind, execute_block, predict, sequential};
use rayon::{ThreadPool, ThreadPoolBuilder};

fn bench(c: &mut Criterion) {
    let pools: Vec<ThreadPool> = thread_counts().into_iter().map(pool).collect();
    let mut group = c.benchmark_group("execute");
    for case in cases::cases() {
        group.throughput(Throughput::Elements(case.transactions()));
        bench_sequential(&mut group, &case);
        for pool in &pools {
            bench_parallel(&mut group, &case, pool);
        }
    }
    group.finish();
}

fn bench_sequential(group: &mut BenchmarkGroup<'_, WallTime>, case: &Case) {
    group.bench_function(BenchmarkId::new("sequential", &case.name), |b| {
        b.iter(|| sequential(&case.block, &case.state).expect("a valid block"));
    });
}

fn bench_parallel(group: &mut BenchmarkGroup<'_, WallTime>, case: &Case, pool: &ThreadPool) {
    let Case { name, block, state } = case;
    let threads = pool.current_num_threads();
    let predictions = predict(block, state, &PredictorKind::Static).expect("state in memory");
    let plan = Plan::to_run(block, state, predictions).expect("state in memory");
    let run = || plan.execute(block, state, pool).expect("a valid block");
    let whole =
        || execute_block(block, state, &PredictorKind::Static, pool).expect("a valid block");

    let expected = sequential(block, state).expect("a valid block");
    for outcome in [run(), whole()] {
        assert_eq!(outcome.first_difference(&expected), None, "{name} at {threads} threads");
    }
    group.bench_function(BenchmarkId::new(format!("planned-{threads}"), name), |b| b.iter(run));
    group.bench_function(BenchmarkId::new(format!("whole-{threads}"), name), |b| b.iter(whole));
}

/// One, two, and as many threads as the machine has.
fn thread_counts() -> Vec<usize> {
    let mut counts = vec![1, 2, available_parallelism().map_or(1, usize::from)];
    counts.sort_unstable();
    counts.dedup();
    counts
}

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started")
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = bench
}
criterion_main!(benches);
