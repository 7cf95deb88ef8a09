//! The chains: name and chain id, the fork at a block's number and timestamp,
//! and from a header the environment that the EVM sees. Of a chain that is none
//! of the named ones the caller says which fork its blocks follow.

use core::{fmt, str::FromStr};

use alloy_consensus::Header;
use alloy_hardforks::{EthereumChainHardforks, EthereumHardfork, EthereumHardforks, ForkCondition};
use serde::{Serialize, Serializer};

pub(crate) use crate::consensus::{blob_params, deposit_contract, environment};

/// A chain with Ethereum's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// Ethereum mainnet, chain id 1.
    Mainnet,
    /// Sepolia, chain id 11155111.
    Sepolia,
    /// Holesky, chain id 17000.
    Holesky,
    /// Hoodi, chain id 560048.
    Hoodi,
    /// Linea, chain id 59144.
    Linea,
    /// Another chain, whose forks are not known here.
    Other(ChainId),
}

/// The id of a chain that is none of the named ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(u64);

/// A name or number that is none of the named chains.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is none of {names}; any other chain with Ethereum's rules is named with \
     --chain-id ID --fork FORK",
    names = Chain::NAMES
)]
pub struct UnknownChainName(String);

impl Chain {
    /// Every named chain.
    pub const NAMED: [Self; 5] =
        [Self::Mainnet, Self::Sepolia, Self::Holesky, Self::Hoodi, Self::Linea];

    /// The named chains as a user may write them.
    pub const NAMES: &str =
        "mainnet (1), sepolia (11155111), holesky (17000), hoodi (560048), linea (59144)";

    /// The chain with this id.
    pub fn from_id(id: u64) -> Self {
        let named = Self::NAMED.into_iter().find(|chain| chain.id() == id);
        named.unwrap_or(Self::Other(ChainId(id)))
    }

    /// The chain id (EIP-155).
    pub const fn id(self) -> u64 {
        match self {
            Self::Mainnet => 1,
            Self::Sepolia => 11_155_111,
            Self::Holesky => 17_000,
            Self::Hoodi => 560_048,
            Self::Linea => 59_144,
            Self::Other(ChainId(id)) => id,
        }
    }

    /// The name, in lower case, if it is a named chain.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Mainnet => Some("mainnet"),
            Self::Sepolia => Some("sepolia"),
            Self::Holesky => Some("holesky"),
            Self::Hoodi => Some("hoodi"),
            Self::Linea => Some("linea"),
            Self::Other(_) => None,
        }
    }

    /// Whether the chain is Ethereum itself or a test network of it, so that every
    /// field of a header follows Ethereum's rules.
    pub const fn is_ethereum(self) -> bool {
        matches!(self, Self::Mainnet | Self::Sepolia | Self::Holesky | Self::Hoodi)
    }

    /// The latest fork that is active at this number and timestamp, the forks
    /// that change only the difficulty or the blob parameters included; of a
    /// chain that is not named, none is known.
    pub fn fork(self, number: u64, timestamp: u64) -> Option<EthereumHardfork> {
        let forks = self.hardforks();
        EthereumHardfork::VARIANTS.iter().rev().copied().find(|&fork| {
            let condition = forks.ethereum_fork_activation(fork);
            condition.active_at_timestamp(timestamp) || condition.active_at_block(number)
        })
    }

    /// Whether the irregular state change of EIP-779 happens in the block of this number.
    pub(super) fn is_dao_fork(self, number: u64) -> bool {
        let activation = self.hardforks().ethereum_fork_activation(EthereumHardfork::Dao);
        self == Self::Mainnet && activation.transitions_at_block(number)
    }

    /// The fork that the block with this header follows.
    pub(super) fn fork_of(self, header: &Header) -> Option<EthereumHardfork> {
        let fork = self.fork(header.number, header.timestamp)?;
        // Linea merged at a total difficulty, which a header does not state; its
        // blocks before that all have a difficulty.
        let has_merged = self == Self::Linea && header.difficulty.is_zero();
        Some(if has_merged { fork.max(EthereumHardfork::Paris) } else { fork })
    }

    fn hardforks(self) -> EthereumChainHardforks {
        match self {
            Self::Mainnet => EthereumChainHardforks::mainnet(),
            Self::Sepolia => EthereumChainHardforks::sepolia(),
            Self::Holesky => EthereumChainHardforks::holesky(),
            Self::Hoodi => EthereumChainHardforks::hoodi(),
            Self::Linea => EthereumChainHardforks::new(LINEA_FORKS),
            Self::Other(_) => EthereumChainHardforks::new([]),
        }
    }
}

/// Linea's forks, as Besu's `linea-mainnet.json` and the node operators' upgrade
/// guide state them; Paris is not among them ([`Chain::fork_of`]).
const LINEA_FORKS: [(EthereumHardfork, ForkCondition); 5] = [
    (EthereumHardfork::London, ForkCondition::Block(0)),
    (EthereumHardfork::Shanghai, ForkCondition::Timestamp(1_761_213_600)),
    (EthereumHardfork::Cancun, ForkCondition::Timestamp(1_761_645_600)),
    (EthereumHardfork::Prague, ForkCondition::Timestamp(1_761_646_200)),
    (EthereumHardfork::Osaka, ForkCondition::Timestamp(1_764_798_551)),
];

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "chain {}", self.id()),
        }
    }
}

/// By its name, or by its id where it has none.
impl Serialize for Chain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.name() {
            Some(name) => serializer.serialize_str(name),
            None => serializer.serialize_u64(self.id()),
        }
    }
}

impl FromStr for Chain {
    type Err = UnknownChainName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_meant = |chain: &Self| {
            chain.name().is_some_and(|name| name.eq_ignore_ascii_case(text))
                || text.parse() == Ok(chain.id())
        };
        let named = Self::NAMED.into_iter().find(is_meant);
        named.ok_or_else(|| UnknownChainName(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;
    use revm::primitives::hardfork::SpecId;

    use super::*;
    use crate::conformance::network::UpTo;

    #[test]
    fn the_fork_follows_number_and_timestamp() {
        let cases = [
            (Chain::Mainnet, 1, 1_438_269_988, EthereumHardfork::Frontier, SpecId::FRONTIER),
            (Chain::Mainnet, 1_920_000, 1_469_020_840, EthereumHardfork::Dao, SpecId::HOMESTEAD),
            (
                Chain::Mainnet,
                15_537_393,
                1_663_224_162,
                EthereumHardfork::GrayGlacier,
                SpecId::LONDON,
            ),
            (Chain::Mainnet, 15_537_394, 1_663_224_179, EthereumHardfork::Paris, SpecId::MERGE),
            (Chain::Mainnet, 24_000_000, 1_765_290_071, EthereumHardfork::Bpo1, SpecId::OSAKA),
            (Chain::Mainnet, 24_628_608, 1_773_164_315, EthereumHardfork::Bpo2, SpecId::OSAKA),
            (Chain::Sepolia, 9_220_591, 1_758_094_584, EthereumHardfork::Prague, SpecId::PRAGUE),
            (Chain::Hoodi, 1, 1_742_212_824, EthereumHardfork::Cancun, SpecId::CANCUN),
        ];
        for (chain, number, timestamp, fork, spec) in cases {
            let header = Header { number, timestamp, ..Header::default() };
            assert_eq!(chain.fork_of(&header), Some(fork), "{chain} {number}");
            let (cfg, _) = environment(&header, &UpTo(fork), chain.id());
            assert_eq!(cfg.spec, spec, "{chain} {number}");
        }
    }

    #[test]
    fn the_dao_fork_is_one_block_of_mainnet() {
        let is_dao_fork =
            |chain: Chain| [1_919_999, 1_920_000, 1_920_001].map(|n| chain.is_dao_fork(n));
        assert_eq!(is_dao_fork(Chain::Mainnet), [false, true, false]);
        for chain in [Chain::Sepolia, Chain::Holesky, Chain::Hoodi] {
            assert_eq!((is_dao_fork(chain), chain.is_dao_fork(0)), ([false; 3], false));
        }
    }

    #[test]
    fn blob_limits_grow_with_the_forks_and_the_limit_per_transaction_stays_at_six_since_osaka() {
        let fraction = |timestamp| {
            let header = Header { number: 24_000_000, timestamp, ..Header::default() };
            let fork = Chain::Mainnet.fork_of(&header).unwrap();
            let cfg = environment(&header, &UpTo(fork), 1).0;
            (cfg.blob_base_fee_update_fraction, cfg.max_blobs_per_tx)
        };
        assert_eq!(fraction(1_710_338_134), (None, None));
        assert_eq!(fraction(1_710_338_135), (Some(3_338_477), Some(6)));
        assert_eq!(fraction(1_746_612_311), (Some(5_007_716), Some(9)));
        assert_eq!(fraction(1_764_798_551), (Some(5_007_716), Some(6)));
        assert_eq!(fraction(1_765_290_071), (Some(8_346_193), Some(6)));
        assert_eq!(fraction(1_767_747_671), (Some(11_684_671), Some(6)));
    }

    #[test]
    fn a_chain_is_named_by_name_or_number() {
        assert_eq!("Sepolia".parse(), Ok(Chain::Sepolia));
        assert_eq!("17000".parse(), Ok(Chain::Holesky));
        assert_eq!("59144".parse(), Ok(Chain::Linea));
        assert!("10".parse::<Chain>().is_err());
        for chain in Chain::NAMED {
            assert_eq!(Chain::from_id(chain.id()), chain);
            assert!(Chain::NAMES.contains(&format!("{chain} ({})", chain.id())));
        }
    }

    #[test]
    fn linea_merges_where_difficulty_ends_and_a_chain_without_name_has_no_forks() {
        let fork = |timestamp, difficulty| {
            let difficulty = U256::from(difficulty);
            let header = Header { number: 9, timestamp, difficulty, ..Header::default() };
            Chain::Linea.fork_of(&header)
        };
        assert_eq!(fork(1_690_164_981, 2), Some(EthereumHardfork::London));
        assert_eq!(fork(1_761_213_599, 0), Some(EthereumHardfork::Paris));
        assert_eq!(fork(1_761_213_600, 0), Some(EthereumHardfork::Shanghai));
        assert_eq!(fork(1_761_646_199, 0), Some(EthereumHardfork::Cancun));
        assert_eq!(fork(1_761_646_200, 0), Some(EthereumHardfork::Prague));
        assert_eq!(fork(1_769_305_258, 0), Some(EthereumHardfork::Osaka));
        assert_eq!(Chain::from_id(1337).fork(1, 1_769_305_258), None);
        assert_eq!(Chain::from_id(1337).to_string(), "chain 1337");
    }
}
