//! Blocks of a real node, fetched in each way, run to what their headers say.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    Ran,
    anvil::Anvil,
    chain::Chain,
    directory, forewave,
    proxy::{Manners, Proxy},
};

const FORK: [&str; 2] = ["--fork", "Prague"];

/// What the node's URL ends with, which is nothing to be printed.
const KEY: &str = "s3cr3tk3y";

fn run(command: &str, url: &str, args: &[&str]) -> Ran {
    let url = format!("{url}/?apikey={KEY}");
    let ran = forewave([&[command, "--rpc-url", &url][..], args].concat());
    assert!(!ran.stdout.contains(KEY) && !ran.stderr.contains(KEY), "{ran:?}");
    ran
}

fn fetch(url: &str, blocks: &str, output: &Path) -> Ran {
    let output = output.to_str().unwrap();
    run("fetch", url, &[&[blocks, "-o", output, "--json"], &FORK[..]].concat())
}

/// Fetches the chain's blocks, runs them from their directories, and says by which way.
#[track_caller]
fn check(url: &str, way: &str) {
    let output = directory();
    let ran = fetch(url, "1..3", output.path());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut paths = Vec::new();
    for line in ran.stdout.lines() {
        let report: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&report["way"], &report["matches_header"]), (&way.into(), &true.into()));
        paths.push(output.path().join(report["block"].as_str().unwrap()));
    }
    assert_eq!(paths.len(), 3);
    assert!(paths[2].join("block_hashes.json.gz").is_file() && paths[2].ends_with("31337-3"));
    let paths: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let ran = forewave([&["run", "--compare"], &FORK[..], &paths].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("3 of 3 match"), "{ran:?}");
}

#[test]
fn blocks_are_fetched_by_traces_of_blocks_or_of_transactions_or_without_any() {
    let Some(anvil) = Anvil::start("prague") else { return };
    Chain::new(&anvil).grow();
    check(&anvil.url, "trace_block");

    let absent = vec!["debug_traceBlockByNumber"];
    let proxy = Proxy::start(&anvil.url, Manners { absent, ..Manners::default() });
    check(&proxy.url, "trace_transactions");
    assert!(proxy.count("debug_traceTransaction") > 80, "{proxy:?}");

    let absent = vec!["debug_traceBlockByNumber", "debug_traceTransaction"];
    let manners = Manners { absent, limited: 3, one_at_a_time: true, ..Manners::default() };
    let proxy = Proxy::start(&anvil.url, manners);
    check(&proxy.url, "on_demand");
}

#[test]
fn commands_take_blocks_of_a_node_and_fetching_goes_on_where_it_ended() {
    let Some(anvil) = Anvil::start("prague") else { return };
    let token = Chain::new(&anvil).grow().to_string();

    let ran = run("run", &anvil.url, &[&["2..0x3", "latest", "--compare"], &FORK[..]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("31337-2") && ran.stdout.contains("3 of 3 match"), "{ran:?}");
    let ran = run("explain", &anvil.url, &[&["3", "0", "1"], &FORK[..]].concat());
    assert!(ran.code == Some(0) && ran.stdout.contains("tx0"), "{ran:?}");
    let ran = run("graph", &anvil.url, &[&["3"], &FORK[..]].concat());
    assert!(ran.code == Some(0) && ran.stdout.contains("31337-3"), "{ran:?}");
    for command in ["analyze", "lint"] {
        let ran = run(command, &anvil.url, &["latest", &token]);
        assert!(ran.code == Some(0) && ran.stdout.contains("transfer"), "{ran:?}");
    }

    let output = directory();
    assert_eq!(fetch(&anvil.url, "2", output.path()).code, Some(0));
    let ran = run(
        "fetch",
        &anvil.url,
        &[&["1..2", "-o", output.path().to_str().unwrap()], &FORK[..]].concat(),
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].contains("31337-1") && lines[0].contains("reproduces its header"), "{ran:?}");
    assert!(lines[1].contains("31337-2") && lines[1].contains("is there already"), "{ran:?}");
    let pending = fetch(&anvil.url, "pending", output.path());
    assert_eq!(pending.code, Some(0), "{pending:?}");
}

#[test]
fn what_a_node_refuses_is_said_with_method_and_block_and_leaves_no_directory() {
    let Some(anvil) = Anvil::start("prague") else { return };
    Chain::new(&anvil).grow();
    let cases = [
        ("eth_getBalance", "missing trie node", "eth_getBalance for block 2: the node answers"),
        ("eth_getBlockByNumber", "bad s3cr3tk3y", "eth_getBlockByNumber for block 3"),
    ];
    for (method, message, part) in cases {
        let absent = vec!["debug_traceBlockByNumber", "debug_traceTransaction"];
        let failing = vec![(method, message.to_owned())];
        let proxy = Proxy::start(&anvil.url, Manners { absent, failing, ..Manners::default() });
        let output = directory();
        let ran = fetch(&proxy.url, "3", output.path());
        assert!(ran.code == Some(1) && ran.stderr.contains(part), "{ran:?}");
        assert_eq!(fs::read_dir(output.path()).unwrap().count(), 0);
        assert_eq!(ran.stderr.contains("archive node"), method == "eth_getBalance", "{ran:?}");
    }
    let ran = fetch(&anvil.url, "99", directory().path());
    assert!(ran.code == Some(1) && ran.stderr.contains("has no block 99"), "{ran:?}");
    let ran = fetch(&anvil.url, "0", directory().path());
    assert!(ran.code == Some(1) && ran.stderr.contains("genesis"), "{ran:?}");
}

#[test]
fn a_wrong_url_or_block_is_wrong_usage_and_a_key_is_not_repeated() {
    let output = directory();
    let output = output.path().to_str().unwrap();
    let cases = [
        ("ws://127.0.0.1:1/s3cr3tk3y", "1", "neither http:// nor https://"),
        ("127.0.0.1:1/s3cr3tk3y", "1", "is no URL"),
        ("http://127.0.0.1:1/s3cr3tk3y", "3..1", "ends before it begins"),
    ];
    for (url, block, part) in cases {
        for args in [vec!["fetch", "-o", output], vec!["run"]] {
            let ran = forewave([&args[..], &["--rpc-url", url, block]].concat());
            assert!(ran.code == Some(2) && ran.stderr.contains(part), "{ran:?}");
            assert!(!ran.stderr.contains(KEY), "{ran:?}");
        }
    }
    let ran = run("fetch", "http://127.0.0.1:1", &["1", "-o", output]);
    assert!(ran.code == Some(1) && ran.stderr.contains("the connection is refused"), "{ran:?}");
}
