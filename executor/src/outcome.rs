//! What executing a block gives: receipts, roots, state changes, statistics.
//!
//! State changes are net: an account or slot that ends as it began is not in
//! them. So two executions that took different ways to the same state give
//! equal values, and maps are ordered, so they print equal as well.

use core::fmt;
use std::{collections::BTreeMap, time::Instant};

use alloy_consensus::{
    Eip658Value, Receipt, ReceiptEnvelope, ReceiptWithBloom, TxType, proofs::calculate_receipt_root,
};
use alloy_eips::{
    eip7685::Requests,
    eip7928::{BlockAccessList, compute_block_access_list_hash},
};
use forewave_analyzer::{Block, Location, TxIndex};
use revm::{
    context::result::ExecutionResult,
    primitives::{
        Address, B256, Log, StorageKey, StorageValue,
        alloy_primitives::{Bloom, logs_bloom},
    },
    state::AccountInfo,
};
use serde::{Deserialize, Serialize};

use crate::{
    ExecutionError, access_list::BlockTouched, committed::Committed, requests::with_deposits,
    system::SystemOutput,
};

/// The receipt of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TxReceipt {
    /// Transaction type (EIP-2718), 0 to 4.
    pub tx_type: u8,
    /// Whether the transaction succeeded (EIP-658).
    pub status: bool,
    /// Gas used by this transaction, refunds taken off.
    pub gas_used: u64,
    /// Gas that it takes of the block's budget for regular gas (EIP-8037), refunds not taken off.
    #[serde(default)]
    pub regular_gas_used: u64,
    /// Gas used by the transactions up to and including this one.
    pub cumulative_gas_used: u64,
    /// Logs, in the order they were emitted.
    pub logs: Vec<Log>,
    /// Address of the contract that the transaction itself created.
    pub created_address: Option<Address>,
}

impl TxReceipt {
    /// The receipt of a transaction, up to and including which so much gas was used.
    pub(crate) fn new(tx_type: u8, cumulative_gas_used: u64, result: ExecutionResult) -> Self {
        Self {
            tx_type,
            status: result.is_success(),
            gas_used: result.tx_gas_used(),
            regular_gas_used: result.gas().block_regular_gas_used(),
            cumulative_gas_used,
            created_address: result.created_address(),
            logs: result.into_logs(),
        }
    }

    /// The consensus form, as it is hashed into the receipts root.
    fn envelope(&self) -> ReceiptEnvelope {
        let receipt: ReceiptWithBloom<Receipt> = Receipt {
            status: Eip658Value::Eip658(self.status),
            cumulative_gas_used: self.cumulative_gas_used,
            logs: self.logs.clone(),
        }
        .into();
        match TxType::try_from(self.tx_type).unwrap_or(TxType::Legacy) {
            TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
            TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
            TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
            TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
            TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
        }
    }
}

/// Net change of one account over the block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountChange {
    /// Balance, nonce and code after the block; `None` if it does not exist.
    pub info: Option<AccountInfo>,
    /// Whether the storage it had before the block is gone.
    pub storage_cleared: bool,
    /// Slots that differ from before the block (from zero, if cleared).
    pub storage: BTreeMap<StorageKey, StorageValue>,
}

/// Net changes of the whole state over the block, by address.
pub type StateChanges = BTreeMap<Address, AccountChange>;

/// An operation of the protocol at one end of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SystemOperation {
    /// Parent beacon block root (EIP-4788), before the transactions.
    BeaconRoots,
    /// Parent block hash (EIP-2935), before the transactions.
    HistoryStorage,
    /// Execution-layer withdrawal requests (EIP-7002), after the transactions.
    WithdrawalRequests,
    /// Consolidation requests (EIP-7251), after the transactions.
    ConsolidationRequests,
    /// Deposits of builders (EIP-8282), after the transactions.
    BuilderDepositRequests,
    /// Exits of builders (EIP-8282), after the transactions.
    BuilderExitRequests,
    /// Reward of an ommer's beneficiary, before the Merge.
    OmmerReward,
}

impl fmt::Display for SystemOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BeaconRoots => "beacon root (EIP-4788)",
            Self::HistoryStorage => "parent hash (EIP-2935)",
            Self::WithdrawalRequests => "withdrawal requests (EIP-7002)",
            Self::ConsolidationRequests => "consolidation requests (EIP-7251)",
            Self::BuilderDepositRequests => "deposits of builders (EIP-8282)",
            Self::BuilderExitRequests => "exits of builders (EIP-8282)",
            Self::OmmerReward => "reward of an ommer",
        })
    }
}

/// Something that the outcome leaves out because the input did not hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
#[non_exhaustive]
pub enum OutcomeNote {
    /// The state holds no code at the system contract, so it was not called.
    SystemContractAbsent {
        /// What was left out.
        operation: SystemOperation,
        /// The contract.
        address: Address,
    },
    /// Only the hash of an ommer is known, so its reward was not paid.
    OmmerHeaderAbsent {
        /// Hash of the ommer.
        hash: B256,
    },
}

impl fmt::Display for OutcomeNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SystemContractAbsent { operation, address } => {
                write!(f, "{operation}, since the state holds no code at {address}")
            }
            Self::OmmerHeaderAbsent { hash } => {
                write!(f, "the reward of ommer {hash}, whose header is not known")
            }
        }
    }
}

/// Why a transaction ran a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReexecutionReason {
    /// It read this location before an earlier transaction had written it.
    StaleRead {
        /// The first stale location.
        location: Location,
    },
    /// It did not do what the block's access list says of it.
    NotAsListed,
    /// The block's access list names more reads than the gas that is left can pay for
    /// (EIP-7928), so it was given up before this transaction.
    ListUnaffordable,
    /// It could not be executed at all on the state it saw, for instance
    /// because it was invalid there.
    NotExecutable,
}

/// A transaction that ran more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reexecution {
    /// The transaction.
    pub tx: TxIndex,
    /// Why.
    #[serde(flatten)]
    pub reason: ReexecutionReason,
}

/// How the outcome came about. Not part of the outcome's equality.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExecutionStats {
    /// Threads that shared the block: all of the pool, or 1 where that was estimated to
    /// be as fast.
    pub threads: usize,
    /// Transactions that ran by their prediction: all, or none.
    pub predicted: usize,
    /// Transactions whose result was known from earlier runs, so that no code ran.
    pub reused: usize,
    /// Transactions that ran more than once, in block order.
    pub reexecuted: Vec<Reexecution>,
    /// Nanoseconds that predicting took, on all threads; 0 where nothing was predicted.
    pub predict_ns: u64,
    /// Nanoseconds that drawing the graph and planning the run took.
    pub plan_ns: u64,
    /// Nanoseconds that executing took, on all threads.
    pub run_ns: u64,
}

impl ExecutionStats {
    /// All three times together.
    pub const fn total_ns(&self) -> u64 {
        self.predict_ns + self.plan_ns + self.run_ns
    }
}

/// Nanoseconds since a time.
pub(crate) fn ns_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What a block does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BlockOutcome {
    /// One receipt for each transaction, in block order.
    pub receipts: Vec<TxReceipt>,
    /// Gas used by the block, as its header has it: that of all receipts, or from Amsterdam
    /// on the larger of regular and state gas, refunds not taken off (EIP-8037, EIP-7778).
    pub gas_used: u64,
    /// Net changes of the state, system operations included.
    pub state: StateChanges,
    /// What the block requests of the consensus layer (EIP-7685), in the order of the
    /// types that stand in front: deposits, withdrawals, consolidations, and from Amsterdam on
    /// deposits and exits of builders. None before Prague, nor where the state lacks a contract that requests are asked of.
    pub requests: Option<Requests>,
    /// The block's access list (EIP-7928), where [it is made](Block::makes_access_list).
    pub access_list: Option<BlockAccessList>,
    /// What was left out.
    pub notes: Vec<OutcomeNote>,
    /// How it was executed.
    pub stats: ExecutionStats,
}

impl BlockOutcome {
    /// An outcome: deposits from the receipts, the access list from what was touched.
    pub(crate) fn new<E: core::error::Error>(
        block: &Block,
        committed: Committed,
        state: StateChanges,
        system: SystemOutput,
        stats: ExecutionStats,
        access_list: impl FnOnce(&BlockTouched) -> BlockAccessList,
    ) -> Result<Self, ExecutionError<E>> {
        let Committed { receipts, gas, touched: txs, .. } = committed;
        let SystemOutput { notes, requests, before, after } = system;
        let access_list =
            block.makes_access_list.then(|| access_list(&BlockTouched { before, txs, after }));
        let requests = requests
            .map(|others| with_deposits(block.deposit_contract, &receipts, others))
            .transpose()?;
        let gas_used = gas.of_header(block);
        Ok(Self { receipts, gas_used, state, requests, access_list, notes, stats })
    }

    /// Union of all receipts' blooms. Hashed anew at each call, as is the root:
    /// a builder that simulates many blocks needs neither of most of them.
    pub fn logs_bloom(&self) -> Bloom {
        logs_bloom(self.receipts.iter().flat_map(|receipt| &receipt.logs))
    }

    /// Root of the receipts trie, as it is from Byzantium on (EIP-658).
    /// Earlier blocks hash intermediate state roots instead.
    pub fn receipts_root(&self) -> B256 {
        let envelopes: Vec<_> = self.receipts.iter().map(TxReceipt::envelope).collect();
        calculate_receipt_root(&envelopes)
    }

    /// The requests' hash, as a header has it since Prague.
    pub fn requests_hash(&self) -> Option<B256> {
        self.requests.as_ref().map(Requests::requests_hash)
    }

    /// The hash of the access list, as a header has it since Amsterdam.
    pub fn access_list_hash(&self) -> Option<B256> {
        self.access_list.as_deref().map(compute_block_access_list_hash)
    }

    /// The first part in which two outcomes differ, statistics aside.
    pub fn first_difference(&self, other: &Self) -> Option<&'static str> {
        let parts = [
            ("receipts", self.receipts != other.receipts),
            ("state changes", self.state != other.state),
            ("requests", self.requests != other.requests),
            ("access list", self.access_list != other.access_list),
            ("notes", self.notes != other.notes),
        ];
        parts.into_iter().find_map(|(part, differs)| differs.then_some(part))
    }

    /// Whether two outcomes are the same, statistics aside.
    pub fn same_result(&self, other: &Self) -> bool {
        self.first_difference(other).is_none()
    }
}
