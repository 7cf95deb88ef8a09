//! The arguments of the commands that look at a block: `graph`, `predict`, `explain`.

use core::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use forewave::{
    Hazard, PredictorKind, TxIndex,
    picture::{Filter, Only},
};

use super::{BlockArgs, CacheArgs, LoadArgs, NodeArgs, predictor, wrong_usage};

/// The most cores of a Gantt chart.
const CORES_MAX: i64 = 256;

/// The narrowest text.
const COLUMNS_MIN: i64 = 60;

/// What things are called.
#[derive(Debug, Args)]
pub(in crate::cli) struct NameArgs {
    /// Name addresses by a FILE with a JSON object, address -> name; before the names of well-known
    /// contracts.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) labels: Option<PathBuf>,
}

/// `forewave graph`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  forewave graph BLOCK                                  text that fits the terminal
  forewave graph BLOCK -o block.html                    a page to look at: pan, zoom, search, Gantt chart
  forewave graph BLOCK --check -o block.svg             with what execution touched otherwise
  forewave graph BLOCK --only tx12 --format mermaid     what tx12 conflicts with, for Markdown
  forewave graph BLOCK --only 0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2 --hazard raw
  forewave graph BLOCK --format dot | dot -Tpng -o block.png")]
pub(in crate::cli) struct GraphArgs {
    #[command(flatten)]
    pub(in crate::cli) blocks: BlockArgs,
    /// How to draw [default: what the ending of --output says, or text]
    #[arg(long, value_enum, conflicts_with = "json")]
    format: Option<GraphFormat>,
    /// Write to FILE, whole or not at all. Of what is there, only an earlier drawing of this format
    /// is replaced.
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// The predictor.
    #[arg(long, value_name = "P", default_value = "static", value_parser = predictor())]
    pub(in crate::cli) predictor: PredictorKind,
    /// Execute the block too, and mark edges that were not needed, and those that were missed.
    #[arg(long)]
    pub(in crate::cli) check: bool,
    /// Draw only what is sent by, calls or touches an ADDRESS; or only a transaction (12, tx12) with
    /// all that it conflicts with, waits for, or that waits for it.
    #[arg(long, value_name = "ADDRESS|TX")]
    only: Option<Only>,
    /// Draw only these hazards, separated by commas.
    #[arg(long, value_name = "H,...", value_delimiter = ',', value_enum)]
    hazard: Vec<HazardName>,
    /// Draw only one wave, or those from FIRST to LAST.
    #[arg(long, value_name = "N|FIRST-LAST", value_parser = waves)]
    wave: Option<RangeInclusive<usize>>,
    /// Draw only transactions of at least GAS estimated gas.
    #[arg(long, value_name = "GAS")]
    min_gas: Option<u64>,
    /// Cores of the Gantt chart in `svg` and `html`.
    #[arg(long, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u32).range(1..=CORES_MAX))]
    pub(in crate::cli) cores: u32,
    /// Columns of text [default: the terminal's; 120 where output is none]
    #[arg(long, value_name = "COLUMNS",
          value_parser = clap::value_parser!(u16).range(COLUMNS_MIN..))]
    pub(in crate::cli) width: Option<u16>,
    #[command(flatten)]
    pub(in crate::cli) names: NameArgs,
    #[command(flatten)]
    pub(in crate::cli) cache: CacheArgs,
}

impl GraphArgs {
    /// How to draw.
    pub(in crate::cli) fn format(&self) -> GraphFormat {
        if self.blocks.json {
            return GraphFormat::Json;
        }
        let by_ending = || {
            let ending = self.output.as_ref()?.extension()?.to_str()?;
            Some(match ending {
                "html" | "htm" => GraphFormat::Html,
                "svg" => GraphFormat::Svg,
                "dot" | "gv" => GraphFormat::Dot,
                "mmd" | "mermaid" => GraphFormat::Mermaid,
                "json" | "jsonl" => GraphFormat::Json,
                "txt" | "text" => GraphFormat::Text,
                other => wrong_usage(format!(
                    "-o FILE ends in `.{other}`, which says no format: end it in .html, .svg, .dot, \
                     .mmd, .json or .txt, or name the --format"
                )),
            })
        };
        self.format.or_else(by_ending).unwrap_or(GraphFormat::Text)
    }

    /// What to draw.
    pub(in crate::cli) fn filter(&self) -> Filter {
        let mut hazards: Vec<Hazard> = self.hazard.iter().map(|name| name.hazard()).collect();
        hazards.sort_unstable();
        hazards.dedup();
        Filter { only: self.only, hazards, waves: self.wave.clone(), min_gas: self.min_gas }
    }
}

/// How a graph is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum GraphFormat {
    /// For a person at a terminal.
    Text,
    /// For a machine: what --json prints.
    Json,
    /// For Graphviz.
    Dot,
    /// For Markdown, as GitHub renders it.
    Mermaid,
    /// A picture, with a Gantt chart.
    Svg,
    /// One file without network: graph, Gantt chart, search.
    Html,
}

/// A hazard by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HazardName {
    /// Read after write: the later one waits.
    Raw,
    /// Write after read.
    War,
    /// Write after write.
    Waw,
}

impl HazardName {
    const fn hazard(self) -> Hazard {
        match self {
            Self::Raw => Hazard::Raw,
            Self::War => Hazard::War,
            Self::Waw => Hazard::Waw,
        }
    }
}

/// `forewave predict`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  forewave predict BLOCK --tx 12                        one transaction
  forewave predict BLOCK --json                         one object for each transaction
  forewave predict BLOCK --json | jq -c 'select(any(.reads[], .writes[], .deltas[]; .slot == \"0x8\")) | {tx, name}'")]
pub(in crate::cli) struct PredictArgs {
    #[command(flatten)]
    pub(in crate::cli) blocks: BlockArgs,
    /// Only this transaction, by its position in the block (12, tx12).
    #[arg(long, value_name = "TX", value_parser = tx)]
    pub(in crate::cli) tx: Option<TxIndex>,
    /// The predictor.
    #[arg(long, value_name = "P", default_value = "static", value_parser = predictor())]
    pub(in crate::cli) predictor: PredictorKind,
    #[command(flatten)]
    pub(in crate::cli) names: NameArgs,
    #[command(flatten)]
    pub(in crate::cli) cache: CacheArgs,
}

/// `forewave explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  forewave explain BLOCK 12                             everything about tx12
  forewave explain BLOCK 7 12                           why tx12 waits for tx7, or why not
  forewave explain BLOCK 7 12 --predictor access-list   by the access lists alone
  forewave explain --rpc-url http://localhost:8545 latest 7 12
  forewave explain BLOCK 7 12 --json")]
pub(in crate::cli) struct ExplainArgs {
    /// A block directory.
    #[arg(value_name = "BLOCK")]
    block: PathBuf,
    #[command(flatten)]
    node: NodeArgs,
    /// A transaction, by its position in the block (12, tx12).
    #[arg(value_name = "A", value_parser = tx)]
    pub(in crate::cli) one: TxIndex,
    /// Another one.
    #[arg(value_name = "B", value_parser = tx)]
    pub(in crate::cli) other: Option<TxIndex>,
    /// Print JSON instead of text (docs/json.md describes the fields).
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// The predictor.
    #[arg(long, value_name = "P", default_value = "static", value_parser = predictor())]
    pub(in crate::cli) predictor: PredictorKind,
    /// Do not execute the block to say whether the order is real.
    #[arg(long)]
    pub(in crate::cli) no_check: bool,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    pub(in crate::cli) names: NameArgs,
    #[command(flatten)]
    pub(in crate::cli) cache: CacheArgs,
}

impl ExplainArgs {
    /// The block, and how it is loaded.
    pub(in crate::cli) fn blocks(&self) -> BlockArgs {
        BlockArgs {
            blocks: vec![self.block.clone()],
            node: self.node.clone(),
            json: self.json,
            loading: self.load.clone(),
        }
    }
}

/// A transaction as outputs name it, or its number alone.
fn tx(text: &str) -> Result<TxIndex, String> {
    match text.parse::<Only>() {
        Ok(Only::Tx(tx)) => Ok(tx),
        _ => Err("it is the position of a transaction in its block, such as 12 or tx12".to_owned()),
    }
}

/// `3`, or `3-7`.
fn waves(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.trim_start_matches("wave").parse::<usize>().ok();
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err("it is a wave such as 3, or a range such as 3-7".to_owned()),
    }
}
