//! What a recorder of `metrics` and a subscriber of `tracing` are told of a block.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use forewave::{
    PredictorKind, execute_block,
    input::{BlockInput, LoadOptions},
};
use rayon::ThreadPoolBuilder;
use tracing_subscriber::fmt::format::FmtSpan;

/// One test at a time: a span that is first met where there is no subscriber is none elsewhere.
static ALONE: Mutex<()> = Mutex::new(());

fn block(name: &str) -> BlockInput {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks").join(name);
    BlockInput::load(&directory, &LoadOptions::default()).unwrap()
}

/// Where a subscriber writes.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_step_of_a_block_is_a_span() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let BlockInput { block, state, .. } = block("mixed-defi");
    let plan = forewave::Plan::new(tracing::subscriber::with_default(subscriber, || {
        let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let predictions = forewave::predict(&block, &state, &PredictorKind::Static).unwrap();
        let plan = forewave::Plan::to_run(&block, &state, predictions.clone()).unwrap();
        let plan = plan.run_plan(&block).on_all_threads();
        forewave::execute(&block, &state, &plan, &pool).unwrap();
        predictions
    }));
    assert_eq!(plan.predictions().len(), block.transactions.len());
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    for span in ["predict{", "run{", "close{"] {
        let lines = text.lines().filter(|line| line.contains(span) && line.contains("time.busy"));
        assert_eq!(lines.count(), if span == "run{" { 2 } else { 1 }, "{span} in\n{text}");
    }
}

/// Counters and histograms by name.
#[derive(Default)]
struct Recorder {
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    samples: Mutex<BTreeMap<String, Arc<Samples>>>,
}

#[derive(Default)]
struct Samples(Mutex<Vec<f64>>);

impl metrics::HistogramFn for Samples {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }
    fn describe_gauge(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }
    fn describe_histogram(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        let mut counters = self.counters.lock().unwrap();
        metrics::Counter::from_arc(Arc::clone(counters.entry(key.name().to_owned()).or_default()))
    }

    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::noop()
    }

    fn register_histogram(
        &self,
        key: &metrics::Key,
        _: &metrics::Metadata<'_>,
    ) -> metrics::Histogram {
        let mut samples = self.samples.lock().unwrap();
        metrics::Histogram::from_arc(Arc::clone(samples.entry(key.name().to_owned()).or_default()))
    }
}

#[test]
fn a_block_that_runs_is_counted() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let BlockInput { block, state, .. } = block("mixed-defi");
    let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let plan = forewave::RunPlan::in_block_order(&block).on_all_threads();
    let recorder = Recorder::default();
    let (outcome, late) = metrics::with_local_recorder(&recorder, || {
        let outcome = forewave::execute(&block, &state, &plan, &pool).unwrap();
        execute_block(&block, &state, &PredictorKind::None, &pool).unwrap();
        (outcome, forewave::predict(&block, &state, &PredictorKind::StaticLate).unwrap())
    });
    assert_eq!(late.len(), block.transactions.len());
    let counters = recorder.counters.lock().unwrap();
    let counted = |name: &str| counters.get(name).map_or(0, |count| count.load(Ordering::Relaxed));
    assert_eq!(counted("forewave_transactions_total"), 2 * block.transactions.len() as u64);
    let reexecuted = outcome.stats.reexecuted.len() as u64;
    assert!(counted("forewave_reexecutions_total") >= reexecuted);
    assert!(counted("forewave_late_predictions_total") > 0);
    let samples = recorder.samples.lock().unwrap();
    let rates = samples["forewave_conflict_rate"].0.lock().unwrap();
    assert_eq!(rates.len(), 2);
    assert!((rates[0] - reexecuted as f64 / block.transactions.len() as f64).abs() < 1e-9);
    assert_eq!(samples["forewave_run_seconds"].0.lock().unwrap().len(), 2);
}
