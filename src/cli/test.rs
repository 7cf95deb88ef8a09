//! `forewave test`: ethereum/tests through the parallel executor.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, IsTerminal, Write},
    path::Path,
};

use forewave::{
    Printable,
    conformance::{CaseReport, Setup, Verdict as CaseVerdict, Ways, run_file, source},
};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::Serialize;

use super::{
    Verdict,
    args::TestArgs,
    diagnostic::{Failure, report},
    text::{Paint, counted, grouped},
};

/// Runs every case at the given paths.
pub(super) fn test(args: &TestArgs) -> io::Result<Verdict> {
    let pool = |&threads: &u16| ThreadPoolBuilder::new().num_threads(threads.into()).build();
    let pools: Result<Vec<ThreadPool>, _> = args.threads().iter().map(pool).collect();
    let pools = pools.map_err(io::Error::other)?;
    let (ways, predictors) = (args.ways(), args.predictors());
    let setup = Setup { ways, predictors, pools: &pools };
    let mut out = Output::new(args);
    let mut total = Total::default();
    for path in &args.paths {
        let done = source::for_each_file(path, &mut |file| {
            match run_file(&file, &setup, |case| args.wants(case)) {
                Ok(cases) => {
                    for case in &cases {
                        total.add(case);
                        out.case(&file.path, case)?;
                    }
                }
                Err(error) => {
                    total.unreadable_files += 1;
                    out.failure(&error.into(), &file.path);
                }
            }
            total.files += 1;
            out.progress(&total);
            Ok(())
        });
        match done {
            Ok(()) => {}
            Err(Failure::Output(error)) => return Err(error),
            Err(failure) => {
                total.unreadable_files += 1;
                out.failure(&failure, path);
            }
        }
    }
    out.total(&total, args)?;
    let fine = total.failed == 0 && total.unreadable_files == 0 && total.cases() > 0;
    Ok(if fine { Verdict::Fine } else { Verdict::Failed })
}

/// What all cases amount to.
#[derive(Debug, Default, Serialize)]
struct Total {
    files: usize,
    unreadable_files: usize,
    passed: usize,
    failed: usize,
    skipped: usize,
    valid_blocks: usize,
    txs: usize,
    rejected_blocks: usize,
    /// By reason.
    not_judged: BTreeMap<&'static str, usize>,
    /// By reason.
    skipped_for: BTreeMap<String, usize>,
}

impl Total {
    const fn cases(&self) -> usize {
        self.passed + self.failed + self.skipped
    }

    fn add(&mut self, case: &CaseReport) {
        match &case.verdict {
            CaseVerdict::Passed => self.passed += 1,
            CaseVerdict::Failed(_) => self.failed += 1,
            CaseVerdict::Skipped(reason) => {
                self.skipped += 1;
                *self.skipped_for.entry(reason.clone()).or_default() += 1;
            }
        }
        self.valid_blocks += case.valid_blocks;
        self.txs += case.txs;
        self.rejected_blocks += case.rejected_blocks;
        for (reason, count) in &case.not_judged {
            *self.not_judged.entry(reason).or_default() += count;
        }
    }
}

/// A case with the file that it is from, for `--json`.
#[derive(Serialize)]
struct CaseLine<'a> {
    file: String,
    #[serde(flatten)]
    case: &'a CaseReport,
}

/// The last line of `--json`.
#[derive(Serialize)]
struct TotalLine<'a> {
    total: &'a Total,
}

/// Standard output, with a progress bar beside it on a terminal.
struct Output<'a> {
    args: &'a TestArgs,
    out: BufWriter<io::Stdout>,
    paint: Paint,
    bar: ProgressBar,
}

impl<'a> Output<'a> {
    fn new(args: &'a TestArgs) -> Self {
        let bar = if io::stderr().is_terminal() && io::stdout().is_terminal() && !args.json {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
        bar.set_style(style.expect("the template is fixed"));
        Self { args, out: BufWriter::new(io::stdout()), paint: Paint::of_stdout(), bar }
    }

    fn case(&mut self, file: &Path, case: &CaseReport) -> io::Result<()> {
        let Self { args, out, paint, bar } = self;
        if args.json {
            let line = CaseLine { file: file.display().to_string(), case };
            serde_json::to_writer(&mut *out, &line)?;
            return writeln!(out);
        }
        let (mark, reason) = match &case.verdict {
            CaseVerdict::Failed(problem) => (paint.bad("failed "), Some(problem)),
            _ if !args.verbose => return Ok(()),
            CaseVerdict::Passed => (paint.good("passed "), None),
            CaseVerdict::Skipped(reason) => (paint.dim("skipped"), Some(reason)),
        };
        let root = case.state_root.map(|root| format!(" · state root {root}")).unwrap_or_default();
        bar.suspend(|| {
            let (file, name) = (Printable(file.display()), Printable(&case.case));
            writeln!(out, "{mark} {file} · {name} · {}{root}", Printable(&case.network))?;
            reason.map_or(Ok(()), |reason| writeln!(out, "        {}", Printable(reason)))?;
            out.flush()
        })
    }

    fn failure(&self, failure: &Failure, path: &Path) {
        self.bar.suspend(|| report(failure, Some(path)));
    }

    fn progress(&self, total: &Total) {
        let (files, cases) = (counted(total.files, "file"), counted(total.cases(), "case"));
        self.bar.set_message(format!("{files} · {cases} · {} failed", total.failed));
        self.bar.tick();
    }

    fn total(&mut self, total: &Total, args: &TestArgs) -> io::Result<()> {
        self.bar.finish_and_clear();
        let (out, paint) = (&mut self.out, self.paint);
        if args.json {
            serde_json::to_writer(&mut *out, &TotalLine { total })?;
            writeln!(out)?;
            return out.flush();
        }
        let number = |count: usize| grouped(count as u64);
        let failed = format!("{} failed", number(total.failed));
        let failed = if total.failed == 0 { failed } else { paint.bad(&failed) };
        let (cases, files) = (counted(total.cases(), "case"), counted(total.files, "file"));
        writeln!(
            out,
            "{cases} in {files}: {} passed, {failed}, {} skipped",
            number(total.passed),
            number(total.skipped),
        )?;
        let threads: Vec<String> = args.threads().iter().map(u16::to_string).collect();
        writeln!(
            out,
            "{} with {}, each with {}{} on {} threads; {} rejected",
            counted(total.valid_blocks, "valid block"),
            counted(total.txs, "transaction"),
            counted(args.predictors().len(), "predictor"),
            if args.ways() == Ways::Usual { " in the usual way" } else { "" },
            threads.join(", "),
            counted(total.rejected_blocks, "invalid block"),
        )?;
        for (reason, &count) in &total.not_judged {
            writeln!(out, "  {} not judged: {reason}", counted(count, "invalid block"))?;
        }
        for (reason, &count) in &total.skipped_for {
            writeln!(out, "  {} skipped: {}", counted(count, "case"), Printable(reason))?;
        }
        if total.unreadable_files > 0 {
            let unreadable =
                format!("{} could not be read", counted(total.unreadable_files, "file"));
            writeln!(out, "  {}", paint.bad(&unreadable))?;
        }
        if total.cases() == 0 {
            writeln!(out, "  {}", paint.bad("there is no case at these paths"))?;
        }
        out.flush()
    }
}
