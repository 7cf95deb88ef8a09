//! Transaction types that Ethereum does not have, in the words of the chains
//! that do, for the message that refuses them.

/// Chains that share a set of transaction types.
struct Family {
    /// Ids of the best known ones.
    chains: &'static [u64],
    /// The types, each in words that continue "has type 0x7e, ...".
    types: &'static [(u64, &'static str)],
}

/// One number may mean different things; where the chain is not known, the first does.
const FAMILIES: [Family; 6] = [
    // Optimism, Base, Unichain, World, Mode, RISE, Mantle, Ink, Blast, Zora, and test networks.
    Family {
        chains: &[
            10, 130, 480, 4_153, 5_000, 8_453, 34_443, 57_073, 81_457, 84_532, 7_777_777,
            11_155_420, 11_155_931,
        ],
        types: &[(0x7e, "a deposit of the OP Stack, which comes from L1 without a signature")],
    },
    Family {
        chains: &[42_220, 44_787, 11_142_220],
        types: &[
            (0x7b, "a Celo transaction whose fee is paid in a token (CIP-64)"),
            (0x7c, "a Celo transaction whose fee is paid in a token (CIP-42)"),
            (0x7e, "a deposit of Celo, which comes from L1 without a signature"),
        ],
    },
    Family {
        chains: &[42_161, 42_170, 421_614],
        types: &[
            (0x64, "a deposit of Arbitrum, which comes from L1"),
            (0x65, "an unsigned Arbitrum transaction, which comes from L1"),
            (0x66, "a contract's Arbitrum transaction, which comes from L1"),
            (0x68, "a retry of an Arbitrum ticket"),
            (0x69, "an Arbitrum ticket, which comes from L1"),
            (0x6a, "an internal transaction of Arbitrum"),
            (0x78, "a legacy transaction of Arbitrum Classic"),
        ],
    },
    Family {
        chains: &[534_351, 534_352],
        types: &[(0x7e, "a message to Scroll, which comes from L1 without a signature")],
    },
    Family {
        chains: &[300, 324],
        types: &[
            (0x71, "a transaction of ZKsync with a paymaster or account code (its EIP-712 type)"),
            (0xfe, "an upgrade of ZKsync, which comes from L1"),
            (0xff, "a priority operation of ZKsync, which comes from L1"),
        ],
    },
    Family {
        chains: &[137, 80_002],
        types: &[(0x7f, "Polygon's state sync, which comes from Ethereum without a signature")],
    },
];

/// What a type that is not Ethereum's means, on this chain if it is known.
pub(super) fn meaning(tx_type: u64, chain_id: Option<u64>) -> &'static str {
    let is_own = |family: &&Family| chain_id.is_some_and(|id| family.chains.contains(&id));
    let own = FAMILIES.iter().filter(is_own);
    let types = own.chain(&FAMILIES).flat_map(|family| family.types);
    types
        .copied()
        .find(|(known, _)| *known == tx_type)
        .map_or("which is not Ethereum's", |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chain_has_its_own_words_and_an_unknown_one_the_most_common() {
        let cases = [
            (0x7e, None, "OP Stack"),
            (0x7e, Some(8_453), "OP Stack"),
            (0x7e, Some(534_352), "Scroll"),
            (0x7e, Some(59_144), "OP Stack"),
            (0x6a, Some(42_161), "internal transaction of Arbitrum"),
            (0x7f, Some(137), "state sync"),
            (0xff, None, "ZKsync"),
            (0x50, Some(10), "not Ethereum's"),
        ];
        for (tx_type, chain_id, part) in cases {
            let words = meaning(tx_type, chain_id);
            assert!(words.contains(part), "{tx_type:#x} {chain_id:?}: {words}");
        }
    }
}
