//! `forewave score`: predictors side by side, on the same blocks in one run.

mod listed;
mod text;

use core::{mem::take, ops::AddAssign};
use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
    time::Duration,
};

use forewave::{
    BlockError, ConflictGraph, Learner, Lesson, Observation, Plan, PredictorKind, Sampling,
    StaticPredictor,
    input::BlockInput,
    measure::{BlockMeasure, Score, TxClass, measure_block},
    observe,
    report::{BlockHeading, BlockScores, FailedBlock, ScoreReport, TotalScores, milliseconds},
    sequential,
};
use rayon::{
    ThreadPool,
    iter::{IntoParallelIterator, ParallelIterator},
};

use self::{
    listed::{ListTally, MeasuredByList},
    text::{write_block, write_row, write_total},
};
use super::{
    Verdict,
    args::ScoreArgs,
    diagnostic::Failure,
    for_each_block_or,
    summaries::{Summaries, predictor_by},
    text::{Paint, write_failed},
    thread_pool,
    timing::{median, timed},
    unfinished::{Report, Unfinished},
    warn_of_gas,
};

/// Predictions of a block, for each thread, that are timed on all threads together.
const ROUNDS_PER_THREAD: u32 = 8;

/// Scores every block.
pub(super) fn score(args: &ScoreArgs) -> io::Result<Verdict> {
    let pool = thread_pool(&args.threads)?;
    let file = match Summaries::open(&args.cache) {
        Ok(file) => file,
        Err(verdict) => return Ok(verdict),
    };
    let shared =
        file.as_ref().map_or_else(PredictorKind::shared_static, |file| file.predictor().clone());
    let tally = Unfinished::new(Tally {
        json: args.blocks.json,
        several: args.blocks.names_several(),
        threads: pool.current_num_threads(),
        ..Tally::default()
    })?;
    let verdict = for_each_block_or(
        &args.blocks,
        |heading, input| {
            if let Some(list) = listed::truth(args, input)? {
                let measured = listed::score_block(args, input, &shared, list)?;
                tally.with(|tally| tally.add_listed(heading, measured))?;
            } else {
                let measured = score_block(args, &heading, input, &pool, &shared)?;
                tally.with(|tally| tally.add(heading, measured))?;
            }
            if args.learn {
                let learner = Learner::new(shared.clone(), Sampling::default());
                let (lesson, time) = timed(|| learner.observe(&input.block, &input.state));
                let lesson = lesson?;
                tally.with(|tally| tally.learn(lesson, time));
            }
            Ok(Verdict::Fine)
        },
        |failed| tally.with(|tally| tally.failed.push(failed)),
    )?;
    tally.finish()?;
    Ok(verdict.and(file.map_or(Verdict::Fine, |file| file.save())))
}

/// One predictor on one block, or on several.
#[derive(Debug, Default)]
struct Measured {
    measure: BlockMeasure,
    analysis: Duration,
    /// The same on all threads, where they can share it.
    shared_analysis: Option<Duration>,
}

/// Summaries that were made because they were not there yet.
#[derive(Clone, Copy, Debug, Default)]
struct Summarizing {
    codes: usize,
    time: Duration,
}

impl AddAssign for Summarizing {
    fn add_assign(&mut self, other: Self) {
        self.codes += other.codes;
        self.time += other.time;
    }
}

/// All predictors on one block.
struct MeasuredBlock {
    sequential: Duration,
    summarizing: Summarizing,
    by_predictor: BTreeMap<PredictorKind, Measured>,
}

fn score_block(
    args: &ScoreArgs,
    heading: &BlockHeading,
    input: &BlockInput,
    pool: &ThreadPool,
    shared: &StaticPredictor,
) -> Result<MeasuredBlock, Failure> {
    let BlockInput { block, state, .. } = input;
    let observation = observe(block, state)?;
    warn_of_gas(heading, "execution uses", observation.outcome.gas_used, 0.0);
    let classes = TxClass::of_block(block, state).map_err(forewave::ExecutionError::SystemState)?;
    let mut sequential_times = Vec::new();
    for _ in 0..args.repeat {
        let (outcome, time) = timed(|| sequential(block, state));
        outcome?;
        sequential_times.push(time);
    }
    let summarizing = summarize(args, input, shared)?;
    let mut by_predictor = BTreeMap::new();
    for &predictor in &args.predictor {
        let measured =
            score_predictor(args, input, pool, (predictor, shared), &observation, &classes)?;
        by_predictor.insert(predictor, measured);
    }
    Ok(MeasuredBlock { sequential: median(sequential_times), summarizing, by_predictor })
}

/// Makes the summaries of the code that a block calls, if a predictor needs them.
fn summarize(
    args: &ScoreArgs,
    input: &BlockInput,
    shared: &StaticPredictor,
) -> Result<Summarizing, Failure> {
    use PredictorKind::{Hybrid, Static, StaticLate};
    if !args.predictor.iter().any(|kind| matches!(kind, Static | StaticLate | Hybrid)) {
        return Ok(Summarizing::default());
    }
    let before = shared.summaries().len();
    let (summarized, time) = timed(|| shared.summarize_block(&input.block, &input.state));
    summarized?;
    Ok(Summarizing { codes: shared.summaries().len().saturating_sub(before), time })
}

fn score_predictor(
    args: &ScoreArgs,
    input: &BlockInput,
    pool: &ThreadPool,
    (kind, shared): (PredictorKind, &StaticPredictor),
    observation: &Observation,
    classes: &[TxClass],
) -> Result<Measured, Failure> {
    let BlockInput { block, state, .. } = input;
    let predictor = predictor_by(kind, Some(shared));
    let predictions = predictor.predict(block, state)?;
    let times = (0..args.repeat).map(|_| timed(|| predictor.predict(block, state)).1).collect();
    let plan = Plan::to_run(block, state, predictions.clone()).map_err(BlockError::from)?;
    let outcome = plan.execute(block, state, pool).map_err(BlockError::from)?;
    let graph = ConflictGraph::new(&predictions);
    let measure = measure_block(block, classes, observation, &predictions, &graph, &outcome.stats);
    let shared_analysis = (kind == PredictorKind::Static).then(|| {
        // Several rounds, as waking a thread takes about as long as one.
        let rounds = ROUNDS_PER_THREAD * u32::try_from(pool.current_num_threads()).unwrap_or(1);
        let predict = |_| predictor_by(kind, Some(shared)).predict(block, state).is_ok();
        timed(|| pool.install(|| (0..rounds).into_par_iter().all(predict))).1 / rounds
    });
    Ok(Measured { measure, analysis: median(times), shared_analysis })
}

/// Everything measured so far: as text each of several blocks is printed when it is
/// done and the total at the end, as JSON one object at the end.
#[derive(Debug, Default)]
struct Tally {
    json: bool,
    several: bool,
    threads: usize,
    blocks: Vec<BlockScores>,
    listed: ListTally,
    failed: Vec<FailedBlock>,
    sequential: Duration,
    by_predictor: BTreeMap<PredictorKind, Measured>,
    learning: Duration,
    lessons: Lesson,
    summarizing: Summarizing,
    /// Predicting by `static` on one thread, and on all.
    shared_analysis: (Duration, Duration),
}

impl Tally {
    fn learn(&mut self, lesson: Lesson, time: Duration) {
        self.learning += time;
        self.lessons.txs += lesson.txs;
        self.lessons.frames += lesson.frames;
    }

    /// Adds a block that was scored by its access list.
    fn add_listed(&mut self, block: BlockHeading, measured: MeasuredByList) -> io::Result<()> {
        self.summarizing += measured.summarizing;
        let scores = self.listed.add(block, measured);
        if self.several && !self.json {
            let mut out = BufWriter::new(io::stdout().lock());
            listed::write_block(&mut out, Paint::of_stdout(), scores)?;
            out.flush()?;
        }
        Ok(())
    }

    fn add(&mut self, block: BlockHeading, measured: MeasuredBlock) -> io::Result<()> {
        let MeasuredBlock { sequential, summarizing, by_predictor } = measured;
        self.summarizing += summarizing;
        let score = |Measured { measure, analysis, .. }: &Measured| {
            Score::new(measure, *analysis, sequential)
        };
        let scores = BlockScores {
            block,
            sequential_ms: milliseconds(sequential),
            predictors: by_predictor.iter().map(|(&kind, m)| (kind, score(m))).collect(),
        };
        if self.several && !self.json {
            let mut out = BufWriter::new(io::stdout().lock());
            write_block(&mut out, Paint::of_stdout(), &scores)?;
            out.flush()?;
        }
        self.blocks.push(scores);
        self.sequential += sequential;
        for (kind, Measured { measure, analysis, shared_analysis }) in by_predictor {
            if let Some(shared) = shared_analysis {
                self.shared_analysis.0 += analysis;
                self.shared_analysis.1 += shared;
            }
            let total = self.by_predictor.entry(kind).or_default();
            total.measure += &measure;
            total.analysis += analysis;
        }
        Ok(())
    }

    /// How many times more `static` predicts in a time on all threads than on one.
    fn static_speedup(&self) -> Option<f64> {
        let (alone, shared) = self.shared_analysis;
        (!shared.is_zero()).then(|| alone.as_secs_f64() / shared.as_secs_f64())
    }

    fn report(&mut self) -> ScoreReport {
        let scores = self.by_predictor.iter().map(|(&kind, Measured { measure, analysis, .. })| {
            (kind, Score::new(measure, *analysis, self.sequential))
        });
        let total = (!self.blocks.is_empty()).then(|| TotalScores {
            blocks: self.blocks.len(),
            txs: self.blocks.iter().map(|scores| scores.block.txs).sum(),
            gas_used: self.blocks.iter().filter_map(|scores| scores.block.gas_used).sum(),
            threads: self.threads,
            sequential_ms: milliseconds(self.sequential),
            summarized_codes: self.summarizing.codes,
            summarizing_ms: milliseconds(self.summarizing.time),
            static_speedup: self.static_speedup(),
            predictors: scores.collect(),
        });
        let (listed, listed_total) = self.listed.report();
        let (blocks, failed) = (take(&mut self.blocks), take(&mut self.failed));
        ScoreReport { blocks, listed, failed, total, listed_total }
    }
}

impl Report for Tally {
    fn finish(&mut self) -> io::Result<()> {
        let report = self.report();
        let mut out = BufWriter::new(io::stdout().lock());
        if self.json {
            serde_json::to_writer(&mut out, &report)?;
            writeln!(out)?;
        } else {
            let paint = Paint::of_stdout();
            if let Some(total) = &report.total {
                write_total(&mut out, paint, total)?;
            }
            if let Some(total) = &report.listed_total {
                if report.total.is_some() {
                    writeln!(out)?;
                }
                listed::write_total(&mut out, paint, total)?;
            }
            if self.lessons != Lesson::default() {
                let ratio = self.learning.as_secs_f64() / self.sequential.as_secs_f64();
                let Lesson { txs, frames } = self.lessons;
                let row = [format!("{ratio:.3}")].into_iter();
                writeln!(out)?;
                write_row(&mut out, "learning / sequential", row)?;
                let what = format!("from {txs} transactions, {frames} calls");
                writeln!(out, "{what}")?;
            }
            write_failed(&mut out, paint, &report.failed)?;
        }
        out.flush()
    }
}
