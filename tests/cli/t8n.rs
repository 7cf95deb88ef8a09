//! `forewave t8n` from outside.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::forewave;

/// An account with the key 1 sends a wei to another, twice with the same nonce.
fn transition() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let tx = json!({
        "type": "0x2", "chainId": "0x1", "nonce": "0x0", "gas": "0x5208", "value": "0x1",
        "maxFeePerGas": "0x10", "maxPriorityFeePerGas": "0x1", "accessList": [], "input": "0x",
        "to": "0x00000000000000000000000000000000000000aa",
        "secretKey": format!("0x{:064x}", 1), "v": "0x0", "r": "0x0", "s": "0x0",
    });
    let env = json!({
        "currentCoinbase": "0x00000000000000000000000000000000000000bb",
        "currentGasLimit": "30000000", "currentNumber": "1", "currentTimestamp": "1000",
        "currentRandom": "0x0", "currentBaseFee": "7",
    });
    let alloc = json!({ "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf": { "balance": "0xffffff" } });
    for (name, value) in [("txs.json", json!([tx, tx])), ("env.json", env), ("alloc.json", alloc)] {
        fs::write(directory.path().join(name), value.to_string()).unwrap();
    }
    directory
}

#[test]
fn a_transition_prints_its_roots_and_writes_the_state() {
    let directory = transition();
    let path = directory.path().to_str().unwrap();
    let after = directory.path().join("after.json");
    let ran = forewave(["t8n", path, "--fork", "Shanghai", "--alloc", after.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.starts_with("1 transaction · 1 rejected · 21000 gas\nstate root "));
    assert!(ran.stdout.contains("rejected: [1] nonce 0 too low, expected 1"), "{}", ran.stdout);
    let after: Value = serde_json::from_slice(&fs::read(after).unwrap()).unwrap();
    let balance = |address: &str| {
        after[format!("0x00000000000000000000000000000000000000{address}")]["balance"].clone()
    };
    assert_eq!((balance("aa"), balance("bb")), (json!("0x1"), json!("0x5208")));
    let ran = forewave(["t8n", path, "--fork", "Shanghai", "--json"]);
    let result: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&result["gasUsed"], &result["receipts"][0]["status"]),
        (&json!("0x5208"), &json!("0x1"))
    );
}

#[test]
fn a_transition_that_cannot_be_run_says_why() {
    let directory = transition();
    let path = directory.path().to_str().unwrap();
    for (args, code, part) in [
        (["t8n", path, "--fork", "Verkle"], 2, "none of Frontier, Homestead"),
        (["t8n", "no such directory", "--fork", "Cancun"], 1, "no such directory does not exist"),
    ] {
        let ran = forewave(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""));
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    fs::remove_file(directory.path().join("env.json")).unwrap();
    let ran = forewave(["t8n", path, "--fork", "Cancun"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("found neither env.json nor env.json.gz in it"), "{}", ran.stderr);
}
