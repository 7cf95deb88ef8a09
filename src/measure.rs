//! Scores predictions against what a block's transactions did touch.
//!
//! [`measure_block`] compares one block's predictions with its observation and
//! gives a [`BlockMeasure`]: counts, in total and by [`TxClass`]. Counts add up,
//! so many blocks are measured by adding theirs; [`Score`] turns counts into the
//! ratios that people read. `docs/json.md` states every definition.
//!
//! Nothing here executes, and nothing reads a clock: times come from the caller.

mod accesses;
mod class;
mod dependencies;
mod listed;
mod score;

use core::{iter::zip, ops::AddAssign};
use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use forewave_analyzer::{Block, PredictedAccess, TxIndex, WideningCause};
use forewave_executor::{ExecutionStats, Observation};
use forewave_scheduler::ConflictGraph;

use self::accesses::MeasuredLocations;
pub use self::{
    accesses::Overlap,
    class::TxClass,
    dependencies::{true_dependencies, weighted_span},
    listed::{ListClassScore, ListMeasure, ListScore, WriteCounts, measure_by_list},
    score::{ClassScore, MissedContract, Score},
};

/// What was counted over some transactions. Adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transactions.
    pub txs: u64,
    /// Gas they used.
    pub gas: u64,
    /// Balances, nonces and storage slots.
    pub locations: Overlap,
    /// Storage slots alone.
    pub storage: Overlap,
    /// Code, which `locations` leaves out.
    pub code: Overlap,
    /// Transactions predicted exactly.
    pub exact_txs: u64,
    /// Transactions whose prediction is widened.
    pub widened_txs: u64,
    /// Those of them that are widened to no more than mappings.
    pub widened_to_mapping_txs: u64,
    /// Those of them that are widened to no more than contracts.
    pub widened_to_contract_txs: u64,
    /// True dependencies of these transactions on earlier ones.
    pub dependencies: u64,
    /// Those of them that the predicted graph orders.
    pub dependencies_ordered: u64,
    /// Transactions that ran more than once.
    pub reexecuted_txs: u64,
    /// Gas used by those.
    pub reexecuted_gas: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.txs += other.txs;
        self.gas += other.gas;
        self.locations += other.locations;
        self.storage += other.storage;
        self.code += other.code;
        self.exact_txs += other.exact_txs;
        self.widened_txs += other.widened_txs;
        self.widened_to_mapping_txs += other.widened_to_mapping_txs;
        self.widened_to_contract_txs += other.widened_to_contract_txs;
        self.dependencies += other.dependencies;
        self.dependencies_ordered += other.dependencies_ordered;
        self.reexecuted_txs += other.reexecuted_txs;
        self.reexecuted_gas += other.reexecuted_gas;
    }
}

/// What was counted over one block, or over several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockMeasure {
    /// Over all transactions.
    pub counts: Counts,
    /// Over the transactions of each class.
    pub by_class: BTreeMap<TxClass, Counts>,
    /// Gas of the heaviest path of the predicted graph, gas as it was used.
    pub predicted_span: u64,
    /// Gas of the heaviest path of the graph of the true accesses.
    pub true_span: u64,
    /// Transactions by why their prediction is widened; one can count for several.
    pub causes: BTreeMap<WideningCause, u64>,
    /// Storage slots that were touched and not predicted, by contract.
    pub missed: BTreeMap<Address, u64>,
}

impl AddAssign<&Self> for BlockMeasure {
    fn add_assign(&mut self, other: &Self) {
        self.counts += other.counts;
        for (&class, &counts) in &other.by_class {
            *self.by_class.entry(class).or_default() += counts;
        }
        self.predicted_span += other.predicted_span;
        self.true_span += other.true_span;
        for (&cause, txs) in &other.causes {
            *self.causes.entry(cause).or_default() += txs;
        }
        for (&contract, slots) in &other.missed {
            *self.missed.entry(contract).or_default() += slots;
        }
    }
}

/// Compares a block's predictions, their graph and the statistics of a parallel
/// run on it with what a sequential run observed.
///
/// # Panics
///
/// If predictions, graph and observation are not all of `block`.
pub fn measure_block(
    block: &Block,
    classes: &[TxClass],
    observation: &Observation,
    predictions: &[PredictedAccess],
    graph: &ConflictGraph,
    stats: &ExecutionStats,
) -> BlockMeasure {
    let locations = MeasuredLocations::of_block(block);
    let dependencies = true_dependencies(block, &observation.accesses);
    let gas: Vec<u64> = observation.outcome.receipts.iter().map(|r| r.gas_used).collect();
    let mut measure = BlockMeasure::default();
    let sets = zip(&observation.accesses, predictions);
    for (position, ((observed, predicted), class)) in zip(sets, classes).enumerate() {
        let mut counts = locations.compare(&observed.0, predicted);
        counts.txs = 1;
        counts.gas = gas[position];
        let needed = &dependencies[position];
        let ancestors = graph.ancestors(TxIndex::new(position));
        counts.dependencies = needed.len() as u64;
        counts.dependencies_ordered =
            needed.iter().filter(|&&earlier| ancestors.contains(earlier)).count() as u64;
        measure.counts += counts;
        *measure.by_class.entry(*class).or_default() += counts;
        for cause in BTreeSet::from_iter(predicted.causes()) {
            *measure.causes.entry(*cause).or_default() += 1;
        }
        for contract in locations.missed(&observed.0, predicted) {
            *measure.missed.entry(contract).or_default() += 1;
        }
    }
    for reexecution in &stats.reexecuted {
        let position = reexecution.tx.index();
        let again =
            Counts { reexecuted_txs: 1, reexecuted_gas: gas[position], ..Counts::default() };
        measure.counts += again;
        *measure.by_class.entry(classes[position]).or_default() += again;
    }
    let truth = zip(&observation.accesses, &gas)
        .map(|(observed, &gas)| PredictedAccess::exact(observed.0.clone(), gas));
    let truth = ConflictGraph::new(&truth.collect::<Vec<_>>());
    measure.predicted_span = weighted_span(graph, &gas);
    measure.true_span = weighted_span(&truth, &gas);
    measure
}
