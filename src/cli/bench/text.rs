//! The report of `forewave bench` as a person reads it.

use std::io::{self, Write};

use forewave::{
    bench::{BenchReport, BlockBench, Figures, Measured, Spread},
    report::BlockHeading,
};

use super::super::{
    run::write_mismatches,
    text::{Paint, counted, grouped, write_failed},
};

/// Columns of the name of a way to run a block.
const NAME_COLUMNS: usize = 14;

/// Writes the table of the block that was measured last.
pub(super) fn write_last_block(
    out: &mut impl Write,
    paint: Paint,
    report: &BenchReport,
) -> io::Result<()> {
    let Some(block) = report.blocks.last() else { return Ok(()) };
    if report.blocks.len() == 1 {
        write_settings(out, report)?;
    }
    writeln!(out, "\n{}", paint.bold(&heading(&block.block)))?;
    write_figures(out, paint, report, &block.figures)?;
    write_result(out, paint, block)
}

fn write_settings(out: &mut impl Write, report: &BenchReport) -> io::Result<()> {
    let (predictor, cores) = (report.predictor, counted(report.cores, "core"));
    let warm = if report.warm { ", warm" } else { "" };
    let runs = match report.repeat {
        1 => "one run, times in ms".to_owned(),
        repeat => format!("medians of {repeat} runs · times in ms, quartiles in brackets"),
    };
    writeln!(out, "predictor {predictor}{warm} · {cores} · {runs}")
}

/// Writes the table of all blocks together if there are several, and which failed.
pub(super) fn write_total(
    out: &mut impl Write,
    paint: Paint,
    report: &BenchReport,
) -> io::Result<()> {
    if let Some(total) = report.total.as_ref().filter(|_| report.blocks.len() > 1) {
        let txs = report.blocks.iter().map(|block| block.block.txs).sum();
        let gas = report.blocks.iter().filter_map(|block| block.block.gas_used).sum();
        let all = [counted(report.blocks.len(), "block"), amounts(txs, gas)].join(" · ");
        writeln!(out, "\n{}", paint.bold(&all))?;
        write_figures(out, paint, report, total)?;
        let matching = report.blocks.iter().filter(|block| block.mismatches.is_empty()).count();
        let result = format!("{matching} of {} match", report.blocks.len());
        let all_match = matching == report.blocks.len();
        writeln!(out, "{}", if all_match { paint.good(&result) } else { paint.bad(&result) })?;
    }
    write_failed(out, paint, &report.failed)
}

fn heading(block: &BlockHeading) -> String {
    let BlockHeading { block, number, chain, fork, txs, gas_used } = block;
    format!("{block} · {chain} {number} · {fork} · {}", amounts(*txs, gas_used.unwrap_or_default()))
}

fn amounts(txs: usize, gas: u64) -> String {
    format!("{} · {} gas", counted(txs, "transaction"), grouped(gas))
}

fn write_figures(
    out: &mut impl Write,
    paint: Paint,
    report: &BenchReport,
    figures: &Figures,
) -> io::Result<()> {
    let Figures { sequential, measured } = figures;
    let columns = format!(
        "{:<NAME_COLUMNS$} {:>8} {:>8} {:>8} {:>24} {:>8} {:>8} {:>8} {:>6} {:>6}  {}",
        "",
        "predict",
        "plan",
        "run",
        "total",
        "speed-up",
        "CPU",
        "peak MB",
        "re-run",
        "reused",
        "shared"
    );
    writeln!(out, "{}", paint.dim(columns.trim_end()))?;
    writeln!(
        out,
        "{:<NAME_COLUMNS$} {:>8} {:>8} {:>8} {:>24} {:>8} {:>8} {:>8}",
        "sequential",
        "",
        "",
        "",
        spread(sequential.total_ms),
        "1.00",
        "1.00",
        megabytes(sequential.peak_bytes),
    )?;
    for row in measured {
        write_measured(out, paint, row)?;
    }
    if measured.iter().any(|row| row.threads > report.cores) {
        let cores = counted(report.cores, "core");
        writeln!(out, "{}", paint.dim(&format!("more threads than {cores} share them")))?;
    }
    Ok(())
}

fn write_measured(out: &mut impl Write, paint: Paint, row: &Measured) -> io::Result<()> {
    let speedup = format!("{:>8.2}", row.speedup);
    let speedup = if row.speedup > 1.0 { paint.good(&speedup) } else { speedup };
    writeln!(
        out,
        "{:<NAME_COLUMNS$} {:>8.2} {:>8.2} {:>8.2} {:>24} {speedup} {:>8.2} {:>8} {:>6} {:>6}  {}",
        counted(row.threads, "thread"),
        row.predict_ms.median,
        row.plan_ms.median,
        row.run_ms.median,
        spread(row.total_ms),
        row.cpu_ratio,
        megabytes(row.peak_bytes),
        row.reexecuted,
        row.reused,
        row.shared,
    )
}

fn write_result(out: &mut impl Write, paint: Paint, block: &BlockBench) -> io::Result<()> {
    if block.mismatches.is_empty() {
        return writeln!(
            out,
            "{}",
            paint.good("every run matches sequential execution and what the header states")
        );
    }
    writeln!(out, "{}", paint.bad("a run differs"))?;
    write_mismatches(out, &block.mismatches)
}

fn spread(Spread { median, lower, upper }: Spread) -> String {
    format!("{median:.2} ({lower:.2}-{upper:.2})")
}

fn megabytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| grouped(bytes / 1_000_000))
}
