//! Scores as text: a column for each predictor.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use forewave::{
    PredictorKind,
    measure::{Score, TxClass},
    report::{BlockScores, TotalScores},
};

use crate::cli::text::{Paint, counted, grouped};

/// How a figure is shown.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Ratio,
    Percent,
}

impl Unit {
    pub(super) fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.3}"),
            Self::Percent => format!("{:.2} %", value * 100.0),
        }
    }
}

pub(super) type Row<T> = (&'static str, Unit, fn(&T) -> f64);

const TOTAL_ROWS: [Row<Score>; 15] = [
    ("location recall", Unit::Ratio, |score| score.location_recall),
    ("location precision", Unit::Ratio, |score| score.location_precision),
    ("storage recall", Unit::Ratio, |score| score.storage_recall),
    ("storage precision", Unit::Ratio, |score| score.storage_precision),
    ("code recall", Unit::Ratio, |score| score.code_recall),
    ("code precision", Unit::Ratio, |score| score.code_precision),
    ("exact transactions", Unit::Percent, |score| score.exact_txs),
    ("widened transactions", Unit::Percent, |score| score.widened_txs),
    ("  to mappings at most", Unit::Percent, |score| score.widened_to_mapping_txs),
    ("  to contracts at most", Unit::Percent, |score| score.widened_to_contract_txs),
    ("dependency recall", Unit::Ratio, |score| score.dependency_recall),
    ("re-executed transactions", Unit::Percent, |score| score.reexecuted_txs),
    ("re-executed gas", Unit::Percent, |score| score.reexecuted_gas),
    ("span inflation", Unit::Ratio, |score| score.span_inflation),
    ("analysis / sequential", Unit::Ratio, |score| score.analysis_ratio),
];

const BLOCK_ROWS: [Row<Score>; 3] = [
    ("location recall", Unit::Ratio, |score| score.location_recall),
    ("dependency recall", Unit::Ratio, |score| score.dependency_recall),
    ("re-executed transactions", Unit::Percent, |score| score.reexecuted_txs),
];

/// Width of the first column.
const LABEL_WIDTH: usize = 34;
/// Width of a predictor's column.
const VALUE_WIDTH: usize = 12;

/// The most telling measures of one block, and an empty line.
pub(super) fn write_block(
    out: &mut impl Write,
    paint: Paint,
    scores: &BlockScores,
) -> io::Result<()> {
    let BlockScores { block, predictors, .. } = scores;
    let title = format!("{} · {}", block.block, counted(block.txs, "transaction"));
    write_columns(out, paint, &title, predictors.keys())?;
    for (label, unit, value) in BLOCK_ROWS {
        write_row(out, label, predictors.values().map(|score| unit.show(value(score))))?;
    }
    writeln!(out)
}

pub(super) fn write_total(
    out: &mut impl Write,
    paint: Paint,
    total: &TotalScores,
) -> io::Result<()> {
    let (count, txs) = (counted(total.blocks, "block"), counted(total.txs, "transaction"));
    let (gas, threads) = (grouped(total.gas_used), counted(total.threads, "thread"));
    let title = format!("{count} · {txs} · {gas} gas · {threads}");
    write_columns(out, paint, &title, total.predictors.keys())?;
    for (label, unit, value) in TOTAL_ROWS {
        write_row(out, label, total.predictors.values().map(|score| unit.show(value(score))))?;
    }
    if let Some(speedup) = total.static_speedup {
        let threads = counted(total.threads, "thread");
        writeln!(out, "static on {threads}: {speedup:.2} times the predictions of one")?;
    }
    if total.summarized_codes > 0 {
        let codes = counted(total.summarized_codes, "contract");
        let each = total.summarizing_ms / total.summarized_codes as f64;
        writeln!(out, "summarized {codes}, {each:.1} ms each")?;
    }
    for class in TxClass::ALL {
        write_class(out, paint, class, &total.predictors)?;
    }
    write_causes(out, paint, &total.predictors)?;
    write_missed(out, paint, &total.predictors)
}

/// The measures of one class of transactions.
fn write_class(
    out: &mut impl Write,
    paint: Paint,
    class: TxClass,
    predictors: &BTreeMap<PredictorKind, Score>,
) -> io::Result<()> {
    let scores: Vec<_> =
        predictors.values().filter_map(|score| score.by_class.get(&class)).collect();
    let Some(first) = scores.first() else { return Ok(()) };
    writeln!(out)?;
    let txs = usize::try_from(first.txs).unwrap_or(usize::MAX);
    let title = format!("{class}: {}", counted(txs, "transaction"));
    write_columns(out, paint, &title, predictors.keys())?;
    let row = |show: fn(&forewave::measure::ClassScore) -> String| {
        scores.iter().map(|score| show(score)).collect::<Vec<_>>().into_iter()
    };
    write_row(out, "location recall", row(|s| Unit::Ratio.show(s.location_recall)))?;
    write_row(out, "location precision", row(|s| Unit::Ratio.show(s.location_precision)))?;
    write_row(out, "exact transactions", row(|s| Unit::Percent.show(s.exact_txs)))?;
    write_row(out, "dependency recall", row(|s| Unit::Ratio.show(s.dependency_recall)))?;
    write_row(out, "re-executed transactions", row(|s| Unit::Percent.show(s.reexecuted_txs)))
}

/// Why predictions are widened, and how often.
fn write_causes(
    out: &mut impl Write,
    paint: Paint,
    predictors: &BTreeMap<PredictorKind, Score>,
) -> io::Result<()> {
    let causes: BTreeSet<_> = predictors.values().flat_map(|score| score.causes.keys()).collect();
    if causes.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    write_columns(out, paint, "widened transactions by cause", predictors.keys())?;
    for cause in causes {
        let txs = |score: &Score| score.causes.get(cause).copied().unwrap_or(0);
        write_row(out, &cause.to_string(), predictors.values().map(|it| grouped(txs(it))))?;
    }
    Ok(())
}

/// The contracts of whose storage each predictor misses most.
fn write_missed(
    out: &mut impl Write,
    paint: Paint,
    predictors: &BTreeMap<PredictorKind, Score>,
) -> io::Result<()> {
    for (kind, score) in predictors {
        if score.most_missed.is_empty() {
            continue;
        }
        writeln!(out)?;
        writeln!(out, "{}", paint.bold(&format!("slots that {kind} misses most, by contract")))?;
        for missed in &score.most_missed {
            writeln!(out, "{} {:>8}", missed.address, grouped(missed.slots))?;
        }
    }
    Ok(())
}

pub(super) fn write_columns<'a>(
    out: &mut impl Write,
    paint: Paint,
    title: &str,
    predictors: impl Iterator<Item = &'a PredictorKind>,
) -> io::Result<()> {
    // A title may be wider than its column; it then has a line of its own.
    let label = if title.chars().count() > LABEL_WIDTH {
        writeln!(out, "{}", paint.bold(title))?;
        ""
    } else {
        title
    };
    let names: Vec<String> = predictors.map(|name| format!("{name:>VALUE_WIDTH$}")).collect();
    writeln!(out, "{}", paint.bold(&format!("{label:<LABEL_WIDTH$}{}", names.concat())))
}

pub(super) fn write_row(
    out: &mut impl Write,
    label: &str,
    values: impl Iterator<Item = String>,
) -> io::Result<()> {
    write!(out, "{label:<LABEL_WIDTH$}")?;
    for value in values {
        write!(out, "{value:>VALUE_WIDTH$}")?;
    }
    writeln!(out)
}
