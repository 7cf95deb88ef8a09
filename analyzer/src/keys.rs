//! Addresses and words as keys of hash maps.
//!
//! Their bytes are random or chosen by an attacker, so they are hashed whole, with
//! a seed; but number by number, which is inlined, where a slice of bytes of any
//! length is not.

use core::hash::{Hash, Hasher};

use revm::primitives::{Address, U256};

/// An address as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressKey(pub(crate) Address);

/// A word as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WordKey(pub(crate) U256);

impl Hash for AddressKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [first, second, last] = [0, 8, 12].map(|at| {
            let bytes = self.0.0.0[at..].first_chunk::<8>();
            u64::from_ne_bytes(*bytes.expect("an address has twenty bytes"))
        });
        state.write_u64(first);
        state.write_u64(second);
        state.write_u64(last);
    }
}

impl Hash for WordKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        for limb in self.0.as_limbs() {
            state.write_u64(*limb);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::hash::BuildHasher;

    use revm::primitives::map::DefaultHashBuilder;

    use super::*;

    #[test]
    fn every_byte_of_a_key_changes_its_hash() {
        let build = DefaultHashBuilder::default();
        for at in 0..20 {
            let mut address = Address::repeat_byte(7);
            let before = build.hash_one(AddressKey(address));
            address.0.0[at] ^= 1;
            assert_ne!(build.hash_one(AddressKey(address)), before, "byte {at}");
        }
        for bit in 0..256 {
            let word = U256::from(7);
            let other = word ^ (U256::ONE << bit);
            assert_ne!(build.hash_one(WordKey(other)), build.hash_one(WordKey(word)), "bit {bit}");
        }
    }
}
