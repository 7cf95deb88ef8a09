//! Why a block could not be executed. Every variant names the place; none of
//! them leaves anything half-done.

use forewave_analyzer::{PanickedError, TxIndex};
use revm::{
    context::result::{EVMError, HaltReason, InvalidTransaction},
    primitives::Address,
};

use crate::SystemOperation;

/// A block could not be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutionError<E: core::error::Error + 'static> {
    /// A transaction does not belong in the block: wrong nonce, too little
    /// balance, and so on.
    #[error("{tx} is invalid: {error}")]
    InvalidTransaction {
        /// The transaction.
        tx: TxIndex,
        /// What revm says of it.
        error: InvalidTransaction,
    },
    /// A transaction's gas limit exceeds what the block has left.
    #[error("{tx} is invalid: its gas limit is {limit}, but the block has only {available} left")]
    GasLimitExceeded {
        /// The transaction.
        tx: TxIndex,
        /// Its gas limit.
        limit: u64,
        /// Gas limit of the block less the gas used by the transactions before.
        available: u64,
    },
    /// The state could not answer while a transaction ran.
    #[error("the state could not be read while {tx} ran: {source}")]
    State {
        /// The transaction.
        tx: TxIndex,
        /// What the state answered.
        source: E,
    },
    /// The state could not answer during the block's system operations.
    #[error("the state could not be read during the block's system operations: {0}")]
    SystemState(E),
    /// The header lacks what a system operation needs, or the operation failed.
    #[error("a system operation of the block failed: {0}")]
    System(String),
    /// A system contract did not answer its call after the transactions, without
    /// which no block is valid (EIP-7002, EIP-7251).
    #[error("the block is invalid: the system contract {address} for {operation} {failure}")]
    SystemContract {
        /// What it was called for.
        operation: SystemOperation,
        /// The contract.
        address: Address,
        /// What is wrong with it.
        failure: SystemFailure,
    },
    /// A log of the deposit contract does not have the layout of a deposit (EIP-6110).
    #[error("the block is invalid: log {log} of {tx} is no deposit as EIP-6110 lays it out")]
    DepositLayout {
        /// The transaction.
        tx: TxIndex,
        /// Position among its logs.
        log: usize,
    },
    /// revm failed in a way that is neither the transaction's nor the state's fault.
    #[error("the EVM failed while {tx} ran: {message}")]
    Evm {
        /// The transaction.
        tx: TxIndex,
        /// What revm says.
        message: String,
    },
    /// An order names a transaction that its [`FillLoop`](crate::FillLoop) does not have.
    #[error("the order names {tx}, but there are only {transactions} transactions")]
    UnknownTransaction {
        /// The transaction.
        tx: TxIndex,
        /// How many there are.
        transactions: usize,
    },
    /// The block is one of which not all that a result depends on is recorded, so that it
    /// cannot be filled with results: the block of the DAO fork, or one under an incomplete
    /// configuration of Amsterdam.
    #[error("the block's rules are not among those that results can be kept under")]
    NotRecorded,
    /// The run was [cancelled](crate::CancelToken) between two transactions.
    #[error("the run was cancelled")]
    Cancelled,
    /// The state panicked, or a thread of the pool did while it executed.
    #[error("the execution {0}")]
    Panicked(#[from] PanickedError),
    /// Plan and block are not about the same transactions.
    #[error("the plan covers {planned} transactions, the block has {transactions}")]
    PlanMismatch {
        /// Transactions in the plan.
        planned: usize,
        /// Transactions in the block.
        transactions: usize,
    },
}

/// How a system contract failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SystemFailure {
    /// There is no code at its address.
    #[error("has no code")]
    NoCode,
    /// The call reverted.
    #[error("reverted")]
    Reverted,
    /// The call halted.
    #[error("halted: {0:?}")]
    Halted(HaltReason),
}

impl<E: core::error::Error + 'static> ExecutionError<E> {
    /// Places an error of revm's at its transaction.
    pub(crate) fn at(tx: TxIndex, error: EVMError<E>) -> Self {
        match error {
            EVMError::Transaction(error) => Self::InvalidTransaction { tx, error },
            EVMError::Database(source) => Self::State { tx, source },
            other => Self::Evm { tx, message: other.to_string() },
        }
    }

    /// Places an error of revm's at the block's system operations.
    pub(crate) fn in_system(error: EVMError<E>) -> Self {
        match error {
            EVMError::Database(source) => Self::SystemState(source),
            other => Self::System(other.to_string()),
        }
    }
}
