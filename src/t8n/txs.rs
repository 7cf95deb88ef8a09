//! `txs.json` and `txs.rlp` to signed transactions with their signers.

use alloy_consensus::{SignableTransaction, TxEnvelope, TypedTransaction};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, Signature, U256};
use alloy_rlp::Decodable;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use forewave_analyzer::TxIndex;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    conformance::import::signer,
    input::{
        InputError, SourceFile,
        json::{self, field_error, parse_document, shorten},
        limits::BLOCK_VALUES_MAX,
    },
};

/// A transaction and who signed it.
type Signed = (TxEnvelope, Address);

/// The fields around a transaction's own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatedSignature {
    secret_key: Option<B256>,
    /// Whether a transaction that is yet to be signed names its chain (EIP-155).
    protected: Option<bool>,
    v: Option<U256>,
    y_parity: Option<U256>,
    r: Option<U256>,
    s: Option<U256>,
}

/// Parses an array of transaction objects.
pub(super) fn parse_json(
    file: &SourceFile,
    fork: EthereumHardfork,
    chain_id: u64,
) -> Result<Vec<Signed>, InputError> {
    let document = parse_document(file, BLOCK_VALUES_MAX)?;
    let Value::Array(items) = document else {
        return Err(field_error(&file.path, ".", "an array of transactions", Some(&document)));
    };
    let items = items.into_iter().enumerate();
    items
        .map(|(position, item)| {
            let wrong = |expected: String, found: &Value| {
                field_error(&file.path, format!("[{position}]"), expected, Some(found))
            };
            let Value::Object(fields) = item else {
                return Err(wrong("a transaction object".into(), &item));
            };
            let fields = Value::Object(in_rpc_form(fields));
            let tx = one(&fields, fork, chain_id);
            tx.map_err(|why| wrong(format!("a transaction ({})", shorten(&why)), &fields))
        })
        .collect()
}

/// Other names and forms that fillers use, as JSON-RPC has them.
fn in_rpc_form(mut fields: Map<String, Value>) -> Map<String, Value> {
    if let Some(gas) = fields.remove("gasLimit") {
        fields.entry("gas").or_insert(gas);
    }
    if let Some(data) = fields.remove("data") {
        fields.entry("input").or_insert(data);
    }
    // A creation.
    if fields.get("to").is_some_and(|to| to == "") {
        fields.remove("to");
    }
    fields
}

fn one(fields: &Value, fork: EthereumHardfork, chain_id: u64) -> Result<Signed, String> {
    let text = |error: serde_json::Error| error.to_string();
    let signature = StatedSignature::deserialize(fields).map_err(text)?;
    let mut request = TransactionRequest::deserialize(fields).map_err(text)?;
    request.from = None;
    if request.to.is_none() {
        request.to = Some(alloy_primitives::TxKind::Create);
    }
    match request.transaction_type.unwrap_or_default() {
        // A legacy transaction names its chain by its signature, if at all.
        0 => request.access_list = None,
        tx_type => {
            request.chain_id.get_or_insert(chain_id);
            // JSON-RPC states the price that was paid beside what was offered.
            request.gas_price = request.gas_price.filter(|_| tx_type == 1);
        }
    }
    let [r, s] = [signature.r, signature.s].map(Option::unwrap_or_default);
    let is_unsigned = r.is_zero() && s.is_zero();
    let v = signature.v.or(signature.y_parity).unwrap_or_default();
    let mut tx = unsigned(request)?;
    if let TypedTransaction::Legacy(tx) = &mut tx {
        let is_protected = signature.protected != Some(false);
        tx.chain_id = if is_unsigned { is_protected.then_some(chain_id) } else { chain_of(v) };
    }
    let envelope = if is_unsigned {
        let key = signature.secret_key.ok_or("neither a signature nor a secretKey")?;
        let key = PrivateKeySigner::from_bytes(&key).map_err(|error| error.to_string())?;
        let signed = key.sign_hash_sync(&tx.signature_hash()).map_err(|error| error.to_string())?;
        TxEnvelope::from(tx.into_signed(signed))
    } else {
        TxEnvelope::from(tx.into_signed(Signature::new(r, s, is_odd(v))))
    };
    let signer = signer(&envelope, fork).ok_or("its signature is invalid")?;
    Ok((envelope, signer))
}

/// The transaction that is signed. Blobs themselves are no part of one.
fn unsigned(request: TransactionRequest) -> Result<TypedTransaction, String> {
    let incomplete = |request: TransactionRequest| match request.missing_keys() {
        Ok(_) => "its fields fit no transaction type".to_owned(),
        Err((tx_type, missing)) => format!("type {tx_type} needs {}", missing.join(", ")),
    };
    if request.blob_versioned_hashes.is_none() {
        return request.build_typed_tx().map_err(incomplete);
    }
    let tx = request.build_4844_without_sidecar().map_err(|error| error.to_string())?;
    Ok(TypedTransaction::Eip4844(tx.into()))
}

/// The parity that `v` states: itself, or with 27 or the chain's id in it (EIP-155).
fn is_odd(v: U256) -> bool {
    if v <= U256::ONE { v.bit(0) } else { !v.bit(0) }
}

/// The chain that a legacy transaction's `v` names (EIP-155).
fn chain_of(v: U256) -> Option<u64> {
    let beyond = v.checked_sub(U256::from(35))?;
    u64::try_from(beyond >> 1).ok()
}

/// Parses the RLP of a list of transactions.
pub(super) fn parse_rlp(
    file: &SourceFile,
    fork: EthereumHardfork,
) -> Result<Vec<Signed>, InputError> {
    let bytes: Bytes = json::parse(file)?;
    let wrong = |why: String| field_error(&file.path, ".", shorten(&why), None);
    let mut rlp = &bytes[..];
    let envelopes = Vec::<TxEnvelope>::decode(&mut rlp)
        .map_err(|error| wrong(format!("the RLP of a list of transactions ({error})")))?;
    if !rlp.is_empty() {
        return Err(wrong("nothing after the RLP of the list".into()));
    }
    let signed = envelopes.into_iter().enumerate().map(|(position, envelope)| {
        let tx = TxIndex::new(position);
        let signer = signer(&envelope, fork);
        let signer = signer.ok_or_else(|| wrong(format!("a valid signature of {tx}")))?;
        Ok((envelope, signer))
    });
    signed.collect()
}
