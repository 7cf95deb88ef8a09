//! What the commands print with `--json`: one type for each, every field
//! documented here and in `docs/json.md`.

use core::time::Duration;
use std::collections::BTreeMap;

use alloy_eips::{eip2930::AccessList, eip7928::AccountChanges};
use alloy_primitives::B256;
use forewave_analyzer::{TxIndex, WideningCause};
use forewave_executor::{OutcomeNote, Reexecution};
use forewave_scheduler::{
    ConflictGraph, GraphView, HotSpot, LocationId, LocationView, Schedule, critical_path, hot_spots,
};
use serde::Serialize;

use crate::{
    FaultReport, Plan, PredictorKind,
    compare::{Mismatch, Unchecked},
    explain::Explained,
    input::{BlockInput, Chain},
    measure::{ListScore, Score},
    names::{PlaceReport, TxReport},
    picture::CheckReport,
};

/// Which block a report is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockHeading {
    /// Name of the block's directory.
    pub block: String,
    /// Block number.
    pub number: u64,
    /// The chain.
    pub chain: Chain,
    /// The latest fork active in the block.
    pub fork: String,
    /// Number of transactions.
    pub txs: usize,
    /// Gas used, as the header states it; none of a block that has not run.
    pub gas_used: Option<u64>,
}

impl BlockHeading {
    /// The heading of a block loaded from a directory of this name.
    pub fn new(block: &str, input: &BlockInput) -> Self {
        Self {
            block: block.to_owned(),
            number: input.header.number,
            chain: input.chain,
            fork: input.fork.to_string(),
            txs: input.block.transactions.len(),
            gas_used: input.header.gas_used,
        }
    }
}

/// A block that a report over several could not include.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedBlock {
    /// Name of the block's directory.
    pub block: String,
    /// Why.
    pub error: String,
}

/// `forewave graph --json`: one object for each block.
#[derive(Clone, Debug, Serialize)]
pub struct GraphReport {
    /// Which block.
    #[serde(flatten)]
    pub block: BlockHeading,
    /// Who predicted.
    pub predictor: PredictorKind,
    /// Transactions and the pairs of them that conflict directly.
    pub graph: GraphView,
    /// Waves of chains, with work, span, parallelism and width.
    pub schedule: Schedule,
    /// The places where transactions meet, hottest first.
    pub hot_spots: Vec<HotSpot>,
    /// The same in words.
    #[serde(flatten)]
    pub words: Option<GraphWords>,
}

/// What [`GraphReport`] says of things by name.
#[derive(Clone, Debug, Serialize)]
pub struct GraphWords {
    /// The graph's transactions: who sends them, what they call.
    pub transactions: Vec<TxReport>,
    /// The graph's locations, by identifier.
    pub places: Vec<NamedLocation>,
    /// The transactions of the heaviest path of RAW edges.
    pub critical_path: Vec<TxIndex>,
    /// How it was predicted, what is not certain, what is shown, what execution says.
    pub captions: Vec<String>,
    /// Transactions whose predictions are not certain.
    pub uncertain: Vec<UncertainTx>,
    /// With `--check`: what execution touched otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckReport>,
}

/// A location by its identifier and by name.
#[derive(Clone, Debug, Serialize)]
pub struct NamedLocation {
    /// Its identifier in the graph.
    pub id: LocationId,
    /// What and where it is.
    #[serde(flatten)]
    pub place: PlaceReport,
}

/// A transaction whose prediction is not certain.
#[derive(Clone, Debug, Serialize)]
pub struct UncertainTx {
    /// Which.
    pub tx: TxIndex,
    /// Number of named accesses that only some runs make.
    pub may: usize,
    /// Scopes that it is widened to.
    pub widened: Vec<PlaceReport>,
    /// Why.
    pub causes: Vec<WideningCause>,
}

impl GraphWords {
    /// The words of a graph, which may be a part of the planned one.
    pub fn new(planned: &Explained<'_>, graph: &GraphView, captions: &[String]) -> Self {
        let names = &planned.names;
        let location = |it: &LocationView| NamedLocation {
            id: it.id,
            place: PlaceReport::of_location(names, &it.location),
        };
        let uncertain = |tx: TxIndex| {
            let prediction = &planned.plan.predictions()[tx.index()];
            let may = prediction.accesses().filter(|(.., must)| !must).count();
            let scopes = prediction.widened().iter().map(|widened| widened.scope);
            let mut widened: Vec<PlaceReport> =
                scopes.map(|scope| PlaceReport::of_scope(names, &scope)).collect();
            widened.dedup();
            let causes = prediction.causes().to_vec();
            (may > 0 || !widened.is_empty()).then_some(UncertainTx { tx, may, widened, causes })
        };
        let transactions = || graph.transactions.iter().map(|it| it.tx);
        Self {
            transactions: transactions().map(|tx| names.report(planned.input, tx)).collect(),
            places: graph.locations.iter().map(location).collect(),
            critical_path: critical_path(planned.plan.graph()),
            captions: captions.to_vec(),
            uncertain: transactions().filter_map(uncertain).collect(),
            check: planned.check(),
        }
    }
}

impl GraphReport {
    /// The report on a planned block.
    pub fn new(block: BlockHeading, predictor: PredictorKind, plan: &Plan) -> Self {
        let graph: &ConflictGraph = plan.graph();
        Self {
            block,
            predictor,
            graph: GraphView::from(graph),
            schedule: plan.schedule().clone(),
            hot_spots: hot_spots(graph),
            words: None,
        }
    }

    /// The same with words.
    #[must_use]
    pub fn with_words(mut self, words: GraphWords) -> Self {
        self.words = Some(words);
        self
    }
}

/// `forewave access-list --json`: one object for each transaction.
#[derive(Clone, Debug, Serialize)]
pub struct DeclarationReport<'a> {
    /// Name of the block's directory.
    pub block: &'a str,
    /// The transaction.
    pub tx: TxIndex,
    /// Its hash.
    pub hash: B256,
    /// Gas that it uses with the list that it has.
    pub gas_used: u64,
    /// Gas that it would use without a list.
    pub gas_without: u64,
    /// Gas that it would use with `access_list`.
    pub gas_with: u64,
    /// Accounts and slots that its own list names, and that it did not touch.
    pub unused: usize,
    /// The list that costs least; empty if none saves anything.
    pub access_list: &'a AccessList,
}

/// `forewave bal --json`: one object for each block.
#[derive(Clone, Debug, Serialize)]
pub struct ListReport<'a> {
    /// Which block.
    #[serde(flatten)]
    pub block: BlockHeading,
    /// Hash of the list that executing the block made.
    pub hash: B256,
    /// Hash of the list, as the header states it; none before Amsterdam.
    pub header_hash: Option<B256>,
    /// Accounts in the list.
    pub accounts: usize,
    /// Accounts and slots in it.
    pub items: u64,
    /// The most of them that the block's gas limit allows.
    pub items_max: u64,
    /// Bytes of its RLP.
    pub rlp_bytes: usize,
    /// What is wrong with the list that was given; empty if nothing is, none if no list was
    /// given.
    pub faults: Option<Vec<FaultReport>>,
    /// What the outcome, and so the list, leaves out because the pre-state does not hold it.
    pub notes: Vec<OutcomeNote>,
    /// The list itself, as `eth_getBlockAccessList` answers it; not with `--check`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_list: Option<&'a [AccountChanges]>,
}

impl ListReport<'_> {
    /// Whether nothing speaks against the list that the block comes with.
    pub fn is_true(&self) -> bool {
        self.header_hash.is_none_or(|stated| stated == self.hash)
            && self.faults.as_ref().is_none_or(Vec::is_empty)
    }
}

/// `forewave run --json`: one object for each block. Times are medians over the
/// repetitions, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// Which block.
    #[serde(flatten)]
    pub block: BlockHeading,
    /// Who predicted waves and parallelism, and the run if `predicted` is not 0.
    pub predictor: PredictorKind,
    /// Threads that shared the block; 1 where that was estimated to be as fast.
    pub shared_by: usize,
    /// Whether the access list that the block came with is the one that executing it made; null
    /// if it came with none.
    pub access_list_right: Option<bool>,
    /// Transactions that ran by their prediction; 0 where none was used.
    pub predicted: usize,
    /// Threads of the pool.
    pub threads: usize,
    /// How often the block was run.
    pub repeat: u32,
    /// Waves of the schedule.
    pub waves: usize,
    /// Predicted work over predicted span.
    pub parallelism: f64,
    /// How many transactions ran more than once, in the last repetition.
    pub reexecuted: usize,
    /// Which, and why.
    pub reexecutions: Vec<Reexecution>,
    /// What the outcome leaves out because the pre-state does not hold it.
    pub notes: Vec<OutcomeNote>,
    /// Predicting, on all threads.
    pub predict_ms: f64,
    /// Drawing the graph and planning the run.
    pub plan_ms: f64,
    /// Executing, on all threads.
    pub run_ms: f64,
    /// All three together.
    pub parallel_ms: f64,
    /// With `--compare`: how parallel execution compares.
    #[serde(flatten)]
    pub comparison: Option<Comparison>,
    /// Gas used as the header states it, where that differs from what execution used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_gas_used: Option<u64>,
}

/// The fields that `--compare` adds to a [`RunReport`].
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Executing sequentially.
    pub sequential_ms: f64,
    /// `sequential_ms` over `parallel_ms`.
    pub speedup: f64,
    /// Whether every repetition gave the sequential outcome.
    pub matches_sequential: bool,
    /// Whether every repetition gave what the header says; none where it says nothing.
    pub matches_header: Option<bool>,
    /// The fields of the header that are not compared, and why.
    pub unchecked: Vec<Unchecked>,
    /// What differs, at most the first difference from the sequential outcome.
    pub mismatches: Vec<Mismatch>,
}

/// `forewave score --json`: one object.
#[derive(Clone, Debug, Serialize)]
pub struct ScoreReport {
    /// The blocks that were scored by execution, in the order given.
    pub blocks: Vec<BlockScores>,
    /// Those that were scored by their access list (EIP-7928), in the order given.
    pub listed: Vec<ListedScores>,
    /// The blocks that could not be.
    pub failed: Vec<FailedBlock>,
    /// All that were scored by execution together; none where there are none.
    pub total: Option<TotalScores>,
    /// All that were scored by their lists together; none where there are none.
    pub listed_total: Option<ListedTotal>,
}

/// How well one block was predicted, by its access list.
#[derive(Clone, Debug, Serialize)]
pub struct ListedScores {
    /// Which block.
    #[serde(flatten)]
    pub block: BlockHeading,
    /// The scores by predictor.
    pub predictors: BTreeMap<PredictorKind, ListScore>,
}

/// How well all blocks together were predicted, by their access lists: counts and times are
/// added up, then divided.
#[derive(Clone, Debug, Serialize)]
pub struct ListedTotal {
    /// Number of blocks.
    pub blocks: usize,
    /// Number of transactions.
    pub txs: usize,
    /// The scores by predictor.
    pub predictors: BTreeMap<PredictorKind, ListScore>,
}

/// How well one block was predicted.
#[derive(Clone, Debug, Serialize)]
pub struct BlockScores {
    /// Which block.
    #[serde(flatten)]
    pub block: BlockHeading,
    /// Executing sequentially, in milliseconds.
    pub sequential_ms: f64,
    /// The scores by predictor.
    pub predictors: BTreeMap<PredictorKind, Score>,
}

/// How well all blocks together were predicted: counts and times are added up,
/// then divided.
#[derive(Clone, Debug, Serialize)]
pub struct TotalScores {
    /// Number of blocks.
    pub blocks: usize,
    /// Number of transactions.
    pub txs: usize,
    /// Gas used.
    pub gas_used: u64,
    /// Threads of the pool.
    pub threads: usize,
    /// Executing sequentially, in milliseconds.
    pub sequential_ms: f64,
    /// Pieces of code that were summarized, because their summaries were not there yet.
    pub summarized_codes: usize,
    /// Summarizing them, in milliseconds, with the evaluation that finds them.
    pub summarizing_ms: f64,
    /// How many times more `static` predicts in a time on all threads than on one, if it was
    /// asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub static_speedup: Option<f64>,
    /// The scores by predictor.
    pub predictors: BTreeMap<PredictorKind, Score>,
}

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration in milliseconds.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
