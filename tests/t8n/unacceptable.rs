//! Transactions that belong in no block: each is rejected alone, and those around it
//! are executed.

use alloy_consensus::TxEnvelope;
use alloy_eips::eip2718::Encodable2718;
use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Bytes, U256, hex};
use alloy_rlp::Header;
use forewave::t8n::{Transition, TransitionFiles, TransitionInput};
use serde_json::{Value, json};

use super::{
    file, files,
    rules::{alloc, env, tx},
    rules_of, run,
};

/// The order of the group of secp256k1.
const ORDER: &str = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

fn typed(fields: &Value) -> Value {
    let mut tx = tx(
        1,
        &json!({
            "gasPrice": null, "maxFeePerGas": "0x3b9aca00", "maxPriorityFeePerGas": "0x0",
        }),
    );
    tx.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    tx
}

/// Runs a good transaction before and after the one that is to be rejected.
fn run_between(between: &Value, fork: Fork) -> Result<Transition, String> {
    let txs = json!([tx(0, &json!({})), between, tx(1, &json!({}))]);
    run(&files(&alloc("0x"), &env(fork), &txs), fork)
}

/// The signed form of a transaction with a key, as an object of JSON-RPC.
fn signed(stated: &Value, fork: Fork) -> Value {
    let files = files(&alloc("0x"), &env(fork), &json!([stated]));
    let input = TransitionInput::parse(&files, rules_of(fork)).unwrap();
    let envelope = input.candidates[0].as_ref().unwrap();
    let signature = envelope.signature();
    let v = match envelope {
        TxEnvelope::Legacy(tx) => match tx.tx().chain_id {
            Some(id) => 35 + 2 * id + u64::from(signature.v()),
            None => 27 + u64::from(signature.v()),
        },
        _ => u64::from(signature.v()),
    };
    let mut stated = stated.clone();
    stated.as_object_mut().unwrap().remove("secretKey");
    stated["v"] = json!(format!("{v:#x}"));
    stated["r"] = json!(signature.r());
    stated["s"] = json!(signature.s());
    stated
}

fn with(of: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut of = of.clone();
    of[name] = value.into();
    of
}

#[test]
fn what_belongs_in_no_block_is_rejected_alone() {
    let fork = Fork::Cancun;
    let legacy = signed(&tx(1, &json!({})), fork);
    let dynamic = signed(&typed(&json!({})), fork);
    let s: U256 = serde_json::from_value(legacy["s"].clone()).unwrap();
    let order: U256 = ORDER.parse().unwrap();
    let blob =
        json!({ "maxFeePerBlobGas": "0x1", "blobVersionedHashes": [format!("0x01{:062x}", 0)] });
    let past_64 = "0x10000000000000000";
    let cases = [
        (with(&legacy, "s", json!(order - s)), "signature is not valid"),
        (with(&legacy, "r", ORDER), "signature is not valid"),
        (with(&legacy, "s", "0x0"), "signature is not valid"),
        (with(&with(&legacy, "r", "0x0"), "s", "0x0"), "signature is not valid"),
        (with(&legacy, "v", "0x0"), "the `v` of its signature is 0"),
        (with(&legacy, "v", "0x1"), "the `v` of its signature is 1"),
        (with(&legacy, "v", "0x1d"), "the `v` of its signature is 29"),
        (with(&legacy, "v", past_64), "chain"),
        (with(&legacy, "v", "0x29"), "chain"),
        (with(&dynamic, "v", "0x1b"), "the parity of its signature is 27"),
        (with(&dynamic, "v", "0x2"), "the parity of its signature is 2"),
        (with(&with(&dynamic, "v", "0x0"), "yParity", "0x1"), "`v` and `yParity`"),
        (tx(1, &json!({ "nonce": past_64 })), "`nonce` is 18446744073709551616"),
        (tx(1, &json!({ "nonce": "0xffffffffffffffff" })), "nonce"),
        (tx(1, &json!({ "gas": past_64 })), "`gas` is 18446744073709551616"),
        (tx(1, &json!({ "value": format!("0x1{}", "0".repeat(64)) })), "more than 256 bits"),
        (tx(1, &json!({ "gasPrice": format!("0x1{}", "0".repeat(32)) })), "more than 128 bits"),
        (typed(&json!({ "chainId": past_64 })), "`chainId`"),
        (typed(&json!({ "chainId": "0x2" })), "chain"),
        (tx(1, &json!({ "type": "0x5" })), "no transaction has type 5"),
        (tx(1, &json!({ "type": "0x7f" })), "no transaction has type 127"),
        (with(&typed(&blob), "to", ""), "cannot create a contract (EIP-4844)"),
        (with(&typed(&blob), "to", Value::Null), "cannot create a contract (EIP-4844)"),
        (
            typed(&json!({ "authorizationList": [], "to": null })),
            "cannot create a contract (EIP-7702)",
        ),
        (typed(&json!({ "authorizationList": [] })), "7702"),
    ];
    for (between, part) in cases {
        let done = run_between(&between, fork).unwrap_or_else(|e| panic!("{between}: {e}"));
        let rejected: Vec<_> = done.rejected.iter().map(|one| one.index).collect();
        assert_eq!(rejected, [1], "{between}: {:?}", done.rejected);
        let error = done.rejected[0].error.to_lowercase();
        assert!(error.contains(&part.to_lowercase()), "{error}\n  does not say: {part}");
        assert_eq!(done.receipts.len(), 2, "{between}");
    }
}

/// Signatures by fork: what one fork accepts, another does not.
#[test]
fn a_signature_is_judged_by_the_fork() {
    let protected = signed(&tx(1, &json!({})), Fork::London);
    let plain = signed(&tx(1, &json!({ "protected": false })), Fork::London);
    let s: U256 = serde_json::from_value(plain["s"].clone()).unwrap();
    let order: U256 = ORDER.parse().unwrap();
    let v = if plain["v"] == "0x1b" { "0x1c" } else { "0x1b" };
    let high = with(&with(&plain, "s", json!(order - s)), "v", v);
    for (between, since, until) in [
        (&protected, Fork::SpuriousDragon, Fork::London),
        (&plain, Fork::Frontier, Fork::London),
        (&high, Fork::Frontier, Fork::Frontier),
    ] {
        for fork in
            [Fork::Frontier, Fork::Homestead, Fork::Tangerine, Fork::SpuriousDragon, Fork::London]
        {
            let txs = json!([tx(0, &json!({})), between]);
            let done = run(&files(&alloc("0x"), &env(fork), &txs), fork).unwrap();
            let is_accepted = fork >= since && fork <= until;
            assert_eq!(done.receipts.len(), 1 + usize::from(is_accepted), "{fork}: {between}");
        }
    }
}

/// A key signs as the fork has it, and the type follows from the fields.
#[test]
fn the_type_follows_from_the_fields_and_none_of_them_is_dropped() {
    let access_list = json!([{ "address": format!("0x{:040x}", 0xca11e), "storageKeys": [] }]);
    let delegation = json!([{ "chainId": "0x1", "address": format!("0x{:040x}", 0xca11e),
        "nonce": "0x0", "v": "0x0", "yParity": "0x0", "r": "0x1", "s": "0x1" }]);
    let blob =
        json!({ "maxFeePerBlobGas": "0x1", "blobVersionedHashes": [format!("0x01{:062x}", 0)] });
    let cases = [
        (tx(0, &json!({})), 0),
        (tx(0, &json!({ "accessList": access_list })), 1),
        (with(&typed(&json!({})), "nonce", "0x0"), 2),
        (with(&typed(&blob), "nonce", "0x0"), 3),
        (with(&typed(&json!({ "authorizationList": delegation })), "nonce", "0x0"), 4),
    ];
    for (stated, tx_type) in cases {
        let fork = Fork::Prague;
        let files = files(&alloc("0x"), &env(fork), &json!([stated]));
        let input = TransitionInput::parse(&files, rules_of(fork)).unwrap();
        assert_eq!(input.block.transactions[0].tx_type, tx_type, "{stated}");
    }
    let foreign = tx(0, &json!({ "type": "0x0", "accessList": access_list }));
    let error = run_between(&foreign, Fork::London).unwrap_err();
    assert!(error.contains("`accessList` does not go with type 0"), "{error}");
}

/// The RLP of a list, one item of which belongs in no block.
#[test]
fn an_item_of_the_rlp_that_belongs_in_no_block_is_rejected_alone() {
    let fork = Fork::Cancun;
    let good = |nonce| {
        let files = files(&alloc("0x"), &env(fork), &json!([tx(nonce, &json!({}))]));
        let input = TransitionInput::parse(&files, rules_of(fork)).unwrap();
        input.candidates[0].as_ref().unwrap().encoded_2718()
    };
    let dynamic = typed(&json!({}));
    let dynamic = files(&alloc("0x"), &env(fork), &json!([dynamic]));
    let dynamic = TransitionInput::parse(&dynamic, rules_of(fork)).unwrap();
    let typed_item = dynamic.candidates[0].as_ref().unwrap().encoded_2718();
    let string = |payload: &[u8]| alloy_rlp::encode(Bytes::copy_from_slice(payload));
    // The same with a `v` of 0 or 1 where 27 or 28 belongs.
    let plain = files(&alloc("0x"), &env(fork), &json!([tx(1, &json!({ "protected": false }))]));
    let plain = TransitionInput::parse(&plain, rules_of(fork)).unwrap();
    let mut lenient = plain.candidates[0].as_ref().unwrap().encoded_2718();
    let at = lenient.len() - 67;
    assert!(matches!(lenient[at], 27 | 28), "{}", hex::encode(&lenient));
    lenient[at] = if lenient[at] == 27 { 0x80 } else { 1 };
    let followed = [&typed_item[..], &[0][..]].concat();
    for (bad, part) in [
        (string(&[5, 0xc0]), "not the encoding of a transaction"),
        (string(&[2, 0xc1]), "not the encoding of a transaction"),
        (string(&[]), "not the encoding of a transaction"),
        (vec![0xc0], "not the encoding of a transaction"),
        (lenient, "not the encoding of a transaction"),
        (string(&followed), "bytes follow its encoding"),
    ] {
        let items = [good(0), bad, good(1)].concat();
        let mut rlp = Vec::new();
        Header { list: true, payload_length: items.len() }.encode(&mut rlp);
        rlp.extend(items);
        let txs = file("txs.rlp", &json!(hex::encode_prefixed(rlp)));
        let files = TransitionFiles { txs, ..files(&alloc("0x"), &env(fork), &json!([])) };
        let done = run(&files, fork).unwrap();
        assert_eq!(done.rejected.len(), 1, "{:?}", done.rejected);
        assert_eq!(done.rejected[0].index, 1);
        assert!(done.rejected[0].error.contains(part), "{}", done.rejected[0].error);
        assert_eq!(done.receipts.len(), 2);
    }
}
