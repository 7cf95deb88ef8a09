//! What is executed in one attempt at a block: transactions and bundles, in order.

use core::fmt;
use std::sync::Arc;

use forewave_analyzer::TxIndex;
use revm::context::result::InvalidTransaction;

use crate::ExecutionError;

/// A part of an order: it is included as a whole, or dropped as a whole.
///
/// ```
/// use forewave_executor::{Bundle, Member, OrderItem};
/// use forewave_analyzer::TxIndex;
///
/// let [approval, swap, tip] = [0, 1, 2].map(TxIndex::new);
/// let bundle = Bundle::new([
///     Member::new(approval).that_may_fail(),
///     Member::new(swap),
///     Member::new(tip).optional(),
/// ]);
/// let order: [OrderItem; 2] = [TxIndex::new(3).into(), bundle.into()];
/// assert_eq!(order[1].transactions().count(), 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderItem {
    /// A transaction by itself, which may fail like any of a block.
    Tx(TxIndex),
    /// Transactions that are included together, or not at all.
    Bundle(Arc<Bundle>),
}

/// Transactions that are included one after the other, with nothing between them.
///
/// If a member that may not fail does so or is invalid, then it is left out where it is
/// optional, and otherwise the whole bundle is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    members: Vec<Member>,
}

/// A transaction of a bundle: one that must be included, and succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub(super) tx: TxIndex,
    pub(super) may_fail: bool,
    pub(super) is_optional: bool,
}

/// Why a transaction is not included.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DropReason {
    /// It does not belong there: wrong nonce, too little balance, and so on.
    #[error("is invalid: {0}")]
    Invalid(InvalidTransaction),
    /// Its gas limit exceeds what the block has left: under Amsterdam in one of its two
    /// budgets (EIP-8037).
    #[error("is invalid: its gas limit is {limit}, but the block has only {available} left")]
    GasLimitExceeded {
        /// The limit, of the transaction or of its regular gas.
        limit: u64,
        /// What the block has left.
        available: u64,
    },
    /// It reverted or halted, and as a member of its bundle it may not.
    #[error("failed, which its bundle does not allow")]
    Failed,
}

/// A transaction that is not included, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The transaction.
    pub tx: TxIndex,
    /// Why.
    pub reason: DropReason,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tx, reason } = self;
        write!(f, "{tx} {reason}")
    }
}

impl<E: core::error::Error> From<Dropped> for ExecutionError<E> {
    fn from(Dropped { tx, reason }: Dropped) -> Self {
        match reason {
            DropReason::Invalid(error) => Self::InvalidTransaction { tx, error },
            DropReason::GasLimitExceeded { limit, available } => {
                Self::GasLimitExceeded { tx, limit, available }
            }
            DropReason::Failed => Self::Evm { tx, message: reason.to_string() },
        }
    }
}

impl OrderItem {
    /// Its transactions, in order.
    pub fn transactions(&self) -> impl Iterator<Item = TxIndex> {
        let (alone, members) = match self {
            Self::Tx(tx) => (Some(*tx), &[][..]),
            Self::Bundle(bundle) => (None, bundle.members()),
        };
        alone.into_iter().chain(members.iter().map(|member| member.tx))
    }
}

impl From<TxIndex> for OrderItem {
    fn from(tx: TxIndex) -> Self {
        Self::Tx(tx)
    }
}

impl From<Bundle> for OrderItem {
    fn from(bundle: Bundle) -> Self {
        Self::Bundle(Arc::new(bundle))
    }
}

impl Bundle {
    /// A bundle of these, in this order.
    pub fn new<M: Into<Member>>(members: impl IntoIterator<Item = M>) -> Self {
        Self { members: members.into_iter().map(Into::into).collect() }
    }

    /// Its members, in order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

impl Member {
    /// A member that must be included, and succeed.
    pub const fn new(tx: TxIndex) -> Self {
        Self { tx, may_fail: false, is_optional: false }
    }

    /// The same, but it may revert or halt.
    #[must_use]
    pub const fn that_may_fail(self) -> Self {
        Self { may_fail: true, ..self }
    }

    /// The same, but it may be left out.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }

    /// The transaction.
    pub const fn tx(self) -> TxIndex {
        self.tx
    }

    /// Whether it may revert or halt.
    pub const fn may_fail(self) -> bool {
        self.may_fail
    }

    /// Whether it may be left out.
    pub const fn is_optional(self) -> bool {
        self.is_optional
    }
}

impl From<TxIndex> for Member {
    fn from(tx: TxIndex) -> Self {
        Self::new(tx)
    }
}
