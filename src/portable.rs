//! A plan as bytes, and back: predictions and schedule of one block, for another process.
//!
//! ```text
//! "FWPLAN\r\n" ── version ── length ── Keccak-256 of the rest ── rest
//! rest: digest of the block's transactions, addresses, words, locations, origins of keys,
//!       each once; for each transaction its prediction, for each wave its chains, by number
//! ```
//!
//! What is read is trusted no more than any other prediction: every index must be in range, the
//! transactions must be those of the block, and the schedule must
//! [verify](crate::verify) against the graph of the predictions. Before anything is allocated its
//! number is held against the bytes that are left, so that a message takes memory in proportion
//! to its own length.

mod read;
mod write;

use alloy_primitives::{B256, Keccak256, TxKind};
use forewave_analyzer::{Block, TxIndex};
use forewave_scheduler::ScheduleError;
use revm::context_interface::{Transaction as _, transaction::AuthorizationTr as _};

use crate::Plan;

/// What a message begins with.
const MAGIC: [u8; 8] = *b"FWPLAN\r\n";

/// Version of the format.
const VERSION: u32 = 1;

/// Bytes of the header: magic, version, length, checksum.
const HEADER_BYTES: usize = 8 + 4 + 8 + 32;

/// Why bytes are no plan of a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortableError {
    /// The bytes are something else.
    #[error("this is no plan: the first eight bytes are not those of one")]
    NotAPlan,
    /// Another version has written them.
    #[error("the plan is of version {found}, expected {VERSION}")]
    Version {
        /// The version that has.
        found: u32,
    },
    /// Bytes are missing, or there are more than the header says.
    #[error("the plan has {found} bytes after its header, which says {expected}")]
    Length {
        /// What the header says.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// They are not what was written.
    #[error("the checksum of the plan is not that of its header")]
    Checksum,
    /// It is a plan of other transactions.
    #[error("the plan is for {found} transactions with digest {digest}, which are not the block's")]
    OtherBlock {
        /// How many it is for.
        found: u64,
        /// Their digest.
        digest: B256,
    },
    /// Something goes beyond the end, or has more parts than there are bytes.
    #[error("the plan ends within its {what}")]
    Truncated {
        /// What is cut off.
        what: &'static str,
    },
    /// A number is not one of what it counts.
    #[error("{what} {found} is not below {count}")]
    OutOfRange {
        /// What is numbered.
        what: &'static str,
        /// The number.
        found: u64,
        /// How many there are.
        count: u64,
    },
    /// Something is not written as it would be: it repeats itself, is out of order or too long.
    #[error("{what} is not in the form of a plan")]
    Malformed {
        /// What it is.
        what: &'static str,
    },
    /// The prediction of a transaction is not in the form of one.
    #[error("the prediction of {tx}: {source}")]
    Prediction {
        /// The transaction.
        tx: TxIndex,
        /// What is wrong.
        source: Box<PortableError>,
    },
    /// The schedule is not one of the predictions.
    #[error("the schedule does not fit the predictions: {0}")]
    Schedule(#[from] ScheduleError),
}

impl Plan {
    /// The plan as bytes, for the process that runs the block. The same plan gives the same
    /// bytes.
    ///
    /// ```
    /// use forewave::{Block, Plan, PortableError};
    ///
    /// # fn example(plan: &Plan, block: &Block) -> Result<(), PortableError> {
    /// let bytes = plan.to_bytes(block);
    /// let same = Plan::from_bytes(&bytes, block)?;
    /// assert_eq!(same.predictions(), plan.predictions());
    /// # Ok(())
    /// # }
    /// ```
    pub fn to_bytes(&self, block: &Block) -> Vec<u8> {
        let rest = write::written(self, transactions_digest(block));
        let mut bytes = Vec::with_capacity(HEADER_BYTES + rest.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_be_bytes());
        bytes.extend((rest.len() as u64).to_be_bytes());
        bytes.extend(alloy_primitives::keccak256(&rest));
        bytes.extend(rest);
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) gave for a block of the same transactions.
    ///
    /// # Errors
    ///
    /// If it is something else, damaged, for other transactions, or its schedule does not
    /// verify.
    pub fn from_bytes(bytes: &[u8], block: &Block) -> Result<Self, PortableError> {
        let rest = checked(bytes)?;
        read::read(rest, transactions_digest(block), block.transactions.len())
    }
}

/// What comes after the header, if that is true of it.
fn checked(bytes: &[u8]) -> Result<&[u8], PortableError> {
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(PortableError::NotAPlan)?;
    if *magic != MAGIC {
        return Err(PortableError::NotAPlan);
    }
    let header = PortableError::Truncated { what: "header" };
    let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(|| header.clone())?;
    let found = u32::from_be_bytes(*version);
    if found != VERSION {
        return Err(PortableError::Version { found });
    }
    let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(|| header.clone())?;
    let (checksum, rest) = rest.split_first_chunk::<32>().ok_or(header)?;
    let (expected, found) = (u64::from_be_bytes(*length), rest.len() as u64);
    if expected != found {
        return Err(PortableError::Length { expected, found });
    }
    if alloy_primitives::keccak256(rest) != B256::from(*checksum) {
        return Err(PortableError::Checksum);
    }
    Ok(rest)
}

/// A digest of the block's transactions in their order: who sends what to whom, for how much, and
/// what it may do.
fn transactions_digest(block: &Block) -> B256 {
    let mut digest = Keccak256::new();
    for tx in &block.transactions {
        digest.update([tx.tx_type]);
        digest.update(tx.caller);
        digest.update(tx.nonce.to_be_bytes());
        match tx.kind {
            TxKind::Create => digest.update([0]),
            TxKind::Call(to) => {
                digest.update([1]);
                digest.update(to);
            }
        }
        digest.update(tx.value.to_be_bytes::<32>());
        digest.update(tx.gas_limit.to_be_bytes());
        digest.update(tx.gas_price.to_be_bytes());
        digest.update(tx.gas_priority_fee.unwrap_or_default().to_be_bytes());
        digest.update(tx.max_fee_per_blob_gas.to_be_bytes());
        digest.update(tx.chain_id.unwrap_or_default().to_be_bytes());
        digest.update((tx.data.len() as u64).to_be_bytes());
        digest.update(&tx.data);
        digest.update((tx.access_list.0.len() as u64).to_be_bytes());
        for item in &tx.access_list.0 {
            digest.update(item.address);
            digest.update((item.storage_keys.len() as u64).to_be_bytes());
            item.storage_keys.iter().for_each(|key| digest.update(key));
        }
        digest.update((tx.blob_hashes.len() as u64).to_be_bytes());
        tx.blob_hashes.iter().for_each(|hash| digest.update(hash));
        digest.update((tx.authorization_list_len() as u64).to_be_bytes());
        for authorization in &tx.authorization_list {
            digest.update(authorization.authority().unwrap_or_default());
            digest.update(authorization.address());
            digest.update(authorization.chain_id().to_be_bytes::<32>());
            digest.update(authorization.nonce().to_be_bytes());
        }
    }
    digest.finalize()
}

#[cfg(all(test, feature = "tools"))]
mod tests;
