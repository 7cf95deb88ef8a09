//! `txs.json` and `txs.rlp` to signed transactions with their signers.
//!
//! What is no transaction at all is an error of the file. What is one but belongs
//! in no block, for a signature that the fork does not know or a value that does
//! not fit, is refused alone, with the reason.

use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip4844Variant, TxEip7702, TxEnvelope,
    TxLegacy, TypedTransaction,
};
use alloy_eips::{
    eip2718::Decodable2718,
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy_rlp::Header;
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};
use serde_json::{Map, Value};

use super::{
    TransitionRules,
    fields::{Fields, Problem},
};
use crate::{
    conformance::import::{has_sidecar, signer},
    input::{
        InputError, SourceFile,
        json::{field_error, parse_document, shorten},
        limits::BLOCK_VALUES_MAX,
    },
};

/// A transaction and who signed it, or why it belongs in no block.
pub(super) type Candidate = Result<(TxEnvelope, Address), String>;

/// Parses an array of transaction objects, or the RLP of a list of transactions.
pub(super) fn parse(
    file: &SourceFile,
    rules: &TransitionRules,
) -> Result<Vec<Candidate>, InputError> {
    let document = parse_document(file, BLOCK_VALUES_MAX)?;
    match document {
        Value::Array(items) => {
            // Who signed takes the time; the first error is the one to report.
            let items = items.par_iter().enumerate();
            let parsed = items.map(|(position, item)| parse_object(file, position, item, rules));
            parsed.collect::<Vec<_>>().into_iter().collect()
        }
        Value::String(hex) => parse_rlp(file, &hex, rules),
        other => {
            let expected = "an array of transactions, or the RLP of their list in hex";
            Err(field_error(&file.path, ".", expected, Some(&other)))
        }
    }
}

fn parse_object(
    file: &SourceFile,
    position: usize,
    item: &Value,
    rules: &TransitionRules,
) -> Result<Candidate, InputError> {
    let wrong =
        |expected: String| field_error(&file.path, format!("[{position}]"), expected, Some(item));
    let Value::Object(fields) = item else { return Err(wrong("a transaction object".into())) };
    match one(fields, rules) {
        Ok(signed) => Ok(Ok(signed)),
        Err(Problem::Refused(why)) => Ok(Err(why)),
        Err(Problem::Malformed(why)) => Err(wrong(format!("a transaction ({why})"))),
    }
}

fn one(
    fields: &Map<String, Value>,
    rules: &TransitionRules,
) -> Result<(TxEnvelope, Address), Problem> {
    let fields = Fields(fields);
    let tx = unsigned(fields, rules)?;
    let [r, s] = [fields.number(&["r"])?, fields.number(&["s"])?];
    let is_unsigned = [r, s].iter().all(|part| part.is_none_or(|part| part.is_zero()));
    if is_unsigned && let Some(key) = fields.value::<Option<B256>>(&["secretKey"])? {
        return sign(fields, tx, key, rules);
    }
    let (Some(r), Some(s)) = (r, s) else {
        return Err(Problem::Malformed("neither a signature nor a secretKey".into()));
    };
    let (tx, is_odd) = match tx {
        TypedTransaction::Legacy(tx) => with_chain(tx, fields.uint(&["v"])?)?,
        tx => (tx, parity(fields)?),
    };
    let envelope = TxEnvelope::from(tx.into_signed(Signature::new(r, s, is_odd)));
    let signer = signed_by(&envelope, rules.fork).map_err(Problem::Refused)?;
    Ok((envelope, signer))
}

fn signed_by(envelope: &TxEnvelope, fork: EthereumHardfork) -> Result<Address, String> {
    signer(envelope, fork).ok_or_else(|| format!("its signature is not valid in {fork}"))
}

/// Fields that do not go with a transaction of each type: it would be another
/// without them.
const FOREIGN: [&[&str]; 5] = [
    &["accessList", "maxFeePerGas", "maxFeePerBlobGas", "blobVersionedHashes", "authorizationList"],
    &["maxFeePerGas", "maxFeePerBlobGas", "blobVersionedHashes", "authorizationList"],
    &["maxFeePerBlobGas", "blobVersionedHashes", "authorizationList"],
    &["authorizationList"],
    &["maxFeePerBlobGas", "blobVersionedHashes"],
];

/// The transaction that is signed. Blobs themselves are no part of one.
fn unsigned(fields: Fields<'_>, rules: &TransitionRules) -> Result<TypedTransaction, Problem> {
    let tx_type = match fields.number(&["type"])? {
        Some(stated) => usize::try_from(stated).unwrap_or(usize::MAX),
        None => type_by_fields(fields),
    };
    let Some(foreign) = FOREIGN.get(tx_type) else {
        return Err(Problem::Refused(format!("no transaction has type {tx_type}")));
    };
    if let Some(name) = foreign.iter().find(|name| fields.states(name)) {
        let why = format!("`{name}` does not go with type {tx_type}");
        return Err(Problem::Malformed(why));
    }
    match tx_type {
        0 => legacy(fields).map(TypedTransaction::Legacy),
        1 => access_list(fields, rules).map(TypedTransaction::Eip2930),
        2 => dynamic_fee(fields, rules).map(TypedTransaction::Eip1559),
        3 => {
            let tx = blob(fields, rules)?;
            Ok(TypedTransaction::Eip4844(TxEip4844Variant::TxEip4844(tx)))
        }
        _ => set_code(fields, rules).map(TypedTransaction::Eip7702),
    }
}

/// The type of a transaction that does not state it.
fn type_by_fields(fields: Fields<'_>) -> usize {
    let by_field: [(&[&str], usize); 4] = [
        (&["authorizationList"], 4),
        (&["maxFeePerBlobGas", "blobVersionedHashes"], 3),
        (&["maxFeePerGas", "maxPriorityFeePerGas"], 2),
        (&["accessList"], 1),
    ];
    let known = by_field.iter().find(|(names, _)| fields.get(names).is_some());
    known.map_or(0, |(_, tx_type)| *tx_type)
}

fn legacy(fields: Fields<'_>) -> Result<TxLegacy, Problem> {
    Ok(TxLegacy {
        chain_id: None,
        nonce: fields.uint(&["nonce"])?,
        gas_price: fields.uint(&["gasPrice"])?,
        gas_limit: fields.uint(GAS)?,
        to: to(fields)?,
        value: fields.uint_or(&["value"], U256::ZERO)?,
        input: fields.input()?,
    })
}

fn access_list(fields: Fields<'_>, rules: &TransitionRules) -> Result<TxEip2930, Problem> {
    Ok(TxEip2930 {
        chain_id: fields.uint_or(&["chainId"], rules.chain_id)?,
        nonce: fields.uint(&["nonce"])?,
        gas_price: fields.uint(&["gasPrice"])?,
        gas_limit: fields.uint(GAS)?,
        to: to(fields)?,
        value: fields.uint_or(&["value"], U256::ZERO)?,
        access_list: fields.value(&["accessList"])?,
        input: fields.input()?,
    })
}

fn dynamic_fee(fields: Fields<'_>, rules: &TransitionRules) -> Result<TxEip1559, Problem> {
    Ok(TxEip1559 {
        chain_id: fields.uint_or(&["chainId"], rules.chain_id)?,
        nonce: fields.uint(&["nonce"])?,
        gas_limit: fields.uint(GAS)?,
        max_fee_per_gas: fields.uint(&["maxFeePerGas"])?,
        max_priority_fee_per_gas: fields.uint(&["maxPriorityFeePerGas"])?,
        to: to(fields)?,
        value: fields.uint_or(&["value"], U256::ZERO)?,
        access_list: fields.value(&["accessList"])?,
        input: fields.input()?,
    })
}

fn blob(fields: Fields<'_>, rules: &TransitionRules) -> Result<TxEip4844, Problem> {
    Ok(TxEip4844 {
        chain_id: fields.uint_or(&["chainId"], rules.chain_id)?,
        nonce: fields.uint(&["nonce"])?,
        gas_limit: fields.uint(GAS)?,
        max_fee_per_gas: fields.uint(&["maxFeePerGas"])?,
        max_priority_fee_per_gas: fields.uint(&["maxPriorityFeePerGas"])?,
        to: called(fields, "a blob transaction cannot create a contract (EIP-4844)")?,
        value: fields.uint_or(&["value"], U256::ZERO)?,
        access_list: fields.value(&["accessList"])?,
        blob_versioned_hashes: fields.value(&["blobVersionedHashes"])?,
        max_fee_per_blob_gas: fields.uint(&["maxFeePerBlobGas"])?,
        input: fields.input()?,
    })
}

fn set_code(fields: Fields<'_>, rules: &TransitionRules) -> Result<TxEip7702, Problem> {
    let authorizations: Vec<Map<String, Value>> = fields.value(&["authorizationList"])?;
    let authorizations = authorizations.iter().map(|fields| authorization(Fields(fields)));
    Ok(TxEip7702 {
        chain_id: fields.uint_or(&["chainId"], rules.chain_id)?,
        nonce: fields.uint(&["nonce"])?,
        gas_limit: fields.uint(GAS)?,
        max_fee_per_gas: fields.uint(&["maxFeePerGas"])?,
        max_priority_fee_per_gas: fields.uint(&["maxPriorityFeePerGas"])?,
        to: called(fields, "a set-code transaction cannot create a contract (EIP-7702)")?,
        value: fields.uint_or(&["value"], U256::ZERO)?,
        access_list: fields.value(&["accessList"])?,
        authorization_list: authorizations.collect::<Result<_, _>>()?,
        input: fields.input()?,
    })
}

/// An authorization, which need not be a valid one (EIP-7702).
fn authorization(fields: Fields<'_>) -> Result<SignedAuthorization, Problem> {
    let missing = || Problem::Malformed("an authorization needs an `address`".into());
    let authorization = Authorization {
        chain_id: fields.uint(&["chainId"])?,
        address: fields.value::<Option<Address>>(&["address"])?.ok_or_else(missing)?,
        nonce: fields.uint(&["nonce"])?,
    };
    let is_odd: u8 = fields.uint(PARITY)?;
    let [r, s] = [fields.uint(&["r"])?, fields.uint(&["s"])?];
    Ok(SignedAuthorization::new_unchecked(authorization, is_odd, r, s))
}

/// The gas limit, by the names that JSON-RPC and the tests give it.
const GAS: &[&str] = &["gas", "gasLimit"];

/// The parity of a signature, by the names of JSON-RPC and of the tests.
const PARITY: &[&str] = &["yParity", "y_parity", "v"];

/// Who is called; a creation has no recipient, or an empty one.
fn to(fields: Fields<'_>) -> Result<TxKind, Problem> {
    match fields.get(&["to"]) {
        None => Ok(TxKind::Create),
        Some((_, Value::String(to))) if matches!(to.as_str(), "" | "0x") => Ok(TxKind::Create),
        Some(_) => fields.value::<Address>(&["to"]).map(TxKind::Call),
    }
}

/// Who is called by a transaction that cannot create.
fn called(fields: Fields<'_>, why: &str) -> Result<Address, Problem> {
    match to(fields)? {
        TxKind::Call(to) => Ok(to),
        TxKind::Create => Err(Problem::Refused(why.to_owned())),
    }
}

/// Signs with a key; a legacy transaction names the chain since EIP-155, unless it
/// says that it is not `protected`.
fn sign(
    fields: Fields<'_>,
    mut tx: TypedTransaction,
    key: B256,
    rules: &TransitionRules,
) -> Result<(TxEnvelope, Address), Problem> {
    if let TypedTransaction::Legacy(tx) = &mut tx {
        let is_protected = fields.value::<Option<bool>>(&["protected"])?.unwrap_or(true)
            && rules.fork >= EthereumHardfork::SpuriousDragon;
        tx.chain_id = is_protected.then_some(rules.chain_id);
    }
    let wrong_key = |error: &dyn core::fmt::Display| Problem::Malformed(error.to_string());
    let key = PrivateKeySigner::from_bytes(&key).map_err(|error| wrong_key(&error))?;
    let signed = key.sign_hash_sync(&tx.signature_hash()).map_err(|error| wrong_key(&error))?;
    Ok((TxEnvelope::from(tx.into_signed(signed)), key.address()))
}

/// A legacy transaction with the chain and the parity that `v` states: 27 or 28, or
/// 35 or 36 and twice the chain id (EIP-155).
fn with_chain(mut tx: TxLegacy, v: U256) -> Result<(TypedTransaction, bool), Problem> {
    let refused = || {
        let why = format!("the `v` of its signature is {v}, neither 27 or 28 nor of a chain");
        Problem::Refused(why)
    };
    let plain = U256::from(27);
    if v == plain || v == plain + U256::ONE {
        return Ok((TypedTransaction::Legacy(tx), v != plain));
    }
    let beyond = v.checked_sub(U256::from(35)).ok_or_else(refused)?;
    tx.chain_id = Some(u64::try_from(beyond >> 1).map_err(|_| refused())?);
    Ok((TypedTransaction::Legacy(tx), beyond.bit(0)))
}

/// The parity of the signature of a typed transaction: 0 or 1.
fn parity(fields: Fields<'_>) -> Result<bool, Problem> {
    let stated: U256 = fields.uint(PARITY)?;
    let v = fields.number(&["v"])?;
    if v.is_some_and(|v| v != stated) {
        return Err(Problem::Refused("the `v` and `yParity` of its signature differ".into()));
    }
    match u8::try_from(stated) {
        Ok(parity @ (0 | 1)) => Ok(parity == 1),
        _ => Err(Problem::Refused(format!("the parity of its signature is {stated}, not 0 or 1"))),
    }
}

/// Parses the RLP of a list of transactions.
fn parse_rlp(
    file: &SourceFile,
    hex: &str,
    rules: &TransitionRules,
) -> Result<Vec<Candidate>, InputError> {
    let wrong = |why: String| field_error(&file.path, ".", shorten(&why), None);
    let not_a_list = |error: &dyn core::fmt::Display| {
        wrong(format!("the RLP of a list of transactions ({error})"))
    };
    let bytes: Bytes = hex.parse().map_err(|error| not_a_list(&error))?;
    let mut rlp = &bytes[..];
    let mut items = Header::decode_bytes(&mut rlp, true).map_err(|error| not_a_list(&error))?;
    if !rlp.is_empty() {
        return Err(wrong("nothing after the RLP of the list".into()));
    }
    let mut encoded = Vec::new();
    while !items.is_empty() {
        encoded.push(next_item(&mut items).map_err(|error| not_a_list(&error))?);
    }
    Ok(encoded.par_iter().map(|item| decode(item, rules.fork)).collect())
}

/// The bytes of the next transaction: a list, or what a string holds.
fn next_item<'a>(items: &mut &'a [u8]) -> alloy_rlp::Result<&'a [u8]> {
    let whole = *items;
    let header = Header::decode(items)?;
    let payload =
        items.split_off(..header.payload_length).ok_or(alloy_rlp::Error::InputTooShort)?;
    let length = whole.len() - items.len();
    Ok(if header.list { &whole[..length] } else { payload })
}

/// A transaction as it is in a block: without its blobs, and nothing after it.
fn decode(bytes: &[u8], fork: EthereumHardfork) -> Candidate {
    let mut rest = bytes;
    let envelope = TxEnvelope::decode_2718(&mut rest)
        .map_err(|error| format!("it is not the encoding of a transaction: {error}"))?;
    if has_sidecar(&envelope) {
        return Err("it carries its blobs, which a block does not hold (EIP-4844)".into());
    }
    if !rest.is_empty() {
        return Err("bytes follow its encoding".into());
    }
    let signer = signed_by(&envelope, fork)?;
    Ok((envelope, signer))
}
