//! Arguments to a command, a command to an exit code.
//!
//! Exit codes: 0 when everything asked for was done and matched, 1 when a block
//! could not be loaded or executed or did not match, 2 for wrong usage. A block
//! that fails is reported on standard error and the others still run.

mod access_list;
mod analyze;
mod args;
mod bal;
mod bench;
mod columns;
mod diagnostic;
mod explain;
mod explained;
mod fetch;
mod graph;
mod lint;
mod manual;
mod node;
mod ordered;
mod partition;
mod predict;
mod process;
mod progress;
mod run;
mod score;
mod source;
mod stats;
mod summaries;
mod t8n;
mod test;
mod text;
mod timing;
mod unfinished;
mod whole_file;

use std::{
    io::{self, ErrorKind},
    path::Path,
    process::{ExitCode, exit},
};

use clap::{Parser, error::ErrorKind as UsageErrorKind};
use forewave::{
    Printable,
    input::BlockInput,
    is_printable,
    report::{BlockHeading, FailedBlock},
};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tracing_subscriber::{filter::LevelFilter, fmt::format::FmtSpan};

use self::{
    args::{BlockArgs, Cli, Command, Threads, misused},
    diagnostic::{Failure, report},
    source::{Loaded, Source},
    text::grouped,
};

/// Whether everything that was asked for could be done, and matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    Failed,
}

impl Verdict {
    /// Failed as soon as one is.
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fine, Self::Fine) => Self::Fine,
            _ => Self::Failed,
        }
    }
}

/// Runs the command that the process was started with.
pub(crate) fn main() -> ExitCode {
    let Cli { verbose, command } = arguments();
    trace(verbose);
    let done = match command {
        Command::Graph(args) => graph::graph(&args),
        Command::Predict(args) => predict::predict(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Run(args) => run::run(&args),
        Command::AccessList(args) => access_list::access_list(&args),
        Command::Bal(args) => bal::bal(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Score(args) => score::score(&args),
        Command::Analyze(args) => analyze::analyze(&args),
        Command::Test(args) => test::test(&args),
        Command::T8n(args) => t8n::t8n(&args),
        Command::Fetch(args) => fetch::fetch(&args),
        Command::Stats(args) => stats::stats(&args),
        Command::Lint(args) => lint::lint(&args),
        Command::Partition(args) => partition::partition(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man => manual::man(),
    };
    match done {
        Ok(Verdict::Fine) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::FAILURE,
        // Whoever read our output has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            report(&Failure::Output(error), None);
            ExitCode::FAILURE
        }
    }
}

/// Writes what is traced to standard error, as much as was asked for.
fn trace(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let subscriber = tracing_subscriber::fmt().with_span_events(FmtSpan::CLOSE);
    subscriber.with_max_level(level).with_writer(io::stderr).init();
}

/// The arguments that the process was started with; ends it where they are wrong.
/// A shell pattern can bring names of files into them, so what is said about
/// them is shown as printable too.
fn arguments() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| {
        let message = error.render().to_string();
        if !error.use_stderr() || message.lines().all(is_printable) {
            error.exit();
        }
        for line in message.lines() {
            eprintln!("{}", Printable(line));
        }
        exit(error.exit_code())
    })
}

/// Ends the process for arguments that do not go together.
fn usage(message: &str) -> ! {
    misused(UsageErrorKind::ArgumentConflict, message)
}

/// Calls `command` for each block; failures are reported and the next one follows.
fn for_each_block(
    args: &BlockArgs,
    command: impl FnMut(BlockHeading, &BlockInput) -> Result<Verdict, Failure>,
) -> io::Result<Verdict> {
    for_each_block_or(args, command, |_| ())
}

/// The same, and `failed` for each block that `command` or loading failed on.
fn for_each_block_or(
    args: &BlockArgs,
    mut command: impl FnMut(BlockHeading, &BlockInput) -> Result<Verdict, Failure>,
    mut failed: impl FnMut(FailedBlock),
) -> io::Result<Verdict> {
    let source = match Source::open(args) {
        Ok(source) => source,
        Err(failure) => {
            report(&failure, None);
            return Ok(Verdict::Failed);
        }
    };
    let mut verdict = Verdict::Fine;
    for at in 0..source.len() {
        let done = source.load_shown(at).and_then(|Loaded { name, input }| {
            for note in &input.notes {
                eprintln!("warning: {name}: {note}");
            }
            let heading = BlockHeading::new(&name, &input);
            command(heading, &input).map_err(|failure| failure.explained_by(&input))
        });
        match done {
            Ok(this) => verdict = verdict.and(this),
            Err(Failure::Output(error)) => return Err(error),
            Err(failure) => {
                let path = source.path(at);
                failed(FailedBlock { block: name(&path), error: Printable(&failure).to_string() });
                report(&failure, Some(&path));
                verdict = Verdict::Failed;
            }
        }
    }
    Ok(verdict)
}

/// Warns where the gas of a block is not what its header says, give or take a share
/// of that: most likely the pre-state lacks something.
fn warn_of_gas(heading: &BlockHeading, words: &str, gas: u64, tolerance: f64) {
    let Some(stated) = heading.gas_used else { return };
    if gas.abs_diff(stated) as f64 > stated as f64 * tolerance {
        let (gas, stated) = (grouped(gas), grouped(stated));
        let block = &heading.block;
        eprintln!("warning: {block}: {words} {gas} gas, the header says {stated}; {INCOMPLETE}");
    }
}

/// What other gas than the header's is a sign of.
const INCOMPLETE: &str = "pre_state.json may lack accounts or slots that the block touches";

/// The last part of a block's path, for headings.
fn name(path: &Path) -> String {
    Printable(path.file_name().unwrap_or(path.as_os_str()).display()).to_string()
}

/// The thread pool that was asked for.
fn thread_pool(threads: &Threads) -> io::Result<ThreadPool> {
    thread_pool_of(threads.count())
}

fn thread_pool_of(threads: usize) -> io::Result<ThreadPool> {
    ThreadPoolBuilder::new().num_threads(threads).build().map_err(io::Error::other)
}
