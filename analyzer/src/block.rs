//! The chain's block as forewave sees it: environment, transactions, and what
//! the operations at its two ends need. No header fields that execution does
//! not depend on, and no I/O.

use std::sync::Arc;

use alloy_eips::{eip4895::Withdrawal, eip7928::BlockAccessList};
use revm::{
    context::{BlockEnv, CfgEnv, TxEnv},
    primitives::{Address, B256, hardfork::SpecId},
};
use serde::{Deserialize, Serialize};

use crate::TxIndex;

/// An ommer (uncle) that the block includes and rewards, before the Merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ommer {
    /// Its header is known.
    Header {
        /// Block number of the ommer.
        number: u64,
        /// Who is rewarded for it.
        beneficiary: Address,
    },
    /// Only its hash is known, so its own reward cannot be paid.
    Hash(B256),
}

/// What the protocol pays the beneficiary of a block before the Merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockReward {
    /// What the fork pays, in ether.
    #[default]
    OfFork,
    /// So many wei, and what follows from that for ommers.
    Wei(u64),
    /// Nothing: the beneficiary is not even touched.
    Unpaid,
}

/// How much of the state before the block the caller holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateExtent {
    /// All of it: an account that it lacks does not exist.
    #[default]
    Whole,
    /// What the transactions touch, as a tracer gives it. Of a system contract that
    /// it lacks nothing is known: the operation is left out and noted.
    Touched,
}

/// A block to be predicted, scheduled and executed.
#[derive(Clone, Debug)]
pub struct Block {
    /// Chain id, fork rules and blob parameters.
    pub cfg: CfgEnv,
    /// The block environment that the EVM sees.
    pub env: BlockEnv,
    /// Hash of the parent, stored by EIP-2935.
    pub parent_hash: B256,
    /// Root of the parent beacon block, stored by EIP-4788.
    pub parent_beacon_block_root: Option<B256>,
    /// The chain's deposit contract, whose logs are requests from Prague on
    /// (EIP-6110). A chain without one has no deposits.
    pub deposit_contract: Option<Address>,
    /// How much of the state before the block there is.
    pub state_extent: StateExtent,
    /// The transactions, in block order.
    pub transactions: Vec<TxEnv>,
    /// Validator withdrawals (EIP-4895), in block order.
    pub withdrawals: Vec<Withdrawal>,
    /// Ommers, in block order.
    pub ommers: Vec<Ommer>,
    /// What the beneficiary is paid before the Merge.
    pub reward: BlockReward,
    /// Whether this is the block of the DAO fork, which begins with the irregular
    /// state change of EIP-779. Neither number nor [`spec`](Self::spec) tell.
    pub is_dao_fork: bool,
    /// Whether the block's access list (EIP-7928) is made while it is executed. From
    /// Amsterdam on the header commits to the list; earlier blocks can have one made as well.
    pub makes_access_list: bool,
    /// The access list that the block came with, if any: true or not. It is a prediction like
    /// any other: what it says is verified.
    pub access_list: Option<Arc<BlockAccessList>>,
}

impl Block {
    /// The fork whose rules the block follows.
    pub const fn spec(&self) -> SpecId {
        self.cfg.spec
    }

    /// The block number.
    pub fn number(&self) -> u64 {
        self.env.number.saturating_to()
    }

    /// The transactions with their indices, in block order.
    pub fn indexed(&self) -> impl ExactSizeIterator<Item = (TxIndex, &TxEnv)> {
        self.transactions.iter().enumerate().map(|(position, tx)| (TxIndex::new(position), tx))
    }
}
