//! What a block is assembled from: orders with their values, what each transaction of them
//! needs, what the caller asks for, and how much the block may hold.

use core::fmt;

use alloy_primitives::{Address, U256};
use forewave_analyzer::PredictedAccess;

use crate::OrderIndex;

/// One transaction, or several that are included together, in this order and next to each
/// other, or not at all (an atomic bundle).
#[derive(Clone, Debug, Default)]
pub struct Order<'p> {
    /// The transactions, at least one.
    pub transactions: Vec<OrderTx<'p>>,
    /// What including all of them is worth, in wei.
    pub value: u128,
}

impl Order<'_> {
    /// Gas that its transactions are estimated to use, of both budgets.
    pub fn gas(&self) -> u64 {
        let of_tx = |tx: &OrderTx<'_>| tx.gas.used.saturating_add(tx.state_gas.used);
        self.transactions.iter().map(of_tx).fold(0, u64::saturating_add)
    }
}

/// A transaction of an order: what its block must have left for it.
#[derive(Clone, Copy, Debug)]
pub struct OrderTx<'p> {
    /// Who sends it.
    pub sender: Address,
    /// Its nonce.
    pub nonce: u64,
    /// Gas; from Amsterdam on regular gas.
    pub gas: GasClaim,
    /// State gas (EIP-8037): none before Amsterdam.
    pub state_gas: GasClaim,
    /// Blob gas.
    pub blob_gas: u64,
    /// Bytes that it adds to the block.
    pub size: u64,
    /// Wei that its sender must have before it: the most that it may cost.
    pub needs: U256,
    /// Wei that its sender is estimated to have less after it.
    pub spends: U256,
    /// What it is predicted to touch, with the gas that its execution is estimated to take.
    pub access: &'p PredictedAccess,
}

/// Gas of one budget of the block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GasClaim {
    /// What is estimated to be used.
    pub used: u64,
    /// What must be left when the transaction begins.
    pub limit: u64,
}

impl GasClaim {
    /// What must be left: an estimate above the limit counts as well.
    pub(crate) fn most(self) -> u64 {
        self.limit.max(self.used)
    }
}

/// An account that sends transactions, as it is before the block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// The nonce of its next transaction.
    pub nonce: u64,
    /// Its balance, in wei.
    pub balance: U256,
}

/// How much a block may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Gas; from Amsterdam on regular gas.
    pub gas: u64,
    /// State gas (EIP-8037).
    pub state_gas: u64,
    /// Blob gas.
    pub blob_gas: u64,
    /// Bytes of all transactions.
    pub size: u64,
    /// Predicted gas of all transactions: with K cores no block takes less time than the
    /// K-th part of it.
    pub work: u64,
    /// Predicted gas of the heaviest path of the conflict graph, which no number of cores
    /// can pass.
    pub span: u64,
}

impl Limits {
    /// So much gas, of each budget that there is, and no other limit.
    pub const fn of_gas(gas: u64) -> Self {
        let none = u64::MAX;
        Self { gas, state_gas: gas, blob_gas: none, size: none, work: none, span: none }
    }

    /// The same with a bound on the span.
    #[must_use]
    pub const fn with_span(self, span: u64) -> Self {
        Self { span, ..self }
    }
}

/// A limit of [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Gas, or regular gas.
    Gas,
    /// State gas.
    StateGas,
    /// Blob gas.
    BlobGas,
    /// Bytes.
    Size,
    /// Predicted gas of all transactions.
    Work,
    /// Predicted gas of the heaviest path.
    Span,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gas => "gas",
            Self::StateGas => "state gas",
            Self::BlobGas => "blob gas",
            Self::Size => "size",
            Self::Work => "work",
            Self::Span => "span",
        })
    }
}

/// What the caller asks of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraints {
    /// The orders that the block begins with, in this order.
    pub first: Vec<OrderIndex>,
    /// Orders that must be included, where their value puts them and at the latest at the
    /// end. The nonces before theirs are included with them. Bounds on work and span yield to them.
    pub required: Vec<OrderIndex>,
    /// Pairs of which the left order comes first if the block has both.
    pub precedes: Vec<(OrderIndex, OrderIndex)>,
    /// Pairs of which the block has at most one.
    pub excludes: Vec<(OrderIndex, OrderIndex)>,
}

impl Constraints {
    /// Every order that is named.
    pub(crate) fn named(&self) -> impl Iterator<Item = OrderIndex> {
        let pairs = self.precedes.iter().chain(&self.excludes);
        let single = self.first.iter().chain(&self.required).copied();
        single.chain(pairs.flat_map(|&(left, right)| [left, right]))
    }
}
