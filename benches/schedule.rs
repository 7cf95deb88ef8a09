//! Predictions to conflict graph, and graph to schedule, on one thread.

#[path = "support/cases.rs"]
mod cases;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use forewave::{ConflictGraph, PredictorKind, predict, verify};

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("schedule");
    for case in cases::cases() {
        group.throughput(Throughput::Elements(case.transactions()));
        let predictions =
            predict(&case.block, &case.state, &PredictorKind::Static).expect("state in memory");
        let graph = ConflictGraph::new(&predictions);
        verify(&forewave::schedule(&graph), &graph).expect("a schedule keeps its graph's order");
        group.bench_function(BenchmarkId::new("graph", &case.name), |b| {
            b.iter(|| ConflictGraph::new(&predictions));
        });
        group.bench_function(BenchmarkId::new("schedule", &case.name), |b| {
            b.iter(|| forewave::schedule(&graph));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = bench
}
criterion_main!(benches);
