//! What kind of transaction it is, from its envelope and the state before the
//! block.

use core::fmt;

use forewave_analyzer::Block;
use revm::{
    DatabaseRef,
    context::TxEnv,
    primitives::{KECCAK_EMPTY, TxKind},
};
use serde::{Deserialize, Serialize};

/// `transfer(address,uint256)`, `transferFrom(address,address,uint256)` and
/// `approve(address,uint256)`.
const TOKEN_SELECTORS: [[u8; 4]; 3] =
    [[0xa9, 0x05, 0x9c, 0xbb], [0x23, 0xb8, 0x72, 0xdd], [0x09, 0x5e, 0xa7, 0xb3]];

/// A kind of transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TxClass {
    /// A call without data to an account without code.
    PlainTransfer,
    /// A call of `transfer`, `transferFrom` or `approve` to an account with code.
    TokenTransfer,
    /// Any other call.
    OtherCall,
    /// The creation of a contract.
    Create,
}

impl TxClass {
    /// Every class.
    pub const ALL: [Self; 4] =
        [Self::PlainTransfer, Self::TokenTransfer, Self::OtherCall, Self::Create];

    /// The classes of a block's transactions, in block order.
    pub fn of_block<DB: DatabaseRef>(block: &Block, state: &DB) -> Result<Vec<Self>, DB::Error> {
        block.transactions.iter().map(|tx| Self::of(tx, state)).collect()
    }

    fn of<DB: DatabaseRef>(tx: &TxEnv, state: &DB) -> Result<Self, DB::Error> {
        let TxKind::Call(to) = tx.kind else { return Ok(Self::Create) };
        let account = state.basic_ref(to)?;
        let has_code =
            account.is_some_and(|info| info.code_hash != KECCAK_EMPTY && !info.code_hash.is_zero());
        let selector = tx.data.first_chunk::<4>();
        let is_token_call = selector.is_some_and(|selector| TOKEN_SELECTORS.contains(selector));
        Ok(match (has_code, tx.data.is_empty()) {
            (false, true) => Self::PlainTransfer,
            (true, false) if is_token_call => Self::TokenTransfer,
            _ => Self::OtherCall,
        })
    }
}

impl fmt::Display for TxClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PlainTransfer => "plain transfer",
            Self::TokenTransfer => "token transfer",
            Self::OtherCall => "other call",
            Self::Create => "create",
        })
    }
}
