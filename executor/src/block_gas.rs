//! The gas of a block: whether a transaction still fits, and what the header says in the end.
//!
//! Until Osaka a block has one budget, and its gas is what its transactions pay for. From
//! Amsterdam on it has two of the same size, for regular gas and for state gas (EIP-8037); refunds
//! do not lower the block's gas (EIP-7778), which is the larger of both sums. Receipts count what is paid
//! for in either case.

use forewave_analyzer::{Block, TxIndex};
use revm::{
    context::{TxEnv, result::ExecutionResult},
    context_interface::Cfg,
};

use crate::ExecutionError;

/// A gas limit, of the transaction or of its regular gas, and what the block has left for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoGasLeft {
    pub(crate) limit: u64,
    pub(crate) available: u64,
}

impl NoGasLeft {
    /// The same as an error of a transaction.
    pub(crate) const fn at<E: core::error::Error>(self, tx: TxIndex) -> ExecutionError<E> {
        let Self { limit, available } = self;
        ExecutionError::GasLimitExceeded { tx, limit, available }
    }
}

/// What the transactions so far have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockGas {
    /// What their senders pay for.
    paid: u64,
    /// Of the budget for regular gas, refunds included.
    regular: u64,
    /// Of the budget for state gas.
    state: u64,
}

impl BlockGas {
    /// Refuses a transaction whose gas limit exceeds what the block has left.
    pub(crate) fn check(&self, block: &Block, tx: &TxEnv) -> Result<(), NoGasLeft> {
        let limit = tx.gas_limit;
        let left = |used| block.env.gas_limit.saturating_sub(used);
        let fits = |limit, available| {
            if limit > available { Err(NoGasLeft { limit, available }) } else { Ok(()) }
        };
        if !block.cfg.is_amsterdam_eip8037_enabled() {
            return fits(limit, left(self.paid));
        }
        // What exceeds the limit of a transaction can only pay for state (EIP-7825, EIP-8037).
        fits(limit.min(block.cfg.tx_gas_limit_cap()), left(self.regular))?;
        fits(limit, left(self.state))
    }

    /// Adds a transaction that has run.
    pub(crate) fn add(&mut self, result: &ExecutionResult) {
        let gas = result.gas();
        self.paid += gas.tx_gas_used();
        self.regular += gas.block_regular_gas_used();
        self.state += gas.block_state_gas_used();
    }

    /// The gas of the block, as its header has it.
    pub(crate) fn of_header(&self, block: &Block) -> u64 {
        if block.cfg.is_amsterdam_eip8037_enabled() {
            self.regular.max(self.state)
        } else {
            self.paid
        }
    }

    /// What is left of the budget for regular gas.
    pub(crate) const fn regular_left(&self, block: &Block) -> u64 {
        block.env.gas_limit.saturating_sub(self.regular)
    }

    /// What the senders pay for.
    pub(crate) const fn paid(&self) -> u64 {
        self.paid
    }
}
