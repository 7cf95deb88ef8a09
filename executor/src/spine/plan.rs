//! Block and predictions -> what waits for what, and who goes first.

use core::cmp::Reverse;

use forewave_analyzer::{Block, PredictedAccess, TxIndex};
use forewave_scheduler::ConflictGraph;
use revm::{
    context::TxEnv,
    primitives::{AddressMap, TxKind},
};

use super::order::TaskOrder;
use crate::{history::narrow, tasks::calls};

/// What a plain transfer counts for, in nanoseconds: less than it costs, so that threads do
/// not share a block of little else. Measured on eight threads, sharing one loses.
const TRANSFER_NS: u64 = 300;

/// What every other transaction costs around its code, in nanoseconds.
const TRANSACTION_NS: u64 = 1_500;

/// Gas that every transaction pays whatever it does.
const INTRINSIC_GAS: u64 = 21_000;

/// What gas beyond the intrinsic costs: nanoseconds for each thousand.
const NS_PER_KILOGAS: u64 = 200;

/// Paths that differ by less than the work of a block over this count as equally heavy: of
/// them the earlier transaction goes first, because what runs far ahead of its turn is
/// committed late.
const PATH_STEPS: u64 = 48;

/// What several threads cost in any case, in nanoseconds: the others have to wake up.
const SHARED_NS: u64 = 50_000;

/// What each transaction costs more when threads share the block, in nanoseconds:
/// recording, publishing, validation.
const SHARED_TX_NS: u64 = 1_800;

/// The part of it that one thread does at a time, in nanoseconds.
const COMMIT_NS: u64 = 400;

/// Which writers a transaction waits for before it runs.
#[derive(Clone, Copy, Debug)]
pub enum WaitPolicy<'a> {
    /// All that are predicted to write what it reads.
    EveryWriter,
    /// Those that are predicted to write what decides which way it goes: the
    /// [deciding reads](PredictedAccess::deciding_reads) of these predictions.
    Deciding(&'a [PredictedAccess]),
    /// None.
    NoWriter,
}

/// What waits for what in a block, and who goes first.
#[derive(Clone, Debug)]
pub struct RunPlan {
    pub(super) order: TaskOrder,
    pub(super) predicted: usize,
    pub(super) waves: usize,
    /// Estimated nanoseconds of the heaviest path, as far as it is known.
    span: u64,
    /// Whether several threads run it however small it is.
    pub(super) is_shared: bool,
}

impl RunPlan {
    /// Block order, where transactions wait for earlier ones of the same sender: what
    /// there is without a prediction.
    pub fn in_block_order(block: &Block) -> Self {
        let mut last = AddressMap::<u32>::default();
        let mut waits = Vec::new();
        for (tx, env) in block.indexed() {
            let tx = narrow(tx.index());
            waits.extend(last.insert(env.caller, tx).map(|earlier| (earlier, tx)));
        }
        let costs = block.transactions.iter().map(|tx| cost(tx, tx.gas_limit)).collect();
        let order = TaskOrder::new(costs, &waits);
        Self { order, predicted: 0, waves: 0, span: 0, is_shared: false }
    }

    /// The heaviest remaining path of the graph first.
    ///
    /// # Panics
    ///
    /// If the graph is of another block.
    pub fn of_graph(block: &Block, graph: &ConflictGraph, policy: WaitPolicy<'_>) -> Self {
        let costs: Vec<u64> = graph
            .transactions()
            .map(|tx| cost(&block.transactions[tx.index()], graph.gas(tx)))
            .collect();
        let (by_rank, span) = by_remaining_cost(&costs, graph);
        let order = TaskOrder::new(costs, &waits(graph, policy)).ranked(by_rank);
        Self { order, predicted: graph.len(), waves: 0, span, is_shared: false }
    }

    /// Whether several threads are estimated to be faster than one.
    pub(super) fn pays_on(&self, threads: usize) -> bool {
        let (work, transactions) = (self.order.work(), self.order.len() as u64);
        let each = work.saturating_add(transactions * SHARED_TX_NS) / threads as u64;
        let shared = each.max(self.span).max(transactions * COMMIT_NS);
        threads > 1 && (self.is_shared || shared.saturating_add(SHARED_NS) < work)
    }

    /// The same, on all threads however small the block is.
    #[must_use]
    pub fn on_all_threads(self) -> Self {
        Self { is_shared: true, ..self }
    }
}

/// Pairs of transactions of which the second waits for the first.
fn waits(graph: &ConflictGraph, policy: WaitPolicy<'_>) -> Vec<(u32, u32)> {
    let table = graph.accesses();
    let decides = |earlier: TxIndex, tx: TxIndex| match policy {
        WaitPolicy::EveryWriter => true,
        WaitPolicy::NoWriter => false,
        WaitPolicy::Deciding(predictions) => {
            let deciding = predictions[tx.index()].deciding_reads().iter();
            let mut ids = deciding.filter_map(|location| table.id(location));
            ids.any(|id| table.writers(id).iter().any(|(writer, _)| *writer == earlier))
        }
    };
    let pairs = graph.transactions().flat_map(|tx| {
        let earlier = graph.predecessors(tx).filter(move |earlier| decides(*earlier, tx));
        earlier.map(move |earlier| (narrow(earlier.index()), narrow(tx.index())))
    });
    pairs.collect()
}

/// The transactions, those with the heaviest path after them first, by steps; and how heavy
/// the heaviest path is.
fn by_remaining_cost(costs: &[u64], graph: &ConflictGraph) -> (Vec<u32>, u64) {
    let mut remaining = costs.to_vec();
    for tx in graph.transactions().rev() {
        let after = graph.successors(tx).map(|later| remaining[later.index()]).max();
        let own = &mut remaining[tx.index()];
        *own = own.saturating_add(after.unwrap_or(0));
    }
    let work = costs.iter().fold(0u64, |sum, &cost| sum.saturating_add(cost));
    let step = (work / PATH_STEPS).max(1);
    let mut by_rank: Vec<u32> = (0..narrow(costs.len())).collect();
    by_rank.sort_by_key(|&task| Reverse(remaining[task as usize] / step));
    (by_rank, remaining.into_iter().max().unwrap_or(0))
}

/// What a transaction that uses so much gas is estimated to cost, in nanoseconds.
fn cost(tx: &TxEnv, gas: u64) -> u64 {
    let is_creation = tx.kind == TxKind::Create;
    let gas = gas.saturating_sub(INTRINSIC_GAS);
    if !calls(tx) && (gas == 0 || !is_creation) {
        return TRANSFER_NS;
    }
    TRANSACTION_NS.saturating_add(gas.saturating_mul(NS_PER_KILOGAS) / 1_000)
}
