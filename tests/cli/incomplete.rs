//! Blocks that have not run, and states that lack what the block touches: what can
//! be said is said, and what cannot is never taken for right.

use std::path::Path;

use serde_json::{Value, json};

use crate::{Copied, Ran, check_refused, forewave};

fn on(command: &[&str], block: &Copied) -> Ran {
    forewave(command.iter().map(Path::new).chain([block.path()]))
}

/// A block as a builder has it, before anything has run.
fn not_run() -> Copied {
    let block = Copied::new();
    block.edit("block.json", |block| {
        let fields = block.as_object_mut().unwrap();
        for name in
            ["hash", "stateRoot", "receiptsRoot", "logsBloom", "gasUsed", "transactionsRoot"]
        {
            assert!(fields.remove(name).is_some(), "{name}");
        }
        for name in ["miner", "nonce"] {
            fields.insert(name.to_owned(), Value::Null);
        }
    });
    block
}

#[test]
fn a_block_that_has_not_run_is_drawn_run_and_scored() {
    let block = not_run();
    let graph = block.graph(&[]);
    assert_eq!(graph.code, Some(0), "{graph:?}");
    assert!(graph.stdout.contains("· not run yet\n"), "{}", graph.stdout);
    assert!(graph.stderr.contains("block.json has no `miner`"), "{}", graph.stderr);
    let report: Value = serde_json::from_str(&block.graph(&["--json"]).stdout).unwrap();
    assert_eq!(report["gas_used"], Value::Null);
    let ran = on(&["run", "--compare", "--json"], &block);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&report["matches_sequential"], &report["matches_header"]),
        (&json!(true), &Value::Null)
    );
    let unchecked: Vec<&Value> =
        report["unchecked"].as_array().unwrap().iter().map(|it| &it["field"]).collect();
    assert_eq!(unchecked, ["gas_used", "logs_bloom", "receipts_root"]);
    assert!(report["gas_used"].as_u64() > Some(1_000_000), "{report}");
    let ran = on(&["run", "--compare"], &block);
    assert!(ran.stdout.contains("matches sequential\n"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("receipts_root of the header: not compared in 1 block"),
        "{}",
        ran.stdout
    );
    assert_eq!(on(&["score", "--repeat=1", "--predictor=static"], &block).code, Some(0));
}

#[test]
fn a_block_that_has_run_says_what_it_gives() {
    for name in ["stateRoot", "receiptsRoot", "logsBloom", "gasUsed", "transactionsRoot"] {
        let block = Copied::new();
        block.edit("block.json", |block| drop(block.as_object_mut().unwrap().remove(name)));
        check_refused(&block.graph(&[]), &[&format!("`{name}`: expected"), "found nothing"]);
    }
    let block = not_run();
    block.edit("block.json", |block| drop(block.as_object_mut().unwrap().remove("number")));
    check_refused(&block.graph(&[]), &["`number`: expected", "found nothing"]);
}

#[test]
fn a_state_without_a_contract_is_noticed_by_its_gas() {
    let block = Copied::new();
    block.edit("pre_state.json", |state| {
        state.as_object_mut().unwrap().retain(|_, account| account.get("code").is_none());
    });
    let hint = "pre_state.json may lack accounts or slots that the block touches";
    for command in [&["graph"][..], &["score", "--repeat=1", "--predictor=static"]] {
        let ran = on(command, &block);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stderr.contains("the header says ") && ran.stderr.contains(hint), "{ran:?}");
    }
    let ran = on(&["run"], &block);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("gas_used: header ") && ran.stdout.contains(hint), "{ran:?}");
    let ran = on(&["run", "--json"], &block);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(ran.code, Some(1));
    assert!(report["header_gas_used"].as_u64() > report["gas_used"].as_u64(), "{report}");
    let whole = Copied::new();
    assert_eq!(on(&["graph"], &whole).stderr, "");
    assert_eq!(on(&["run"], &whole).code, Some(0));
}

#[test]
fn a_sender_that_the_state_lacks_is_named() {
    let block = Copied::new();
    let mut sender = String::new();
    block.edit("block.json", |block| {
        for name in ["hash", "transactionsRoot"] {
            block.as_object_mut().unwrap().remove(name);
        }
        sender = block["transactions"][3]["from"].as_str().unwrap().to_owned();
        for tx in block["transactions"].as_array_mut().unwrap() {
            if tx["from"] == json!(sender) {
                tx["nonce"] = json!("0x9");
            }
        }
    });
    block.edit("pre_state.json", |state| {
        let is_other = |address: &String| !address.eq_ignore_ascii_case(&sender);
        state.as_object_mut().unwrap().retain(|address, _| is_other(address));
    });
    let ran = on(&["run", "--json"], &block);
    check_refused(&ran, &["the sender of tx", "is not in pre_state.json", "nonce"]);
    let warning = "pre_state.json lacks 0x";
    assert!(ran.stderr.contains(warning), "{}", ran.stderr);
    let ran = block.graph(&[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains(warning) && ran.stderr.contains("nonce 9"), "{}", ran.stderr);
}

#[test]
fn a_block_hash_that_is_missing_is_asked_for_by_its_file() {
    let block = Copied::new();
    // BLOCKHASH of the parent.
    block.edit("pre_state.json", |state| {
        for account in state.as_object_mut().unwrap().values_mut() {
            if let Some(code) = account.get_mut("code") {
                *code = json!("0x600143034050");
            }
        }
    });
    let ran = on(&["run", "--json"], &block);
    let number: Value = serde_json::from_slice(&block.read("block.json")).unwrap();
    let number = u64::from_str_radix(&number["number"].as_str().unwrap()[2..], 16).unwrap() - 1;
    let parts =
        [&*format!("no hash of block {number}"), "block_hashes.json", &format!("{{\"{number}\": ")];
    check_refused(&ran, &parts);
}
