//! From the input of a Keccak-256 to the mapping or array that the hash points into.
//!
//! Solidity puts a mapping's entry at `keccak(key . slot)` and an array's
//! elements at `keccak(slot)`, Vyper a mapping's entry at `keccak(slot . key)`;
//! nested ones repeat that with the inner hash in the place of the slot. Only
//! the outermost declared slot is kept: it decides what a widened mapping covers.

use hashbrown::{HashMap, hash_map::Entry};
use revm::primitives::{StorageKey, map::DefaultHashBuilder};

use super::word::{DeclaredSlotId, Provenance, Word};
use crate::KeyOrigin;

/// Numbers below this bound are no hash, wherever they come from.
const PLAIN_BITS_MAX: usize = 64;

/// Interned declared slots of mappings and arrays, up to a limit.
#[derive(Debug)]
pub(crate) struct DeclaredSlots {
    slots: Vec<StorageKey>,
    ids: HashMap<StorageKey, DeclaredSlotId, DefaultHashBuilder>,
    count_max: usize,
}

impl DeclaredSlots {
    /// Empty, holding at most `count_max` slots.
    pub(crate) fn new(count_max: usize) -> Self {
        let count_max = count_max.min(DeclaredSlotId::COUNT_MAX);
        Self { slots: Vec::new(), ids: HashMap::default(), count_max }
    }

    /// The identifier of `slot`, or none once the table is full.
    fn intern(&mut self, slot: StorageKey) -> Option<DeclaredSlotId> {
        let room = self.slots.len() < self.count_max;
        match self.ids.entry(slot) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(new) => {
                let id = DeclaredSlotId::new(self.slots.len()).filter(|_| room)?;
                self.slots.push(slot);
                Some(*new.insert(id))
            }
        }
    }

    /// The provenance of the hash of `words`, which are the whole input.
    pub(crate) fn of_hash(&mut self, words: &[Word]) -> Provenance {
        let inputs = words.iter().fold(Provenance::INPUT, |all, word| all.join(word.provenance));
        let slot = match words {
            [base] => self.base(base),
            // Two constants: the smaller number is the slot.
            [first, last] if first.provenance.is_constant() && last.provenance.is_constant() => {
                self.intern(first.value.min(last.value))
            }
            [first, last] => self.base(last).or_else(|| self.base(first)),
            // A mapping keyed by bytes: Solidity hashes the key's bytes, then the slot.
            [.., last] => self.base(last),
            [] => None,
        };
        slot.map_or(inputs, |slot| inputs.pointing_into(slot))
    }

    /// The slot that `word` is, or points into, when it can be a base.
    fn base(&mut self, word: &Word) -> Option<DeclaredSlotId> {
        word.provenance
            .declared_slot()
            .or_else(|| word.provenance.is_constant().then(|| self.intern(word.value)).flatten())
    }

    /// The declared slot of the mapping or array that a key points into, where it is known.
    pub(crate) fn declared_at(&self, key: Word) -> Option<StorageKey> {
        key.provenance.declared_slot().map(|slot| self.slots[slot.index()])
    }

    /// A key that points into what is declared at `slot`, or nowhere.
    pub(crate) fn key(&mut self, value: StorageKey, slot: Option<StorageKey>) -> Word {
        let slot = slot.and_then(|slot| self.intern(slot));
        let provenance =
            slot.map_or(Provenance::INPUT, |slot| Provenance::INPUT.pointing_into(slot));
        Word::new(value, provenance)
    }

    /// The origin of a storage key, where it is known.
    ///
    /// A large number that no hash of this transaction went into can still be
    /// a hash computed elsewhere: by the compiler, or by the caller.
    pub(crate) fn origin(&self, key: Word) -> Option<KeyOrigin> {
        match key.provenance.declared_slot() {
            Some(slot) => Some(KeyOrigin::Mapping(self.slots[slot.index()])),
            None => (key.value.bit_len() <= PLAIN_BITS_MAX).then_some(KeyOrigin::Plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use revm::primitives::U256;

    use super::*;

    #[test]
    fn hashes_point_into_the_outermost_declared_slot() {
        let mut slots = DeclaredSlots::new(8);
        let constant = |n: u64| Word::constant(U256::from(n));
        let input = Word::new(U256::from(77), Provenance::INPUT);
        let hash = |provenance| Word::new(U256::MAX, provenance);
        let mapping = slots.of_hash(&[input, constant(3)]);
        let vyper = slots.of_hash(&[constant(4), input]);
        let nested = slots.of_hash(&[input, hash(mapping)]);
        let array = slots.of_hash(&[constant(5)]);
        let field = nested.offset_by(Provenance::CONSTANT);
        for (provenance, slot) in [(mapping, 3), (vyper, 4), (nested, 3), (array, 5), (field, 3)] {
            assert_eq!(slots.origin(hash(provenance)), Some(KeyOrigin::Mapping(U256::from(slot))));
        }
        assert_eq!(slots.origin(constant(9)), Some(KeyOrigin::Plain));
        assert_eq!(slots.origin(hash(Provenance::CONSTANT)), None);
    }

    #[test]
    fn a_full_table_forgets_instead_of_growing() {
        let mut slots = DeclaredSlots::new(1);
        let word = |n: u64| Word::constant(U256::from(n));
        assert!(slots.of_hash(&[word(1)]).declared_slot().is_some());
        assert!(slots.of_hash(&[word(2)]).declared_slot().is_none());
        assert!(slots.of_hash(&[word(1)]).declared_slot().is_some());
    }
}
