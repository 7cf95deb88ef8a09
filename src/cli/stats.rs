//! `forewave stats`: what orders the transactions of many blocks, each printed when it and
//! those before it are done, and all of them together at the end.

mod csv;
mod plot;
mod text;

use std::io::{self, BufWriter, Write};

use forewave::{
    report::{BlockHeading, FailedBlock},
    selectors::Selectors,
    stats::{BlockStats, StatsReport, Tally},
};
use serde::Serialize;

use super::{
    Verdict,
    args::StatsArgs,
    diagnostic::{Failure, report},
    ordered::in_order,
    progress::Progress,
    source::{Loaded, Source},
    text::Paint,
    warn_of_gas,
};

/// Contracts and slots in the object of one block.
const TOP_OF_BLOCK: usize = 3;

/// The last line of `--json`.
#[derive(Debug, Serialize)]
struct TotalReport<'a> {
    total: &'a StatsReport,
    failed: &'a [FailedBlock],
}

/// Looks at every block.
pub(super) fn stats(args: &StatsArgs) -> io::Result<Verdict> {
    let opened = || -> Result<_, Failure> {
        if let Some(path) = &args.csv {
            csv::check(path)?;
        }
        if let Some(path) = &args.plot {
            plot::check(path)?;
        }
        Source::open(&args.blocks)
    };
    let source = match opened() {
        Ok(source) => source,
        Err(failure) => {
            report(&failure, None);
            return Ok(Verdict::Failed);
        }
    };
    let mut printed = Printed {
        args,
        selectors: Selectors::common(),
        paint: Paint::of_stdout(),
        out: BufWriter::new(io::stdout().lock()),
        total: Tally::default(),
        blocks: Vec::new(),
        failed: Vec::new(),
    };
    let progress = Progress::new(source.len(), source.answered());
    if !args.blocks.json {
        text::write_columns(&mut printed.out, printed.paint)?;
    }
    in_order(
        source.len(),
        args.threads.count(),
        |at| {
            let done = source.load(at).and_then(|Loaded { name, input }| {
                let heading = BlockHeading::new(&name, &input);
                BlockStats::new(heading, &input)
                    .map_err(|error| Failure::from(error).explained_by(&input))
            });
            progress.inc();
            done
        },
        |at, done| {
            progress.suspend(|| match done {
                Ok(block) => printed.add(&block),
                Err(failure) => {
                    let path = source.path(at);
                    let block = super::name(&path);
                    let error = forewave::Printable(&failure).to_string();
                    printed.failed.push(FailedBlock { block, error });
                    report(&failure, Some(&path));
                    Ok(())
                }
            })
        },
    )?;
    drop(progress);
    printed.finish()
}

/// What is printed, and kept for the total and the files.
struct Printed<'a> {
    args: &'a StatsArgs,
    selectors: Selectors,
    paint: Paint,
    out: BufWriter<io::StdoutLock<'static>>,
    total: Tally,
    /// What the files need of each block.
    blocks: Vec<csv::Row>,
    failed: Vec<FailedBlock>,
}

impl Printed<'_> {
    fn add(&mut self, block: &BlockStats) -> io::Result<()> {
        let found = block.report(TOP_OF_BLOCK.min(self.args.top), &self.selectors);
        warn_of_gas(&found.heading, "execution uses", found.stats.work, 0.0);
        self.total.add(&block.tally);
        if self.args.blocks.json {
            serde_json::to_writer(&mut self.out, &found).map_err(io::Error::from)?;
            writeln!(self.out)?;
        } else {
            text::write_block(&mut self.out, &found)?;
        }
        self.out.flush()?;
        if self.args.csv.is_some() || self.args.plot.is_some() {
            self.blocks.push(csv::Row::new(&found));
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<Verdict> {
        let total = self.total.report(self.args.top, &self.selectors);
        if self.args.blocks.json {
            let line = TotalReport { total: &total, failed: &self.failed };
            serde_json::to_writer(&mut self.out, &line).map_err(io::Error::from)?;
            writeln!(self.out)?;
        } else {
            text::write_total(&mut self.out, self.paint, &total)?;
            super::text::write_failed(&mut self.out, self.paint, &self.failed)?;
        }
        self.out.flush()?;
        let mut verdict = if self.failed.is_empty() { Verdict::Fine } else { Verdict::Failed };
        let files = [
            self.args.csv.as_deref().map(|path| csv::write(path, &self.blocks)),
            self.args.plot.as_deref().map(|path| plot::write(path, &self.blocks)),
        ];
        for written in files.into_iter().flatten() {
            if let Err(failure) = written {
                report(&failure, None);
                verdict = Verdict::Failed;
            }
        }
        Ok(verdict)
    }
}
