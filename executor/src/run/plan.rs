//! Block and predictions -> what waits for what, and who goes first.

use core::cmp::Reverse;
use std::sync::Arc;

use forewave_analyzer::{Block, Location, PredictedAccess, TxIndex};
use forewave_scheduler::ConflictGraph;
use revm::{
    context::TxEnv,
    primitives::{Address, AddressMap, TxKind, hardfork::SpecId},
};

use super::{
    listed::{Listed, gas_by_fees},
    narrow,
    order::TaskOrder,
};
use crate::ExecutionStats;

// The estimates were set with `examples/run_loop` on real blocks at two threads, those of
// each transaction also with `examples/workloads`.

/// What a plain transfer counts for, in nanoseconds: less than it costs, so that threads do
/// not share a block of little else. Measured on eight threads, sharing one loses.
const TRANSFER_NS: u64 = 300;

/// What every other transaction costs around its code, in nanoseconds.
const TRANSACTION_NS: u64 = 1_500;

/// Gas that every transaction pays whatever it does.
const INTRINSIC_GAS: u64 = 21_000;

/// What gas beyond the intrinsic costs: nanoseconds for each thousand, in the median of
/// blocks.
const NS_PER_KILOGAS: u64 = 450;

/// The same before reads of the state were priced by what they cost (EIP-150).
const NS_PER_KILOGAS_BEFORE_TANGERINE: u64 = 50;

/// Of how much gas a transaction is estimated to use one unit if only its limit is known. Too
/// low rather than too high: a small block loses more by being shared than it gains.
const LIMIT_PER_GAS: u64 = 3;

/// Paths that differ by less than the work of a block over this count as equally heavy: of
/// them the earlier transaction goes first, because what runs far ahead of its turn is
/// committed late.
const PATH_STEPS: u64 = 48;

/// What several threads cost in any case, in nanoseconds: the others have to wake up.
const SHARED_NS: u64 = 200_000;

/// What each transaction costs more when threads share the block, in nanoseconds:
/// recording, publishing, validation.
const SHARED_TX_NS: u64 = 1_000;

/// The part of it that one thread does at a time, in nanoseconds.
const COMMIT_NS: u64 = 400;

/// What waits for what in a block, and who goes first.
#[derive(Clone, Debug)]
pub struct RunPlan {
    pub(super) order: TaskOrder,
    predicted: usize,
    /// Estimated nanoseconds of the heaviest path, as far as it is known.
    span: u64,
    /// Whether several threads run it however small it is.
    is_shared: bool,
    /// The beneficiary, whose fees are published only when they are committed; none if a
    /// transaction is predicted to look at what it has.
    pub(super) late_fees: Option<Address>,
    /// What the block's access list says, if it is run by one.
    pub(super) listed: Option<Arc<Listed>>,
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
        let costs = block
            .transactions
            .iter()
            .map(|tx| cost(block, tx, tx.gas_limit / LIMIT_PER_GAS))
            .collect();
        let order = TaskOrder::new(costs, &waits);
        let late_fees = Some(block.env.beneficiary);
        Self { order, predicted: 0, span: 0, is_shared: false, late_fees, listed: None }
    }

    /// The plan of a block that comes with its access list (EIP-7928): no transaction waits for
    /// another, because the list says what each of them finds. What it says is verified while
    /// the block runs; from the first transaction on of which it is not true, the block runs
    /// sequentially.
    ///
    /// A block that comes without one, whose list is out of order or too large, whose list
    /// [is not made](Block::makes_access_list), or that is older than EIP-161 is run
    /// [in block order](Self::in_block_order).
    pub fn by_access_list(block: &Block) -> Self {
        let in_order = Self::in_block_order(block);
        // Before EIP-161 a touch alone brings an account into existence, which no list says.
        let is_told =
            block.makes_access_list && block.spec().is_enabled_in(SpecId::SPURIOUS_DRAGON);
        let list = block.access_list.as_ref().filter(|_| is_told);
        let listed = list.and_then(|list| Some((list, Listed::new(block, list)?)));
        let Some((list, listed)) = listed else { return in_order };
        let gas = block.transactions.iter().zip(gas_by_fees(block, list));
        let gas = gas.map(|(tx, gas)| (tx, gas.unwrap_or(tx.gas_limit / LIMIT_PER_GAS)));
        let costs: Vec<u64> = gas.map(|(tx, gas)| cost(block, tx, gas)).collect();
        // No thread is done before the heaviest transaction is.
        let span = costs.iter().copied().max().unwrap_or(0);
        let order = TaskOrder::new(costs, &[]);
        let predicted = block.transactions.len();
        Self { order, predicted, span, listed: Some(Arc::new(listed)), ..in_order }
    }

    /// The same for when its access list has turned out not to be true: in block order.
    pub(super) fn without_list(&self, block: &Block) -> Self {
        Self { is_shared: self.is_shared, ..Self::in_block_order(block) }
    }

    /// The plan of a block's predictions and their graph: the heaviest remaining path first.
    ///
    /// A transaction waits for the writers of what decides which way it goes
    /// ([`deciding_reads`](PredictedAccess::deciding_reads)); if a prediction does not say
    /// what that is, for all that write what it reads.
    /// One of another number of transactions is refused by [`execute`](crate::execute).
    pub fn new(block: &Block, predictions: &[PredictedAccess], graph: &ConflictGraph) -> Self {
        let costs: Vec<u64> = graph
            .transactions()
            .map(|tx| (block.transactions.get(tx.index()), graph.gas(tx)))
            .map(|(tx, gas)| tx.map_or(0, |tx| cost(block, tx, gas)))
            .collect();
        let (by_rank, span) = by_remaining_cost(&costs, graph);
        let order = TaskOrder::new(costs, &waits(graph, predictions)).ranked(by_rank);
        let table = graph.accesses();
        let fees = table.id(&Location::Balance(block.env.beneficiary));
        let sees_fees = fees.is_some_and(|id| !table.readers(id).is_empty());
        let late_fees = (!sees_fees).then_some(block.env.beneficiary);
        Self { order, predicted: graph.len(), span, is_shared: false, late_fees, listed: None }
    }

    /// What is known of a run on so many threads before it.
    pub(super) fn stats(&self, threads: usize) -> ExecutionStats {
        ExecutionStats { threads, predicted: self.predicted, ..ExecutionStats::default() }
    }

    /// The same for the calling thread alone, which takes nothing from an access list.
    pub(super) fn stats_alone(&self) -> ExecutionStats {
        let predicted = if self.listed.is_some() { 0 } else { self.predicted };
        ExecutionStats { predicted, ..self.stats(1) }
    }

    /// Whether several threads are estimated to be faster than one.
    pub fn pays_on(&self, threads: usize) -> bool {
        if threads < 2 || self.is_shared {
            return threads > 1;
        }
        let (work, transactions) = (self.order.work(), self.order.len() as u64);
        let each = work.saturating_add(transactions * SHARED_TX_NS) / threads as u64;
        let shared = each.max(self.span).max(transactions * COMMIT_NS);
        shared.saturating_add(SHARED_NS) < work
    }

    /// The same, on all threads however small the block is.
    #[must_use]
    pub fn on_all_threads(self) -> Self {
        Self { is_shared: true, ..self }
    }
}

/// Pairs of transactions of which the second waits for the first.
fn waits(graph: &ConflictGraph, predictions: &[PredictedAccess]) -> Vec<(u32, u32)> {
    let table = graph.accesses();
    let writes = |earlier: TxIndex, location: &Location| {
        let writers = table.id(location).map_or(&[][..], |id| table.writers(id));
        writers.binary_search_by_key(&earlier, |(writer, _)| *writer).is_ok()
    };
    let decides = |earlier: TxIndex, tx: TxIndex| {
        let deciding = predictions.get(tx.index()).and_then(PredictedAccess::deciding_reads);
        deciding.is_none_or(|reads| reads.iter().any(|location| writes(earlier, location)))
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

/// Whether a transaction calls with data, or creates. Few others run any code.
fn calls(tx: &TxEnv) -> bool {
    tx.kind == TxKind::Create || !tx.data.is_empty()
}

/// What a transaction that uses so much gas is estimated to cost, in nanoseconds.
fn cost(block: &Block, tx: &TxEnv, gas: u64) -> u64 {
    let is_creation = tx.kind == TxKind::Create;
    let gas = gas.saturating_sub(INTRINSIC_GAS);
    if !calls(tx) && (gas == 0 || !is_creation) {
        return TRANSFER_NS;
    }
    let is_priced = block.spec().is_enabled_in(SpecId::TANGERINE);
    let rate = if is_priced { NS_PER_KILOGAS } else { NS_PER_KILOGAS_BEFORE_TANGERINE };
    TRANSACTION_NS.saturating_add(gas.saturating_mul(rate) / 1_000)
}
