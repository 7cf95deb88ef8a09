//! Predictions scored against a block's access list (EIP-7928), with nothing executed.
//!
//! ```text
//! list ── changes, by index ─────────> what each transaction writes ── against its prediction's writes
//!   └──── changes and reads, no index ─> slots and accounts of the block ── against all predictions together
//! ```
//!
//! A list names no reader, so reads are compared for the block as a whole, and dependencies not at
//! all. It names values that changed: what a transaction writes and leaves as it was is a read.

use core::{
    iter::zip,
    ops::{AddAssign, RangeInclusive},
    time::Duration,
};
use std::collections::{BTreeMap, BTreeSet};

use alloy_eips::eip7928::{AccountChanges, BlockAccessIndex};
use alloy_primitives::{Address, U256};
use forewave_analyzer::{Block, Confidence, Location, PredictedAccess, Scope, WideningCause};
use forewave_executor::SYSTEM_CONTRACTS;
use revm::handler::EthPrecompiles;
use serde::Serialize;

use super::{
    MissedContract, Overlap, TxClass,
    accesses::share,
    score::{most_missed, share_of_some},
};

/// What was counted over some transactions. Adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteCounts {
    /// Transactions.
    pub txs: u64,
    /// Balances, nonces, codes and storage slots that a transaction changes.
    pub writes: Overlap,
    /// Storage slots alone.
    pub storage: Overlap,
    /// Transactions whose changes are predicted exactly.
    pub exact_txs: u64,
    /// Transactions whose prediction is widened.
    pub widened_txs: u64,
    /// Those of them that are widened to no more than mappings.
    pub widened_to_mapping_txs: u64,
    /// Those of them that are widened to no more than contracts.
    pub widened_to_contract_txs: u64,
}

impl AddAssign for WriteCounts {
    fn add_assign(&mut self, other: Self) {
        self.txs += other.txs;
        self.writes += other.writes;
        self.storage += other.storage;
        self.exact_txs += other.exact_txs;
        self.widened_txs += other.widened_txs;
        self.widened_to_mapping_txs += other.widened_to_mapping_txs;
        self.widened_to_contract_txs += other.widened_to_contract_txs;
    }
}

/// What was counted over one block, or over several, by their lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListMeasure {
    /// Over all transactions.
    pub counts: WriteCounts,
    /// Over the transactions of each class.
    pub by_class: BTreeMap<TxClass, WriteCounts>,
    /// Slots that the block touches, each once.
    pub slots: Overlap,
    /// Accounts that the block touches, each once.
    pub accounts: Overlap,
    /// Transactions by why their prediction is widened; one can count for several.
    pub causes: BTreeMap<WideningCause, u64>,
    /// Storage slots that the list names and no prediction, by contract.
    pub missed: BTreeMap<Address, u64>,
}

impl AddAssign<&Self> for ListMeasure {
    fn add_assign(&mut self, other: &Self) {
        self.counts += other.counts;
        for (&class, &counts) in &other.by_class {
            *self.by_class.entry(class).or_default() += counts;
        }
        self.slots += other.slots;
        self.accounts += other.accounts;
        for (&cause, txs) in &other.causes {
            *self.causes.entry(cause).or_default() += txs;
        }
        for (&contract, slots) in &other.missed {
            *self.missed.entry(contract).or_default() += slots;
        }
    }
}

/// Compares a block's predictions with what its access list says.
///
/// # Panics
///
/// If predictions and classes are not all of `block`.
pub fn measure_by_list(
    block: &Block,
    list: &[AccountChanges],
    classes: &[TxClass],
    predictions: &[PredictedAccess],
) -> ListMeasure {
    assert_eq!(predictions.len(), block.transactions.len(), "one prediction for each transaction");
    assert_eq!(classes.len(), block.transactions.len(), "one class for each transaction");
    let measured = Measured::of_block(block, list);
    let mut measure = ListMeasure::default();
    for ((listed, predicted), class) in zip(measured.writes(list), predictions).zip(classes) {
        let counts = compare(&listed, &measured.predicted_writes(predicted), predicted);
        measure.counts += counts;
        *measure.by_class.entry(*class).or_default() += counts;
        for cause in BTreeSet::from_iter(predicted.causes()) {
            *measure.causes.entry(*cause).or_default() += 1;
        }
    }
    let predicted = predictions.iter().flat_map(|predicted| predicted.set().locations());
    let predicted: BTreeSet<Location> = predicted.filter(|at| measured.counts(*at)).collect();
    let named: BTreeSet<Address> = predicted.iter().map(Location::address).collect();
    let slots: BTreeSet<(Address, U256)> = predicted.iter().filter_map(slot).collect();
    let touched = measured.slots(list);
    measure.slots = overlap(&touched, &slots);
    measure.accounts = overlap(&measured.accounts(list), &named);
    for (contract, _) in touched.difference(&slots) {
        *measure.missed.entry(*contract).or_default() += 1;
    }
    measure
}

/// What of a block and its list is measured.
struct Measured {
    beneficiary: Address,
    precompiles: EthPrecompiles,
    /// Accounts that only the protocol changes, at the two ends of the block.
    of_protocol: BTreeSet<Address>,
    /// The indices of transactions.
    indices: RangeInclusive<u64>,
}

impl Measured {
    fn of_block(block: &Block, list: &[AccountChanges]) -> Self {
        let indices = 1..=block.transactions.len() as u64;
        let is_of_tx = |index: &BlockAccessIndex| indices.contains(&index.get());
        let of_protocol = list.iter().filter(|account| {
            let mut changes = changes(account).map(|(index, _)| index).peekable();
            account.storage_reads.is_empty()
                && changes.peek().is_some()
                && !changes.any(|index| is_of_tx(&index))
        });
        Self {
            beneficiary: block.env.beneficiary,
            precompiles: EthPrecompiles::new(block.spec()),
            of_protocol: of_protocol.map(|account| account.address).collect(),
            indices,
        }
    }

    /// Whether an account is measured: not one whose accesses the protocol makes, or whose balance
    /// every transaction adds to.
    fn counts_account(&self, address: Address) -> bool {
        address != self.beneficiary
            && !SYSTEM_CONTRACTS.contains(&address)
            && !self.of_protocol.contains(&address)
            && !self.precompiles.contains(&address)
    }

    fn counts(&self, location: Location) -> bool {
        self.counts_account(location.address())
    }

    /// What each transaction changes, sorted.
    fn writes(&self, list: &[AccountChanges]) -> Vec<Vec<Location>> {
        let mut writes = vec![Vec::new(); usize::try_from(*self.indices.end()).unwrap_or_default()];
        for account in list.iter().filter(|account| self.counts_account(account.address)) {
            for (index, location) in changes(account) {
                let tx = index.get().checked_sub(1).and_then(|tx| usize::try_from(tx).ok());
                if let Some(writes) = tx.and_then(|tx| writes.get_mut(tx)) {
                    writes.push(location);
                }
            }
        }
        for writes in &mut writes {
            writes.sort_unstable();
        }
        writes
    }

    /// What a transaction is predicted to write or to credit, sorted.
    fn predicted_writes(&self, predicted: &PredictedAccess) -> Vec<Location> {
        let set = predicted.set();
        let locations = set.writes().iter().chain(set.deltas()).copied();
        let mut locations: Vec<_> = locations.filter(|at| self.counts(*at)).collect();
        locations.sort_unstable();
        locations.dedup();
        locations
    }

    /// The slots that the block's transactions touch.
    fn slots(&self, list: &[AccountChanges]) -> BTreeSet<(Address, U256)> {
        let accounts = list.iter().filter(|account| self.counts_account(account.address));
        let slots = accounts.flat_map(|account| {
            let changed = account.storage_changes.iter().map(|slot| slot.slot);
            let read = account.storage_reads.iter().copied();
            changed.chain(read).map(|key| (account.address, key))
        });
        slots.collect()
    }

    /// The accounts that the block's transactions touch.
    fn accounts(&self, list: &[AccountChanges]) -> BTreeSet<Address> {
        let accounts = list.iter().map(|account| account.address);
        accounts.filter(|address| self.counts_account(*address)).collect()
    }
}

/// Every change of an account, with its index.
fn changes(account: &AccountChanges) -> impl Iterator<Item = (BlockAccessIndex, Location)> {
    let address = account.address;
    let balances = account.balance_changes.iter();
    let balances = balances.map(move |it| (it.block_access_index, Location::Balance(address)));
    let nonces = account.nonce_changes.iter();
    let nonces = nonces.map(move |it| (it.block_access_index, Location::Nonce(address)));
    let codes = account.code_changes.iter();
    let codes = codes.map(move |it| (it.block_access_index, Location::Code(address)));
    let slots = account.storage_changes.iter().flat_map(move |slot| {
        let location = Location::Storage(address, slot.slot);
        slot.changes.iter().map(move |it| (it.block_access_index, location))
    });
    balances.chain(nonces).chain(codes).chain(slots)
}

fn slot(location: &Location) -> Option<(Address, U256)> {
    match *location {
        Location::Storage(address, key) => Some((address, key)),
        _ => None,
    }
}

fn overlap<T: Ord>(actual: &BTreeSet<T>, predicted: &BTreeSet<T>) -> Overlap {
    Overlap {
        actual: actual.len() as u64,
        predicted: predicted.len() as u64,
        common: actual.intersection(predicted).count() as u64,
    }
}

/// Compares what one transaction changes with what it is predicted to write.
fn compare(listed: &[Location], written: &[Location], predicted: &PredictedAccess) -> WriteCounts {
    let scope = match predicted.confidence() {
        Confidence::Exact => None,
        Confidence::Widened(scope) => Some(scope),
    };
    let is_storage = |location: &Location| slot(location).is_some();
    WriteCounts {
        txs: 1,
        writes: Overlap::of(listed, written, |_| true),
        storage: Overlap::of(listed, written, is_storage),
        exact_txs: (scope.is_none() && listed == written).into(),
        widened_txs: scope.is_some().into(),
        widened_to_mapping_txs: matches!(scope, Some(Scope::Mapping { .. })).into(),
        widened_to_contract_txs: matches!(scope, Some(Scope::Contract { .. })).into(),
    }
}

/// How good a predictor was by what lists say. All shares are between 0 and 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListScore {
    /// Share of the changes that were predicted, each with its transaction.
    pub write_recall: f64,
    /// Share of the predicted writes that are changes.
    pub write_precision: f64,
    /// `write_recall` of storage slots alone.
    pub storage_write_recall: f64,
    /// `write_precision` of storage slots alone.
    pub storage_write_precision: f64,
    /// Share of the transactions whose changes were predicted exactly.
    pub exact_txs: f64,
    /// Share of the slots that a block touches that some transaction was predicted to touch.
    pub slot_recall: f64,
    /// Share of the slots that some transaction was predicted to touch that the block touches.
    pub slot_precision: f64,
    /// `slot_recall` of accounts.
    pub account_recall: f64,
    /// `slot_precision` of accounts.
    pub account_precision: f64,
    /// Share of the transactions whose prediction is widened.
    pub widened_txs: f64,
    /// Share of transactions widened to no more than mappings.
    pub widened_to_mapping_txs: f64,
    /// Share of transactions widened to no more than contracts.
    pub widened_to_contract_txs: f64,
    /// Time of the prediction, in milliseconds.
    pub analysis_ms: f64,
    /// The same by class of transaction; classes without transactions are left out.
    pub by_class: BTreeMap<TxClass, ListClassScore>,
    /// Transactions by why their prediction is widened; one can count for several.
    pub causes: BTreeMap<WideningCause, u64>,
    /// The contracts with the most slots that the list names and no prediction.
    pub most_missed: Vec<MissedContract>,
}

/// How good a predictor was on one class of transactions, by what lists say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ListClassScore {
    /// Transactions of the class.
    pub txs: u64,
    /// As in [`ListScore`]; so are the others.
    pub write_recall: f64,
    /// See [`ListScore`].
    pub write_precision: f64,
    /// See [`ListScore`].
    pub exact_txs: f64,
}

impl ListScore {
    /// The ratios of a measure, given how long the prediction took.
    pub fn new(measure: &ListMeasure, analysis: Duration) -> Self {
        let counts = &measure.counts;
        let by_class = measure.by_class.iter().map(|(&class, counts)| {
            let score = ListClassScore {
                txs: counts.txs,
                write_recall: counts.writes.recall(),
                write_precision: counts.writes.precision(),
                exact_txs: share(counts.exact_txs, counts.txs),
            };
            (class, score)
        });
        Self {
            write_recall: counts.writes.recall(),
            write_precision: counts.writes.precision(),
            storage_write_recall: counts.storage.recall(),
            storage_write_precision: counts.storage.precision(),
            exact_txs: share(counts.exact_txs, counts.txs),
            slot_recall: measure.slots.recall(),
            slot_precision: measure.slots.precision(),
            account_recall: measure.accounts.recall(),
            account_precision: measure.accounts.precision(),
            widened_txs: share_of_some(counts.widened_txs, counts.txs),
            widened_to_mapping_txs: share_of_some(counts.widened_to_mapping_txs, counts.txs),
            widened_to_contract_txs: share_of_some(counts.widened_to_contract_txs, counts.txs),
            analysis_ms: analysis.as_secs_f64() * 1e3,
            by_class: by_class.collect(),
            causes: measure.causes.clone(),
            most_missed: most_missed(&measure.missed),
        }
    }
}
