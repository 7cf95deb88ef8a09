//! Keccak-256 of short inputs, each computed once while it is remembered.
//!
//! Mappings hash a key and a slot, contracts a name or an address, over and
//! over: within a block, and again when its transactions are analysed on another
//! state. Bounded: a table that is full forgets everything. The whole input is
//! compared, so that an answer is always right.

use hashbrown::{HashMap, hash_map::Entry};
use revm::primitives::{B256, keccak256, map::DefaultHashBuilder};

/// Inputs of up to [`SHORT_BYTES_MAX`] remembered at once.
const SHORT_ENTRIES_MAX: usize = 1 << 15;

/// Longer inputs remembered at once.
const LONG_ENTRIES_MAX: usize = 1 << 12;

/// A key and a slot.
const SHORT_BYTES_MAX: usize = 64;

/// What one round of Keccak-256 absorbs. Hashing more is dearer than comparing it
/// would be, but such inputs hardly ever come again.
const LONG_BYTES_MAX: usize = 135;

/// Hashes that have been needed already.
#[derive(Default)]
pub(crate) struct HashCache {
    short: Table<SHORT_BYTES_MAX>,
    long: Table<LONG_BYTES_MAX>,
}

/// Hashes of inputs of up to `N` bytes.
#[derive(Default)]
struct Table<const N: usize> {
    /// By length and bytes, zeros behind.
    entries: HashMap<(u8, [u8; N]), B256, DefaultHashBuilder>,
}

impl HashCache {
    /// The Keccak-256 of `input`.
    pub(crate) fn keccak256(&mut self, input: &[u8]) -> B256 {
        if input.len() <= SHORT_BYTES_MAX {
            self.short.keccak256(input, SHORT_ENTRIES_MAX)
        } else if input.len() <= LONG_BYTES_MAX {
            self.long.keccak256(input, LONG_ENTRIES_MAX)
        } else {
            keccak256(input)
        }
    }
}

impl<const N: usize> Table<N> {
    fn keccak256(&mut self, input: &[u8], entries_max: usize) -> B256 {
        let mut key = [0; N];
        key[..input.len()].copy_from_slice(input);
        let len = u8::try_from(input.len()).unwrap_or(u8::MAX);
        if self.entries.len() >= entries_max {
            self.entries.clear();
        }
        match self.entries.entry((len, key)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => *new.insert(keccak256(input)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_hash_is_the_hash_at_every_length() {
        let mut cache = HashCache::default();
        for round in 0..2 {
            for len in 0..2 * LONG_BYTES_MAX {
                for first in [0, 1, 0xFF] {
                    let input = vec![first; len];
                    let hash = keccak256(&input);
                    assert_eq!(cache.keccak256(&input), hash, "round {round}, {len} of {first}");
                }
            }
        }
    }

    #[test]
    fn a_full_table_forgets_and_answers_right() {
        let mut table = Table::<SHORT_BYTES_MAX>::default();
        for number in (0..100_u8).chain(0..100) {
            assert_eq!(table.keccak256(&[number], 16), keccak256([number]));
            assert!(table.entries.len() <= 16);
        }
    }
}
