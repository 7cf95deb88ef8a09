//! What parallel execution gains on generated blocks of every kind that we care
//! about: a table of sequential against whole parallel runs, predicting and
//! scheduling included, with the state in memory.
//!
//! `cargo run --release --example workloads -- [--threads 2] [--repeat 7] [--only NAME]... [--fork FORK] [--json]`
//!
//! The ways to run a block take turns. Each outcome is compared with sequential
//! execution before anything is timed. Predictors have seen nothing before a run.

#[path = "../src/cli/process.rs"]
mod process;

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use clap::Parser;
use forewave::{
    Block, BlockOutcome, MemoryState, PredictorKind, StateExtent,
    bench::{Spread, ratio},
    execute_block, sequential,
};
use forewave_fixtures::{GIGAGAS_TOKEN_TRANSFERS, GIGAGAS_TRANSFERS, Scenario, Workload};
use rayon::{ThreadPool, ThreadPoolBuilder};
use revm::primitives::hardfork::SpecId;
use serde::Serialize;

use self::process::{with_cpu_time, with_peak_memory};

/// Of the whole program, so that it favours neither way to execute a block.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seed of the generated blocks.
const SEED: u64 = 1;

/// Swaps of one block.
const SWAPS: usize = 6000;

/// Transactions of a hostile block.
const HOSTILE: usize = 3000;

/// Transactions of the block with a large change set: 10,000 slots read for the first time.
const READERS: usize = 5_001;

/// The predictors.
const WAYS: [PredictorKind; 2] = [PredictorKind::None, PredictorKind::Static];

/// The blocks: kind, transactions, and the speed-up on two threads that is the aim.
const CASES: [(Scenario, usize, f64); 11] = [
    (Scenario::Transfers, GIGAGAS_TRANSFERS, 3.0),
    (Scenario::HotTransfers { percent: 90 }, GIGAGAS_TRANSFERS, 2.0),
    (Scenario::NonceChain, GIGAGAS_TRANSFERS, 2.0),
    (Scenario::TokenTransfers, GIGAGAS_TOKEN_TRANSFERS, 1.7),
    (Scenario::HotTokenTransfers { percent: 30 }, GIGAGAS_TOKEN_TRANSFERS, 1.6),
    (Scenario::Swaps, SWAPS, 1.85),
    (Scenario::HotPool, SWAPS, 0.97),
    (Scenario::HashedTargets, HOSTILE, 0.9),
    (Scenario::TurnedBranches, HOSTILE, 0.9),
    (Scenario::LateConflicts, HOSTILE, 0.9),
    (Scenario::LargeChangeSet, READERS, 1.0),
];

/// Sequential against parallel execution of generated blocks.
#[derive(Debug, Parser)]
struct Args {
    /// Threads of the parallel runs.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Runs of each way; medians count.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Only workloads of this name; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The rules of another fork than the workloads are made for; from Amsterdam on the access
    /// list (EIP-7928) is made.
    #[arg(long, value_name = "FORK", value_parser = spec)]
    fork: Option<SpecId>,
    /// One line of JSON for each workload.
    #[arg(long)]
    json: bool,
}

fn spec(name: &str) -> Result<SpecId, String> {
    name.parse().map_err(|_| format!("{name} is no fork"))
}

/// What was found of one workload.
#[derive(Debug, Serialize)]
struct Found {
    workload: String,
    transactions: usize,
    gas_used: u64,
    threads: usize,
    repeat: u32,
    aim: f64,
    sequential: Cost,
    parallel: Vec<Row>,
}

/// What was found of one workload with one predictor.
#[derive(Debug, Serialize)]
struct Row {
    predictor: PredictorKind,
    #[serde(flatten)]
    cost: Cost,
    /// Sequential time over this, by medians.
    speedup: f64,
    /// Processor time of this over sequential, by medians.
    cpu_ratio: f64,
    /// Threads that shared the block in the last run.
    shared_by: usize,
    /// The most transactions that ran more than once in a run.
    reexecuted: usize,
    /// The fewest transactions in a run that were predicted and ran by that.
    predicted: usize,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    total_ms: Spread,
    /// User and system time of the whole process.
    cpu_ms: Spread,
    /// The most memory that was resident, in bytes, where the system says.
    peak_bytes: Option<u64>,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let pool = ThreadPoolBuilder::new().num_threads(args.threads).build();
    let pool = pool.map_err(io::Error::other)?;
    let mut out = io::stdout().lock();
    if !args.json {
        heading(&mut out, &args)?;
    }
    for (scenario, count, aim) in CASES {
        let name = scenario.to_string();
        if !args.only.is_empty() && !args.only.contains(&name) {
            continue;
        }
        let mut workload = scenario.generate(count, SEED);
        if let Some(fork) = args.fork {
            workload.block.cfg.set_spec_and_mainnet_gas_params(fork);
            workload.block.makes_access_list = fork.is_enabled_in(SpecId::AMSTERDAM);
            // Without the contracts of the protocol.
            workload.block.state_extent = StateExtent::Touched;
        }
        let found = measure(&args, name, aim, &workload, &pool);
        if args.json {
            serde_json::to_writer(&mut out, &found)?;
            writeln!(out)?;
        } else {
            rows(&mut out, &found)?;
        }
        out.flush()?;
    }
    Ok(())
}

/// Runs of one way.
#[derive(Debug, Default)]
struct Runs {
    times: Vec<Duration>,
    cpu: Vec<Duration>,
    peak: Option<u64>,
}

impl Runs {
    /// Runs the block once more; what becomes of the outcome is not timed.
    fn add(&mut self, run: impl FnOnce() -> BlockOutcome) -> BlockOutcome {
        let timed = || {
            let start = Instant::now();
            let outcome = run();
            (outcome, start.elapsed())
        };
        let (((outcome, time), cpu), peak) = with_peak_memory(|| with_cpu_time(timed));
        self.times.push(time);
        self.cpu.extend(cpu);
        self.peak = self.peak.max(peak);
        outcome
    }

    fn cost(self) -> Cost {
        let Self { times, cpu, peak } = self;
        Cost { total_ms: Spread::new(times), cpu_ms: Spread::new(cpu), peak_bytes: peak }
    }
}

fn measure(
    args: &Args,
    workload: String,
    aim: f64,
    Workload { block, state }: &Workload,
    pool: &ThreadPool,
) -> Found {
    let run = |way| parallel(block, state, way, pool);
    let truth = sequential(block, state).expect("a valid block");
    for way in WAYS {
        let difference = run(way).first_difference(&truth);
        assert_eq!(difference, None, "{workload}, {way:?}");
    }
    let mut alone = Runs::default();
    let mut together = WAYS.map(|_| (Runs::default(), Vec::new()));
    for _ in 0..args.repeat {
        drop(alone.add(|| sequential(block, state).expect("a valid block")));
        for (way, (runs, stats)) in WAYS.into_iter().zip(&mut together) {
            stats.push(runs.add(|| run(way)).stats);
        }
    }
    let sequential = alone.cost();
    let rows = WAYS.into_iter().zip(together).map(|(predictor, (runs, stats))| {
        let cost = runs.cost();
        Row {
            predictor,
            cost,
            speedup: ratio(sequential.total_ms.median, cost.total_ms.median),
            cpu_ratio: ratio(cost.cpu_ms.median, sequential.cpu_ms.median),
            shared_by: stats.last().map_or(1, |stats| stats.threads),
            reexecuted: stats.iter().map(|stats| stats.reexecuted.len()).max().unwrap_or_default(),
            predicted: stats.iter().map(|stats| stats.predicted).min().unwrap_or_default(),
        }
    });
    Found {
        workload,
        transactions: block.transactions.len(),
        gas_used: truth.gas_used,
        threads: args.threads,
        repeat: args.repeat,
        aim,
        sequential,
        parallel: rows.collect(),
    }
}

fn parallel(
    block: &Block,
    state: &MemoryState,
    predictor: PredictorKind,
    pool: &ThreadPool,
) -> BlockOutcome {
    execute_block(block, state, &predictor, pool).expect("a valid block")
}

fn heading(out: &mut impl Write, args: &Args) -> io::Result<()> {
    let Args { threads, repeat, .. } = args;
    writeln!(out, "{threads} threads, medians of {repeat}, quartiles in brackets; times in ms")?;
    writeln!(
        out,
        "{:<22} {:>6} {:>6} {:<21} {:<9} {:<21} {:>5} {:>5} {:>5} {:>6} {:>9} {:>5} {:>9}",
        "workload",
        "txs",
        "Mgas",
        "sequential",
        "predictor",
        "parallel, whole",
        "ratio",
        "aim",
        "CPU",
        "re-run",
        "predicted",
        "MB",
        "shared by",
    )
}

fn rows(out: &mut impl Write, found: &Found) -> io::Result<()> {
    for row in &found.parallel {
        writeln!(
            out,
            "{:<22} {:>6} {:>6.0} {:<21} {:<9} {:<21} {:>5.2} {:>5.2} {:>5.2} {:>6} {:>9} {:>5} {:>9}",
            found.workload,
            found.transactions,
            found.gas_used as f64 / 1e6,
            text(found.sequential.total_ms),
            row.predictor.name(),
            text(row.cost.total_ms),
            row.speedup,
            found.aim,
            row.cpu_ratio,
            row.reexecuted,
            row.predicted,
            row.cost.peak_bytes.map_or(0, |bytes| bytes >> 20),
            row.shared_by,
        )?;
    }
    Ok(())
}

fn text(Spread { median, lower, upper }: Spread) -> String {
    format!("{median:.1} [{lower:.1}-{upper:.1}]")
}
