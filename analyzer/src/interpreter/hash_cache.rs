//! Keccak-256 of the inputs that mappings have, each computed once while it is remembered.
//!
//! Bounded: when it is full, it forgets everything. The whole input is
//! compared, so that an answer is always right.

use hashbrown::HashMap;
use revm::primitives::{B256, keccak256, map::DefaultHashBuilder};

/// Inputs remembered at once.
const ENTRIES_MAX: usize = 1 << 14;

/// Length of the inputs that are remembered: a key and a slot.
const INPUT_BYTES: usize = 64;

/// Hashes that the block has already needed.
#[derive(Default)]
pub(crate) struct HashCache {
    entries: HashMap<[u8; INPUT_BYTES], B256, DefaultHashBuilder>,
}

impl HashCache {
    /// The Keccak-256 of `input`.
    pub(crate) fn keccak256(&mut self, input: &[u8]) -> B256 {
        let Ok(input) = <&[u8; INPUT_BYTES]>::try_from(input) else { return keccak256(input) };
        if let Some(hash) = self.entries.get(input) {
            return *hash;
        }
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.clear();
        }
        let hash = keccak256(input);
        self.entries.insert(*input, hash);
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_hash_is_the_hash() {
        let mut cache = HashCache::default();
        for round in 0..2 {
            for first in 0..=255_u8 {
                let input = [first; INPUT_BYTES];
                assert_eq!(cache.keccak256(&input), keccak256(input), "round {round}");
            }
        }
        assert_eq!(cache.keccak256(b"short"), keccak256(b"short"));
    }
}
