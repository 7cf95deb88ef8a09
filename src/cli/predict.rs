//! `forewave predict`: what transactions are predicted to read and write, and from what.

use std::io::{self, BufWriter, Write};

use forewave::{
    TxIndex,
    explain::{AccessReport, PredictionReport},
    input::BlockInput,
    report::BlockHeading,
};

use super::{
    Verdict,
    args::PredictArgs,
    diagnostic::{Failure, report},
    explained::{NoSuchTx, explained, labels},
    for_each_block,
    summaries::Summaries,
    text::{Paint, grouped},
};

/// Predicts the transactions of every block.
pub(super) fn predict(args: &PredictArgs) -> io::Result<Verdict> {
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
    let paint = Paint::of_stdout();
    let mut out = BufWriter::new(io::stdout().lock());
    let verdict = for_each_block(&args.blocks, |heading, input| {
        let txs = transactions(input, args.tx)?;
        let planned = explained(input, args.predictor, summaries.as_ref(), &labels)?;
        if !args.blocks.json {
            write_heading(&mut out, paint, &heading, args)?;
        }
        for tx in txs {
            let report = planned.prediction(&heading, tx);
            if args.blocks.json {
                serde_json::to_writer(&mut out, &report).map_err(io::Error::from)?;
                writeln!(out)?;
            } else {
                write_prediction(&mut out, paint, &report)?;
            }
        }
        out.flush()?;
        Ok(Verdict::Fine)
    })?;
    Ok(verdict.and(summaries.map_or(Verdict::Fine, |summaries| summaries.save())))
}

/// The transactions that are asked for.
fn transactions(input: &BlockInput, tx: Option<TxIndex>) -> Result<Vec<TxIndex>, Failure> {
    match tx {
        Some(tx) => {
            NoSuchTx::check(input, tx)?;
            Ok(vec![tx])
        }
        None => Ok((0..input.block.transactions.len()).map(TxIndex::new).collect()),
    }
}

fn write_heading(
    out: &mut impl Write,
    paint: Paint,
    heading: &BlockHeading,
    args: &PredictArgs,
) -> io::Result<()> {
    let BlockHeading { block, number, chain, fork, .. } = heading;
    let title = paint.bold(block);
    writeln!(out, "{title} · {chain} {number} · {fork} · predicted by {}", args.predictor)
}

/// One transaction: what it calls, then a line for each access.
pub(super) fn write_prediction(
    out: &mut impl Write,
    paint: Paint,
    report: &PredictionReport,
) -> io::Result<()> {
    let tx = &report.tx;
    let title = paint.bold(&tx.tx.to_string());
    writeln!(out, "\n{title} {} · {} gas · {}", tx.name, grouped(report.gas), report.confidence)?;
    let to = tx.to.map_or_else(String::new, |to| format!(" to {to}"));
    writeln!(out, "  {}", paint.dim(&format!("{} from {}{to}", tx.hash, tx.from)))?;
    for (verb, accesses) in
        [("reads", &report.reads), ("writes", &report.writes), ("credits", &report.deltas)]
    {
        write_accesses(out, paint, verb, accesses)?;
    }
    for widened in report.widened.iter().filter(|it| it.access != forewave::AccessKind::Read) {
        writeln!(out, "  {} {}", paint.bad(&format!("{:<8}", "widened")), widened.place.name)?;
    }
    if !report.causes.is_empty() {
        let causes: Vec<String> = report.causes.iter().map(ToString::to_string).collect();
        writeln!(out, "  {:<8} {}", "because", causes.join(", "))?;
    }
    if let Some(deciding) = report.deciding.as_ref().filter(|deciding| !deciding.is_empty()) {
        let names: Vec<&str> = deciding.iter().map(|place| place.name.as_str()).collect();
        for (position, name) in names.iter().enumerate() {
            let verb = if position == 0 { "by" } else { "" };
            writeln!(out, "  {} {name}", paint.accent(&format!("{verb:<8}")))?;
        }
    }
    Ok(())
}

fn write_accesses(
    out: &mut impl Write,
    paint: Paint,
    verb: &str,
    accesses: &[AccessReport],
) -> io::Result<()> {
    for (position, access) in accesses.iter().enumerate() {
        let verb = if position == 0 { verb } else { "" };
        let may = if access.must { "" } else { "may, " };
        let from = paint.dim(&format!("({may}{})", access.source));
        let verb = paint.accent(&format!("{verb:<8}"));
        writeln!(out, "  {verb} {} {from}", access.place.name)?;
    }
    Ok(())
}
