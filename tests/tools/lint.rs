//! What lint finds in the fixture contracts.

use serde_json::Value;

use crate::{block, fixture, forewave, json};

fn lint(contract: &str) -> Value {
    json(&["lint", &fixture(&format!("artifacts/{contract}.json")), "--json"])
}

/// How often two functions meet, and where; nothing if they never have to.
fn meet(report: &Value, a: &str, b: &str) -> Option<(String, Vec<String>)> {
    let name = |value: &Value| value.as_str().unwrap().split('(').next().unwrap().to_owned();
    let pairs = report["pairs"].as_array().unwrap();
    let pair = pairs.iter().find(|pair| {
        let both = [name(&pair["functions"][0]), name(&pair["functions"][1])];
        both == [a, b] || both == [b, a]
    })?;
    let places = pair["at"].as_array().unwrap();
    let places = places.iter().map(|place| place.as_str().unwrap().to_owned()).collect();
    Some((pair["when"].as_str().unwrap().to_owned(), places))
}

/// Checks how often two functions meet and the first place of it.
#[track_caller]
fn check(report: &Value, a: &str, b: &str, expected: Option<(&str, &str)>) {
    let found = meet(report, a, b);
    let found = found.as_ref().map(|(when, at)| (when.as_str(), at[0].as_str()));
    assert_eq!(found, expected, "{a} {b}: {report:#}");
}

#[test]
fn transfers_of_a_token_run_side_by_side_and_mints_do_not() {
    let report = lint("Token");
    for (a, b) in [("transfer", "transfer"), ("transfer", "approve"), ("transfer", "mint")] {
        check(&report, a, b, None);
    }
    let total = "slot 3 (totalSupply)";
    check(&report, "mint", "mint", Some(("always", total)));
    check(&report, "mint", "burn", Some(("always", total)));
    let free = report["free"].to_string();
    assert!(free.contains("transfer(") && free.contains("approve(") && !free.contains("mint("));
    let writer = &report["places"][0]["writers"][0];
    assert_eq!((&writer["when"], &writer["how"]), (&"always".into(), &"added".into()), "{writer}");
}

#[test]
fn a_loop_that_may_not_run_meets_others_only_sometimes() {
    let report = lint("Token");
    check(&report, "mintBatch", "mint", Some(("sometimes", "slot 3 (totalSupply)")));
}

#[test]
fn swaps_of_a_pair_meet_at_its_reserves_and_not_at_its_lock() {
    let report = lint("Pair");
    check(&report, "swap", "swap", Some(("always", "slot 0 (getReserves)")));
    let (_, places) = meet(&report, "swap", "burn").unwrap();
    assert!(!places.iter().any(|place| place.starts_with("slot 5")), "{places:?}");
    let places = report["places"].as_array().unwrap();
    let lock = places.iter().find(|place| place["place"] == "slot 5").unwrap();
    assert!(lock["writers"].as_array().unwrap().iter().all(|it| it["how"] == "lock"), "{lock}");
}

#[test]
fn what_creates_contracts_meets_at_the_nonce() {
    let report = lint("WalletFactory");
    check(&report, "deploy", "flash", Some(("always", "nonce of the contract")));
}

#[test]
fn a_switch_that_others_read_stops_them() {
    let report = lint("FeeToken");
    let pairs = report["pairs"].as_array().unwrap();
    let reads = pairs.iter().filter(|pair| pair["how"] == "other_reads");
    let names: Vec<String> = reads.map(|pair| pair["functions"].to_string()).collect();
    let is_meant = |it: &String| it.contains("pauseFees") && it.contains("\"transfer(");
    assert!(names.iter().any(is_meant), "{names:?}");
}

#[test]
fn the_text_says_what_can_never_run_side_by_side() {
    let ran = forewave(["lint", &fixture("artifacts/Token.json")]);
    assert_eq!(ran.code, Some(0));
    insta::assert_snapshot!("Token.lint", ran.stdout);
}

#[test]
fn an_account_of_a_block_is_examined_and_one_without_code_refused() {
    let ran =
        forewave(["lint", &block("mixed-defi"), "0x0000000000000000000000000000000000000001"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("has no code"), "{ran:?}");
    let ran = forewave(["lint", "--rpc-url", "http://127.0.0.1:1", "1"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("needs an ADDRESS"), "{ran:?}");
}
