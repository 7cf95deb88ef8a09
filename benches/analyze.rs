//! Block to predictions, on one thread, by predictor.
//!
//! `recon` executes every transaction, so it is the price of not analysing.

#[path = "support/cases.rs"]
mod cases;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use forewave::{PredictorKind, predict};

const PREDICTORS: [PredictorKind; 3] =
    [PredictorKind::None, PredictorKind::Static, PredictorKind::Recon];

fn analyze(c: &mut Criterion) {
    let mut group = c.benchmark_group("analyze");
    for case in cases::cases() {
        group.throughput(Throughput::Elements(case.transactions()));
        for predictor in PREDICTORS {
            let id = BenchmarkId::new(predictor.name(), &case.name);
            group.bench_with_input(id, &case, |b, case| {
                b.iter(|| predict(&case.block, &case.state, &predictor).expect("state in memory"));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = analyze
}
criterion_main!(benches);
