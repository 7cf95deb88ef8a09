//! `forewave run`: parallel execution, timed, and compared on request.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
    time::Duration,
};

use forewave::{
    BlockOutcome, ExecutionStats, OutcomeNote, Plan, PredictorKind, SystemOperation,
    compare::{Against, Mismatch, Unchecked, compare, unchecked},
    execute_block,
    input::BlockInput,
    report::{BlockHeading, Comparison, RunReport, milliseconds},
    sequential,
};
use rayon::ThreadPool;

use super::{
    INCOMPLETE, Verdict,
    args::RunArgs,
    diagnostic::Failure,
    for_each_block,
    summaries::{Summaries, predictor_by},
    text::{Paint, counted, grouped},
    thread_pool,
    timing::{median, plan, timed},
};

/// Runs every block.
pub(super) fn run(args: &RunArgs) -> io::Result<Verdict> {
    let pool = thread_pool(&args.threads)?;
    let paint = Paint::of_stdout();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut summary = Summary::default();
    let summaries = match Summaries::open(&args.cache) {
        Ok(summaries) => summaries,
        Err(verdict) => return Ok(verdict),
    };
    if !args.blocks.json {
        write_columns(&mut out, paint, args, &pool)?;
        out.flush()?;
    }
    let verdict = for_each_block(&args.blocks, |heading, input| {
        let report = run_block(args, heading, input, &pool, summaries.as_ref())?;
        if args.blocks.json {
            serde_json::to_writer(&mut out, &report).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            write_row(&mut out, paint, &report)?;
        }
        out.flush()?;
        summary.add(&report);
        let matches = report.comparison.as_ref().is_none_or(|c| c.mismatches.is_empty());
        let matches = matches && report.header_gas_used.is_none();
        Ok(if matches { Verdict::Fine } else { Verdict::Failed })
    })?;
    if !args.blocks.json && args.blocks.names_several() {
        summary.write_total(&mut out, paint, args)?;
    }
    if !args.blocks.json {
        summary.write_unpredicted(&mut out, paint)?;
        summary.write_left_out(&mut out, paint)?;
        summary.write_unchecked(&mut out, paint)?;
    }
    out.flush()?;
    Ok(verdict.and(summaries.map_or(Verdict::Fine, |summaries| summaries.save())))
}

/// What the repetitions of one block took.
#[derive(Debug, Default)]
struct Times {
    predict: Vec<Duration>,
    plan: Vec<Duration>,
    run: Vec<Duration>,
    parallel: Vec<Duration>,
    sequential: Vec<Duration>,
}

fn run_block(
    args: &RunArgs,
    heading: BlockHeading,
    input: &BlockInput,
    pool: &ThreadPool,
    summaries: Option<&Summaries>,
) -> Result<RunReport, Failure> {
    let BlockInput { block, state, .. } = input;
    let mut times = Times::default();
    let mut mismatches = Vec::new();
    let mut last: Option<BlockOutcome> = None;
    if args.compare {
        // Untimed, so that what is set up at first use (the KZG setup of EIP-4844
        // takes seconds) is not charged to whoever comes first.
        drop(sequential(block, state));
    }
    let predictor = predictor_by(args.predictor, summaries.map(Summaries::predictor));
    for _ in 0..args.repeat {
        // What the last repetition holds is freed before the clock starts.
        drop(last.take());
        let (outcome, time) = timed(|| execute_block(block, state, &*predictor, pool));
        let outcome = outcome?;
        let ExecutionStats { predict_ns, plan_ns, run_ns, .. } = outcome.stats;
        times.predict.push(Duration::from_nanos(predict_ns));
        times.plan.push(Duration::from_nanos(plan_ns));
        times.run.push(Duration::from_nanos(run_ns));
        times.parallel.push(time);
        if args.compare {
            let (truth, sequential) = timed(|| sequential(block, state));
            times.sequential.push(sequential);
            if mismatches.is_empty() {
                mismatches = compare(&outcome, &truth?, &input.header, block.spec());
            }
        }
        last = Some(outcome);
    }
    let outcome = last.expect("a block is run at least once");
    // Waves and parallelism are for who reads the report; no run waits for them.
    let plan = plan(input, &*predictor)?;
    Ok(report(args, heading, input, pool, &plan, outcome, times, mismatches))
}

#[expect(clippy::too_many_arguments, reason = "used once, right above")]
fn report(
    args: &RunArgs,
    heading: BlockHeading,
    input: &BlockInput,
    pool: &ThreadPool,
    plan: &Plan,
    outcome: BlockOutcome,
    times: Times,
    mismatches: Vec<Mismatch>,
) -> RunReport {
    let parallel_ms = milliseconds(median(times.parallel));
    let comparison = args.compare.then(|| {
        let sequential_ms = milliseconds(median(times.sequential));
        let matches = |against| mismatches.iter().all(|mismatch| mismatch.against != against);
        let header_says = input.header.gas_used.is_some()
            || input.header.logs_bloom.is_some()
            || input.header.receipts_root.is_some();
        Comparison {
            sequential_ms,
            speedup: sequential_ms / parallel_ms,
            matches_sequential: matches(Against::Sequential),
            matches_header: header_says.then(|| matches(Against::Header)),
            unchecked: unchecked(&input.header, input.chain, input.block.spec()),
            mismatches,
        }
    });
    let (given, made) = (input.block.access_list.as_deref(), outcome.access_list.as_ref());
    let list_right = given.map(|given| made == Some(given));
    // Without a predictor only a list can have predicted anything.
    let is_listed = matches!(args.predictor, PredictorKind::None | PredictorKind::Bal);
    let by_list = list_right.filter(|_| is_listed && outcome.stats.predicted > 0);
    RunReport {
        header_gas_used: heading.gas_used.filter(|&stated| stated != outcome.gas_used),
        block: BlockHeading { gas_used: Some(outcome.gas_used), ..heading },
        predictor: by_list.map_or(args.predictor, |_| PredictorKind::Bal),
        access_list_right: list_right,
        shared_by: outcome.stats.threads,
        predicted: outcome.stats.predicted,
        threads: pool.current_num_threads(),
        repeat: args.repeat,
        waves: plan.schedule().waves().len(),
        parallelism: plan.schedule().parallelism(),
        reexecuted: outcome.stats.reexecuted.len(),
        reexecutions: outcome.stats.reexecuted,
        notes: outcome.notes,
        predict_ms: milliseconds(median(times.predict)),
        plan_ms: milliseconds(median(times.plan)),
        run_ms: milliseconds(median(times.run)),
        parallel_ms,
        comparison,
    }
}

fn write_columns(
    out: &mut impl Write,
    paint: Paint,
    args: &RunArgs,
    pool: &ThreadPool,
) -> io::Result<()> {
    let threads = counted(pool.current_num_threads(), "thread");
    let runs = match args.repeat {
        1 => "one run".to_owned(),
        repeat => format!("medians of {repeat} runs"),
    };
    writeln!(out, "waves by {} · {threads} · {runs} · times in ms", args.predictor)?;
    let mut columns = format!(
        "{:<24} {:>5} {:>11} {:>5} {:>9} {:>6} {:>8} {:>8} {:>8}",
        "block", "txs", "gas", "waves", "shared by", "re-run", "predict", "plan", "run"
    );
    if args.compare {
        columns += " sequential speed-up  result";
    }
    writeln!(out, "{}", paint.bold(&columns))
}

fn write_row(out: &mut impl Write, paint: Paint, report: &RunReport) -> io::Result<()> {
    let BlockHeading { block, txs, gas_used, .. } = &report.block;
    write!(
        out,
        "{block:<24} {txs:>5} {:>11} {:>5} {:>9} {:>6} {:>8.2} {:>8.2} {:>8.2}",
        grouped(gas_used.unwrap_or_default()),
        report.waves,
        report.shared_by,
        report.reexecuted,
        report.predict_ms,
        report.plan_ms,
        report.run_ms,
    )?;
    if let Some(comparison) = &report.comparison {
        let result = match (comparison.matches_sequential, comparison.matches_header) {
            (true, Some(true)) => paint.good("matches"),
            (true, None) => paint.good("matches sequential"),
            (false, Some(true) | None) => paint.bad("differs from sequential"),
            (true, Some(false)) => paint.bad("differs from header"),
            (false, Some(false)) => paint.bad("differs from sequential and header"),
        };
        let Comparison { sequential_ms, speedup, .. } = comparison;
        writeln!(out, " {sequential_ms:>10.2} {speedup:>8.2}  {result}")?;
        write_mismatches(out, &comparison.mismatches)?;
    } else {
        writeln!(out)?;
    }
    if report.access_list_right == Some(false) {
        let words = "the access list that it came with is wrong";
        writeln!(out, "  {}: see `forewave bal --check`", paint.bad(words))?;
    }
    let Some(stated) = report.header_gas_used else { return Ok(()) };
    if report.comparison.is_none() {
        let found = gas_used.unwrap_or_default();
        writeln!(out, "  {}: header {stated}, parallel {found}", paint.bad("gas_used"))?;
    }
    writeln!(out, "  {INCOMPLETE}")
}

/// What differs, one line each.
pub(super) fn write_mismatches(out: &mut impl Write, mismatches: &[Mismatch]) -> io::Result<()> {
    for Mismatch { against, field, expected, found } in mismatches {
        let whose = match against {
            Against::Sequential => "sequential",
            Against::Header => "header",
        };
        writeln!(out, "  {field}: {whose} {expected}, parallel {found}")?;
    }
    Ok(())
}

/// What all blocks together show.
#[derive(Debug, Default)]
struct Summary {
    blocks: usize,
    txs: usize,
    gas: u64,
    reexecuted: usize,
    predict_ms: f64,
    plan_ms: f64,
    run_ms: f64,
    sequential_ms: f64,
    speedups: Vec<f64>,
    matching: usize,
    unpredicted: usize,
    left_out: BTreeMap<String, usize>,
    unchecked: BTreeMap<Unchecked, usize>,
}

impl Summary {
    fn add(&mut self, report: &RunReport) {
        self.blocks += 1;
        self.txs += report.block.txs;
        self.gas += report.block.gas_used.unwrap_or_default();
        self.reexecuted += report.reexecuted;
        self.unpredicted += usize::from(report.predicted == 0);
        for note in &report.notes {
            *self.left_out.entry(what_is_left_out(note)).or_default() += 1;
        }
        self.predict_ms += report.predict_ms;
        self.plan_ms += report.plan_ms;
        self.run_ms += report.run_ms;
        if let Some(comparison) = &report.comparison {
            for unchecked in &comparison.unchecked {
                *self.unchecked.entry(*unchecked).or_default() += 1;
            }
            self.sequential_ms += comparison.sequential_ms;
            self.matching += usize::from(comparison.mismatches.is_empty());
            // The speed-up of a block without transactions says nothing.
            if report.block.txs > 0 {
                self.speedups.push(comparison.speedup);
            }
        }
    }

    fn write_total(
        &mut self,
        out: &mut impl Write,
        paint: Paint,
        args: &RunArgs,
    ) -> io::Result<()> {
        write!(
            out,
            "{:<24} {:>5} {:>11} {:>5} {:>9} {:>6} {:>8.2} {:>8.2} {:>8.2}",
            counted(self.blocks, "block"),
            self.txs,
            grouped(self.gas),
            "",
            "",
            self.reexecuted,
            self.predict_ms,
            self.plan_ms,
            self.run_ms,
        )?;
        if !args.compare {
            return writeln!(out);
        }
        let Self { blocks, matching, sequential_ms, .. } = *self;
        let speedup = sequential_ms / (self.predict_ms + self.plan_ms + self.run_ms);
        let result = format!("{matching} of {blocks} match");
        let result = if matching == blocks { paint.good(&result) } else { paint.bad(&result) };
        writeln!(out, " {sequential_ms:>10.2} {speedup:>8.2}  {result}")?;
        self.speedups.sort_by(f64::total_cmp);
        if let Some(median) = self.speedups.get(self.speedups.len() / 2) {
            writeln!(out, "median speed-up of a block with transactions: {median:.2}")?;
        }
        Ok(())
    }

    /// What of the headers was not compared.
    fn write_unchecked(&self, out: &mut impl Write, paint: Paint) -> io::Result<()> {
        for (Unchecked { field, why }, &count) in &self.unchecked {
            let blocks = counted(count, "block");
            let line = format!("{field} of the header: not compared in {blocks}, {why}");
            writeln!(out, "{}", paint.dim(&line))?;
        }
        Ok(())
    }

    /// How many blocks ran without the predictor that was asked for.
    fn write_unpredicted(&self, out: &mut impl Write, paint: Paint) -> io::Result<()> {
        if self.unpredicted > 0 {
            let line = format!("{} ran without a prediction", counted(self.unpredicted, "block"));
            writeln!(out, "{}", paint.dim(&line))?;
        }
        Ok(())
    }

    /// What outcomes leave out because the pre-states do not hold it.
    fn write_left_out(&self, out: &mut impl Write, paint: Paint) -> io::Result<()> {
        for (what, &count) in &self.left_out {
            let line = format!("{what}: left out {}, the pre-state lacks it", times(count));
            writeln!(out, "{}", paint.dim(&line))?;
        }
        Ok(())
    }
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// What a note is about, in words.
fn what_is_left_out(note: &OutcomeNote) -> String {
    match note {
        OutcomeNote::SystemContractAbsent { operation, .. } => operation.to_string(),
        OutcomeNote::OmmerHeaderAbsent { .. } => SystemOperation::OmmerReward.to_string(),
        other => other.to_string(),
    }
}
