//! Blocks whose state is far away: sequentially, and with reads fetched ahead.
//!
//! A state in memory that answers late, at most 16 reads at a time, one by one or
//! in batches; or, given `FOREWAVE_DISK_SLOTS`, an embedded database on disk
//! (redb), so many slots large. Every run is compared with sequential execution on
//! the state in memory. Arguments name the blocks; without any, all are measured.

#[path = "support/disk.rs"]
mod disk;

use std::{
    env, fs,
    time::{Duration, Instant},
};

use disk::Disk;
use forewave::{
    Block, BlockOutcome, MemoryState, PredictorKind, PrefetchStats, Prefetched, StateView,
    execute_block, sequential, with_prefetch,
};
use forewave_fixtures::{Scenario, SlowState, Workload};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Reads that are answered at a time.
const READS_AT_A_TIME: usize = 16;

/// Reads that a request may ask for, and threads that make requests: enough for
/// all the reads that are answered at a time, and for preparing the next.
const REQUESTS: [(usize, usize); 2] = [(1, READS_AT_A_TIME), (8, 4)];

/// Threads that execute.
const THREADS: usize = 2;

/// Runs of each way; the median counts.
const REPEAT: usize = 5;

/// Seed of the generated blocks.
const SEED: u64 = 1;

/// How long a read takes, in microseconds.
const LATENCIES_US: [u64; 2] = [20, 100];

/// The blocks, each with its number of transactions.
const CASES: [(Scenario, usize); 5] = [
    (Scenario::Transfers, 2000),
    (Scenario::TokenTransfers, 2000),
    (Scenario::Swaps, 400),
    (Scenario::HotPool, 400),
    (Scenario::MixedDefi, 500),
];

fn main() {
    wake_on_time();
    let workers = pool(THREADS);
    println!("median of {REPEAT}; ms (speed-up, reads ahead + on demand)");
    println!(
        "{:<16} {:>14} {:>5} {:>7} {:>10} {:>8}  {:<27} {:<27}",
        "block",
        "state",
        "txs",
        "reads",
        "sequential",
        "us/read",
        "sequential, prefetched",
        "parallel, prefetched"
    );
    // Cargo's own options apart, arguments name the blocks to measure.
    let names: Vec<String> = env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let is_named = |case: &Case| names.is_empty() || names.contains(&case.name);
    let cases: Vec<Case> = CASES.into_iter().map(Case::new).filter(is_named).collect();
    if let Ok(slots) = env::var("FOREWAVE_DISK_SLOTS") {
        let slots = slots.parse().expect("a number of slots");
        let pools = Pools { fetchers: pool(READS_AT_A_TIME), workers };
        for case in &cases {
            let disk = Disk::new(&case.state, slots).expect("a database can be written");
            let state = format!("{} MB on disk", disk.bytes() >> 20);
            case.measure(&state, &pools, || disk.open_cold().expect("the database opens"));
        }
        return;
    }
    let mut pools = Pools { fetchers: pool(1), workers };
    for (batch, fetchers) in REQUESTS {
        pools.fetchers = pool(fetchers);
        for latency in LATENCIES_US {
            let state = format!("{latency} us, {batch} each");
            for case in &cases {
                let latency = Duration::from_micros(latency);
                case.measure(&state, &pools, || {
                    SlowState::new(&case.state, latency, READS_AT_A_TIME, batch)
                });
            }
        }
    }
}

/// Lets sleeping threads wake when they asked to, not up to 50 us later. The
/// threads started from here on inherit it; where it cannot be set, each read
/// takes longer for everybody, and the figures say so.
fn wake_on_time() {
    drop(fs::write("/proc/self/timerslack_ns", "1"));
}

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started")
}

/// Who fetches and who executes.
struct Pools {
    fetchers: ThreadPool,
    workers: ThreadPool,
}

/// A block, and its state in memory.
struct Case {
    name: String,
    block: Block,
    state: MemoryState,
    truth: BlockOutcome,
    /// Reads of a sequential run.
    reads: u64,
}

impl Case {
    fn new((scenario, count): (Scenario, usize)) -> Self {
        let Workload { block, state } = scenario.generate(count, SEED);
        let truth = sequential(&block, &state).expect("a valid block");
        let counted = SlowState::new(&state, Duration::ZERO, 1, 1);
        drop(sequential(&block, &counted));
        let reads = counted.reads();
        Self { name: scenario.to_string(), block, state, truth, reads }
    }

    /// Runs the block on fresh states, in each way, and prints a row.
    fn measure<DB>(&self, state: &str, pools: &Pools, fresh: impl Fn() -> DB)
    where
        DB: StateView<Error: Send> + Sync,
    {
        let Pools { fetchers, workers } = pools;
        let plain = |db: &DB| sequential(&self.block, db).expect("a valid block");
        let predictor = PredictorKind::Static;
        let parallel = |db: &Prefetched<'_, DB>| {
            execute_block(&self.block, db, &predictor, workers).expect("a valid block")
        };
        let (mut alone, mut ahead, mut both) = (vec![], vec![], vec![]);
        for _ in 0..REPEAT {
            let db = fresh();
            alone.push(self.timed(|| (plain(&db), PrefetchStats::default())));
            // A database on disk is open once at a time.
            drop(db);
            let db = fresh();
            ahead.push(self.timed(|| {
                with_prefetch(&self.block, &db, &[], fetchers, |db| {
                    sequential(&self.block, db).expect("a valid block")
                })
            }));
            drop(db);
            let db = fresh();
            both.push(self.timed(|| with_prefetch(&self.block, &db, &[], fetchers, parallel)));
        }
        let reads = self.reads;
        let (alone, _) = median(alone);
        let cell = |runs| {
            let (time, PrefetchStats { ahead, on_demand, .. }) = median(runs);
            format!("{:.1} ({:.2}, {ahead} + {on_demand})", ms(time), ms(alone) / ms(time))
        };
        println!(
            "{:<16} {state:>14} {:>5} {reads:>7} {:>10.1} {:>8.1}  {:<27} {:<27}",
            self.name,
            self.block.transactions.len(),
            ms(alone),
            ms(alone) * 1e3 / reads as f64,
            cell(ahead),
            cell(both),
        );
    }

    /// How long a run took, and who read how much.
    fn timed(
        &self,
        run: impl FnOnce() -> (BlockOutcome, PrefetchStats),
    ) -> (Duration, PrefetchStats) {
        let start = Instant::now();
        let (outcome, stats) = run();
        let time = start.elapsed();
        assert_eq!(outcome.first_difference(&self.truth), None, "{}", self.name);
        (time, stats)
    }
}

fn median(mut runs: Vec<(Duration, PrefetchStats)>) -> (Duration, PrefetchStats) {
    runs.sort_unstable_by_key(|(time, _)| *time);
    runs[runs.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
