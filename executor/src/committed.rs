//! The transactions of a block that are committed: what they gave, in block order.

use forewave_analyzer::{Block, TxIndex};
use revm::context::result::ExecutionResult;

use crate::{ExecutionError, TxReceipt, block_gas::BlockGas, touched::Touched};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    pub(crate) receipts: Vec<TxReceipt>,
    pub(crate) gas: BlockGas,
    /// What each touched, where the block's access list is made.
    pub(crate) touched: Vec<Touched>,
    /// How many there are whose result was known.
    pub(crate) reused: usize,
}

impl Committed {
    /// Nothing yet of a block's transactions.
    pub(crate) fn none_of(block: &Block) -> Self {
        Self { receipts: Vec::with_capacity(block.transactions.len()), ..Self::default() }
    }

    /// Refuses the next transaction if its gas limit exceeds what the block has left.
    pub(crate) fn check<E: core::error::Error>(
        &self,
        block: &Block,
        tx: TxIndex,
    ) -> Result<(), ExecutionError<E>> {
        let checked = self.gas.check(block, &block.transactions[tx.index()]);
        checked.map_err(|refused| refused.at(tx))
    }

    /// Adds the next transaction.
    pub(crate) fn add(&mut self, tx_type: u8, result: ExecutionResult, touched: Option<Touched>) {
        self.gas.add(&result);
        self.receipts.push(TxReceipt::new(tx_type, self.gas.paid(), result));
        self.touched.extend(touched);
    }
}
