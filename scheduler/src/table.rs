//! Predictions -> the locations of the block, interned, and who uses each.
//!
//! Identifiers follow first appearance in block order, so they are a function
//! of the input although a hash map hands them out. Only named locations are
//! here; what widened predictions cover is the scope table's.

use core::hash::BuildHasher;

use forewave_analyzer::{AccessKind, AccessSet, Location, PredictedAccess, TxIndex};
use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use crate::{LocationId, csr::Csr, uses::Uses};

/// How often a location is used in a typical block, to allocate for it once.
const ACCESSES_PER_LOCATION: usize = 2;

/// Every location that the block's predictions name, with its readers and
/// writers in block order.
#[derive(Clone, Debug)]
pub struct AccessTable {
    interner: Interner,
    /// By transaction, in the order of their locations.
    used: Csr<LocationId>,
    readers: Csr<TxIndex>,
    writers: Csr<(TxIndex, AccessKind)>,
}

impl AccessTable {
    /// The table of a block's predictions, given in block order.
    pub fn new(predictions: &[PredictedAccess]) -> Self {
        let accesses = predictions.iter().map(|prediction| {
            let set = prediction.set();
            set.reads().len().max(set.writes().len()) + set.deltas().len()
        });
        let accesses = accesses.sum();
        let mut uses = Vec::with_capacity(accesses);
        let mut interner = Interner::with_capacity(accesses / ACCESSES_PER_LOCATION);
        for (position, prediction) in predictions.iter().enumerate() {
            let tx = TxIndex::new(position);
            for_each_location(prediction.set(), |location, kinds| {
                uses.push((interner.intern(location), tx, kinds));
            });
        }
        let rows = interner.locations.len();
        let readers = uses.iter().filter(|(.., kinds)| kinds.contains(Uses::READ));
        let writers = uses.iter().filter_map(|&(id, tx, kinds)| {
            let kind = if kinds.contains(Uses::WRITE) {
                AccessKind::Write
            } else if kinds.contains(Uses::CREDIT) {
                AccessKind::Delta
            } else {
                return None;
            };
            Some((id.index(), (tx, kind)))
        });
        Self {
            used: Csr::group(predictions.len(), uses.iter().map(|&(id, tx, _)| (tx.index(), id))),
            readers: Csr::group(rows, readers.map(|&(id, tx, _)| (id.index(), tx))),
            writers: Csr::group(rows, writers),
            interner,
        }
    }

    /// The number of distinct locations.
    pub const fn len(&self) -> usize {
        self.interner.locations.len()
    }

    /// Whether no location is named at all.
    pub const fn is_empty(&self) -> bool {
        self.interner.locations.is_empty()
    }

    /// Every identifier, ascending.
    pub fn ids(&self) -> impl Iterator<Item = LocationId> + use<> {
        (0..self.len()).map(LocationId::new)
    }

    /// The location behind an identifier of this table.
    pub fn location(&self, id: LocationId) -> Location {
        self.interner.locations[id.index()]
    }

    /// The identifier of a location, if the block names it.
    pub fn id(&self, location: &Location) -> Option<LocationId> {
        self.interner.find(location)
    }

    /// The identifier of a location as [`id`](Self::id) gives it, found faster if
    /// `tx` is predicted to use it.
    pub fn id_used_by(&self, tx: TxIndex, location: &Location) -> Option<LocationId> {
        let used = self.used.row(tx.index());
        let at = used.binary_search_by(|id| self.interner.locations[id.index()].cmp(location));
        at.map_or_else(|_| self.id(location), |at| Some(used[at]))
    }

    /// Who replaces ([`AccessKind::Write`]) or credits ([`AccessKind::Delta`])
    /// the location, in block order, each transaction once.
    pub fn writers(&self, id: LocationId) -> &[(TxIndex, AccessKind)] {
        self.writers.row(id.index())
    }

    /// Who reads the location, in block order.
    pub fn readers(&self, id: LocationId) -> &[TxIndex] {
        self.readers.row(id.index())
    }
}

/// Calls `each` once for each location of the set, in the sets' order, with
/// all the uses the transaction makes of it: a merge of the three sorted lists.
pub(crate) fn for_each_location(set: &AccessSet, mut each: impl FnMut(&Location, Uses)) {
    let mut lists =
        [(set.reads(), Uses::READ), (set.writes(), Uses::WRITE), (set.deltas(), Uses::CREDIT)];
    while let Some(next) = lists.iter().filter_map(|(list, _)| list.first()).min() {
        let mut kinds = Uses::NONE;
        for (list, kind) in &mut lists {
            if let Some((first, rest)) = list.split_first()
                && first == next
            {
                kinds |= *kind;
                *list = rest;
            }
        }
        each(next, kinds);
    }
}

/// Location <-> identifier. The map holds hashes and identifiers only, so that
/// each location is stored once and is looked at only to confirm a match.
#[derive(Clone, Debug)]
struct Interner {
    locations: Vec<Location>,
    ids: HashTable<(u64, LocationId)>,
    hasher: DefaultHashBuilder,
}

impl Interner {
    fn with_capacity(locations: usize) -> Self {
        Self {
            locations: Vec::with_capacity(locations),
            ids: HashTable::with_capacity(locations),
            hasher: DefaultHashBuilder::default(),
        }
    }

    fn intern(&mut self, location: &Location) -> LocationId {
        let Self { locations, ids, hasher } = self;
        let hash = hasher.hash_one(location);
        let is_same =
            |&(other, id): &(u64, LocationId)| other == hash && locations[id.index()] == *location;
        match ids.entry(hash, is_same, |&(hash, _)| hash) {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let id = LocationId::new(locations.len());
                entry.insert((hash, id));
                locations.push(*location);
                id
            }
        }
    }

    fn find(&self, location: &Location) -> Option<LocationId> {
        let hash = self.hasher.hash_one(location);
        let found = self
            .ids
            .find(hash, |&(other, id)| other == hash && self.locations[id.index()] == *location);
        found.map(|&(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use forewave_analyzer::AccessSetBuilder;

    use super::*;

    #[test]
    fn each_location_lists_who_reads_and_who_changes_it_in_block_order() {
        let [a, b] = [1u8, 2].map(|byte| Location::Balance(Address::repeat_byte(byte)));
        let mut sets: [AccessSetBuilder; 3] = Default::default();
        sets[0].write(b).read(b);
        sets[1].delta(a).read(b).read(a);
        sets[2].write(a).delta(b);
        let table = AccessTable::new(&sets.map(|set| PredictedAccess::exact(set.build(), 0)));
        let id = |location| table.id(&location).expect("the block names it");
        let tx = TxIndex::new;
        assert_eq!((table.len(), id(b), id(a)), (2, LocationId::new(0), LocationId::new(1)));
        assert_eq!(table.location(id(a)), a);
        assert_eq!(table.readers(id(a)), [tx(1)]);
        assert_eq!(table.writers(id(a)), [(tx(1), AccessKind::Delta), (tx(2), AccessKind::Write)]);
        assert_eq!(table.readers(id(b)), [tx(0), tx(1)]);
        assert_eq!(table.writers(id(b)), [(tx(0), AccessKind::Write), (tx(2), AccessKind::Delta)]);
        let unused = Location::Nonce(Address::ZERO);
        assert_eq!(table.id(&unused), None);
        for location in [a, b, unused] {
            for transaction in [0, 1, 2].map(tx) {
                assert_eq!(table.id_used_by(transaction, &location), table.id(&location));
            }
        }
    }
}
