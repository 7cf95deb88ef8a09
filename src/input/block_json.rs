//! `block.json` to alloy's RPC block: the answer to `eth_getBlockByNumber` with
//! full transactions. Transaction types that are not Ethereum's are refused by
//! name before alloy sees them.

use alloy_consensus::TxEnvelope;
use alloy_rpc_types_eth::{Block as RpcBlock, Transaction as RpcTransaction};
use forewave_analyzer::TxIndex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    InputError, SourceFile,
    json::{self, field_error, shorten},
    limits::BLOCK_VALUES_MAX,
    shape::find_wrong_field,
};

/// The largest transaction type, `SetCode` (EIP-7702).
const TX_TYPE_MAX: u64 = 4;

/// A block as its file states it.
#[derive(Debug)]
pub(super) struct StatedBlock {
    /// Header, transactions, withdrawals, hashes of ommers.
    pub(super) rpc: RpcBlock,
    /// The block's own `chainId` field, which is not part of the RPC's answer.
    pub(super) chain_id: Option<u64>,
}

/// Parses `block.json`.
pub(super) fn parse_block_json(file: &SourceFile) -> Result<StatedBlock, InputError> {
    let document = json::parse_document(file, BLOCK_VALUES_MAX)?;
    let Value::Object(fields) = &document else {
        return Err(field_error(&file.path, ".", "a block object", Some(&document)));
    };
    refuse_transaction_hashes(file, fields)?;
    refuse_foreign_types(fields)?;
    let chain_id = fields.get("chainId").map(|value| chain_id(file, value)).transpose()?;
    let rpc = RpcBlock::deserialize(&document).map_err(|error| {
        find_wrong_field(&file.path, fields).unwrap_or_else(|| {
            let (field, found, error) = first_refused_transaction(fields)
                .unwrap_or_else(|| (".".to_owned(), &document, error));
            let expected = format!("what the RPC gives ({})", shorten(&error.to_string()));
            field_error(&file.path, field, expected, Some(found))
        })
    })?;
    Ok(StatedBlock { rpc, chain_id })
}

/// The block may have been asked for without its transactions.
fn refuse_transaction_hashes(
    file: &SourceFile,
    fields: &Map<String, Value>,
) -> Result<(), InputError> {
    let Some(first) = fields.get("transactions").and_then(|list| list.get(0)) else {
        return Ok(());
    };
    if first.is_object() {
        return Ok(());
    }
    let expected = "a transaction object, as eth_getBlockByNumber(n, true) gives it";
    Err(field_error(&file.path, "transactions[0]", expected, Some(first)))
}

/// Refuses the first transaction whose type is not Ethereum's.
fn refuse_foreign_types(fields: &Map<String, Value>) -> Result<(), InputError> {
    let transactions = fields.get("transactions").and_then(Value::as_array);
    for (position, tx) in transactions.into_iter().flatten().enumerate() {
        let Some(tx_type) = tx.get("type").and_then(Value::as_str) else { continue };
        if parse_quantity(tx_type).is_some_and(|number| number > TX_TYPE_MAX) {
            let hash = tx.get("hash").and_then(Value::as_str).unwrap_or("no hash");
            let hash = shorten(hash);
            let index = TxIndex::new(position);
            let tx_type = shorten(tx_type);
            return Err(InputError::UnsupportedTransaction { index, hash, tx_type });
        }
    }
    Ok(())
}

/// A chain id, as a number or as a quantity.
fn chain_id(file: &SourceFile, value: &Value) -> Result<u64, InputError> {
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(parse_quantity))
        .ok_or_else(|| field_error(&file.path, "chainId", "a number or a quantity", Some(value)))
}

fn parse_quantity(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// The transaction that alloy refuses although each of its fields looks right, and why.
fn first_refused_transaction(
    fields: &Map<String, Value>,
) -> Option<(String, &Value, serde_json::Error)> {
    let transactions = fields.get("transactions").and_then(Value::as_array)?;
    transactions.iter().enumerate().find_map(|(position, tx)| {
        let error = RpcTransaction::<TxEnvelope>::deserialize(tx).err()?;
        Some((format!("transactions[{position}]"), tx, error))
    })
}
