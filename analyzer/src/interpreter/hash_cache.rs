//! Keccak-256 of short inputs, each computed once while it is remembered.
//!
//! Mappings hash a key and a slot, contracts a name or an address, over and
//! over: within a block, and again when its transactions are analysed on another
//! state. Bounded: a table that is full forgets everything. The whole input is
//! compared, so that an answer is always right.

use core::hash::{Hash, Hasher};

use hashbrown::{HashMap, hash_map::Entry};
use revm::primitives::{B256, U256, keccak256, map::DefaultHashBuilder};

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
    short: Table<{ SHORT_BYTES_MAX.div_ceil(8) }>,
    long: Table<{ LONG_BYTES_MAX.div_ceil(8) }>,
}

/// Hashes of inputs of up to `8 * N` bytes.
#[derive(Default)]
struct Table<const N: usize> {
    entries: HashMap<Input<N>, B256, DefaultHashBuilder>,
}

/// A short input: its bytes as numbers, zeros behind, and its length.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Input<const N: usize> {
    bytes: [u64; N],
    len: u64,
}

impl<const N: usize> Input<N> {
    /// The input, no longer than fits.
    fn new(input: &[u8]) -> Self {
        let mut bytes = [0; N];
        let (words, rest) = input.as_chunks::<8>();
        for (to, word) in bytes.iter_mut().zip(words) {
            *to = u64::from_ne_bytes(*word);
        }
        if let Some(to) = bytes.get_mut(words.len()) {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            *to = u64::from_ne_bytes(last);
        }
        Self { bytes, len: input.len() as u64 }
    }
}

impl Input<8> {
    /// Two words.
    fn of_words(words: [U256; 2]) -> Self {
        let mut bytes = [0; 8];
        let limbs = words.iter().flat_map(|word| word.as_limbs().iter().rev());
        for (to, limb) in bytes.iter_mut().zip(limbs) {
            *to = u64::from_ne_bytes(limb.to_be_bytes());
        }
        Self { bytes, len: SHORT_BYTES_MAX as u64 }
    }
}

impl<const N: usize> Hash for Input<N> {
    /// Number by number, which is inlined, where a slice of bytes is not.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        for word in self.bytes {
            state.write_u64(word);
        }
        state.write_u64(self.len);
    }
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

    /// The Keccak-256 of two words, as mappings hash a key and a slot.
    pub(crate) fn keccak256_of_words(&mut self, words: [U256; 2]) -> B256 {
        let input = || keccak256(words.map(|word| word.to_be_bytes::<32>()).concat());
        self.short.find(Input::of_words(words), SHORT_ENTRIES_MAX, input)
    }
}

impl<const N: usize> Table<N> {
    fn keccak256(&mut self, input: &[u8], entries_max: usize) -> B256 {
        self.find(Input::new(input), entries_max, || keccak256(input))
    }

    #[inline]
    fn find(&mut self, input: Input<N>, entries_max: usize, hash: impl FnOnce() -> B256) -> B256 {
        if self.entries.len() >= entries_max {
            self.entries.clear();
        }
        match self.entries.entry(input) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => *new.insert(hash()),
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
    fn the_hash_of_two_words_is_that_of_their_bytes_and_remembered_as_such() {
        let mut cache = HashCache::default();
        let words = [U256::MAX - U256::from(77), U256::from_limbs([1, 2, 3, 4])];
        let bytes = words.map(|word| word.to_be_bytes::<32>()).concat();
        assert_eq!(cache.keccak256_of_words(words), keccak256(&bytes));
        assert_eq!(cache.keccak256(&bytes), keccak256(&bytes));
        assert_eq!(cache.short.entries.len(), 1);
    }

    #[test]
    fn a_full_table_forgets_and_answers_right() {
        let mut table = Table::<8>::default();
        for number in (0..100_u8).chain(0..100) {
            assert_eq!(table.keccak256(&[number], 16), keccak256([number]));
            assert!(table.entries.len() <= 16);
        }
    }
}
