//! `forewave bench`: what parallel execution gains on these blocks and cores.
//!
//! The ways to run a block take turns, so that a machine that slows down slows
//! them all. Every run is compared with sequential execution and with the
//! header, outside the clock. `cold` and `warm` say what the predictor has seen
//! before: the state is in memory and the processor's caches are as the run
//! before left them in both.

mod plot;
mod text;

pub(super) use self::plot::PlotError;

use std::{
    collections::BTreeSet,
    io::{self, BufWriter, Write},
    time::Duration,
};

use forewave::{
    BlockOutcome, ExactPaths, ExecutionMode, Workers,
    bench::{BenchReport, BlockBench, Figures, Knowledge, Measured, Sequential, Spread},
    compare::compare,
    execute_unplanned,
    input::BlockInput,
    report::BlockHeading,
    sequential,
};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::ThreadPool;

use super::{
    Verdict,
    args::{BenchArgs, cores},
    diagnostic::{Failure, report},
    for_each_block_or,
    process::{with_cpu_time, with_peak_memory},
    text::Paint,
    thread_pool_of,
    timing::{Phases, Way, plan, run_parallel, timed},
    unfinished::{Report, Unfinished},
};

/// Runs after which all is learnt: it is noted what comes again, and that is learnt;
/// and once more where the first runs of others were in the way.
const LEARNING_RUNS: usize = 3;

/// What is printed: as text each block when it is done and the total at the end, as
/// JSON one object at the end.
struct Printed {
    json: bool,
    progress: ProgressBar,
    report: BenchReport,
}

impl Printed {
    fn add(&mut self, block: BlockBench) -> io::Result<()> {
        self.report.add(block);
        if self.json {
            return Ok(());
        }
        self.progress.suspend(|| {
            let mut out = BufWriter::new(io::stdout().lock());
            text::write_last_block(&mut out, Paint::of_stdout(), &self.report)?;
            out.flush()
        })
    }
}

impl Report for Printed {
    fn finish(&mut self) -> io::Result<()> {
        self.progress.finish_and_clear();
        let mut out = BufWriter::new(io::stdout().lock());
        if self.json {
            serde_json::to_writer(&mut out, &self.report)?;
            writeln!(out)?;
        } else {
            text::write_total(&mut out, Paint::of_stdout(), &self.report)?;
        }
        out.flush()
    }
}

/// Measures every block.
pub(super) fn bench(args: &BenchArgs) -> io::Result<Verdict> {
    let pools = args.measured().into_iter().map(thread_pool_of).collect::<io::Result<Vec<_>>>()?;
    if let Some(Err(failure)) = args.plot.as_deref().map(plot::check) {
        report(&failure.into(), None);
        return Ok(Verdict::Failed);
    }
    let progress = progress(args, pools.len());
    let printed = Unfinished::new(Printed {
        json: args.blocks.json,
        progress: progress.clone(),
        report: BenchReport {
            predictor: args.predictor,
            knowledge: args.knowledge(),
            repeat: args.repeat,
            cores: cores(),
            blocks: Vec::new(),
            failed: Vec::new(),
            total: None,
        },
    })?;
    let mut verdict = for_each_block_or(
        &args.blocks,
        |heading, input| {
            progress.set_message(heading.block.clone());
            let bench = Bench { args, input, pools: &pools, progress: &progress };
            let block = bench.block(heading)?;
            let verdict = if block.mismatches.is_empty() { Verdict::Fine } else { Verdict::Failed };
            printed.with(|printed| printed.add(block))?;
            Ok(verdict)
        },
        |failed| printed.with(|printed| printed.report.failed.push(failed)),
    )?;
    let found = printed.finish()?.report;
    if let Some(path) = args.plot.as_deref()
        && let Err(failure) = plot::write(path, &found)
    {
        report(&failure.into(), None);
        verdict = Verdict::Failed;
    }
    Ok(verdict)
}

/// A bar on standard error, if that is a terminal.
fn progress(args: &BenchArgs, pools: usize) -> ProgressBar {
    let runs = args.blocks.blocks.len() as u64 * u64::from(args.repeat) * (pools as u64 + 1);
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {eta:>4} left  {msg}");
    ProgressBar::new(runs).with_style(style.expect("the template is well formed"))
}

/// One block, and what it is to be run on.
struct Bench<'a> {
    args: &'a BenchArgs,
    input: &'a BlockInput,
    pools: &'a [ThreadPool],
    progress: &'a ProgressBar,
}

/// What the repetitions of one way cost.
#[derive(Debug, Default)]
struct Costs {
    phases: Vec<Phases>,
    total: Vec<Duration>,
    cpu: Vec<Duration>,
    peak: Option<u64>,
    reexecuted: usize,
    evaluated: usize,
    modes: BTreeSet<ExecutionMode>,
    predicted: usize,
}

impl Costs {
    fn spread(&self, of: impl Fn(&Phases) -> Duration) -> Spread {
        Spread::new(self.phases.iter().map(of).collect())
    }
}

/// What `work` gives, at what cost besides its time.
fn at_cost<T>(costs: &mut Costs, work: impl FnOnce() -> T) -> T {
    let ((value, cpu), peak) = with_peak_memory(|| with_cpu_time(work));
    costs.cpu.extend(cpu);
    costs.peak = costs.peak.max(peak);
    value
}

impl Bench<'_> {
    fn block(&self, heading: BlockHeading) -> Result<BlockBench, Failure> {
        let BlockInput { block, state, header, .. } = self.input;
        // Untimed, so that what is set up at first use (the KZG setup of EIP-4844
        // takes seconds) is charged to nobody.
        let truth = sequential(block, state)?;
        self.warm_up()?;
        let paths = self.learnt()?;
        let mut alone = Costs::default();
        let mut parallel: Vec<Costs> = self.pools.iter().map(|_| Costs::default()).collect();
        let mut mismatches = Vec::new();
        for _ in 0..self.args.repeat {
            self.run_sequential(&mut alone)?;
            for (pool, costs) in self.pools.iter().zip(&mut parallel) {
                let outcome = self.run_parallel(workers(pool, paths.as_ref()), costs)?;
                if mismatches.is_empty() {
                    mismatches = compare(&outcome, &truth, header, block.spec());
                }
            }
        }
        let sequential = Sequential {
            total_ms: Spread::new(alone.total),
            cpu_ms: Spread::new(alone.cpu),
            peak_bytes: alone.peak,
        };
        let rows = self.pools.iter().zip(parallel);
        let measured = rows.map(|(pool, costs)| row(pool, costs, &sequential)).collect();
        let block = BlockHeading { gas_used: Some(truth.gas_used), ..heading };
        Ok(BlockBench { block, figures: Figures { sequential, measured }, mismatches })
    }

    /// Predicts once, untimed: summaries of the code are there from then on.
    fn warm_up(&self) -> Result<(), Failure> {
        plan(self.input, &self.args.predictor)?;
        Ok(())
    }

    /// The exact paths that all runs share, if they do, learnt by runs that are not
    /// timed.
    fn learnt(&self) -> Result<Option<ExactPaths>, Failure> {
        if self.args.knowledge() == Knowledge::Cold || self.args.order.way() == Way::Planned {
            return Ok(None);
        }
        let BlockInput { block, state, .. } = self.input;
        let paths = ExactPaths::new();
        if let Some(pool) = self.pools.first() {
            for _ in 0..LEARNING_RUNS {
                execute_unplanned(block, state, workers(pool, Some(&paths)))?;
            }
        }
        Ok(Some(paths))
    }

    fn run_sequential(&self, costs: &mut Costs) -> Result<(), Failure> {
        let BlockInput { block, state, .. } = self.input;
        let (outcome, time) = at_cost(costs, || timed(|| sequential(block, state)));
        costs.total.push(time);
        self.progress.inc(1);
        outcome?;
        Ok(())
    }

    fn run_parallel(
        &self,
        workers: Workers<'_>,
        costs: &mut Costs,
    ) -> Result<BlockOutcome, Failure> {
        let (way, predictor) = (self.args.order.way(), &self.args.predictor);
        let (outcome, phases) =
            at_cost(costs, || run_parallel(way, self.input, predictor, workers))?;
        costs.phases.push(phases);
        costs.total.push(phases.total());
        costs.reexecuted = costs.reexecuted.max(outcome.stats.reexecuted.len());
        costs.evaluated = outcome.stats.evaluated;
        costs.modes.insert(outcome.stats.mode);
        costs.predicted = costs.predicted.max(outcome.stats.predicted);
        self.progress.inc(1);
        Ok(outcome)
    }
}

/// The threads of a pool, with what they know.
fn workers<'a>(pool: &'a ThreadPool, paths: Option<&'a ExactPaths>) -> Workers<'a> {
    let alone = Workers::new(pool);
    paths.map_or(alone, |paths| alone.with_paths(paths))
}

fn row(pool: &ThreadPool, costs: Costs, sequential: &Sequential) -> Measured {
    let mut row = Measured {
        threads: pool.current_num_threads(),
        analyze_ms: costs.spread(|phases| phases.analyze),
        schedule_ms: costs.spread(|phases| phases.schedule),
        execute_ms: costs.spread(|phases| phases.execute),
        total_ms: Spread::new(costs.total),
        cpu_ms: Spread::new(costs.cpu),
        peak_bytes: costs.peak,
        reexecuted: costs.reexecuted,
        evaluated: costs.evaluated,
        modes: costs.modes,
        predicted: costs.predicted,
        ..Measured::default()
    };
    row.compare_with(sequential);
    row
}
