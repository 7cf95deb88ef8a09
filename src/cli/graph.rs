//! `forewave graph`: the conflict graph and the waves of a block, in the format that was asked for.

mod json;
mod text;

use std::io::{self, BufWriter, Write};

use forewave::{
    PredictorKind,
    explain::Explained,
    picture::{Picture, html, mermaid, picture_dot, svg},
    report::BlockHeading,
};

use super::{
    Verdict,
    args::{GraphArgs, GraphFormat},
    columns::columns,
    diagnostic::{Failure, report},
    explained::{checked, explained, labels},
    for_each_block,
    summaries::Summaries,
    text::Paint,
    usage, warn_of_gas, whole_file,
};

/// Share of the header's gas by which a prediction that runs transactions may miss it
/// without a warning.
const SIMULATED_GAS_TOLERANCE: f64 = 0.01;

/// The same for an estimate from summaries, which knows no refunds and no logs' sizes: 5 of
/// 143 real blocks are further off (`tests/real_blocks.rs`).
const ESTIMATED_GAS_TOLERANCE: f64 = 0.6;

/// Draws every block.
pub(super) fn graph(args: &GraphArgs) -> io::Result<Verdict> {
    if args.output.is_some() && args.blocks.blocks.len() > 1 {
        usage("--output takes one BLOCK: a file holds one drawing");
    }
    if let Some(Err(failure)) = args.output.as_ref().map(|_| check_output(args)) {
        report(&failure, None);
        return Ok(Verdict::Failed);
    }
    let labels = match labels(&args.names) {
        Ok(labels) => labels,
        Err(failure) => {
            report(&failure.into(), None);
            return Ok(Verdict::Failed);
        }
    };
    let summaries = match Summaries::open(&args.cache) {
        Ok(summaries) => summaries,
        Err(verdict) => return Ok(verdict),
    };
    let mut is_first = true;
    let verdict = for_each_block(&args.blocks, |heading, input| {
        let planned = explained(input, args.predictor, summaries.as_ref(), &labels)?;
        warn_of_estimate(args.predictor, &heading, &planned);
        let planned = if args.check { checked(planned)? } else { planned };
        if let Some(file) = &args.output {
            let paint = Paint::none();
            let written = whole_file::write(file, |to| draw(to, args, paint, &heading, &planned));
            let what = "drawing";
            written.map_err(|source| Failure::File { file: file.clone(), what, source })?;
        } else {
            let mut out = BufWriter::new(io::stdout().lock());
            if args.format() == GraphFormat::Text && !core::mem::take(&mut is_first) {
                writeln!(out)?;
            }
            draw(&mut out, args, Paint::of_stdout(), &heading, &planned)?;
            out.flush()?;
        }
        Ok(Verdict::Fine)
    })?;
    Ok(verdict.and(summaries.map_or(Verdict::Fine, |summaries| summaries.save())))
}

/// Draws one block.
fn draw(
    out: &mut impl Write,
    args: &GraphArgs,
    paint: Paint,
    heading: &BlockHeading,
    planned: &Explained<'_>,
) -> io::Result<()> {
    let filter = args.filter();
    let picture = || Picture::new(planned, heading, &filter, args.cores);
    match args.format() {
        GraphFormat::Text => {
            text::write(out, paint, columns(args.width), heading, planned, &picture())
        }
        GraphFormat::Json => {
            let report = json::report(heading, planned, &filter, &picture());
            serde_json::to_writer(&mut *out, &report).map_err(io::Error::from)?;
            writeln!(out)
        }
        GraphFormat::Dot => write!(out, "{}", picture_dot(&picture())),
        GraphFormat::Mermaid => write!(out, "{}", mermaid(&picture())),
        GraphFormat::Svg => write!(out, "{}", svg(&picture())),
        GraphFormat::Html => write!(out, "{}", html(&picture())),
    }
}

/// Refuses a file that cannot be written later, or holds something else.
fn check_output(args: &GraphArgs) -> Result<(), Failure> {
    let Some(file) = &args.output else { return Ok(()) };
    let begin: &[u8] = match args.format() {
        GraphFormat::Text => b"",
        GraphFormat::Json => b"{\"block\":",
        GraphFormat::Dot => b"digraph conflicts ",
        GraphFormat::Mermaid => b"%% ",
        GraphFormat::Svg => b"<svg xmlns=",
        GraphFormat::Html => b"<!doctype html>",
    };
    let is_text = args.format() == GraphFormat::Text;
    // The first line of text names the block, its chain and its fork.
    let is_ours = |held: &[u8]| {
        if is_text {
            String::from_utf8_lossy(held).contains(" · ")
        } else {
            held.starts_with(begin)
        }
    };
    let what = "drawing";
    whole_file::check(file, is_ours).map_err(|source| Failure::File {
        file: file.clone(),
        what,
        source,
    })
}

/// Warns where the estimated gas is far from the header's.
fn warn_of_estimate(kind: PredictorKind, heading: &BlockHeading, planned: &Explained<'_>) {
    let tolerance = match kind {
        PredictorKind::Recon | PredictorKind::Oracle => SIMULATED_GAS_TOLERANCE,
        PredictorKind::Static | PredictorKind::StaticLate | PredictorKind::Hybrid => {
            ESTIMATED_GAS_TOLERANCE
        }
        // They do not look at code, and so do not know what it costs.
        PredictorKind::None | PredictorKind::AccessList | PredictorKind::Bal => return,
    };
    warn_of_gas(heading, &format!("{kind} predicts"), planned.plan.schedule().work(), tolerance);
}
