//! The header fields that an outcome is not compared with, each with the reason: a
//! field that was not compared never counts as matching.

use core::fmt;

use revm::primitives::hardfork::SpecId;
use serde::{Deserialize, Serialize};

use crate::input::{Chain, ExpectedHeader};

/// A field that is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unchecked {
    /// The field, such as `receipts_root`.
    pub field: &'static str,
    /// Why not.
    pub why: WhyUnchecked,
}

/// Why a field is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyUnchecked {
    /// The block does not state it, since it has not run.
    NotStated,
    /// Before Byzantium (EIP-658) receipts hold state roots.
    BeforeByzantium,
    /// The chain is not Ethereum, and computes it by a rule of its own.
    OtherChain,
}

impl fmt::Display for WhyUnchecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStated => "the block does not state it",
            Self::BeforeByzantium => "before Byzantium it depends on state roots",
            Self::OtherChain => "the chain may have a rule of its own for it",
        })
    }
}

/// What of this header is not compared, by field. A state root is never compared:
/// it is named where it may not even be Ethereum's.
pub fn unchecked(header: &ExpectedHeader, chain: Chain, spec: SpecId) -> Vec<Unchecked> {
    let stated = [
        ("gas_used", header.gas_used.is_some()),
        ("logs_bloom", header.logs_bloom.is_some()),
        ("receipts_root", header.receipts_root.is_some()),
    ];
    let mut unchecked = Vec::new();
    for (field, is_stated) in stated {
        if !is_stated {
            unchecked.push(Unchecked { field, why: WhyUnchecked::NotStated });
        } else if field == "receipts_root" && !spec.is_enabled_in(SpecId::BYZANTIUM) {
            unchecked.push(Unchecked { field, why: WhyUnchecked::BeforeByzantium });
        }
    }
    if !chain.is_ethereum() {
        unchecked.push(Unchecked { field: "state_root", why: WhyUnchecked::OtherChain });
    }
    unchecked
}
