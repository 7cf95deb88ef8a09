//! Widened predictions -> who meets in each scope, without enumerating it.
//!
//! A scope that some prediction of the block is widened to is a place of its
//! own. The widened transactions read and write it as a whole; everybody whose
//! accesses it covers, named or widened to a narrower scope, glances at it and
//! credits it, so that those never meet each other there. Scopes that no
//! prediction uses cost nothing.
//!
//! Invariant: two predictions of which at least one is widened, and whose
//! accesses can overlap, meet at the wider of the two scopes.

use core::ops::Range;

use forewave_analyzer::{AccessKind, KeyOrigin, Location, PredictedAccess, Scope, TxIndex};
use hashbrown::HashMap;

use crate::{AccessTable, LocationId, csr::Csr, uses::Uses};

/// The most mapping scopes that are told apart within one contract. A key of
/// unknown origin meets each of them, so beyond the bound all of the
/// contract's mappings are widened to the contract.
pub const MAPPING_SCOPES_MAX: usize = 16;

/// The scopes that the block's predictions use, sorted, and who uses each.
#[derive(Debug)]
pub(crate) struct ScopeTable {
    scopes: Vec<Scope>,
    uses: Csr<(TxIndex, Uses)>,
}

impl ScopeTable {
    /// The scopes of a block's predictions, of which `table` is the table.
    pub(crate) fn new(predictions: &[PredictedAccess], table: &AccessTable) -> Self {
        let scopes = used_scopes(predictions);
        let mut uses = Vec::new();
        if !scopes.is_empty() {
            widened_uses(&scopes, predictions, &mut uses);
            named_uses(&scopes, predictions, table, &mut uses);
        }
        let mut uses = Csr::group(scopes.len(), uses.iter().copied());
        for scope in 0..scopes.len() {
            uses.row_mut(scope).sort_unstable_by_key(|&(tx, _)| tx);
        }
        Self { scopes, uses }
    }

    /// The scopes, sorted.
    pub(crate) fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// What each transaction does at one scope, in block order.
    pub(crate) fn uses(&self, scope: usize) -> impl Iterator<Item = (TxIndex, Uses)> {
        self.uses.row(scope).chunk_by(|(a, _), (b, _)| a == b).map(|uses| {
            let all = uses.iter().fold(Uses::NONE, |all, &(_, uses)| all | uses);
            (uses[0].0, all)
        })
    }
}

/// Every scope that some prediction is widened to.
pub(crate) fn used_scopes<'p>(
    predictions: impl IntoIterator<Item = &'p PredictedAccess>,
) -> Vec<Scope> {
    let widened = predictions.into_iter().flat_map(PredictedAccess::widened);
    let mut scopes: Vec<Scope> = widened.map(|widened| widened.scope).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let mut bounded = Vec::with_capacity(scopes.len());
    for same in scopes.chunk_by(|a, b| mapping_of(a).is_some() && mapping_of(a) == mapping_of(b)) {
        match mapping_of(&same[0]) {
            Some(contract) if same.len() > MAPPING_SCOPES_MAX => bounded.push(contract),
            _ => bounded.extend_from_slice(same),
        }
    }
    bounded.sort_unstable();
    bounded.dedup();
    bounded
}

/// The contract of a mapping, as a scope.
const fn mapping_of(scope: &Scope) -> Option<Scope> {
    match scope {
        Scope::Mapping { address, .. } => Some(Scope::Contract { address: *address }),
        Scope::Contract { .. } | Scope::Everything => None,
    }
}

/// Adds what widened accesses do at their own scope and at wider ones.
fn widened_uses(
    scopes: &[Scope],
    predictions: &[PredictedAccess],
    uses: &mut Vec<(usize, (TxIndex, Uses))>,
) {
    for (position, prediction) in predictions.iter().enumerate() {
        let tx = TxIndex::new(position);
        for_each_widened_use(scopes, prediction, |scope, kinds| uses.push((scope, (tx, kinds))));
    }
}

/// Calls `each` for what the widened accesses of one prediction do at their own scope and at
/// wider ones.
pub(crate) fn for_each_widened_use(
    scopes: &[Scope],
    prediction: &PredictedAccess,
    mut each: impl FnMut(usize, Uses),
) {
    for widened in prediction.widened() {
        let (whole, part) = match widened.kind {
            AccessKind::Read => (Uses::READ, Uses::GLANCE),
            AccessKind::Write | AccessKind::Delta => {
                (Uses::READ | Uses::WRITE, Uses::GLANCE | Uses::CREDIT)
            }
        };
        let mut found = outward(widened.scope).filter_map(|scope| find(scopes, &scope));
        let own = found.next().expect("a used scope, or the contract it widened to, is listed");
        each(own, whole);
        found.for_each(|wider| each(wider, part));
    }
}

/// The scope and those around it, from the inside out.
fn outward(scope: Scope) -> impl Iterator<Item = Scope> {
    core::iter::successors(Some(scope), |inner| match inner {
        Scope::Mapping { address, .. } => Some(Scope::Contract { address: *address }),
        Scope::Contract { .. } => Some(Scope::Everything),
        Scope::Everything => None,
    })
}

/// Adds what accesses to named locations do at the scopes that cover them.
fn named_uses(
    scopes: &[Scope],
    predictions: &[PredictedAccess],
    table: &AccessTable,
    uses: &mut Vec<(usize, (TxIndex, Uses))>,
) {
    let origins = known_origins(scopes, predictions, table);
    let mut covering = Vec::new();
    for id in table.ids() {
        covering.clear();
        cover(scopes, &table.location(id), origins.get(&id).copied().flatten(), &mut covering);
        for &scope in &covering {
            let glances = table.readers(id).iter().map(|&tx| (tx, Uses::GLANCE));
            let credits = table.writers(id).iter().map(|&(tx, _)| (tx, Uses::CREDIT));
            uses.extend(glances.chain(credits).map(|part| (scope, part)));
        }
    }
}

/// What the block knows of its keys' origins, where a mapping scope asks for
/// it. Predictions that contradict each other know nothing.
fn known_origins(
    scopes: &[Scope],
    predictions: &[PredictedAccess],
    table: &AccessTable,
) -> HashMap<LocationId, Option<KeyOrigin>> {
    let mut known = HashMap::new();
    for &(address, key, origin) in predictions.iter().flat_map(PredictedAccess::origins) {
        let location = Location::Storage(address, key);
        if is_in_mapping_scope(scopes, &location)
            && let Some(id) = table.id(&location)
        {
            let first = known.entry(id).or_insert(Some(origin));
            *first = first.filter(|first| *first == origin);
        }
    }
    known
}

/// Whether a mapping scope asks for the origin of the location's key.
pub(crate) fn is_in_mapping_scope(scopes: &[Scope], location: &Location) -> bool {
    !mappings(scopes, location).is_empty()
}

/// Adds the scopes that cover a location, given the origin of its key.
pub(crate) fn cover(
    scopes: &[Scope],
    location: &Location,
    origin: Option<KeyOrigin>,
    covering: &mut Vec<usize>,
) {
    if let Location::Storage(address, _) = *location {
        match origin {
            Some(KeyOrigin::Plain) => {}
            Some(KeyOrigin::Mapping(slot)) => {
                covering.extend(find(scopes, &Scope::Mapping { address, slot }));
            }
            None => covering.extend(mappings(scopes, location)),
        }
        covering.extend(find(scopes, &Scope::Contract { address }));
    }
    covering.extend(find(scopes, &Scope::Everything));
}

fn find(scopes: &[Scope], scope: &Scope) -> Option<usize> {
    scopes.binary_search(scope).ok()
}

/// The mapping scopes of the location's account: they sort before all others,
/// by account.
fn mappings(scopes: &[Scope], location: &Location) -> Range<usize> {
    let below = |scope: &Scope| match scope {
        Scope::Mapping { address, .. } => Some(*address),
        Scope::Contract { .. } | Scope::Everything => None,
    };
    let account = location.address();
    let start = scopes.partition_point(|scope| below(scope).is_some_and(|it| it < account));
    let end = scopes.partition_point(|scope| below(scope).is_some_and(|it| it <= account));
    start..end
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, U256};
    use forewave_analyzer::{AccessSet, WidenedAccess};

    use super::*;

    #[test]
    fn many_mappings_of_one_contract_are_widened_to_the_contract() {
        let [many, few] = [1u8, 2].map(Address::repeat_byte);
        let mapping = |address, slot: usize| Scope::Mapping { address, slot: U256::from(slot) };
        let prediction = |scope| {
            PredictedAccess::exact(AccessSet::default(), 0)
                .with_widened([WidenedAccess { scope, kind: AccessKind::Write }])
        };
        let predictions: Vec<_> = (0..=MAPPING_SCOPES_MAX)
            .map(|slot| mapping(many, slot))
            .chain([mapping(few, 0), mapping(few, 1)])
            .map(prediction)
            .collect();
        let table = ScopeTable::new(&predictions, &AccessTable::new(&predictions));
        let contract = Scope::Contract { address: many };
        assert_eq!(table.scopes(), [mapping(few, 0), mapping(few, 1), contract]);
        assert_eq!(table.uses(2).count(), MAPPING_SCOPES_MAX + 1);
    }
}
