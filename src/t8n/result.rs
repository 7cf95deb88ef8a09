//! What a transition gives: roots, receipts, and the state after it.

use std::collections::BTreeMap;

use alloy_consensus::{
    Eip658Value, Receipt, ReceiptEnvelope, ReceiptWithBloom, TxEnvelope,
    proofs::{calculate_receipt_root, calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, U64, U256, keccak256, logs_bloom};
use forewave_analyzer::{Block, MemoryState};
use forewave_executor::{BlockOutcome, OutcomeNote};
use revm::bytecode::Bytecode;
use serde::Serialize;

use super::{Selection, TransitionInput};
use crate::{apply_changes, state_root};

/// The result of a transition, with the names and forms of `evm t8n`. A field that
/// the fork does not have is left out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// Root of the state after the block.
    pub state_root: B256,
    /// Root of the transactions that belong in the block.
    pub tx_root: B256,
    /// Root of their receipts.
    pub receipts_root: B256,
    /// Keccak-256 of the RLP of all logs.
    pub logs_hash: B256,
    /// Union of the receipts' blooms.
    pub logs_bloom: Bloom,
    /// One receipt for each transaction that belongs in the block.
    pub receipts: Vec<TransitionReceipt>,
    /// The transactions that do not.
    pub rejected: Vec<Rejected>,
    /// Difficulty of the block, before the Merge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_difficulty: Option<U256>,
    /// Gas used by all transactions.
    pub gas_used: U64,
    /// Base fee of the block in wei (EIP-1559).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_base_fee: Option<U64>,
    /// Root of the withdrawals (EIP-4895).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withdrawals_root: Option<B256>,
    /// Excess blob gas of the block (EIP-4844).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_excess_blob_gas: Option<U64>,
    /// Blob gas used by all transactions (EIP-4844).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob_gas_used: Option<U64>,
    /// Hash of the requests (EIP-7685).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_hash: Option<B256>,
    /// What the block requests of the consensus layer, each with its type in front
    /// (EIP-7685).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Vec<Bytes>>,
    /// Hash of the block's access list (EIP-7928).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_access_list_hash: Option<B256>,
    /// The RLP of the block's access list (EIP-7928).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_access_list: Option<Bytes>,
    /// What the outcome leaves out because the state does not hold it. No tool but
    /// this one has the field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<OutcomeNote>,
    /// The state after the block.
    #[serde(skip)]
    pub state: MemoryState,
    /// The RLP of the list of transactions that belong in the block.
    #[serde(skip)]
    pub body: Bytes,
}

/// A receipt, in the forms of JSON-RPC.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransitionReceipt {
    /// Transaction type (EIP-2718).
    #[serde(rename = "type")]
    pub tx_type: U64,
    /// Root of the state after the transaction, before Byzantium.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<B256>,
    /// 1 if the transaction succeeded (EIP-658), which receipts say since Byzantium.
    pub status: U64,
    /// Gas used by the block up to and including this transaction.
    pub cumulative_gas_used: U64,
    /// Bloom of the logs.
    pub logs_bloom: Bloom,
    /// Its logs.
    pub logs: Vec<Log>,
    /// Hash of the transaction.
    pub transaction_hash: B256,
    /// The contract that it created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract_address: Option<Address>,
    /// Gas used by this transaction.
    pub gas_used: U64,
    /// Position among those that belong in the block.
    pub transaction_index: U64,
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
        input: &TransitionInput,
        block: &Block,
        selection: Selection<'_>,
        outcome: BlockOutcome,
    ) -> Self {
        let mut state = input.state.clone();
        apply_changes(&mut state, &outcome.state);
        let Selection { kept, rejected, roots, blob_gas_used, .. } = selection;
        let envelopes: Vec<&TxEnvelope> = kept.into_iter().map(|(_, envelope)| envelope).collect();
        let (env, fork) = (&block.env, input.rules.fork);
        let since = |first| fork >= first;
        let has_blobs = since(EthereumHardfork::Cancun);
        let excess = env.blob_excess_gas_and_price.filter(|_| has_blobs);
        let receipts_root = if since(EthereumHardfork::Byzantium) {
            outcome.receipts_root()
        } else {
            receipts_root_of_states(&outcome, &roots)
        };
        Self {
            state_root: state_root(&state),
            tx_root: calculate_transaction_root(&envelopes),
            receipts_root,
            logs_hash: logs_hash(&outcome),
            logs_bloom: outcome.logs_bloom(),
            receipts: receipts(&outcome, &envelopes, &roots),
            rejected,
            current_difficulty: (!since(EthereumHardfork::Paris)).then_some(env.difficulty),
            gas_used: U64::from(outcome.gas_used),
            current_base_fee: since(EthereumHardfork::London).then(|| U64::from(env.basefee)),
            withdrawals_root: since(EthereumHardfork::Shanghai)
                .then(|| calculate_withdrawals_root(&block.withdrawals)),
            current_excess_blob_gas: excess.map(|blobs| U64::from(blobs.excess_blob_gas)),
            blob_gas_used: has_blobs.then(|| U64::from(blob_gas_used)),
            block_access_list_hash: outcome.access_list_hash(),
            block_access_list: outcome
                .access_list
                .as_ref()
                .map(|list| alloy_rlp::encode(list).into()),
            requests_hash: outcome.requests_hash(),
            requests: outcome.requests.map(|requests| requests.iter().cloned().collect()),
            notes: outcome.notes,
            state,
            body: list_rlp(&envelopes),
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

fn list_rlp<T: alloy_rlp::Encodable>(items: &[&T]) -> Bytes {
    let mut rlp = Vec::new();
    alloy_rlp::encode_list::<_, T>(items, &mut rlp);
    rlp.into()
}

fn logs_hash(outcome: &BlockOutcome) -> B256 {
    let logs: Vec<&Log> = outcome.receipts.iter().flat_map(|receipt| &receipt.logs).collect();
    keccak256(list_rlp(&logs))
}

/// Root of receipts that hold roots of states, as they did before Byzantium.
fn receipts_root_of_states(outcome: &BlockOutcome, roots: &[B256]) -> B256 {
    let receipts = outcome.receipts.iter().zip(roots).map(|(receipt, root)| {
        let receipt: ReceiptWithBloom<Receipt> = Receipt {
            status: Eip658Value::PostState(*root),
            cumulative_gas_used: receipt.cumulative_gas_used,
            logs: receipt.logs.clone(),
        }
        .into();
        ReceiptEnvelope::Legacy(receipt)
    });
    calculate_receipt_root(&receipts.collect::<Vec<_>>())
}

fn receipts(
    outcome: &BlockOutcome,
    envelopes: &[&TxEnvelope],
    roots: &[B256],
) -> Vec<TransitionReceipt> {
    let receipts = outcome.receipts.iter().zip(envelopes).enumerate();
    let receipts = receipts.map(|(position, (receipt, envelope))| TransitionReceipt {
        tx_type: U64::from(receipt.tx_type),
        root: roots.get(position).copied(),
        status: U64::from(receipt.status),
        cumulative_gas_used: U64::from(receipt.cumulative_gas_used),
        logs_bloom: logs_bloom(&receipt.logs),
        logs: receipt.logs.clone(),
        transaction_hash: *envelope.tx_hash(),
        contract_address: receipt.created_address,
        gas_used: U64::from(receipt.gas_used),
        transaction_index: U64::from(position),
    });
    receipts.collect()
}
