//! The run loop on real blocks: speed-up and processor time against sequential execution.
//!
//! `cargo run --release --example run_loop -- [--threads 2,8] [--repeat 7] [--only PART]... [--ways A,B] [DIR]...`
//!
//! `--profile N` runs the first way N times and measures nothing: for a profiler.
//!
//! The ways to run a block take turns, so that other work on the machine slows all of them.
//! Each outcome is compared with sequential execution. Medians count.

use std::{
    collections::BTreeMap,
    env, fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use cpu_time::ProcessTime;
use forewave::{
    Block, BlockOutcome, MemoryState, OraclePredictor, Plan, PredictorKind, RunPlan, execute,
    execute_block,
    input::{BlockInput, LoadOptions},
    predict, sequential,
};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Of the whole program, so that it favours neither way to execute a block.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fewest transactions of a block that counts.
const TRANSACTIONS_MIN: usize = 20;

/// What one way took of one block.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    wall: Duration,
    cpu: Duration,
    stale: usize,
}

/// A block with all that is known of it before it is measured.
struct Case {
    name: String,
    block: Block,
    /// The same, its access list made.
    listing: Block,
    state: MemoryState,
    run_plans: BTreeMap<&'static str, RunPlan>,
}

impl Case {
    fn load(directory: &std::path::Path, is_guessed: bool) -> Option<Self> {
        let input = BlockInput::load(directory, &LoadOptions::default()).ok()?;
        let (block, state) = (input.block, input.state);
        if block.transactions.len() < TRANSACTIONS_MIN {
            return None;
        }
        let predictions = predict(&block, &state, &OraclePredictor).ok()?;
        let plan = Plan::to_run(&block, &state, predictions).ok()?;
        let name = directory.file_name()?.to_string_lossy().into_owned();
        let exact = plan.run_plan(&block);
        let kind = if is_guessed { PredictorKind::Static } else { PredictorKind::None };
        let guessed = predict(&block, &state, &kind).ok()?;
        let guessed = Plan::to_run(&block, &state, guessed).ok()?.run_plan(&block);
        let in_order = RunPlan::in_block_order(&block);
        let listing = Block { makes_access_list: true, ..block.clone() };
        let list = sequential(&listing, &state).ok()?.access_list?;
        let by_list = RunPlan::by_access_list(&Block {
            access_list: Some(Arc::new(list)),
            ..listing.clone()
        });
        let run_plans = BTreeMap::from([
            ("unpredicted", in_order),
            ("exact", exact),
            ("static", guessed),
            ("by-list", by_list),
        ]);
        Some(Self { name, block, listing, state, run_plans })
    }

    fn run(&self, way: &str, pool: &ThreadPool) -> BlockOutcome {
        let Self { block, listing, state, run_plans, .. } = self;
        let outcome = match way {
            "sequential" => sequential(block, state),
            "by-list" => execute(listing, state, &run_plans[way], pool),
            // What making the list costs.
            "listing" => execute(listing, state, &run_plans["unpredicted"], pool),
            "sequential-listing" => sequential(listing, state),
            "protocol" => {
                return execute_block(block, state, &PredictorKind::None, pool).expect("valid");
            }
            "whole" => {
                return execute_block(block, state, &PredictorKind::Static, pool).expect("valid");
            }
            _ => execute(block, state, &run_plans[way], pool),
        };
        // The baseline makes no list.
        let mut outcome = outcome.expect("a valid block");
        outcome.access_list = None;
        outcome
    }
}

fn main() {
    let (mut threads, mut repeat, mut only) = (vec![2, 8], 7, Vec::new());
    let mut ways: Vec<String> =
        ["unpredicted", "exact", "static", "whole"].map(str::to_owned).to_vec();
    let (mut directories, mut profiled, mut percentile) = (Vec::new(), 0, 50);
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().expect("a value follows");
        match arg.as_str() {
            "--threads" => threads = value().split(',').map(|n| n.parse().unwrap()).collect(),
            "--repeat" => repeat = value().parse().unwrap(),
            "--only" => only.push(value()),
            "--percentile" => percentile = value().parse().unwrap(),
            "--profile" => profiled = value().parse().unwrap(),
            "--ways" => ways = value().split(',').map(str::to_owned).collect(),
            directory => directories.push(PathBuf::from(directory)),
        }
    }
    if directories.is_empty() {
        let blocks = fs::read_dir("/work/shared/blocks").expect("the blocks are there");
        directories = blocks.map(|entry| entry.unwrap().path()).collect();
        directories.retain(|path| path.to_string_lossy().contains("mainnet-"));
        directories.sort();
    }
    directories.retain(|path| {
        only.is_empty() || only.iter().any(|part| path.to_string_lossy().contains(part))
    });
    let cases: Vec<_> = {
        let is_guessed = ways.iter().any(|way| way == "static" || way == "whole");
        directories.iter().filter_map(|path| Case::load(path, is_guessed)).collect()
    };
    println!("{} blocks", cases.len());
    for threads in threads {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|n| format!("pool-{n}"))
            .build()
            .unwrap();
        if profiled > 0 {
            let runs = (0..profiled).flat_map(|_| &cases);
            runs.for_each(|case| drop(case.run(&ways[0], &pool)));
            continue;
        }
        measure(&cases, &ways, threads, (repeat, percentile), &pool);
    }
}

fn measure(
    cases: &[Case],
    ways: &[String],
    threads: usize,
    (repeat, percentile): (usize, usize),
    pool: &ThreadPool,
) {
    println!(
        "\n{threads} threads, percentile {percentile} of {repeat}: speed-up (cpu ratio, stale)"
    );
    print!("{:<20} {:>5} {:>9}", "block", "txs", "seq ms");
    for way in ways {
        print!(" {way:>20}");
    }
    println!();
    let mut total: BTreeMap<&str, (f64, f64, f64, f64, usize, usize)> = BTreeMap::new();
    let mut txs = 0;
    for case in cases {
        let taken = measure_block(case, ways, (repeat, percentile), pool);
        let base = taken[0];
        txs += case.block.transactions.len();
        print!("{:<20} {:>5} {:>9.3}", case.name, case.block.transactions.len(), ms(base.wall));
        for (way, taken) in ways.iter().zip(&taken[1..]) {
            let speed = base.wall.as_secs_f64() / taken.wall.as_secs_f64();
            let cpu = taken.cpu.as_secs_f64() / base.cpu.as_secs_f64();
            print!(" {speed:>6.2} ({cpu:>5.2},{:>4})", taken.stale);
            let sum = total.entry(way).or_default();
            sum.0 += ms(taken.wall);
            sum.1 += speed.ln();
            sum.2 += ms(taken.cpu);
            sum.3 += if speed < 0.95 && ms(base.wall) >= 1.0 { 1.0 } else { 0.0 };
            sum.4 += taken.stale;
            sum.5 += usize::from(speed < 0.9);
        }
        println!();
        let sum = total.entry("sequential").or_default();
        sum.0 += ms(base.wall);
        sum.2 += ms(base.cpu);
    }
    let (base_wall, base_cpu) = (total["sequential"].0, total["sequential"].2);
    println!("sequential {base_wall:.1} ms, {txs} transactions");
    for way in ways {
        let sum = total[way.as_str()];
        println!(
            "{way:<14} total {:.3}  geomean {:.3}  cpu {:.3}  below .95: {}  below .9: {}  stale {}",
            base_wall / sum.0,
            (sum.1 / cases.len() as f64).exp(),
            sum.2 / base_cpu,
            sum.3,
            sum.5,
            sum.4
        );
    }
}

/// Medians, sequential execution first.
fn measure_block(
    case: &Case,
    ways: &[String],
    (repeat, percentile): (usize, usize),
    pool: &ThreadPool,
) -> Vec<Taken> {
    let expected = sequential(&case.block, &case.state).expect("a valid block");
    let mut runs: Vec<Vec<Taken>> = vec![Vec::new(); ways.len() + 1];
    for round in 0..=repeat {
        for (way, runs) in
            core::iter::once("sequential").chain(ways.iter().map(String::as_str)).zip(&mut runs)
        {
            let (cpu, start) = (ProcessTime::now(), Instant::now());
            let outcome = case.run(way, pool);
            let (wall, cpu) = (start.elapsed(), cpu.elapsed());
            assert_eq!(outcome.first_difference(&expected), None, "{} {way}", case.name);
            if round > 0 {
                runs.push(Taken { wall, cpu, stale: outcome.stats.reexecuted.len() });
            }
        }
    }
    runs.into_iter()
        .map(|mut runs| {
            let at = runs.len() * percentile / 100;
            runs.sort_unstable_by_key(|taken| taken.cpu);
            let cpu = runs[at].cpu;
            runs.sort_unstable_by_key(|taken| taken.stale);
            let stale = runs[at].stale;
            runs.sort_unstable_by_key(|taken| taken.wall);
            Taken { wall: runs[at].wall, cpu, stale }
        })
        .collect()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
