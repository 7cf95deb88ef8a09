//! Predictions one by one -> whom each transaction needs, while later ones are
//! still unknown: the RAW edges of the [`ConflictGraph`](crate::ConflictGraph),
//! for those who run the first transactions before the last is predicted.
//!
//! Only what was changed is remembered, since only RAW orders execution: a read
//! of what nobody has changed leaves nothing behind.
//!
//! Invariant: whoever reaches an earlier transaction through the graph's RAW
//! edges reaches it through these as well. With widened predictions they reach
//! more: a scope meets everybody who has stored anything in its contract, since
//! what is told apart within it is known only at the end; contracts beyond
//! [`WIDENED_CONTRACTS_MAX`] that scopes name meet everybody.

use alloy_primitives::{Address, U256};
use forewave_analyzer::{
    AccessKind, KeyOrigin, Location, PredictedAccess, Scope, TxIndex, WidenedAccess,
};
use hashbrown::{DefaultHashBuilder, HashMap};

use crate::{
    MAPPING_SCOPES_MAX,
    frontier::{Meetable, Versions},
};

/// The most contracts that widened predictions of one block name and that are
/// told apart. A later one counts as everything.
pub const WIDENED_CONTRACTS_MAX: usize = 1 << 12;

/// Changed locations that a transaction of a typical block adds, to allocate for them once.
const CHANGES_PER_TRANSACTION: usize = 8;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Dependencies {
    transactions: usize,
    places: HashMap<Location, Versions, DefaultHashBuilder>,
    /// Who has stored in a contract by name, since somebody met them all there.
    stored: HashMap<Address, Meetable, DefaultHashBuilder>,
    /// Who has widened writes where.
    widened: HashMap<Address, Vec<WidenedWrite>, DefaultHashBuilder>,
    /// The last that waits for everybody before it.
    meets_all: Option<TxIndex>,
    /// The last for which everybody after it waits.
    changes_all: Option<TxIndex>,
    needed: Vec<TxIndex>,
}

/// The last transaction that may have replaced anything in a part of a contract.
#[derive(Clone, Copy, Debug)]
struct WidenedWrite {
    part: Part,
    by: TxIndex,
}

/// A contract's storage, or one mapping in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Mapping(U256),
}

impl Part {
    const fn of(scope: Scope) -> Option<(Address, Self)> {
        match scope {
            Scope::Mapping { address, slot } => Some((address, Self::Mapping(slot))),
            Scope::Contract { address } => Some((address, Self::Whole)),
            Scope::Everything => None,
        }
    }

    fn overlaps(self, other: Self) -> bool {
        self == Self::Whole || other == Self::Whole || self == other
    }

    /// Whether it may hold a key; as far as this prediction knows where the key comes from.
    fn covers(self, origin: Option<KeyOrigin>) -> bool {
        match (self, origin) {
            (Self::Mapping(_), Some(KeyOrigin::Plain)) => false,
            (Self::Mapping(slot), Some(KeyOrigin::Mapping(other))) => slot == other,
            (Self::Whole, _) | (Self::Mapping(_), None) => true,
        }
    }
}

impl Dependencies {
    /// Of a block with so many transactions, none of which is known yet.
    pub fn new(transactions: usize) -> Self {
        let places = transactions.saturating_mul(CHANGES_PER_TRANSACTION);
        let places = HashMap::with_capacity_and_hasher(places, DefaultHashBuilder::default());
        Self { places, ..Self::default() }
    }

    /// Adds the next transaction, and gives those that it needs: earlier ones,
    /// ascending, each once.
    pub fn add(&mut self, prediction: &PredictedAccess) -> &[TxIndex] {
        let tx = TxIndex::new(self.transactions);
        self.transactions += 1;
        self.needed.clear();
        self.needed.extend(self.changes_all);
        self.read(tx, prediction);
        for &widened in prediction.widened() {
            self.widen(tx, widened);
        }
        self.change(tx, prediction);
        self.needed.sort_unstable();
        self.needed.dedup();
        // It may read what it writes.
        if self.needed.last() == Some(&tx) {
            self.needed.pop();
        }
        &self.needed
    }

    /// Meets who has changed what the transaction reads by name.
    fn read(&mut self, tx: TxIndex, prediction: &PredictedAccess) {
        let needed = &mut self.needed;
        for location in prediction.set().reads() {
            if let Some(versions) = self.places.get_mut(location) {
                versions.read(tx, |earlier| needed.push(earlier));
            }
            if !self.widened.is_empty()
                && let Location::Storage(address, key) = *location
                && let Some(writes) = self.widened.get(&address)
            {
                let origin = prediction.origin(address, key);
                let covering = writes.iter().filter(|write| write.part.covers(origin));
                needed.extend(covering.map(|write| write.by));
            }
        }
    }

    /// Meets who has changed anything in a scope; a widened write is a read too.
    fn widen(&mut self, tx: TxIndex, widened: WidenedAccess) {
        let WidenedAccess { scope, kind } = widened;
        let is_known = |address| self.widened.contains_key(&address);
        let has_room = self.widened.len() < WIDENED_CONTRACTS_MAX;
        let part = Part::of(scope).filter(|(address, _)| has_room || is_known(*address));
        let Some((address, part)) = part else {
            let since = self.meets_all.map_or(0, TxIndex::index);
            self.needed.extend((since..tx.index()).map(TxIndex::new));
            self.meets_all = Some(tx);
            if kind != AccessKind::Read {
                self.changes_all = Some(tx);
            }
            return;
        };
        let needed = &mut self.needed;
        if let Some(stored) = self.stored.get_mut(&address) {
            stored.meet(tx, |earlier| needed.push(earlier));
        }
        let writes = self.widened.entry(address).or_default();
        let overlapping = writes.iter().filter(|write| write.part.overlaps(part));
        needed.extend(overlapping.map(|write| write.by));
        if kind == AccessKind::Read {
            return;
        }
        // It has met those that it replaces, and stands for them.
        let part = if writes.len() < MAPPING_SCOPES_MAX { part } else { Part::Whole };
        if part == Part::Whole {
            needed.extend(writes.iter().map(|write| write.by));
            writes.clear();
        }
        match writes.iter_mut().find(|write| write.part == part) {
            Some(write) => write.by = tx,
            None => writes.push(WidenedWrite { part, by: tx }),
        }
    }

    /// Leaves behind what the transaction changes by name.
    fn change(&mut self, tx: TxIndex, prediction: &PredictedAccess) {
        for location in prediction.set().writes() {
            self.places.entry(*location).or_default().replace(tx);
        }
        for location in prediction.set().deltas() {
            self.places.entry(*location).or_default().credit(tx);
        }
        for changed in [prediction.set().writes(), prediction.set().deltas()] {
            let contracts = changed.iter().filter_map(|location| match location {
                Location::Storage(address, _) => Some(*address),
                _ => None,
            });
            // Sorted, so those of one contract are next to each other.
            let mut last = None;
            for address in contracts.filter(|address| last.replace(*address) != Some(*address)) {
                self.stored.entry(address).or_default().push(tx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notation::block;

    /// Whom each transaction of a block in short notation needs.
    fn check(text: &str, expected: &str) {
        let block = block(text);
        let mut dependencies = Dependencies::new(block.len());
        let needed: Vec<String> = block
            .iter()
            .map(|prediction| {
                let needed = dependencies.add(prediction);
                needed.iter().map(|tx| tx.index().to_string()).collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(needed.join("|"), expected, "{text}");
    }

    #[test]
    fn a_reader_needs_the_last_write_and_the_credits_since() {
        for (block, expected) in [
            ("Wa | Wa | Ra", "||1"),
            ("Wa | Da | Da | Ra", "|||0 1 2"),
            ("Da | Da | Wa | Ra", "|||2"),
            ("Ra Wa | Ra Wa | Ra Wa", "|0|1"),
            ("Ra | Wa | Da", "||"),
            ("Wa Wb | Wc | Ra Rb Rc", "||0 1"),
        ] {
            check(block, expected);
        }
    }

    #[test]
    fn a_scope_meets_who_stores_in_its_contract() {
        for (block, expected) in [
            ("Wa.1 | Wb.1 | Ra[0]", "||0"),
            ("Wa | Ra[]", "|"),
            ("Wa[] | Ra.1 | Rb.1 | Ra", "|0||"),
            ("Wa[0] | Ra.1m0 | Ra.1m1 | Ra.1p | Ra.1", "|0|||0"),
            ("Wa[0] | Ra[0] | Ra[1] | Ra[]", "|0||0"),
            ("Wa[0] | Wa[1] | Wa[] | Ra[0]", "||0 1|2"),
            ("Ra[] | Ra[]", "|"),
        ] {
            check(block, expected);
        }
    }

    #[test]
    fn everything_meets_everybody() {
        for (block, expected) in [
            ("Wa | Rb | R*", "||0 1"),
            ("Wa | R* | Rb | R*", "|0||1 2"),
            ("Wa | W* | Rb | Wc | R*", "|0|1|1|1 2 3"),
        ] {
            check(block, expected);
        }
    }
}
