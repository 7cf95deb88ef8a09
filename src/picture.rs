//! A planned block -> a picture of its conflict graph, drawn as DOT, Mermaid, SVG or HTML.
//!
//! ```text
//! Explained, Filter ──> Picture: nodes, edges, places in words, captions
//!                          ├─ layout ──> columns: a wave each ──> svg, html
//!                          ├─ lanes ──> who runs when on N cores ──> svg, html
//!                          └─ dot, mermaid: layout is left to those who read them
//! ```
//!
//! The columns are our own layout, not a library's: waves are the layers already, and what is
//! left, the order within a column, is a sort by where the neighbours are. General layout
//! libraries find layers of their own and do not keep ours.

mod build;
mod captions;
mod check;
mod dot;
mod filter;
mod html;
mod layout;
mod mermaid;
mod svg;

use forewave_analyzer::TxIndex;
use forewave_scheduler::{Hazard, Lanes};

pub use self::{
    check::{CheckReport, MissedEdge},
    dot::picture_dot,
    filter::{Filter, Only, UnknownFilter},
    html::html,
    mermaid::mermaid,
    svg::svg,
};
use crate::names::{PlaceReport, TxReport};

/// A conflict graph, ready to be drawn.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Which block.
    pub title: String,
    /// What the schedule promises, in one line.
    pub figures: String,
    /// How it was predicted, what is not certain, what is shown, what execution says.
    pub captions: Vec<String>,
    /// Every transaction, in block order.
    pub nodes: Vec<Node>,
    /// What is drawn between them, sorted by later and then by earlier transaction.
    pub edges: Vec<PictureEdge>,
    /// Where transactions meet, named by the edges' hazards.
    pub places: Vec<PlaceReport>,
    /// Estimated gas of each wave, and its chains, heaviest first.
    pub waves: Vec<PictureWave>,
    /// A run on some cores.
    pub lanes: Lanes,
    /// Runs on other numbers of cores, to choose from.
    pub other_lanes: Vec<Lanes>,
    /// Whether the block was run to compare.
    pub is_checked: bool,
}

/// A wave.
#[derive(Clone, Debug, Default)]
pub struct PictureWave {
    /// Estimated gas.
    pub gas: u64,
    /// Its chains, heaviest first.
    pub chains: Vec<Vec<TxIndex>>,
}

/// A transaction.
#[derive(Clone, Debug)]
pub struct Node {
    /// Which.
    pub tx: TxReport,
    /// Estimated gas.
    pub gas: u64,
    /// Its wave, counted from 0.
    pub wave: usize,
    /// Whether it is drawn, or folded into a box of its wave.
    pub shown: Shown,
    /// Whether it is on the critical path.
    pub is_critical: bool,
    /// Whether some of its accesses are made by some runs only.
    pub has_may: bool,
    /// Scopes that its prediction is widened to, and why, in words.
    pub widened: Vec<String>,
    /// Its named accesses: place, and what it does there.
    pub accesses: Vec<NodeAccess>,
}

/// How a transaction is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As a box of its own.
    Alone,
    /// With all others of its wave that conflict with nothing that is shown.
    Folded,
    /// Not at all: it was not asked for.
    Hidden,
}

/// What a transaction does at a place.
#[derive(Clone, Copy, Debug)]
pub struct NodeAccess {
    /// Position in [`Picture::places`].
    pub place: usize,
    /// 1 for a read, 2 for a write, 4 for a credit, and 8 if only some runs do.
    pub uses: u8,
}

/// What is drawn between two transactions.
#[derive(Clone, Debug)]
pub struct PictureEdge {
    /// The earlier transaction.
    pub from: TxIndex,
    /// The later one.
    pub to: TxIndex,
    /// How and where they meet: positions in [`Picture::places`].
    pub hazards: Vec<(Hazard, usize)>,
    /// Whether the later one waits.
    pub orders: bool,
    /// Whether all runs meet there.
    pub is_certain: bool,
    /// Whether it is on the critical path.
    pub is_critical: bool,
    /// What execution says.
    pub verdict: EdgeVerdict,
}

/// What execution says of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeVerdict {
    /// Nothing: the block was not run.
    Unchecked,
    /// The two did meet.
    Real,
    /// They did not.
    Unseen,
    /// They met, and it was not predicted.
    Missed,
}

impl Picture {
    /// The transactions of a wave that are folded, in block order.
    pub fn folded(&self, wave: usize) -> Vec<TxIndex> {
        let of_wave = self.nodes.iter().filter(|node| node.wave == wave);
        of_wave.filter(|node| node.shown == Shown::Folded).map(|node| node.tx.tx).collect()
    }

    /// The hazards of an edge in words, at most so many lines.
    pub fn words(&self, edge: &PictureEdge, lines_max: usize) -> Vec<String> {
        let rest = edge.hazards.len().saturating_sub(lines_max);
        let shown = edge.hazards.iter().take(lines_max);
        let words = shown.map(|(hazard, place)| format!("{hazard} {}", self.places[*place].name));
        words.chain((rest > 0).then(|| format!("and {rest} more"))).collect()
    }
}

/// What edges look like, in words: the legend of every picture.
pub(crate) const LEGEND: [(&str, &str); 4] = [
    ("RAW", "reads what the earlier one writes: waits for it"),
    ("WAR", "writes what the earlier one reads: waits for nothing"),
    ("WAW", "writes what the earlier one writes: waits for nothing"),
    ("dashed", "only some runs, or not known where"),
];
