//! Finds which field of a block is missing or wrong, once alloy's types have
//! refused it. Their own errors lose the field's name where they flatten one
//! structure into another; these tables restate what `eth_getBlockByNumber`
//! promises (execution-apis, `schemas/block.yaml` and `transaction.yaml`).

use std::path::Path;

use alloy_primitives::U256;
use serde_json::{Map, Value};

use super::{InputError, json::field_error};

/// What a JSON-RPC value looks like.
#[derive(Clone, Copy)]
enum Shape {
    /// `"0x"` and up to this many bits in hex digits; as a number or in decimal, too.
    Quantity(usize),
    /// `"0x"` and exactly this many bytes.
    Fixed(usize),
    /// `"0x"` and any number of bytes.
    Bytes,
    /// An array.
    Array,
}

/// Whether a field may be absent or null.
#[derive(Clone, Copy, PartialEq)]
enum Presence {
    Required,
    Optional,
}

use Presence::{Optional, Required};
use Shape::{Array, Bytes, Fixed, Quantity};

type Field = (&'static str, Shape, Presence);

const HEADER: &[Field] = &[
    ("number", Quantity(64), Required),
    ("hash", Fixed(32), Required),
    ("parentHash", Fixed(32), Required),
    ("sha3Uncles", Fixed(32), Required),
    ("miner", Fixed(20), Required),
    ("stateRoot", Fixed(32), Required),
    ("transactionsRoot", Fixed(32), Required),
    ("receiptsRoot", Fixed(32), Required),
    ("logsBloom", Fixed(256), Required),
    ("difficulty", Quantity(256), Required),
    ("gasLimit", Quantity(64), Required),
    ("gasUsed", Quantity(64), Required),
    ("timestamp", Quantity(64), Required),
    ("extraData", Bytes, Required),
    ("mixHash", Fixed(32), Optional),
    ("nonce", Fixed(8), Optional),
    ("baseFeePerGas", Quantity(64), Optional),
    ("withdrawalsRoot", Fixed(32), Optional),
    ("blobGasUsed", Quantity(64), Optional),
    ("excessBlobGas", Quantity(64), Optional),
    ("parentBeaconBlockRoot", Fixed(32), Optional),
    ("requestsHash", Fixed(32), Optional),
    ("totalDifficulty", Quantity(256), Optional),
    ("size", Quantity(256), Optional),
    ("uncles", Array, Optional),
    ("transactions", Array, Required),
    ("withdrawals", Array, Optional),
];

const TRANSACTION: &[Field] = &[
    ("hash", Fixed(32), Required),
    ("from", Fixed(20), Required),
    ("to", Fixed(20), Optional),
    ("nonce", Quantity(64), Required),
    ("gas", Quantity(64), Required),
    ("value", Quantity(256), Required),
    ("input", Bytes, Required),
    ("r", Quantity(256), Required),
    ("s", Quantity(256), Required),
    ("v", Quantity(128), Optional),
    ("yParity", Quantity(64), Optional),
    ("type", Quantity(8), Optional),
    ("chainId", Quantity(64), Optional),
    ("gasPrice", Quantity(256), Optional),
    ("maxFeePerGas", Quantity(128), Optional),
    ("maxPriorityFeePerGas", Quantity(128), Optional),
    ("maxFeePerBlobGas", Quantity(128), Optional),
    ("accessList", Array, Optional),
    ("blobVersionedHashes", Array, Optional),
    ("authorizationList", Array, Optional),
];

const ACCESS: &[Field] = &[("address", Fixed(20), Required), ("storageKeys", Array, Required)];

const AUTHORIZATION: &[Field] = &[
    ("chainId", Quantity(256), Required),
    ("address", Fixed(20), Required),
    ("nonce", Quantity(64), Required),
    ("yParity", Quantity(8), Required),
    ("r", Quantity(256), Required),
    ("s", Quantity(256), Required),
];

const WITHDRAWAL: &[Field] = &[
    ("index", Quantity(64), Required),
    ("validatorIndex", Quantity(64), Required),
    ("address", Fixed(20), Required),
    ("amount", Quantity(64), Required),
];

/// The fields that a transaction type needs beyond [`TRANSACTION`].
fn required_by_type(tx_type: &str) -> &'static [&'static str] {
    match tx_type {
        "0x0" => &["gasPrice", "v"],
        "0x1" => &["chainId", "gasPrice", "accessList"],
        "0x2" => &["chainId", "maxFeePerGas", "maxPriorityFeePerGas", "accessList"],
        "0x3" => &[
            "chainId",
            "maxFeePerGas",
            "maxPriorityFeePerGas",
            "maxFeePerBlobGas",
            "accessList",
            "blobVersionedHashes",
        ],
        "0x4" => {
            &["chainId", "maxFeePerGas", "maxPriorityFeePerGas", "accessList", "authorizationList"]
        }
        _ => &[],
    }
}

/// The first field of the block that is missing or wrong.
pub(super) fn find_wrong_field(path: &Path, block: &Map<String, Value>) -> Option<InputError> {
    check(path, "", block, HEADER)
        .or_else(|| check_items(path, "", block, "transactions", check_transaction))
        .or_else(|| check_entries(path, "", block, "withdrawals", WITHDRAWAL))
}

/// What is wrong with one transaction.
fn check_transaction(path: &Path, prefix: &str, tx: &Map<String, Value>) -> Option<InputError> {
    let tx_type = tx.get("type").and_then(Value::as_str).unwrap_or("0x0");
    let missing = required_by_type(tx_type).iter().find(|name| is_absent(tx.get(**name)));
    check(path, prefix, tx, TRANSACTION)
        .or_else(|| {
            let expected = format!("a value, as every transaction of type {tx_type} has");
            missing.map(|name| field_error(path, format!("{prefix}{name}"), expected, None))
        })
        .or_else(|| check_entries(path, prefix, tx, "accessList", ACCESS))
        .or_else(|| check_entries(path, prefix, tx, "authorizationList", AUTHORIZATION))
}

/// Checks every object of the array `name` in `object`.
fn check_items(
    path: &Path,
    prefix: &str,
    object: &Map<String, Value>,
    name: &str,
    check_item: impl Fn(&Path, &str, &Map<String, Value>) -> Option<InputError>,
) -> Option<InputError> {
    let items = object.get(name).and_then(Value::as_array)?;
    items.iter().enumerate().find_map(|(position, item)| match item {
        Value::Object(fields) => check_item(path, &format!("{prefix}{name}[{position}]."), fields),
        _ => {
            Some(field_error(path, format!("{prefix}{name}[{position}]"), "an object", Some(item)))
        }
    })
}

/// Checks an array of objects that all have these fields.
fn check_entries(
    path: &Path,
    prefix: &str,
    object: &Map<String, Value>,
    name: &str,
    expected: &[Field],
) -> Option<InputError> {
    check_items(path, prefix, object, name, |path, prefix, item| {
        check(path, prefix, item, expected)
    })
}

/// Checks the fields of one object.
fn check(
    path: &Path,
    prefix: &str,
    fields: &Map<String, Value>,
    expected: &[Field],
) -> Option<InputError> {
    expected.iter().find_map(|&(name, shape, presence)| {
        let value = fields.get(name);
        let fits = match value {
            Some(value) if !value.is_null() => has_shape(value, shape),
            _ => presence == Optional,
        };
        (!fits).then(|| field_error(path, format!("{prefix}{name}"), describe(shape), value))
    })
}

fn is_absent(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}

fn has_shape(value: &Value, shape: Shape) -> bool {
    match shape {
        Array => return value.is_array(),
        Quantity(bits) if !is_hex(value) => return fits(value, bits),
        _ => {}
    }
    let Some(digits) = value.as_str().and_then(|text| text.strip_prefix("0x")) else {
        return false;
    };
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return false;
    }
    match shape {
        Quantity(bits) => !digits.is_empty() && digits.trim_start_matches('0').len() * 4 <= bits,
        Fixed(bytes) => digits.len() == 2 * bytes,
        Bytes => digits.len().is_multiple_of(2),
        Array => false,
    }
}

fn is_hex(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("0x"))
}

/// Whether a JSON number, or a string of decimal digits, has at most this many bits.
fn fits(value: &Value, bits: usize) -> bool {
    let number = match value {
        Value::Number(number) => number.as_u64().map(U256::from),
        Value::String(digits) if !digits.is_empty() => U256::from_str_radix(digits, 10).ok(),
        _ => None,
    };
    number.is_some_and(|number| number.bit_len() <= bits)
}

fn describe(shape: Shape) -> String {
    match shape {
        Quantity(bits) => format!("a quantity of at most {bits} bits, \"0x\" and hex digits"),
        Fixed(bytes) => format!("{bytes} bytes, \"0x\" and {} hex digits", 2 * bytes),
        Bytes => "bytes, \"0x\" and an even number of hex digits".to_owned(),
        Array => "an array".to_owned(),
    }
}
