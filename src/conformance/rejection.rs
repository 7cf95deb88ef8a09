//! Why a block was rejected.

use core::fmt;

use alloy_primitives::B256;
use forewave_analyzer::{StateError, TxIndex};
use forewave_executor::{ExecutionError, SystemFailure};
use revm::context::result::InvalidTransaction;

use crate::{access_list::ListFault, compare::Mismatch};

/// Why a block was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// It is no RLP of a block.
    Rlp(String),
    /// Its parent was not accepted before it.
    UnknownParent(B256),
    /// A signature belongs to nobody.
    Signature(TxIndex),
    /// Its transactions carry more blobs than a block may.
    BlobGasLimit {
        /// Blob gas of the transactions.
        used: u64,
        /// Blob gas that a block may use.
        limit: u64,
    },
    /// Its header states another blob gas than its transactions use.
    BlobGasUsed {
        /// Blob gas of the transactions.
        used: u64,
        /// Blob gas in the header.
        stated: u64,
    },
    /// It does not execute.
    Execution(ExecutionError<StateError>),
    /// The access list that came with it is wrong (EIP-7928).
    AccessList(Box<ListFault>),
    /// It executes to something else than its header says.
    Header(Mismatch),
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rlp(error) => write!(f, "not the RLP of a block: {error}"),
            Self::UnknownParent(hash) => write!(f, "its parent {hash} is not known"),
            Self::Signature(tx) => write!(f, "{tx} is signed by nobody"),
            Self::BlobGasLimit { used, limit } => {
                write!(f, "its transactions use {used} blob gas, a block may use {limit}")
            }
            Self::BlobGasUsed { used, stated } => {
                write!(f, "its transactions use {used} blob gas, its header states {stated}")
            }
            Self::Execution(error) => error.fmt(f),
            Self::AccessList(fault) => write!(f, "its access list is wrong: {fault}"),
            Self::Header(Mismatch { field, expected, found, .. }) => {
                write!(f, "its header has {field} {expected}, executing it gives {found}")
            }
        }
    }
}

impl Rejection {
    /// What is wrong with the transaction, if that is why.
    pub(super) const fn transaction(&self) -> Option<&InvalidTransaction> {
        match self {
            Self::Execution(ExecutionError::InvalidTransaction { error, .. }) => Some(error),
            _ => None,
        }
    }

    /// How a system contract failed, if that is why.
    pub(super) const fn system_failure(&self) -> Option<&SystemFailure> {
        match self {
            Self::Execution(ExecutionError::SystemContract { failure, .. }) => Some(failure),
            _ => None,
        }
    }

    /// The header's field that was wrong, if that is why.
    pub(super) fn header_field(&self) -> Option<&str> {
        match self {
            Self::Header(mismatch) => Some(&mismatch.field),
            _ => None,
        }
    }
}
