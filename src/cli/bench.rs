//! `forewave bench`: what parallel execution gains on these blocks and cores.
//!
//! The ways to run a block take turns, so that a machine that slows down slows
//! them all. Every run is compared with sequential execution and with the
//! header, outside the clock. Summaries of the block's code are there before; nothing else
//! of it is known, unless results of an earlier run are asked for. The state is in memory, and the processor's caches are as the run before
//! left them.

mod plot;
mod text;

pub(super) use self::plot::PlotError;

use std::{
    io::{self, BufWriter, Write},
    time::Duration,
};

use forewave::{
    BlockOutcome, ExecutionStats, ReuseCache, Workers,
    bench::{BenchReport, BlockBench, Figures, Measured, Sequential, Spread},
    compare::compare,
    execute_block,
    input::BlockInput,
    predict,
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
    timing::timed,
    unfinished::{Report, Unfinished},
};

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
            warm: args.warm,
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
    let runs = args.blocks.count() * u64::from(args.repeat) * (pools as u64 + 1);
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
    stats: Vec<ExecutionStats>,
    total: Vec<Duration>,
    cpu: Vec<Duration>,
    peak: Option<u64>,
}

impl Costs {
    fn spread(&self, of: impl Fn(&ExecutionStats) -> u64) -> Spread {
        Spread::new(self.stats.iter().map(of).map(Duration::from_nanos).collect())
    }

    fn most(&self, of: impl Fn(&ExecutionStats) -> usize) -> usize {
        self.stats.iter().map(of).max().unwrap_or_default()
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
        let known = self.known()?;
        let mut alone = Costs::default();
        let mut parallel: Vec<Costs> = self.pools.iter().map(|_| Costs::default()).collect();
        let mut mismatches = Vec::new();
        for _ in 0..self.args.repeat {
            self.run_sequential(&mut alone)?;
            for (pool, costs) in self.pools.iter().zip(&mut parallel) {
                let outcome = self.run_parallel(workers(pool, known.as_ref()), costs)?;
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
        predict(&self.input.block, &self.input.state, &self.args.predictor)?;
        Ok(())
    }

    /// What all runs know of earlier ones, if anything: from one that is not timed.
    fn known(&self) -> Result<Option<ReuseCache>, Failure> {
        let BlockInput { block, state, .. } = self.input;
        let Some(pool) = self.pools.first().filter(|_| self.args.warm) else { return Ok(None) };
        let known = ReuseCache::new();
        execute_block(block, state, &self.args.predictor, workers(pool, Some(&known)))?;
        Ok(Some(known))
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
        let (BlockInput { block, state, .. }, predictor) = (self.input, &self.args.predictor);
        let (outcome, time) =
            at_cost(costs, || timed(|| execute_block(block, state, predictor, workers)));
        let outcome = outcome?;
        costs.total.push(time);
        costs.stats.push(outcome.stats.clone());
        self.progress.inc(1);
        Ok(outcome)
    }
}

/// The threads of a pool, with what they know.
fn workers<'a>(pool: &'a ThreadPool, known: Option<&'a ReuseCache>) -> Workers<'a> {
    let alone = Workers::new(pool);
    known.map_or(alone, |known| alone.reusing(known))
}

fn row(pool: &ThreadPool, costs: Costs, sequential: &Sequential) -> Measured {
    let mut row = Measured {
        threads: pool.current_num_threads(),
        predict_ms: costs.spread(|stats| stats.predict_ns),
        plan_ms: costs.spread(|stats| stats.plan_ns),
        run_ms: costs.spread(|stats| stats.run_ns),
        reexecuted: costs.most(|stats| stats.reexecuted.len()),
        reused: costs.most(|stats| stats.reused),
        shared: usize::from(costs.most(|stats| stats.threads) > 1),
        predicted: costs.most(|stats| stats.predicted),
        total_ms: Spread::new(costs.total),
        cpu_ms: Spread::new(costs.cpu),
        peak_bytes: costs.peak,
        ..Measured::default()
    };
    row.compare_with(sequential);
    row
}
