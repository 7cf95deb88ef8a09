//! Counts to the ratios that people and machines read.

use core::{cmp::Reverse, time::Duration};
use std::collections::BTreeMap;

use alloy_primitives::Address;
use forewave_analyzer::WideningCause;
use serde::{Deserialize, Serialize};

use super::{BlockMeasure, Counts, TxClass, accesses::share};

/// How good a predictor was. All shares are between 0 and 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Share of the touched locations that were predicted.
    pub location_recall: f64,
    /// Share of the predicted locations that were touched.
    pub location_precision: f64,
    /// `location_recall` of storage slots alone.
    pub storage_recall: f64,
    /// `location_precision` of storage slots alone.
    pub storage_precision: f64,
    /// Share of the accounts whose code was used that were predicted.
    pub code_recall: f64,
    /// Share of the accounts whose code was predicted to be used that were.
    pub code_precision: f64,
    /// Share of the transactions predicted exactly.
    pub exact_txs: f64,
    /// Share of the transactions whose prediction is widened.
    pub widened_txs: f64,
    /// Share of transactions widened to no more than mappings.
    pub widened_to_mapping_txs: f64,
    /// Share of transactions widened to no more than contracts; the rest of
    /// those that are widened are widened to everything.
    pub widened_to_contract_txs: f64,
    /// Share of the true dependencies that the predicted graph orders.
    pub dependency_recall: f64,
    /// Share of the transactions that ran more than once.
    pub reexecuted_txs: f64,
    /// Share of the gas that was used by transactions that ran more than once.
    pub reexecuted_gas: f64,
    /// Predicted over true heaviest path.
    pub span_inflation: f64,
    /// Time of the prediction over time of sequential execution.
    pub analysis_ratio: f64,
    /// The same by class of transaction; classes without transactions are left out.
    pub by_class: BTreeMap<TxClass, ClassScore>,
    /// Transactions by why their prediction is widened; one can count for several.
    pub causes: BTreeMap<WideningCause, u64>,
    /// The contracts with the most storage slots that were touched and not predicted.
    pub most_missed: Vec<MissedContract>,
}

/// A contract of whose storage something was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedContract {
    /// Where it is.
    pub address: Address,
    /// Slots that were touched and not predicted, each once for each transaction.
    pub slots: u64,
}

/// Contracts that are named as the most missed.
const MOST_MISSED_MAX: usize = 10;

/// How good a predictor was on one class of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Transactions of the class.
    pub txs: u64,
    /// As in [`Score`]; so are the others.
    pub location_recall: f64,
    /// See [`Score`].
    pub location_precision: f64,
    /// See [`Score`].
    pub storage_recall: f64,
    /// See [`Score`].
    pub storage_precision: f64,
    /// See [`Score`].
    pub exact_txs: f64,
    /// See [`Score`]; a dependency belongs to the class of the later transaction.
    pub dependency_recall: f64,
    /// See [`Score`].
    pub reexecuted_txs: f64,
}

impl Score {
    /// The ratios of a measure, given how long the prediction and sequential
    /// execution of the same blocks took.
    pub fn new(measure: &BlockMeasure, analysis: Duration, sequential: Duration) -> Self {
        let counts = &measure.counts;
        let ratio = |part: f64, whole: f64| if whole == 0.0 { 1.0 } else { part / whole };
        Self {
            location_recall: counts.locations.recall(),
            location_precision: counts.locations.precision(),
            storage_recall: counts.storage.recall(),
            storage_precision: counts.storage.precision(),
            code_recall: counts.code.recall(),
            code_precision: counts.code.precision(),
            exact_txs: share(counts.exact_txs, counts.txs),
            widened_txs: share_of_some(counts.widened_txs, counts.txs),
            widened_to_mapping_txs: share_of_some(counts.widened_to_mapping_txs, counts.txs),
            widened_to_contract_txs: share_of_some(counts.widened_to_contract_txs, counts.txs),
            dependency_recall: share(counts.dependencies_ordered, counts.dependencies),
            reexecuted_txs: share_of_some(counts.reexecuted_txs, counts.txs),
            reexecuted_gas: share_of_some(counts.reexecuted_gas, counts.gas),
            span_inflation: ratio(measure.predicted_span as f64, measure.true_span as f64),
            analysis_ratio: ratio(analysis.as_secs_f64(), sequential.as_secs_f64()),
            by_class: measure
                .by_class
                .iter()
                .map(|(&class, counts)| (class, ClassScore::new(counts)))
                .collect(),
            causes: measure.causes.clone(),
            most_missed: most_missed(&measure.missed),
        }
    }
}

impl ClassScore {
    fn new(counts: &Counts) -> Self {
        Self {
            txs: counts.txs,
            location_recall: counts.locations.recall(),
            location_precision: counts.locations.precision(),
            storage_recall: counts.storage.recall(),
            storage_precision: counts.storage.precision(),
            exact_txs: share(counts.exact_txs, counts.txs),
            dependency_recall: share(counts.dependencies_ordered, counts.dependencies),
            reexecuted_txs: share_of_some(counts.reexecuted_txs, counts.txs),
        }
    }
}

pub(super) fn most_missed(missed: &BTreeMap<Address, u64>) -> Vec<MissedContract> {
    let missed = missed.iter().map(|(&address, &slots)| MissedContract { address, slots });
    let mut most: Vec<_> = missed.collect();
    most.sort_by_key(|missed| (Reverse(missed.slots), missed.address));
    most.truncate(MOST_MISSED_MAX);
    most
}

/// `part / whole`, and 0 where there is nothing: of a cost, not of a merit.
pub(super) fn share_of_some(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { share(part, whole) }
}
