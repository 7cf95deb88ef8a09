//! What is pooled: a transaction, or a bundle of them.

use core::fmt;
use std::sync::Arc;

use revm::{context::TxEnv, primitives::U256};

use crate::PredictedAccess;

/// An order of a pool. Later orders have higher numbers, and no number is given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub(super) u64);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order{}", self.0)
    }
}

/// One transaction of an order, and what may become of it in a block.
///
/// ```
/// use forewave::pool::OrderMember;
/// use revm::context::TxEnv;
///
/// let member = OrderMember::new(TxEnv::default()).reverting().optional();
/// assert!(member.may_revert() && member.is_optional());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct OrderMember {
    tx: TxEnv,
    may_revert: bool,
    is_optional: bool,
}

impl OrderMember {
    /// A transaction without which, or if it reverts, none of the order is executed.
    pub const fn new(tx: TxEnv) -> Self {
        Self { tx, may_revert: false, is_optional: false }
    }

    /// The same, but the order stands if the transaction reverts.
    #[must_use]
    pub fn reverting(self) -> Self {
        Self { may_revert: true, ..self }
    }

    /// The same, but the order stands without the transaction.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }

    /// The transaction.
    pub const fn tx(&self) -> &TxEnv {
        &self.tx
    }

    /// Whether the order stands if the transaction reverts.
    pub const fn may_revert(&self) -> bool {
        self.may_revert
    }

    /// Whether the order stands without the transaction.
    pub const fn is_optional(&self) -> bool {
        self.is_optional
    }
}

/// A transaction, or a bundle: transactions that are executed one after the other, with
/// none between them, or not at all.
///
/// ```
/// use forewave::pool::{Order, OrderMember};
/// use revm::context::TxEnv;
///
/// let tx = TxEnv { gas_price: 30, gas_priority_fee: Some(2), ..TxEnv::default() };
/// assert_eq!(Order::transaction(tx.clone()).fee(), 2);
/// let bundle = Order::bundle([OrderMember::new(tx.clone()), OrderMember::new(tx).reverting()]);
/// assert_eq!(bundle.members().len(), 2);
/// assert_eq!(bundle.with_fee(7).fee(), 7);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    members: Vec<OrderMember>,
    is_bundle: bool,
    fee: Option<u128>,
}

impl Order {
    /// A transaction by itself. It may revert, as any transaction of a block.
    pub fn transaction(tx: TxEnv) -> Self {
        Self { members: vec![OrderMember::new(tx).reverting()], is_bundle: false, fee: None }
    }

    /// A bundle of these transactions, in this order.
    pub fn bundle(members: impl IntoIterator<Item = OrderMember>) -> Self {
        Self { members: members.into_iter().collect(), is_bundle: true, fee: None }
    }

    /// The same with a fee that the caller knows better, such as from a simulation of what it
    /// pays the beneficiary, in wei per gas.
    #[must_use]
    pub fn with_fee(self, fee: u128) -> Self {
        Self { fee: Some(fee), ..self }
    }

    /// The transactions, in their order.
    pub fn members(&self) -> &[OrderMember] {
        &self.members
    }

    /// Whether it is a bundle, even of one transaction.
    pub const fn is_bundle(&self) -> bool {
        self.is_bundle
    }

    /// What it pays the beneficiary, in wei per gas, by which orders are ranked where not all
    /// can be kept: what the caller stated, or the most that its transactions offer as priority
    /// fee, whatever the base fee, on average over their gas limits.
    pub fn fee(&self) -> u128 {
        self.fee.unwrap_or_else(|| {
            let of = |member: &OrderMember| [tip(&member.tx), u128::from(member.tx.gas_limit)];
            if let [only] = &self.members[..] {
                return tip(&only.tx);
            }
            let (mut paid, mut gas) = (U256::ZERO, U256::ZERO);
            for [tip, limit] in self.members.iter().map(of) {
                paid = paid.saturating_add(U256::from(tip).saturating_mul(U256::from(limit)));
                gas += U256::from(limit);
            }
            paid.checked_div(gas).unwrap_or_default().saturating_to()
        })
    }

    /// The transaction, if it is by itself.
    pub(super) fn single(&self) -> Option<&TxEnv> {
        self.members.first().filter(|_| !self.is_bundle).map(|member| &member.tx)
    }
}

/// The most that a transaction pays the beneficiary, in wei per gas.
fn tip(tx: &TxEnv) -> u128 {
    tx.gas_priority_fee.map_or(tx.gas_price, |tip| tip.min(tx.gas_price))
}

/// An order as the pool holds it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PooledOrder {
    /// Its number.
    pub id: OrderId,
    /// The order.
    pub order: Arc<Order>,
    /// What each of its transactions is predicted to touch.
    pub predictions: Arc<[PredictedAccess]>,
    /// Number of the block that the predictions are for.
    pub predicted_for: u64,
}
