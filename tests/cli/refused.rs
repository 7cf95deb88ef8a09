//! What is said about input that is wrong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{Copied, check_refused, forewave, sample};

#[test]
fn a_compressed_block_reads_as_a_plain_one() {
    let block = Copied::new();
    let plain = block.graph(&[]);
    assert_eq!(plain.code, Some(0), "{plain:?}");
    let compressed = block.compress("block.json", 0).compress("pre_state.json", 0).graph(&[]);
    assert_eq!(compressed.stdout, plain.stdout);
}

#[test]
fn a_missing_directory_is_named() {
    let ran = forewave(["graph", "no/such/block"]);
    check_refused(&ran, &["no/such/block does not exist"]);
}

#[test]
fn a_file_in_place_of_a_directory_is_told_apart() {
    let block = Copied::new();
    let file = block.path().join("block.json");
    let ran = forewave([Path::new("graph"), &file]);
    check_refused(&ran, &["block.json is a file", "expected a directory that holds block.json"]);
}

#[test]
fn of_a_directory_that_is_no_block_it_is_said_what_was_looked_for() {
    let empty = tempfile::tempdir().unwrap();
    let ran = forewave([Path::new("graph"), empty.path()]);
    check_refused(&ran, &["found neither block.json nor block.json.gz", "pre_state.json"]);
    let block = Copied::new();
    fs::remove_file(block.path().join("pre_state.json")).unwrap();
    check_refused(&block.graph(&[]), &["found neither pre_state.json nor pre_state.json.gz"]);
}

#[test]
fn broken_json_is_placed() {
    let block = Copied::new();
    block.write("block.json", "{\n  \"number\": \"0x1\",,\n}");
    check_refused(&block.graph(&[]), &["block.json:2:", "near `", ",,"]);
    let block = Copied::new();
    block.write("pre_state.json", "{\"0x00");
    check_refused(&block.graph(&[]), &["pre_state.json:1:", "the file ends early"]);
}

#[test]
fn a_truncated_or_broken_gzip_is_told_apart() {
    let block = Copied::new();
    check_refused(&block.compress("block.json", 9).graph(&[]), &["block.json.gz is truncated"]);
    let block = Copied::new();
    block.compress("block.json", 0).write("block.json.gz", "not gzip at all");
    check_refused(&block.graph(&[]), &["block.json.gz is not a valid gzip stream"]);
}

#[test]
fn a_wrong_field_is_named_with_its_path_its_value_and_what_was_expected() {
    type Change = fn(&mut Value);
    let cases: [(Change, &[&str]); 9] = [
        (|block| block["gasUsed"] = json!([12]), &["`gasUsed`", "a quantity", "found [12]"]),
        (|block| block["miner"] = json!("0x12"), &["`miner`", "20 bytes", "found \"0x12\""]),
        (|block| block["stateRoot"] = Value::Null, &["`stateRoot`", "32 bytes", "found null"]),
        (
            |block| block["transactions"][1]["nonce"] = json!("0xzz"),
            &["`transactions[1].nonce`", "found \"0xzz\""],
        ),
        (
            |block| drop(block["transactions"][0].as_object_mut().unwrap().remove("from")),
            &["`transactions[0].from`", "20 bytes", "found nothing"],
        ),
        (
            |block| drop(block["transactions"][2].as_object_mut().unwrap().remove("maxFeePerGas")),
            &["`transactions[2].maxFeePerGas`", "type 0x2"],
        ),
        (
            |block| block["transactions"] = json!(["0x12"]),
            &["`transactions[0]`", "a transaction object"],
        ),
        (|block| block["chainId"] = json!([1]), &["`chainId`", "found [1]"]),
        (|block| *block = Value::Null, &["a block object", "found null"]),
    ];
    for (change, parts) in cases {
        let block = Copied::new();
        check_refused(&block.edit("block.json", change).graph(&[]), parts);
    }
    let block = Copied::new();
    block.edit("pre_state.json", |state| {
        let account = state.as_object_mut().unwrap().values_mut().next().unwrap();
        account["balence"] = json!("0x1");
    });
    check_refused(&block.graph(&[]), &["pre_state.json:1:", "account 0x", "`balence`"]);
}

#[test]
fn an_optimism_deposit_is_refused_by_name() {
    let block = Copied::new();
    block.edit("block.json", |block| block["transactions"][1]["type"] = json!("0x7e"));
    check_refused(&block.graph(&[]), &["tx1 (0x", "has type 0x7e", "types 0x0 to 0x4"]);
}

#[test]
fn an_unknown_chain_is_refused_by_its_id() {
    let block = Copied::new();
    block.edit("block.json", |block| {
        for tx in block["transactions"].as_array_mut().unwrap() {
            tx["chainId"] = json!("0x2105");
        }
    });
    check_refused(&block.graph(&[]), &["tx0 (0x", "names chain id 8453", "mainnet (1)"]);
    let ran = forewave(["graph", "--chain", "base", "anywhere"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("`base` is none of mainnet (1)"), "{}", ran.stderr);
}

#[test]
fn a_chain_that_contradicts_the_transactions_is_refused() {
    let block = Copied::new();
    let ran = block.graph(&["--chain", "sepolia"]);
    check_refused(&ran, &["--chain names chain id 11155111, tx0 (0x", "names 1"]);
    assert_eq!(block.graph(&["--chain", "mainnet"]).code, Some(0));
}

#[test]
fn a_header_that_does_not_fit_its_fork_is_refused() {
    let block = Copied::new();
    block
        .edit("block.json", |block| drop(block.as_object_mut().unwrap().remove("withdrawalsRoot")));
    check_refused(&block.graph(&[]), &["Cancun", "no withdrawals root", "--chain"]);
    let block = Copied::new();
    block.edit("block.json", |block| block["excessBlobGas"] = Value::Null);
    check_refused(&block.graph(&[]), &["Cancun", "no excess blob gas", "--chain"]);
}

#[test]
fn a_sender_who_did_not_sign_is_found_on_request() {
    let block = Copied::new();
    assert_eq!(block.graph(&["--check-senders"]).code, Some(0));
    let stranger = "0x00000000000000000000000000000000000000aa";
    block.edit("block.json", |block| block["transactions"][3]["from"] = json!(stranger));
    let parts =
        ["tx3 (0x", "states sender 0x00000000000000000000000000000000000000AA", "signed it"];
    check_refused(&block.graph(&["--check-senders"]), &parts);
}

#[test]
fn a_block_that_fails_does_not_keep_the_others_from_running() {
    let (good, missing) = (sample("nonce-chain"), PathBuf::from("no/such/block"));
    let ran = forewave([Path::new("run"), &missing, &good, Path::new("--json")]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no/such/block does not exist"), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["block"], "nonce-chain");
}

#[test]
fn an_invalid_transaction_is_named_with_its_block() {
    let block = Copied::new();
    block.edit("pre_state.json", |state| {
        for account in state.as_object_mut().unwrap().values_mut() {
            account["balance"] = json!("0x0");
        }
    });
    let ran = forewave([Path::new("run"), Path::new("--json"), block.path()]);
    check_refused(&ran, &[block.path().to_str().unwrap(), "tx0 is invalid", "lack of funds"]);
}
