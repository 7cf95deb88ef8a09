//! The forms in which nodes and tools give blocks and states, and chains that are
//! not Ethereum's own.

use std::path::Path;

use serde_json::{Value, json};

use crate::{Copied, Ran, check_refused, forewave};

/// What is changed in a document.
type Change = fn(&mut Value);

/// Runs a block against sequential execution and its header.
fn compare(block: &Copied, more: &[&str]) -> Ran {
    let args = ["run", "--compare", "--json", "--threads", "2"];
    let path = [block.path().to_str().unwrap()];
    forewave(args.iter().chain(&path).chain(more))
}

/// Checks that a block loads and reproduces its header.
#[track_caller]
fn check_matches(block: &Copied) {
    let ran = compare(block, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&report["matches_sequential"], &report["matches_header"]),
        (&json!(true), &json!(true))
    );
}

fn in_envelope(value: &mut Value) {
    *value = json!({"jsonrpc": "2.0", "id": 1, "result": value.take()});
}

#[test]
fn answers_may_lie_in_their_envelopes() {
    let block = Copied::new();
    block.edit("block.json", in_envelope).edit("pre_state.json", in_envelope);
    check_matches(&block);
    let block = Copied::new();
    block.edit("block.json", |block| *block = json!({"jsonrpc": "2.0", "id": 1, "result": null}));
    check_refused(&block.graph(&[]), &["`result`", "found null"]);
    let error = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "pruned"}});
    for file in ["block.json", "pre_state.json"] {
        let block = Copied::new();
        block.edit(file, |document| *document = error.clone());
        check_refused(&block.graph(&[]), &[file, "pruned"]);
    }
}

#[test]
fn files_may_begin_with_a_byte_order_mark_or_be_utf_16() {
    for file in ["block.json", "pre_state.json"] {
        let block = Copied::new();
        let text = block.read(file);
        block.write(file, [b"\xef\xbb\xbf", &text[..]].concat());
        check_matches(&block);
        let text = String::from_utf8(text).unwrap();
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        block.write(file, [0xff, 0xfe].into_iter().chain(units).collect::<Vec<u8>>());
        check_matches(&block);
    }
}

#[test]
fn a_state_for_each_transaction_is_merged_by_first_mention() {
    let block = Copied::new();
    block.edit("pre_state.json", |state| {
        let before = state.take();
        let mut later = before.clone();
        for account in later.as_object_mut().unwrap().values_mut() {
            account["balance"] = json!("0x0");
            for value in account["storage"].as_object_mut().into_iter().flatten() {
                *value.1 = json!("0x7");
            }
        }
        let tx = |result| json!({"txHash": "0x00", "result": result});
        *state = json!({"jsonrpc": "2.0", "id": 7, "result": [tx(before), tx(later)]});
    });
    check_matches(&block);
    let block = Copied::new();
    block.edit("pre_state.json", |state| {
        *state = json!([{"txHash": "0x00", "result": {"pre": state.take(), "post": {}}}]);
    });
    check_refused(&block.graph(&[]), &["pre_state.json:", "tx0", "diffMode"]);
}

#[test]
fn numbers_may_be_unquoted_however_large() {
    let block = Copied::new();
    block.edit("pre_state.json", |state| {
        for account in state.as_object_mut().unwrap().values_mut() {
            account["balance"] = json!("@1000000000000000000000000@");
        }
    });
    let text = String::from_utf8(block.read("pre_state.json")).unwrap();
    block.write("pre_state.json", text.replace("\"@", "").replace("@\"", ""));
    check_matches(&block);
}

#[test]
fn what_servers_leave_out_of_a_block_is_not_asked_for() {
    let block = Copied::new();
    block.edit("block.json", |block| block["uncles"] = Value::Null);
    check_matches(&block);
    block.edit("block.json", |block| {
        block["nonce"] = Value::Null;
        block.as_object_mut().unwrap().remove("uncles");
    });
    check_matches(&block);
    block.edit("block.json", |block| drop(block.as_object_mut().unwrap().remove("mixHash")));
    let ran = compare(&block, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("`mixHash`"), "{}", ran.stderr);
}

#[test]
fn a_list_that_the_header_contradicts_is_refused() {
    let withdrawal = |block: &mut Value| {
        let address = "0x00000000000000000000000000000000000000aa";
        let item =
            json!({"index": "0x0", "validatorIndex": "0x0", "address": address, "amount": "0x1"});
        block["withdrawals"] = json!([item]);
    };
    let other = "0x1111111111111111111111111111111111111111111111111111111111111111";
    let cases: [(Change, &[&str]); 8] = [
        (
            |block| block["transactions"] = Value::Null,
            &["`transactions`", "an array", "found null"],
        ),
        (
            |block| drop(block.as_object_mut().unwrap().remove("transactions")),
            &["`transactions`", "an array", "found nothing"],
        ),
        (
            |block| drop(block["transactions"].as_array_mut().unwrap().pop()),
            &["`transactionsRoot` is 0x", "the transactions in the file have the root 0x"],
        ),
        (|block| block["transactions"][0]["value"] = json!("0x1"), &["`transactionsRoot` is 0x"]),
        (withdrawal, &["`withdrawalsRoot` is 0x56e8", "the withdrawals in the file"]),
        (
            |block| block["withdrawals"] = Value::Null,
            &["`withdrawals`", "that `withdrawalsRoot` stands for", "found nothing"],
        ),
        (
            |block| block["uncles"] = Value::Null,
            &["`uncles`", "that `sha3Uncles` stands for", "found []"],
        ),
        (
            |block| block["uncles"] = json!([block["parentHash"].clone()]),
            &["`uncles`", "no ommers", "found [0x"],
        ),
    ];
    for (position, (change, parts)) in cases.into_iter().enumerate() {
        let block = Copied::new();
        block.edit("block.json", |block| {
            match position {
                5 => block["withdrawalsRoot"] = json!(other),
                6 => block["sha3Uncles"] = json!(other),
                _ => {}
            }
            change(block);
        });
        check_refused(&block.graph(&[]), parts);
        let scored = forewave([Path::new("score"), Path::new("--repeat=1"), block.path()]);
        assert_eq!(scored.code, Some(1), "{scored:?}");
        assert!(scored.stdout.starts_with("1 block failed: "), "{scored:?}");
        assert!(parts.iter().all(|part| scored.stderr.contains(part)), "{scored:?}");
    }
}

#[test]
fn a_file_that_is_there_plain_and_compressed_is_refused() {
    let block = Copied::new();
    let plain = block.read("block.json");
    block.compress("block.json", 0).write("block.json", plain);
    check_refused(&block.graph(&[]), &["block.json lies beside ", "block.json.gz"]);
}

#[test]
fn a_message_says_what_a_block_is_and_repeats_none() {
    let ran = forewave(["graph", "19500013"]);
    check_refused(&ran, &["19500013 does not exist", "a BLOCK is a directory with block.json"]);
    let changes: [Change; 4] = [
        |block| block["withdrawals"] = json!({"index": 1}),
        |block| block["uncles"] = json!([{"hash": "0x12"}]),
        |block| block["transactions"][2]["accessList"] = json!([{"address": "0x12"}]),
        |block| block["baseFeePerGas"] = json!([1, 2, 3]),
    ];
    for change in changes {
        let block = Copied::new();
        let said = block.edit("block.json", change).graph(&[]).stderr;
        assert!(said.chars().count() < 600, "{said}");
        for name in ["struct", "enum", "u64", "Vec<", "RpcBlock", "untagged"] {
            assert!(!said.contains(name), "{said}");
        }
    }
}

/// `hot-pool` on chain 1337, not run, since its transactions are not signed for that chain.
fn on_another_chain() -> Copied {
    let block = Copied::new();
    block.edit("block.json", |block| {
        for name in ["hash", "transactionsRoot"] {
            block.as_object_mut().unwrap().remove(name);
        }
        for tx in block["transactions"].as_array_mut().unwrap() {
            tx["chainId"] = json!("0x539");
        }
    });
    block
}

#[test]
fn a_chain_with_mainnets_rules_is_named_by_its_id_and_its_fork() {
    let block = on_another_chain();
    check_refused(&block.graph(&[]), &["tx0 (0x", "chain id 1337", "--chain-id 1337 --fork"]);
    assert_eq!(block.graph(&["--chain-id", "1337"]).code, Some(2));
    for args in [&["--fork", "Cancun"][..], &["--fork", "Cancun", "--chain-id", "1337"]] {
        let ran = compare(&block, args);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((&report["chain"], &report["fork"]), (&json!(1337), &json!("Cancun")));
        let unchecked = json!({"field": "state_root", "why": "other_chain"});
        assert_eq!(
            (&report["matches_header"], &report["unchecked"][0]),
            (&json!(true), &unchecked)
        );
        for command in ["graph", "score", "bench"] {
            let path = block.path().to_str().unwrap();
            let repeat = (command != "graph").then_some("--repeat=1");
            let ran =
                forewave([command, path].into_iter().chain(repeat).chain(args.iter().copied()));
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
    }
    let ran = block.graph(&["--fork", "Cancun", "--chain-id", "5"]);
    check_refused(&ran, &["--chain names chain id 5, tx0 (0x", "names 1337"]);
    let ran = block.graph(&["--fork", "Shanghai"]);
    check_refused(&ran, &["a Shanghai block of chain 1337", "has a parent beacon block root"]);
    assert_eq!(
        block.graph(&["--chain", "linea", "--chain-id", "5", "--fork", "Prague"]).code,
        Some(2)
    );
}

#[test]
fn a_type_that_is_not_ethereums_is_refused_in_its_chains_words() {
    let cases = [
        ("0x7e", "0xa", "OP Stack"),
        ("0x7e", "0x82750", "Scroll"),
        ("0x6a", "0xa4b1", "Arbitrum"),
    ];
    for (tx_type, chain_id, words) in cases {
        let block = Copied::new();
        block.edit("block.json", |block| {
            block["chainId"] = json!(chain_id);
            block["transactions"][1]["type"] = json!(tx_type);
        });
        let ran = block.graph(&["--fork", "Cancun"]);
        check_refused(&ran, &["tx1 (0x", &format!("has type {tx_type}, "), words]);
    }
}
