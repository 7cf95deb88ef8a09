//! What a piece of code does to the world: the vocabulary of summaries.

use serde::{Deserialize, Serialize};

use crate::expr::ExprId;

/// A place in the state, named by expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A storage slot of the account itself, by its key.
    Storage(ExprId),
    /// The balance of an account.
    Balance(ExprId),
    /// The code of an account.
    Code(ExprId),
}

/// Whose code a call runs, and on whose state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CallKind {
    /// `CALL`: the callee's own.
    Call,
    /// `STATICCALL`: the callee's own, which must not change.
    Static,
    /// `DELEGATECALL` or `CALLCODE`: on the state of the account itself.
    Delegate,
}

/// One effect of a piece of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Reads a place.
    Read(Target),
    /// Writes a place.
    Write(Target),
    /// Calls another account.
    Call {
        /// On whose state.
        kind: CallKind,
        /// Whom.
        target: ExprId,
        /// The first four bytes of the data, where known.
        selector: Option<u32>,
        /// Whether all of the call's own data is passed on as it is.
        forwards: bool,
        /// The ether sent along, if it is not known to be none.
        value: Option<ExprId>,
    },
    /// Creates a contract.
    Create,
    /// Destroys the account, whose balance goes to another.
    Destroy(ExprId),
}
