//! `forewave t8n` from outside.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{forewave, forewave_with_input};

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
        "currentRandom": "0x0", "currentBaseFee": "7", "withdrawals": [],
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

/// As test fillers call a transition tool: everything through pipes, or files in a directory.
#[test]
fn a_transition_is_run_with_the_options_of_geth() {
    let directory = transition();
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(directory.path().join(name)).unwrap()).unwrap()
    };
    let input =
        json!({ "alloc": read("alloc.json"), "env": read("env.json"), "txs": read("txs.json") });
    let ran = forewave_with_input(
        [
            "t8n",
            "--input.alloc=stdin",
            "--input.env=stdin",
            "--input.txs=stdin",
            "--output.alloc=stdout",
            "--output.result=stdout",
            "--output.body=stdout",
            "--state.fork=shanghai",
            "--state.chainid=1",
            "--state.reward=-1",
        ],
        &input.to_string(),
    );
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let piped: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(piped["result"]["rejected"][0]["index"], 1);
    assert_eq!(piped["alloc"]["0x00000000000000000000000000000000000000aa"]["balance"], "0x1");

    // What came out as RLP goes in again; files are named by options and by default.
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("body.rlp"), piped["body"].to_string()).unwrap();
    let out = tempfile::tempdir().unwrap();
    let ran = forewave([
        "t8n",
        "--input.alloc",
        &at("alloc.json"),
        "--input.env",
        &at("env.json"),
        "--input.txs",
        &at("body.rlp"),
        "--output.basedir",
        out.path().to_str().unwrap(),
        "--output.body",
        "txs.rlp",
        "--state.fork",
        "Shanghai",
    ]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    let written = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(out.path().join(name)).unwrap()).unwrap()
    };
    assert_eq!(written("alloc.json"), piped["alloc"]);
    assert_eq!(written("txs.rlp"), piped["body"]);
    let result = written("result.json");
    assert_eq!(result["stateRoot"], piped["result"]["stateRoot"]);
    assert_eq!(
        (&result["receipts"], &result["rejected"]),
        (&piped["result"]["receipts"], &json!([]))
    );
}

/// `--fork` pays what the fork pays, `--state.fork` what geth pays unasked: nothing.
#[test]
fn the_reward_is_that_of_the_fork_or_of_the_option() {
    let directory = transition();
    let env = json!({
        "currentCoinbase": "0x00000000000000000000000000000000000000bb", "currentGasLimit": "30000000",
        "currentNumber": "1", "currentTimestamp": "1000", "currentDifficulty": "0x20000",
    });
    fs::write(directory.path().join("env.json"), env.to_string()).unwrap();
    fs::write(directory.path().join("txs.json"), "[]").unwrap();
    let path = directory.path().to_str().unwrap();
    for (options, balance) in [
        (vec!["--fork", "Byzantium"], json!("0x29a2241af62c0000")),
        (vec!["--state.fork", "Byzantium"], json!(null)),
        (vec!["--state.fork", "Frontier"], json!("0x0")),
        (vec!["--state.fork", "Frontier", "--state.reward", "-1"], json!(null)),
        (vec!["--state.fork", "Byzantium", "--state.reward", "7"], json!("0x7")),
    ] {
        let ran = forewave([&["t8n", path, "--output.alloc", "stdout"], &options[..]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let object = ran.stdout.split("\n0 transactions").next().unwrap();
        let written: Value = serde_json::from_str(object).unwrap();
        let found = &written["alloc"]["0x00000000000000000000000000000000000000bb"]["balance"];
        assert_eq!(found, &balance, "{options:?}");
    }
}

#[test]
fn what_cannot_be_read_or_written_is_said_before_the_work() {
    let directory = transition();
    let path = directory.path().to_str().unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["t8n", path], 2, "--fork"),
        (&["t8n", path, "--fork", "Constantinople"], 2, "EIP-1283"),
        (
            &["t8n", path, "--fork", "London", "--state.reward", "-2"],
            2,
            "neither a number of wei nor -1",
        ),
        (
            &["t8n", path, "--fork", "Shanghai", "--output.result", "/no/such/place/result.json"],
            1,
            "the result could not be saved",
        ),
        (
            &["t8n", path, "--fork", "Shanghai", "--input.txs", "/no/such/file"],
            1,
            "/no/such/file does not exist",
        ),
        (&["t8n", path, "--fork", "Shanghai", "--input.env", "stdin"], 1, "stdin"),
    ];
    for (args, code, part) in cases {
        let ran = forewave_with_input(args.iter().copied(), "{}");
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{args:?}");
        assert!(ran.stderr.contains(part), "{args:?}: {}", ran.stderr);
    }
}
