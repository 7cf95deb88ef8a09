//! Names: of constants that are well-known storage places, and of the environment.
//!
//! Every place is computed from the string that its standard hashes, never
//! written down. Arrays at low slots are here too, since compilers compute
//! their places ahead.

use std::{collections::BTreeMap, sync::LazyLock};

use revm::{
    bytecode::opcode as op,
    primitives::{U256, keccak256},
};

/// Slots behind a place that are still named after it.
const FIELDS_MAX: u64 = 1 << 12;

/// Low slots of which the places of arrays and of zero entries are known.
const ARRAYS_MAX: u64 = 256;

/// Hashed, less one (EIP-1967 and what follows its form).
const LESS_ONE: [&str; 6] = [
    "eip1967.proxy.implementation",
    "eip1967.proxy.admin",
    "eip1967.proxy.beacon",
    "eip1967.proxy.rollback",
    "eip1822.proxiable.uuid",
    "openzeppelin.initializable.initialized",
];

/// Hashed as they are.
const HASHED: [&str; 6] = [
    "PROXIABLE",
    "org.zeppelinos.proxy.implementation",
    "org.zeppelinos.proxy.admin",
    "diamond.standard.diamond.storage",
    "matic.network.proxy.implementation",
    "matic.network.proxy.owner",
];

/// Namespaces (ERC-7201).
const NAMESPACES: [&str; 16] = [
    "openzeppelin.storage.AccessControl",
    "openzeppelin.storage.AccessControlEnumerable",
    "openzeppelin.storage.EIP712",
    "openzeppelin.storage.ERC1155",
    "openzeppelin.storage.ERC20",
    "openzeppelin.storage.ERC4626",
    "openzeppelin.storage.ERC721",
    "openzeppelin.storage.ERC721Enumerable",
    "openzeppelin.storage.Governor",
    "openzeppelin.storage.Initializable",
    "openzeppelin.storage.Nonces",
    "openzeppelin.storage.Ownable",
    "openzeppelin.storage.Ownable2Step",
    "openzeppelin.storage.Pausable",
    "openzeppelin.storage.ReentrancyGuard",
    "openzeppelin.storage.Votes",
];

/// What a well-known place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The first element of the array at this slot.
    Array(u64),
    /// The entry of zero of the mapping at this slot.
    ZeroEntry(u64),
    /// A place with a name.
    Named(&'static str),
}

static PLACES: LazyLock<BTreeMap<U256, Place>> = LazyLock::new(|| {
    let hash = |bytes: &[u8]| U256::from_be_bytes(keccak256(bytes).0);
    let arrays = (0..ARRAYS_MAX)
        .map(|slot| (hash(&U256::from(slot).to_be_bytes::<32>()), Place::Array(slot)));
    let named = |name: &'static str| (hash(name.as_bytes()), Place::Named(name));
    let less_one = |name: &'static str| (hash(name.as_bytes()) - U256::ONE, Place::Named(name));
    let namespace = |name: &'static str| {
        let (inner, place) = less_one(name);
        (hash(&inner.to_be_bytes::<32>()) & !U256::from(0xff), place)
    };
    let entry = |slot: u64| {
        let mut input = [0; 64];
        input[56..].copy_from_slice(&slot.to_be_bytes());
        (hash(&input), Place::ZeroEntry(slot))
    };
    arrays
        .chain((0..ARRAYS_MAX).map(entry))
        .chain(HASHED.into_iter().map(named))
        .chain(LESS_ONE.into_iter().map(less_one))
        .chain(NAMESPACES.into_iter().map(namespace))
        .collect()
});

/// The well-known place at or right before a slot, and how far before.
pub(super) fn place(slot: U256) -> Option<(Place, u64)> {
    let (start, place) = PLACES.range(..=slot).next_back()?;
    let behind = u64::try_from(slot - *start).ok()?;
    (behind < FIELDS_MAX).then_some((*place, behind))
}

/// The name of what an instruction without operands gives.
pub(super) const fn environment(code: u8) -> &'static str {
    match code {
        op::ADDRESS => "this",
        op::ORIGIN => "origin",
        op::CALLER => "caller",
        op::CALLVALUE => "value",
        op::CALLDATASIZE => "calldata.length",
        op::GASPRICE => "gas price",
        op::COINBASE => "block.coinbase",
        op::TIMESTAMP => "block.timestamp",
        op::NUMBER => "block.number",
        op::DIFFICULTY => "block.prevrandao",
        op::GASLIMIT => "block.gaslimit",
        op::CHAINID => "chain id",
        op::BASEFEE => "block.basefee",
        op::BLOBBASEFEE => "block.blobbasefee",
        op::SLOTNUM => "block.slotnum",
        _ => "environment",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_that_the_standards_state() {
        let cases = [
            (
                "360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc",
                "eip1967.proxy.implementation",
            ),
            ("c5f16f0fcc639fa48a6947836d9850f504798523bf8c9a3a87d5876cf622bcf7", "PROXIABLE"),
            (
                "52c63247e1f47db19d5ce0460030c497f067ca4cebf71ba98eeadabe20bace00",
                "openzeppelin.storage.ERC20",
            ),
        ];
        for (slot, name) in cases {
            let slot = U256::from_str_radix(slot, 16).unwrap();
            assert_eq!(place(slot), Some((Place::Named(name), 0)));
            assert_eq!(place(slot + U256::from(2)), Some((Place::Named(name), 2)));
            assert_eq!(place(slot - U256::ONE), None);
        }
    }
}
