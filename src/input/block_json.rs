//! `block.json` to alloy's RPC block: the answer to `eth_getBlockByNumber` with
//! full transactions, in its JSON-RPC envelope or out of it. Transaction types
//! that are not Ethereum's are refused by name before alloy sees them.
//!
//! A block that has no hash has not run: a pending one, or a builder's. What
//! running it gives may then be missing; [`Absent`] names what is.

use std::path::Path;

use alloy_consensus::TxEnvelope;
use alloy_rpc_types_eth::{Block as RpcBlock, Transaction as RpcTransaction};
use forewave_analyzer::TxIndex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    InputError, SourceFile, foreign,
    json::{self, field_error, shorten, without_type_names},
    limits::BLOCK_VALUES_MAX,
    shape::find_wrong_field,
};

/// The largest transaction type, `SetCode` (EIP-7702).
const TX_TYPE_MAX: u64 = 4;

/// Fields that execution either does not need or can do without, and their bytes.
const DISPENSABLE: [(&str, usize); 4] =
    [("hash", 32), ("miner", 20), ("nonce", 8), ("mixHash", 32)];

/// Fields that are known once a block has run or is complete, and their bytes.
const RESULTS: [(&str, usize); 6] = [
    ("stateRoot", 32),
    ("receiptsRoot", 32),
    ("transactionsRoot", 32),
    ("sha3Uncles", 32),
    ("logsBloom", 256),
    ("gasUsed", 1),
];

/// The header fields that a file leaves out or gives as null, though alloy's type
/// has a value there.
#[derive(Debug, Default)]
pub(super) struct Absent(Vec<&'static str>);

impl Absent {
    /// Whether the file leaves out this field.
    pub(super) fn contains(&self, field: &str) -> bool {
        self.0.contains(&field)
    }

    /// A field's value, unless the file leaves it out.
    pub(super) fn unless<T>(&self, field: &str, value: T) -> Option<T> {
        (!self.contains(field)).then_some(value)
    }
}

/// A block as its file states it.
#[derive(Debug)]
pub(super) struct StatedBlock {
    /// Header, transactions, withdrawals, hashes of ommers.
    pub(super) rpc: RpcBlock,
    /// What of the header is not stated; it is zero in `rpc`.
    pub(super) absent: Absent,
    /// The block's own `chainId` field, which is not part of the RPC's answer.
    pub(super) chain_id: Option<u64>,
}

/// Parses `block.json`.
pub(super) fn parse_block_json(file: &SourceFile) -> Result<StatedBlock, InputError> {
    let document = json::parse_document(file, BLOCK_VALUES_MAX)?;
    let mut fields = match json::unwrap_answer(&file.path, document)? {
        Value::Object(fields) => fields,
        other => return Err(field_error(&file.path, ".", "a block object", Some(&other))),
    };
    let chain_id = fields.get("chainId").map(|value| chain_id(file, value)).transpose()?;
    refuse_missing_transactions(file, &fields)?;
    refuse_foreign_types(&fields, chain_id)?;
    let absent = fill_absent(&mut fields);
    let rpc =
        RpcBlock::deserialize(&fields).map_err(|error| explain(&file.path, &fields, &error))?;
    Ok(StatedBlock { rpc, absent, chain_id })
}

/// Puts zeros where the block leaves out what it may leave out.
fn fill_absent(fields: &mut Map<String, Value>) -> Absent {
    let is_absent = |fields: &Map<String, Value>, name| fields.get(name).is_none_or(Value::is_null);
    let has_run = !is_absent(fields, "hash");
    let mut absent = Absent::default();
    let results = if has_run { &[] } else { &RESULTS[..] };
    for &(name, bytes) in DISPENSABLE.iter().chain(results) {
        if is_absent(fields, name) {
            absent.0.push(name);
            fields.insert(name.to_owned(), format!("0x{}", "00".repeat(bytes)).into());
        }
    }
    // As some servers write an empty list.
    if is_absent(fields, "uncles") {
        fields.remove("uncles");
    }
    absent
}

/// Why alloy's types refuse the block: the field, if it can be found.
fn explain(path: &Path, fields: &Map<String, Value>, error: &serde_json::Error) -> InputError {
    let because = |error: &serde_json::Error| {
        format!("what the RPC gives ({})", shorten(&without_type_names(&error.to_string())))
    };
    if let Some(error) = find_wrong_field(path, fields) {
        return error;
    }
    if let Some((field, found, error)) = first_refused_transaction(fields) {
        return field_error(path, field, because(&error), Some(found));
    }
    let found = format!("a block of {} fields", fields.len());
    let (path, field) = (path.to_owned(), ".".to_owned());
    InputError::Field { path, field, expected: because(error), found }
}

/// The block must say what is in it; it may have been asked for with hashes alone.
fn refuse_missing_transactions(
    file: &SourceFile,
    fields: &Map<String, Value>,
) -> Result<(), InputError> {
    let stated = fields.get("transactions");
    let Some(Value::Array(list)) = stated else {
        let expected = "an array of transactions, as eth_getBlockByNumber(n, true) gives it";
        return Err(field_error(&file.path, "transactions", expected, stated));
    };
    match list.first() {
        None | Some(Value::Object(_)) => Ok(()),
        Some(first) => {
            let expected = "a transaction object, as eth_getBlockByNumber(n, true) gives it";
            Err(field_error(&file.path, "transactions[0]", expected, Some(first)))
        }
    }
}

/// Refuses the first transaction whose type is not Ethereum's.
fn refuse_foreign_types(
    fields: &Map<String, Value>,
    chain_id: Option<u64>,
) -> Result<(), InputError> {
    let transactions = fields.get("transactions").and_then(Value::as_array);
    let transactions = || transactions.into_iter().flatten();
    let number = |tx: &Value, name| tx.get(name).and_then(parse_number);
    for (position, tx) in transactions().enumerate() {
        let Some(tx_type) = number(tx, "type").filter(|&number| number > TX_TYPE_MAX) else {
            continue;
        };
        let chain_id = chain_id.or_else(|| transactions().find_map(|tx| number(tx, "chainId")));
        return Err(InputError::UnsupportedTransaction {
            index: TxIndex::new(position),
            hash: shorten(tx.get("hash").and_then(Value::as_str).unwrap_or("no hash")),
            tx_type: format!("{tx_type:#x}"),
            meaning: foreign::meaning(tx_type, chain_id),
        });
    }
    Ok(())
}

/// A chain id, as a number or as a quantity.
fn chain_id(file: &SourceFile, value: &Value) -> Result<u64, InputError> {
    parse_number(value)
        .ok_or_else(|| field_error(&file.path, "chainId", "a number or a quantity", Some(value)))
}

/// A number, or a quantity.
fn parse_number(value: &Value) -> Option<u64> {
    let quantity = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    value.as_u64().or_else(|| value.as_str().and_then(quantity))
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
