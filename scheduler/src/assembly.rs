//! Orders with values -> a block that is worth much and quick to execute.
//!
//! ```text
//! Order[] ──Candidates::new──> places that they share, nonces, value by gas
//! Candidates + Limits ──assemble──> Assembly: orders in block order, who is left out and why
//! ```
//!
//! Orders are taken by value per gas, the highest first, each once the nonces before its own are in the
//! block; an order whose successors are worth more is taken for the sake of them. An
//! order joins the block at its end, so the time at which it could finish on enough cores is known:
//! after the last writers of what it reads. One that would finish beyond the bound on the
//! [span](Limits::span) is left out, and the room goes to the next. Where that happens, the block is filled a
//! second time, and each order takes the first gap in time that it fits in, which can put it before others that
//! were taken earlier and conflict with it; the better one of the two blocks is given. Every order is decided
//! once, so that assembling `n` orders takes `n log n` steps and the sum of their accesses.
//!
//! Invariants: the block keeps every limit; nonces of a sender ascend without a gap; a bundle is
//! whole and in order; what the caller asks for holds. The same candidates give the
//! same block.
//!
//! Not here: executing. An order that turns out to be invalid when it runs, because a contract
//! has moved its sender's ether for instance, is for the caller to drop.

mod bound;
mod fill;
mod gaps;
mod linear;
mod places;
mod prepare;
mod time;
mod timeline;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod properties;

use core::fmt;

use alloy_primitives::Address;
use forewave_analyzer::PredictedAccess;

use self::fill::{Fill, Placing};
pub use self::{
    bound::value_bound,
    prepare::Candidates,
    time::{Machine, Timed, assemble_within},
};
use crate::{Limits, OrderIndex, Resource};

/// A block out of candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Assembly {
    /// The orders of the block, in block order.
    pub orders: Vec<OrderIndex>,
    /// The other orders, ascending, and why each is not in the block.
    pub left_out: Vec<(OrderIndex, LeftOut)>,
    /// What the orders are worth, in wei.
    pub value: u128,
    /// Gas that they are estimated to use; from Amsterdam on regular gas.
    pub gas: u64,
    /// State gas that they are estimated to use.
    pub state_gas: u64,
    /// Blob gas.
    pub blob_gas: u64,
    /// Bytes of their transactions.
    pub size: u64,
    /// Predicted gas of their transactions.
    pub work: u64,
    /// Predicted gas of the heaviest path of their conflict graph.
    pub span: u64,
}

impl Assembly {
    /// How many cores the block keeps busy at most: work by span.
    pub fn parallelism(&self) -> f64 {
        if self.span == 0 { 1.0 } else { self.work as f64 / self.span as f64 }
    }

    /// The predictions of the block's transactions, in block order: what its
    /// [`ConflictGraph`](crate::ConflictGraph) is made from.
    pub fn predictions(&self, candidates: &Candidates<'_>) -> Vec<PredictedAccess> {
        let orders = self.orders.iter().map(|order| &candidates.orders()[order.index()]);
        orders.flat_map(|order| &order.transactions).map(|tx| tx.access.clone()).collect()
    }
}

/// Why an order is not in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftOut {
    /// The block has too little left of this.
    Limit(Resource),
    /// The block has another transaction with this sender and nonce, or the state has.
    NonceUsed {
        /// The sender.
        sender: Address,
        /// The nonce.
        nonce: u64,
    },
    /// The block has no transaction of this sender with the nonce before.
    NonceGap {
        /// The sender.
        sender: Address,
        /// The nonce that the order needs to be next.
        nonce: u64,
    },
    /// The nonces of a sender within the order are no sequence.
    Nonces {
        /// The sender.
        sender: Address,
    },
    /// Its sender cannot pay for it.
    Funds {
        /// The sender.
        sender: Address,
    },
    /// The caller excludes it from blocks with this order.
    Excluded {
        /// The order that the block has, or must have.
        by: OrderIndex,
    },
    /// The caller wants the two in an order in which they cannot be.
    Precedence {
        /// The other order.
        with: OrderIndex,
    },
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(resource) => write!(f, "beyond the limit of {resource}"),
            Self::NonceUsed { sender, nonce } => write!(f, "nonce {nonce} of {sender} is used"),
            Self::NonceGap { sender, nonce } => {
                write!(f, "nonce {nonce} of {sender} is not the next")
            }
            Self::Nonces { sender } => write!(f, "its nonces of {sender} are no sequence"),
            Self::Funds { sender } => write!(f, "{sender} cannot pay"),
            Self::Excluded { by } => write!(f, "excluded by {by}"),
            Self::Precedence { with } => {
                write!(f, "cannot come in the order asked for with {with}")
            }
        }
    }
}

/// No block holds what the caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssemblyError {
    /// A constraint names an order that there is not.
    #[error("a constraint names {order}, but there are {orders} orders")]
    UnknownOrder {
        /// The order.
        order: OrderIndex,
        /// How many there are.
        orders: usize,
    },
    /// An order that the block must have cannot be in it.
    #[error("{order} must be in the block and cannot: {why}")]
    Unplaceable {
        /// The order: one that the caller named, or one with a nonce before its own.
        order: OrderIndex,
        /// What is in its way.
        why: LeftOut,
    },
}

/// Assembles a block of the highest value within the limits.
pub fn assemble(candidates: &Candidates<'_>, limits: &Limits) -> Result<Assembly, AssemblyError> {
    let at_end = filled(candidates, limits, Placing::AtEnd)?;
    let is_late = |why: LeftOut| why == LeftOut::Limit(Resource::Span);
    if !at_end.left_out.iter().any(|&(_, why)| is_late(why)) {
        return Ok(at_end);
    }
    // Moved forward, a transaction can find too little gas left where it then stands.
    let in_gaps = filled(candidates, limits, Placing::InGaps);
    let in_gaps = in_gaps.ok().filter(|block| keeps_gas_limits(candidates, limits, block));
    Ok(in_gaps.filter(|block| block.value > at_end.value).unwrap_or(at_end))
}

/// A block, each order of which is placed so.
fn filled(
    candidates: &Candidates<'_>,
    limits: &Limits,
    placing: Placing,
) -> Result<Assembly, AssemblyError> {
    let mut fill = Fill::new(candidates, limits, placing);
    fill.begin()?;
    loop {
        while let Some(order) = fill.next() {
            fill.decide(order);
        }
        // What is left waits for something: for orders that in turn wait for it, for instance.
        if !fill.release() {
            return fill.finish();
        }
    }
}

/// Whether each transaction begins with enough gas left.
fn keeps_gas_limits(candidates: &Candidates<'_>, limits: &Limits, block: &Assembly) -> bool {
    let orders = block.orders.iter().map(|&order| candidates.order(order));
    let mut transactions = orders.flat_map(|order| &order.transactions);
    let (mut gas, mut state_gas) = (0u64, 0u64);
    transactions.all(|tx| {
        let fits = gas.saturating_add(tx.gas.most()) <= limits.gas
            && state_gas.saturating_add(tx.state_gas.most()) <= limits.state_gas;
        gas = gas.saturating_add(tx.gas.used);
        state_gas = state_gas.saturating_add(tx.state_gas.used);
        fits
    })
}

/// A block for each bound on the span, in the order of the bounds: what shorter execution
/// costs in value.
pub fn trade(
    candidates: &Candidates<'_>,
    limits: &Limits,
    spans: &[u64],
) -> Result<Vec<Assembly>, AssemblyError> {
    spans.iter().map(|&span| assemble(candidates, &limits.with_span(span))).collect()
}
