//! The name of a test's network to the rules of each of its blocks.
//!
//! A network follows one fork, or changes from one to the next at a block
//! number (`FrontierToHomesteadAt5`), a timestamp (`ShanghaiToCancunAtTime15k`)
//! or a total difficulty (`ArrowGlacierToParisAtDiffC0000`).
//!
//! What stands for rules that the EVM here does not have is refused, with the
//! reason, and never run by other rules.

use core::str::FromStr;

use alloy_hardforks::{EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_primitives::U256;

/// Forks by the names that tests and tools give them, the usual one first.
const FORKS: [(&str, EthereumHardfork); 26] = [
    ("Frontier", EthereumHardfork::Frontier),
    ("Homestead", EthereumHardfork::Homestead),
    ("Dao", EthereumHardfork::Dao),
    ("DaoFork", EthereumHardfork::Dao),
    ("EIP150", EthereumHardfork::Tangerine),
    ("TangerineWhistle", EthereumHardfork::Tangerine),
    ("EIP158", EthereumHardfork::SpuriousDragon),
    ("SpuriousDragon", EthereumHardfork::SpuriousDragon),
    ("Byzantium", EthereumHardfork::Byzantium),
    ("ConstantinopleFix", EthereumHardfork::Petersburg),
    ("Petersburg", EthereumHardfork::Petersburg),
    ("Istanbul", EthereumHardfork::Istanbul),
    ("MuirGlacier", EthereumHardfork::MuirGlacier),
    ("Berlin", EthereumHardfork::Berlin),
    ("London", EthereumHardfork::London),
    ("ArrowGlacier", EthereumHardfork::ArrowGlacier),
    ("GrayGlacier", EthereumHardfork::GrayGlacier),
    ("Merge", EthereumHardfork::Paris),
    ("Paris", EthereumHardfork::Paris),
    ("Shanghai", EthereumHardfork::Shanghai),
    ("Cancun", EthereumHardfork::Cancun),
    ("Prague", EthereumHardfork::Prague),
    ("Osaka", EthereumHardfork::Osaka),
    ("BPO1", EthereumHardfork::Bpo1),
    ("BPO2", EthereumHardfork::Bpo2),
    ("Amsterdam", EthereumHardfork::Amsterdam),
];

/// Names that are known to stand for rules which are not followed here, and why.
const NOT_FOLLOWED: [(&str, &str); 5] = [
    (
        "Constantinople",
        "it has EIP-1283, which Petersburg took out before any chain used it, and the EVM here \
         leaves out; ConstantinopleFix is Petersburg",
    ),
    ("BPO3", BPO_OF_TESTS),
    ("BPO4", BPO_OF_TESTS),
    ("BPO5", BPO_OF_TESTS),
    ("Bogota", "its rules are not settled"),
];

const BPO_OF_TESTS: &str =
    "no chain has scheduled it, so its blob parameters (EIP-7892) are not known";

/// A name that stands for no fork whose rules are followed here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownFork {
    /// No fork has this name.
    #[error("the rules of {0} are not known")]
    Name(String),
    /// The fork is known, its rules are not followed.
    #[error("the rules of {name} are not followed: {reason}")]
    NotFollowed {
        /// Name of the fork.
        name: &'static str,
        /// Why.
        reason: &'static str,
    },
}

/// Where a network changes its fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activation {
    Number(u64),
    Timestamp(u64),
    /// Of the parent.
    TotalDifficulty(U256),
}

/// The forks of a test's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    first: EthereumHardfork,
    then: Option<(Activation, EthereumHardfork)>,
}

/// What decides the fork of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) timestamp: u64,
    pub(super) parent_total_difficulty: U256,
}

impl Network {
    /// The fork of a block.
    pub(super) fn fork(&self, place: Place) -> EthereumHardfork {
        let is_past = |activation| match activation {
            Activation::Number(number) => place.number >= number,
            Activation::Timestamp(timestamp) => place.timestamp >= timestamp,
            Activation::TotalDifficulty(total) => place.parent_total_difficulty >= total,
        };
        match self.then {
            Some((activation, fork)) if is_past(activation) => fork,
            _ => self.first,
        }
    }

    /// Whether the irregular state change of EIP-779 happens at this number.
    pub(super) fn is_dao_fork(&self, number: u64) -> bool {
        self.then == Some((Activation::Number(number), EthereumHardfork::Dao))
    }
}

impl FromStr for Network {
    type Err = UnknownFork;

    fn from_str(name: &str) -> Result<Self, UnknownFork> {
        let unknown = || UnknownFork::Name(name.to_owned());
        let alone = fork_by_name(name);
        let Some((forks, at)) = name.rsplit_once("At").filter(|_| alone.is_err()) else {
            return alone.map(|first| Self { first, then: None });
        };
        let (first, then) = forks.split_once("To").ok_or_else(unknown)?;
        let (first, then) = (fork_by_name(first)?, fork_by_name(then)?);
        Ok(Self { first, then: Some((activation(at).ok_or_else(unknown)?, then)) })
    }
}

/// The fork that ethereum/tests and transition tools give this name, in upper or
/// lower case.
pub fn fork_by_name(name: &str) -> Result<EthereumHardfork, UnknownFork> {
    let fork = FORKS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    fork.map(|(_, fork)| *fork).ok_or_else(|| {
        match NOT_FOLLOWED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((name, reason)) => UnknownFork::NotFollowed { name, reason },
            None => UnknownFork::Name(name.to_owned()),
        }
    })
}

/// The names that are given to forks.
pub fn fork_names() -> Vec<&'static str> {
    FORKS.iter().map(|(name, _)| *name).collect()
}

/// `5`, `Time15k` or `DiffC0000`.
fn activation(text: &str) -> Option<Activation> {
    if let Some(digits) = text.strip_prefix("Diff") {
        return U256::from_str_radix(digits, 16).ok().map(Activation::TotalDifficulty);
    }
    if let Some(digits) = text.strip_prefix("Time") {
        return decimal(digits).map(Activation::Timestamp);
    }
    decimal(text).map(Activation::Number)
}

/// A number, in thousands if a `k` follows it.
fn decimal(text: &str) -> Option<u64> {
    match text.strip_suffix('k') {
        Some(thousands) => thousands.parse::<u64>().ok()?.checked_mul(1000),
        None => text.parse().ok(),
    }
}

/// The chain on which this fork and all before it are active from the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UpTo(pub(crate) EthereumHardfork);

impl EthereumHardforks for UpTo {
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        match fork {
            fork if fork > self.0 => ForkCondition::Never,
            fork if fork >= EthereumHardfork::Shanghai => ForkCondition::Timestamp(0),
            _ => ForkCondition::Block(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_names_one_fork_or_two_and_where_they_meet() {
        use EthereumHardfork as Fork;
        let cases = [
            ("Cancun", (0, 0, 0), Fork::Cancun),
            ("EIP158", (0, 0, 0), Fork::SpuriousDragon),
            ("tangerinewhistle", (0, 0, 0), Fork::Tangerine),
            ("BPO2", (0, 0, 0), Fork::Bpo2),
            ("BPO1ToBPO2AtTime15k", (0, 14_999, 0), Fork::Bpo1),
            ("BPO1ToBPO2AtTime15k", (0, 15_000, 0), Fork::Bpo2),
            ("ByzantiumToConstantinopleFixAt5", (5, 0, 0), Fork::Petersburg),
            ("FrontierToHomesteadAt5", (4, 99, 0), Fork::Frontier),
            ("FrontierToHomesteadAt5", (5, 0, 0), Fork::Homestead),
            ("ShanghaiToCancunAtTime15k", (9, 14_999, 0), Fork::Shanghai),
            ("ShanghaiToCancunAtTime15k", (0, 15_000, 0), Fork::Cancun),
            ("ArrowGlacierToParisAtDiffC0000", (7, 7, 0xb_ffff), Fork::ArrowGlacier),
            ("ArrowGlacierToParisAtDiffC0000", (7, 7, 0xc_0000), Fork::Paris),
        ];
        for (name, (number, timestamp, difficulty), fork) in cases {
            let network: Network = name.parse().unwrap();
            let parent_total_difficulty = U256::from(difficulty);
            let place = Place { number, timestamp, parent_total_difficulty };
            assert_eq!(network.fork(place), fork, "{name}");
        }
        assert!("HomesteadToDaoAt5".parse::<Network>().unwrap().is_dao_fork(5));
        for name in ["", "Verkle", "CancunToPragueAtTime", "CancunToPragueAt1x", "CancunAt5"] {
            assert!(name.parse::<Network>().is_err(), "{name}");
        }
    }

    #[test]
    fn what_stands_for_rules_that_are_not_followed_is_refused_with_its_reason() {
        for (name, part) in [
            ("Constantinople", "EIP-1283"),
            ("constantinople", "EIP-1283"),
            ("ByzantiumToConstantinopleAt5", "EIP-1283"),
            ("BPO4", "EIP-7892"),
            ("Verkle", "the rules of Verkle are not known"),
        ] {
            let error = name.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(part), "{name}: {error}");
        }
    }
}
