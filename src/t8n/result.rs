//! What a transition gives: roots, receipts, and the state after it.

use std::collections::BTreeMap;

use alloy_consensus::{TxEnvelope, proofs::calculate_transaction_root};
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, U64, U256, keccak256};
use forewave_analyzer::{Block, MemoryState};
use forewave_executor::{BlockOutcome, OutcomeNote};
use revm::{bytecode::Bytecode, primitives::hardfork::SpecId};
use serde::Serialize;

use crate::{apply_changes, state_root};

/// The result of a transition, with the names and forms of `evm t8n`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// Root of the state after the block.
    pub state_root: B256,
    /// Root of the transactions that belong in the block.
    pub tx_root: B256,
    /// Root of their receipts; `None` before Byzantium, when it depends on the
    /// roots of intermediate states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipts_root: Option<B256>,
    /// Keccak-256 of the RLP of all logs.
    pub logs_hash: B256,
    /// Union of the receipts' blooms.
    pub logs_bloom: Bloom,
    /// Gas used by all transactions.
    pub gas_used: U64,
    /// One receipt for each transaction that belongs in the block.
    pub receipts: Vec<TransitionReceipt>,
    /// The transactions that do not.
    pub rejected: Vec<Rejected>,
    /// What the outcome leaves out because the state does not hold it.
    #[serde(skip)]
    pub notes: Vec<OutcomeNote>,
    /// The state after the block.
    #[serde(skip)]
    pub state: MemoryState,
}

/// A receipt, in the forms of JSON-RPC.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransitionReceipt {
    /// Transaction type (EIP-2718).
    #[serde(rename = "type")]
    pub tx_type: U64,
    /// 1 if the transaction succeeded (EIP-658).
    pub status: U64,
    /// Gas used by the block up to and including this transaction.
    pub cumulative_gas_used: U64,
    /// Gas used by this transaction.
    pub gas_used: U64,
    /// Hash of the transaction.
    pub transaction_hash: B256,
    /// Position among those that belong in the block.
    pub transaction_index: U64,
    /// The contract that it created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract_address: Option<Address>,
    /// Its logs.
    pub logs: Vec<Log>,
}

/// A transaction that does not belong in the block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// Position in the input.
    pub index: usize,
    /// Why.
    pub error: String,
}

/// An account of an `alloc`.
#[derive(Serialize)]
struct StatedAccount {
    balance: U256,
    #[serde(skip_serializing_if = "U64::is_zero")]
    nonce: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Bytes>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    storage: BTreeMap<B256, B256>,
}

impl Transition {
    pub(super) fn new(
        before: &MemoryState,
        block: &Block,
        envelopes: &[&TxEnvelope],
        outcome: BlockOutcome,
        rejected: Vec<Rejected>,
    ) -> Self {
        let mut state = before.clone();
        apply_changes(&mut state, &outcome.state);
        let logs: Vec<&Log> = outcome.receipts.iter().flat_map(|receipt| &receipt.logs).collect();
        let mut rlp = Vec::new();
        alloy_rlp::encode_list::<_, Log>(&logs, &mut rlp);
        let since_byzantium = block.spec().is_enabled_in(SpecId::BYZANTIUM);
        Self {
            state_root: state_root(&state),
            tx_root: calculate_transaction_root(envelopes),
            receipts_root: since_byzantium.then(|| outcome.receipts_root()),
            logs_hash: keccak256(rlp),
            logs_bloom: outcome.logs_bloom(),
            gas_used: U64::from(outcome.gas_used),
            receipts: receipts(&outcome, envelopes),
            rejected,
            notes: outcome.notes,
            state,
        }
    }

    /// The state after the block, as an `alloc`.
    pub fn alloc(&self) -> impl Serialize + use<> {
        let accounts = self.state.accounts().map(|(address, info, storage)| {
            let storage = storage.into_iter().map(|(key, value)| (key.into(), value.into()));
            let code = info.code.as_ref().map(Bytecode::original_bytes);
            let code = code.filter(|code| !code.is_empty());
            let account = StatedAccount {
                balance: info.balance,
                nonce: U64::from(info.nonce),
                code,
                storage: storage.collect(),
            };
            (address, account)
        });
        accounts.collect::<BTreeMap<Address, StatedAccount>>()
    }
}

fn receipts(outcome: &BlockOutcome, envelopes: &[&TxEnvelope]) -> Vec<TransitionReceipt> {
    let receipts = outcome.receipts.iter().zip(envelopes).enumerate();
    let receipts = receipts.map(|(position, (receipt, envelope))| TransitionReceipt {
        tx_type: U64::from(receipt.tx_type),
        status: U64::from(receipt.status),
        cumulative_gas_used: U64::from(receipt.cumulative_gas_used),
        gas_used: U64::from(receipt.gas_used),
        transaction_hash: *envelope.tx_hash(),
        transaction_index: U64::from(position),
        contract_address: receipt.created_address,
        logs: receipt.logs.clone(),
    });
    receipts.collect()
}
