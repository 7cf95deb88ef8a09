//! `forewave score` of blocks that come with their access list (EIP-7928): the list is the truth,
//! and no block is executed for it.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use alloy_eips::eip7928::BlockAccessList;
use forewave::{
    PredictorKind, StaticPredictor,
    input::BlockInput,
    measure::{ListMeasure, ListScore, TxClass, measure_by_list},
    report::{BlockHeading, ListedScores, ListedTotal},
};

use super::{
    Summarizing, summarize,
    text::{Row, Unit, write_columns, write_row},
};
use crate::cli::{
    args::{ScoreArgs, Truth},
    diagnostic::Failure,
    summaries::predictor_by,
    text::{Paint, counted},
    timing::{median, timed},
};

/// One predictor on one block, or on several.
#[derive(Debug, Default)]
struct Measured {
    measure: ListMeasure,
    analysis: Duration,
}

/// All predictors on one block.
pub(super) struct MeasuredByList {
    pub(super) summarizing: Summarizing,
    by_predictor: BTreeMap<PredictorKind, Measured>,
}

/// The list that a block is scored by, if it is to be.
pub(super) fn truth<'a>(
    args: &ScoreArgs,
    input: &'a BlockInput,
) -> Result<Option<&'a BlockAccessList>, Failure> {
    match (args.truth, input.block.access_list.as_deref()) {
        (Some(Truth::Execution), _) | (None, None) => Ok(None),
        (Some(Truth::List), None) => Err(Failure::NoListToScoreBy),
        (_, Some(list)) => Ok(Some(list)),
    }
}

/// Scores every predictor on a block by its list.
pub(super) fn score_block(
    args: &ScoreArgs,
    input: &BlockInput,
    shared: &StaticPredictor,
    list: &BlockAccessList,
) -> Result<MeasuredByList, Failure> {
    let BlockInput { block, state, .. } = input;
    let classes = TxClass::of_block(block, state)?;
    let summarizing = summarize(args, input, shared)?;
    let mut by_predictor = BTreeMap::new();
    for &kind in &args.predictor {
        let predictor = predictor_by(kind, Some(shared));
        let predictions = predictor.predict(block, state)?;
        let measure = measure_by_list(block, list, &classes, &predictions);
        let times = (0..args.repeat).map(|_| timed(|| predictor.predict(block, state)).1);
        by_predictor.insert(kind, Measured { measure, analysis: median(times.collect()) });
    }
    Ok(MeasuredByList { summarizing, by_predictor })
}

/// What was measured so far by lists.
#[derive(Debug, Default)]
pub(super) struct ListTally {
    blocks: Vec<ListedScores>,
    by_predictor: BTreeMap<PredictorKind, Measured>,
}

impl ListTally {
    /// Adds a block, and gives its scores.
    pub(super) fn add(&mut self, block: BlockHeading, measured: MeasuredByList) -> &ListedScores {
        let score = |Measured { measure, analysis }: &Measured| ListScore::new(measure, *analysis);
        let by_predictor = measured.by_predictor;
        let predictors = by_predictor.iter().map(|(&kind, it)| (kind, score(it))).collect();
        for (kind, Measured { measure, analysis }) in by_predictor {
            let total = self.by_predictor.entry(kind).or_default();
            total.measure += &measure;
            total.analysis += analysis;
        }
        self.blocks.push(ListedScores { block, predictors });
        self.blocks.last().expect("one was pushed")
    }

    /// The blocks, and all together; nothing is left.
    pub(super) fn report(&mut self) -> (Vec<ListedScores>, Option<ListedTotal>) {
        let blocks = core::mem::take(&mut self.blocks);
        let scores = core::mem::take(&mut self.by_predictor);
        let scores = scores.iter().map(|(&kind, Measured { measure, analysis })| {
            (kind, ListScore::new(measure, *analysis))
        });
        let total = (!blocks.is_empty()).then(|| ListedTotal {
            blocks: blocks.len(),
            txs: blocks.iter().map(|scores| scores.block.txs).sum(),
            predictors: scores.collect(),
        });
        (blocks, total)
    }
}

const TOTAL_ROWS: [Row<ListScore>; 13] = [
    ("write recall", Unit::Ratio, |score| score.write_recall),
    ("write precision", Unit::Ratio, |score| score.write_precision),
    ("storage write recall", Unit::Ratio, |score| score.storage_write_recall),
    ("storage write precision", Unit::Ratio, |score| score.storage_write_precision),
    ("exact transactions", Unit::Percent, |score| score.exact_txs),
    ("slot recall, whole block", Unit::Ratio, |score| score.slot_recall),
    ("slot precision, whole block", Unit::Ratio, |score| score.slot_precision),
    ("account recall, whole block", Unit::Ratio, |score| score.account_recall),
    ("account precision, whole block", Unit::Ratio, |score| score.account_precision),
    ("widened transactions", Unit::Percent, |score| score.widened_txs),
    ("  to mappings at most", Unit::Percent, |score| score.widened_to_mapping_txs),
    ("  to contracts at most", Unit::Percent, |score| score.widened_to_contract_txs),
    ("analysis, ms", Unit::Ratio, |score| score.analysis_ms),
];

const BLOCK_ROWS: [Row<ListScore>; 2] = [
    ("write recall", Unit::Ratio, |score| score.write_recall),
    ("slot recall, whole block", Unit::Ratio, |score| score.slot_recall),
];

/// What all that was measured by a list is headed by.
const BY_LIST: &str = "by the access list, nothing executed";

/// The most telling measures of one block, and an empty line.
pub(super) fn write_block(
    out: &mut impl Write,
    paint: Paint,
    scores: &ListedScores,
) -> io::Result<()> {
    let ListedScores { block, predictors } = scores;
    let txs = counted(block.txs, "transaction");
    let title = format!("{} · {txs} · {BY_LIST}", block.block);
    write_columns(out, paint, &title, predictors.keys())?;
    for (label, unit, value) in BLOCK_ROWS {
        write_row(out, label, predictors.values().map(|score| unit.show(value(score))))?;
    }
    writeln!(out)
}

/// The measures of all blocks that were scored by their lists.
pub(super) fn write_total(
    out: &mut impl Write,
    paint: Paint,
    total: &ListedTotal,
) -> io::Result<()> {
    let ListedTotal { blocks, txs, predictors } = total;
    let (blocks, txs) = (counted(*blocks, "block"), counted(*txs, "transaction"));
    write_columns(out, paint, &format!("{blocks} · {txs} · {BY_LIST}"), predictors.keys())?;
    for (label, unit, value) in TOTAL_ROWS {
        write_row(out, label, predictors.values().map(|score| unit.show(value(score))))?;
    }
    for (kind, score) in predictors {
        if score.most_missed.is_empty() {
            continue;
        }
        let title = format!("slots of the list that {kind} misses most, by contract");
        writeln!(out, "\n{}", paint.bold(&title))?;
        for missed in &score.most_missed {
            writeln!(out, "{} {:>8}", missed.address, missed.slots)?;
        }
    }
    Ok(())
}
