//! Why a pool does not take an order, or could not predict one.

use forewave_analyzer::{AnalyzeError, PanickedError};
use forewave_executor::CancellableError;
use revm::primitives::Address;

use super::OrderId;

/// Why a pool did not do what it was asked to. It is as it was before, but as the method says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError<E: core::error::Error + 'static> {
    /// The order has no transaction, or more than [`PoolLimits`](super::PoolLimits) allow.
    #[error("an order has 1 to {max} transactions, this one {found}")]
    Members {
        /// How many it has.
        found: usize,
        /// How many it may have.
        max: usize,
    },
    /// A transaction that the order cannot do without has a nonce that is passed.
    #[error(
        "transaction {member} of the order: nonce {nonce} of {sender} is passed, the next is {next}"
    )]
    NonceTooLow {
        /// Position of the transaction in the order.
        member: usize,
        /// Its sender.
        sender: Address,
        /// Its nonce.
        nonce: u64,
        /// The next nonce of the sender.
        next: u64,
    },
    /// A transaction has a nonce too far from its sender's next one.
    #[error(
        "transaction {member} of the order: nonce {nonce} of {sender} is more than {max} ahead of \
         the next, {next}"
    )]
    NonceTooHigh {
        /// Position of the transaction in the order.
        member: usize,
        /// Its sender.
        sender: Address,
        /// Its nonce.
        nonce: u64,
        /// The next nonce of the sender.
        next: u64,
        /// How far it may be.
        max: u64,
    },
    /// The sender has a transaction of this nonce here, of which the fees are not exceeded by
    /// as much as a replacement has to.
    #[error(
        "{by} of the same sender and nonce is here: a replacement pays at least {max_fee} wei \
         per gas at most and {priority_fee} as priority fee"
    )]
    Underpriced {
        /// The transaction that is here.
        by: OrderId,
        /// The least fee per gas that a replacement offers, in wei.
        max_fee: u128,
        /// The least priority fee per gas that a replacement offers, in wei.
        priority_fee: u128,
    },
    /// The pool is full, and no orders that pay less make enough room.
    #[error("the pool is full, and {fee} wei per gas do not exceed what the orders here pay")]
    Full {
        /// What the order pays, in wei per gas.
        fee: u128,
    },
    /// The number of predictions is not that of the order's transactions.
    #[error("{found} predictions for an order of {expected} transactions")]
    Predictions {
        /// How many there are.
        found: usize,
        /// How many transactions there are.
        expected: usize,
    },
    /// The deadline has come, or the caller has set the token.
    #[error("the prediction was cancelled")]
    Cancelled,
    /// The state could not answer.
    #[error(
        "the state could not be read while transaction {member} of the order was predicted: {source}"
    )]
    State {
        /// Position of the transaction in the order.
        member: usize,
        /// What the state answered.
        source: E,
    },
    /// The state panicked, or the predictor did.
    #[error("the prediction {0}")]
    Panicked(#[from] PanickedError),
    /// Something that this version of the pool has no name for.
    #[error("the prediction failed: {0}")]
    Other(String),
}

impl<E: core::error::Error + 'static> PoolError<E> {
    /// Why the state did not answer while a transaction of an order was looked at.
    pub(super) fn of_state(member: usize, error: CancellableError<E>) -> Self {
        match error {
            CancellableError::Cancelled => Self::Cancelled,
            CancellableError::State(source) => Self::State { member, source },
        }
    }
}

impl<E: core::error::Error + 'static> From<AnalyzeError<CancellableError<E>>> for PoolError<E> {
    fn from(error: AnalyzeError<CancellableError<E>>) -> Self {
        match error {
            AnalyzeError::State { source, tx } => Self::of_state(tx.index(), source),
            AnalyzeError::Panicked(panicked) => Self::Panicked(panicked),
            other => Self::Other(other.to_string()),
        }
    }
}
