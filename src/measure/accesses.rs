//! One transaction's predicted against its observed locations.
//!
//! A location counts once, however it is used. Left out of both sides are the
//! accounts of precompiles, and the beneficiary's balance where it is only
//! credited: every transaction pays a fee, and predicting that is no merit.

use core::ops::AddAssign;

use alloy_primitives::Address;
use forewave_analyzer::{
    AccessKind, AccessSet, Block, Confidence, Location, PredictedAccess, Scope,
};
use revm::handler::EthPrecompiles;

use super::Counts;

/// Sizes of two sets and of what they share. Adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Locations touched.
    pub actual: u64,
    /// Locations predicted.
    pub predicted: u64,
    /// Locations both touched and predicted.
    pub common: u64,
}

impl Overlap {
    /// Share of what was touched that was predicted; 1 if nothing was touched.
    pub fn recall(self) -> f64 {
        share(self.common, self.actual)
    }

    /// Share of what was predicted that was touched; 1 if nothing was predicted.
    pub fn precision(self) -> f64 {
        share(self.common, self.predicted)
    }

    pub(super) fn of(
        actual: &[Location],
        predicted: &[Location],
        keep: impl Fn(&Location) -> bool,
    ) -> Self {
        let count = |locations: &[Location]| locations.iter().filter(|at| keep(at)).count() as u64;
        let common = actual.iter().filter(|at| keep(at) && predicted.binary_search(at).is_ok());
        Self { actual: count(actual), predicted: count(predicted), common: common.count() as u64 }
    }
}

impl AddAssign for Overlap {
    fn add_assign(&mut self, other: Self) {
        self.actual += other.actual;
        self.predicted += other.predicted;
        self.common += other.common;
    }
}

/// `part / whole`, and 1 where there is nothing to have a part of.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// Which locations of a block are measured.
pub(super) struct MeasuredLocations {
    beneficiary: Address,
    precompiles: EthPrecompiles,
}

impl MeasuredLocations {
    pub(super) fn of_block(block: &Block) -> Self {
        let beneficiary = block.env.beneficiary;
        Self { beneficiary, precompiles: EthPrecompiles::new(block.spec()) }
    }

    /// Whether an access of a set is measured.
    pub(super) fn keeps(&self, set: &AccessSet, location: &Location) -> bool {
        let is_fee = *location == Location::Balance(self.beneficiary)
            && !set.contains(location, AccessKind::Read)
            && !set.contains(location, AccessKind::Write);
        !is_fee && !self.precompiles.contains(&location.address())
    }

    /// The measured locations of a set, sorted.
    fn of(&self, set: &AccessSet) -> Vec<Location> {
        let mut locations = set.locations();
        locations.retain(|location| self.keeps(set, location));
        locations
    }

    /// The contract of each storage slot that was touched and not predicted.
    pub(super) fn missed(
        &self,
        observed: &AccessSet,
        predicted: &PredictedAccess,
    ) -> impl Iterator<Item = Address> {
        let named = predicted.set().locations();
        self.of(observed).into_iter().filter_map(move |location| match location {
            Location::Storage(contract, _) if named.binary_search(&location).is_err() => {
                Some(contract)
            }
            _ => None,
        })
    }

    /// Compares the sets of one transaction.
    pub(super) fn compare(&self, observed: &AccessSet, predicted: &PredictedAccess) -> Counts {
        let (actual, named) = (self.of(observed), self.of(predicted.set()));
        let is_code = |location: &Location| matches!(location, Location::Code(_));
        let is_storage = |location: &Location| matches!(location, Location::Storage(..));
        let locations = Overlap::of(&actual, &named, |at| !is_code(at));
        let scope = match predicted.confidence() {
            Confidence::Exact => None,
            Confidence::Widened(scope) => Some(scope),
        };
        let is_widened = scope.is_some();
        let is_exact = !is_widened
            && locations.common == locations.actual
            && locations.common == locations.predicted;
        Counts {
            locations,
            storage: Overlap::of(&actual, &named, is_storage),
            code: Overlap::of(&actual, &named, is_code),
            exact_txs: is_exact.into(),
            widened_txs: is_widened.into(),
            widened_to_mapping_txs: matches!(scope, Some(Scope::Mapping { .. })).into(),
            widened_to_contract_txs: matches!(scope, Some(Scope::Contract { .. })).into(),
            ..Counts::default()
        }
    }
}
