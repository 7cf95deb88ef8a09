//! Hashes and what they are of -> where a storage key lies: which entry of which mapping.
//!
//! A hash of a key and a slot is an entry of a mapping: Solidity hashes the key first, Vyper
//! the slot; where both read well, the declared slot that the prediction names decides. The
//! hash of a slot is where an array begins. A key a little behind a place is a field of it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use forewave_analyzer::KeyOrigin;

use super::mapping_slot;

/// Slots behind a hash that still belong to it: fields of structs, elements of arrays.
const BEHIND_MAX: u64 = 1 << 16;

/// Mappings within mappings that are looked into.
const DEPTH_MAX: usize = 8;

/// Bits of a number that can be a declared slot.
const SLOT_BITS_MAX: usize = 32;

/// What is known of storage keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    preimages: BTreeMap<U256, Box<[u8]>>,
    /// The declared slot of the mapping that a key is in.
    origins: BTreeMap<(Address, U256), U256>,
}

/// Where a key lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The declared slot.
    pub(super) root: U256,
    /// What is declared there.
    pub(super) kind: Kind,
    /// Keys, the outermost mapping's first.
    pub(super) keys: Vec<Key>,
    /// Slots behind the entry.
    pub(super) offset: U256,
}

/// What is declared at a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mapping,
    Array,
    /// A mapping in Solady's layout.
    Seeded,
}

/// The key of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Word(U256),
    Bytes(Box<[u8]>),
    /// An entry of which only the hash is known.
    Unknown(U256),
}

impl Place {
    /// What holds the entry: `mapping(slot 3)`.
    pub(super) fn container(&self) -> String {
        let slot = super::number(self.root);
        match self.kind {
            Kind::Mapping => format!("mapping(slot {slot})"),
            Kind::Array => format!("array(slot {slot})"),
            Kind::Seeded => format!("mapping(seed {slot})"),
        }
    }
}

impl Keys {
    /// Adds what one transaction hashed, and where its keys are from.
    pub(super) fn note(
        &mut self,
        preimages: Vec<(U256, Box<[u8]>)>,
        origins: &[(Address, U256, KeyOrigin)],
    ) {
        for (hash, bytes) in preimages {
            self.preimages.entry(hash).or_insert(bytes);
        }
        for (address, key, origin) in origins {
            if let Some(slot) = mapping_slot(*origin) {
                self.origins.entry((*address, *key)).or_insert(slot);
            }
        }
    }

    /// Where a key of a contract lies, unless it is a plain slot.
    pub(super) fn place(&self, address: Address, key: U256) -> Option<Place> {
        let origin = self.origins.get(&(address, key)).copied();
        if key.bit_len() <= SLOT_BITS_MAX {
            return None;
        }
        let unknown = || {
            let (kind, keys) = (Kind::Mapping, vec![Key::Unknown(key)]);
            origin.map(|root| Place { root, kind, keys, offset: U256::ZERO })
        };
        self.read(key, origin, 0).or_else(unknown)
    }

    fn read(&self, key: U256, origin: Option<U256>, depth: usize) -> Option<Place> {
        if depth > DEPTH_MAX {
            return None;
        }
        let (hash, bytes) = self.preimages.range(..=key).next_back()?;
        let offset = key - *hash;
        if offset > U256::from(BEHIND_MAX) {
            return None;
        }
        let mut place = self.read_hash(bytes, origin, depth)?;
        place.offset += offset;
        Some(place)
    }

    fn read_hash(&self, bytes: &[u8], origin: Option<U256>, depth: usize) -> Option<Place> {
        let (front, last) = bytes.split_last_chunk::<32>()?;
        let last = U256::from_be_bytes(*last);
        if front.is_empty() {
            return self.array(last, origin, depth);
        }
        let Some(first) = <[u8; 32]>::try_from(front).ok().map(U256::from_be_bytes) else {
            return self.entry(last, Key::Bytes(front.into()), origin, depth);
        };
        let solidity = self.entry(last, Key::Word(first), origin, depth);
        let fits = |place: &Option<Place>| {
            place.as_ref().is_some_and(|place| origin.is_none_or(|origin| origin == place.root))
        };
        if fits(&solidity) {
            return solidity;
        }
        let vyper = self.entry(first, Key::Word(last), origin, depth);
        if fits(&vyper) { vyper } else { solidity.or(vyper) }
    }

    /// The hash of one word: an array, or an entry in Solady's layout.
    fn array(&self, word: U256, origin: Option<U256>, depth: usize) -> Option<Place> {
        if word.bit_len() > SLOT_BITS_MAX && origin.is_some_and(|seed| word != seed) {
            let (seed, owner) = (word & U256::from((1_u128 << 96) - 1), word >> 96);
            if origin == Some(seed) {
                let (kind, keys) = (Kind::Seeded, vec![Key::Word(owner)]);
                return Some(Place { root: seed, kind, keys, offset: U256::ZERO });
            }
        }
        let mut base = self.base(word, origin, depth)?;
        if base.keys.is_empty() {
            base.kind = Kind::Array;
        }
        Some(base)
    }

    /// The entry of `key` of what lies at `base`.
    fn entry(&self, base: U256, key: Key, origin: Option<U256>, depth: usize) -> Option<Place> {
        let mut place = self.base(base, origin, depth)?;
        // An entry of a field keeps to the field.
        if !place.offset.is_zero() {
            place.root += core::mem::take(&mut place.offset);
        }
        place.keys.push(key);
        Some(place)
    }

    /// A declared slot, or the place of an outer mapping.
    fn base(&self, word: U256, origin: Option<U256>, depth: usize) -> Option<Place> {
        if word.bit_len() <= SLOT_BITS_MAX || origin == Some(word) {
            let (kind, keys) = (Kind::Mapping, Vec::new());
            return Some(Place { root: word, kind, keys, offset: U256::ZERO });
        }
        self.read(word, origin, depth + 1)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    fn hash(words: &[U256]) -> (U256, Box<[u8]>) {
        let bytes: Vec<u8> = words.iter().flat_map(U256::to_be_bytes::<32>).collect();
        (keccak256(&bytes).into(), bytes.into())
    }

    fn number(number: u64) -> U256 {
        U256::from(number)
    }

    fn check(keys: &Keys, key: U256, expected: &str) {
        let place = keys.place(Address::ZERO, key);
        let text = place.map_or_else(String::new, |place| {
            let keys = place.keys.iter().map(|key| match key {
                Key::Word(word) => format!("[{word:#x}]"),
                Key::Bytes(bytes) => format!("[{}]", String::from_utf8_lossy(bytes)),
                Key::Unknown(_) => "[?]".to_owned(),
            });
            format!("{}{}+{}", place.container(), keys.collect::<String>(), place.offset)
        });
        assert_eq!(text, expected);
    }

    #[test]
    fn a_key_is_read_from_what_was_hashed() {
        let owner = U256::from_be_slice(&[0xab; 20]);
        let outer = hash(&[owner, number(5)]);
        let inner = hash(&[number(9), outer.0]);
        let array = hash(&[number(7)]);
        let in_array = hash(&[owner, array.0 + number(3)]);
        let text = {
            let bytes = [b"name".as_slice(), &number(2).to_be_bytes::<32>()].concat();
            (keccak256(&bytes).into(), bytes.into_boxed_slice())
        };
        let mut keys = Keys::default();
        let (of, in_, begin, entry, by_text) = (outer.0, inner.0, array.0, in_array.0, text.0);
        keys.note(vec![outer, inner, array, in_array, text], &[]);
        let ab = "0xabababababababababababababababababababab";
        check(&keys, of, &format!("mapping(slot 5)[{ab}]+0"));
        check(&keys, of + number(2), &format!("mapping(slot 5)[{ab}]+2"));
        check(&keys, in_, &format!("mapping(slot 5)[{ab}][0x9]+0"));
        check(&keys, begin + number(4), "array(slot 7)+4");
        check(&keys, entry, &format!("array(slot 10)[{ab}]+0"));
        check(&keys, by_text, "mapping(slot 2)[name]+0");
        check(&keys, number(5), "");
        check(&keys, of - number(1), "");
    }

    #[test]
    fn the_declared_slot_tells_vyper_s_order_from_solidity_s() {
        let (key, bytes) = hash(&[number(3), number(8)]);
        for (slot, expected) in [(8, "mapping(slot 8)[0x3]+0"), (3, "mapping(slot 3)[0x8]+0")] {
            let mut keys = Keys::default();
            let origin = KeyOrigin::Mapping(number(slot));
            keys.note(vec![(key, bytes.clone())], &[(Address::ZERO, key, origin)]);
            check(&keys, key, expected);
        }
    }

    #[test]
    fn an_entry_of_which_only_the_mapping_is_known_says_so() {
        let key = U256::MAX - number(9);
        let mut keys = Keys::default();
        keys.note(Vec::new(), &[(Address::ZERO, key, KeyOrigin::Mapping(number(4)))]);
        check(&keys, key, "mapping(slot 4)[?]+0");
    }
}
