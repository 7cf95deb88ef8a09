//! `forewave bal` and `forewave access-list`, and runs of blocks that come with a list.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Ran, forewave, sample};

/// A copy of a sample block with this as its list.
fn with_list(name: &str, list: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for file in ["block.json", "pre_state.json"] {
        fs::copy(sample(name).join(file), directory.path().join(file)).unwrap();
    }
    fs::write(directory.path().join("block_access_list.json"), list).unwrap();
    directory
}

fn run(command: &[&str], block: &Path) -> Ran {
    let block = block.to_str().unwrap();
    forewave(command.iter().copied().chain([block]))
}

/// The list of a sample block, as JSON.
fn list_of(name: &str) -> Value {
    let ran = run(&["bal", "--json"], &sample(name));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(report["items"].as_u64() > Some(0) && report["faults"].is_null());
    report["access_list"].clone()
}

#[test]
fn a_list_is_printed_and_judged_in_each_of_its_forms() {
    let list = list_of("hot-pool");
    let text = run(&["bal"], &sample("hot-pool"));
    let first = list[0]["address"].as_str().unwrap();
    assert!(text.stdout.to_lowercase().contains(first), "{}", text.stdout);
    let rlp = run(&["bal", "--format", "rlp"], &sample("hot-pool"));
    for form in [list.to_string(), format!("\"{}\"", rlp.stdout.trim())] {
        let block = with_list("hot-pool", &form);
        let ran = run(&["bal", "--check"], block.path());
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("the list given is this one"), "{}", ran.stdout);
        let named = block.path().join("block_access_list.json");
        let ran = run(&["bal", "--check", "--list", named.to_str().unwrap()], &sample("hot-pool"));
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn a_wrong_list_is_told_with_account_slot_and_index_and_the_block_still_runs_right() {
    let list = list_of("hot-pool");
    let accounts = list.as_array().unwrap();
    let pool = accounts.iter().position(|it| !it["storageChanges"].as_array().unwrap().is_empty());
    let pool = pool.unwrap();
    let address = list[pool]["address"].as_str().unwrap().to_owned();
    let mut wrong = list.clone();
    wrong[pool]["storageChanges"][0]["changes"][0]["value"] = "0x7".into();
    let slot = list[pool]["storageChanges"][0]["key"].as_str();
    let slot = slot.or(list[pool]["storageChanges"][0]["slot"].as_str()).unwrap().to_owned();
    let block = with_list("hot-pool", &wrong.to_string());
    let ran = run(&["bal", "--check"], block.path());
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let told = ran.stdout.to_lowercase();
    assert!(told.contains(&address) && told.contains(&format!("slot {slot}")), "{told}");
    assert!(told.contains("the list has 0x7, must be 0x"), "{told}");

    let ran = run(&["run", "--compare", "--threads", "2", "--json"], block.path());
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["access_list_right"], false);
    let ran = run(&["run", "--threads", "2"], block.path());
    assert!(ran.stdout.contains("the access list that it came with is wrong"), "{}", ran.stdout);

    let mut missing = list;
    missing.as_array_mut().unwrap().remove(pool);
    let block = with_list("hot-pool", &missing.to_string());
    let ran = run(&["bal", "--check"], block.path());
    assert_eq!(ran.code, Some(1));
    let told = ran.stdout.to_lowercase();
    assert!(told.contains(&format!("{address}: not in the list")), "{told}");
    assert!(told.contains("touched by tx"), "{told}");
}

#[test]
fn a_block_without_a_list_has_none_to_check_and_a_list_that_is_none_is_refused() {
    let ran = run(&["bal", "--check"], &sample("hot-pool"));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("there is no access list to check"), "{}", ran.stderr);
    let block = with_list("hot-pool", "{}");
    let ran = run(&["run"], block.path());
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("block_access_list.json"), "{}", ran.stderr);
    let ran = run(&["bal", "--list", "no such file"], &sample("hot-pool"));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no such file: the file could not be read"), "{}", ran.stderr);
    let blocks = [sample("hot-pool"), sample("gaming")].map(|it| it.to_str().unwrap().to_owned());
    let ran = forewave(["bal", "--list", "list.json", &blocks[0], &blocks[1]]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}

#[test]
fn a_wrong_list_is_told_in_fields() {
    let list = list_of("hot-pool");
    let accounts = list.as_array().unwrap();
    let changed = |it: &Value| !it["storageChanges"].as_array().unwrap().is_empty();
    let pool = accounts.iter().position(changed).unwrap();
    let mut wrong = list.clone();
    wrong[pool]["storageChanges"][0]["changes"][0]["value"] = "0x7".into();
    wrong[pool]["storageReads"] = serde_json::json!(["0xabcdef"]);
    let block = with_list("hot-pool", &wrong.to_string());
    let ran = run(&["bal", "--check", "--json"], block.path());
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let faults = report["faults"].as_array().unwrap();
    let of_kind = |kind: &str| faults.iter().find(|fault| fault["kind"] == kind).unwrap();
    let changed = of_kind("storage");
    assert_eq!(changed["account"], list[pool]["address"]);
    assert_eq!(changed["found"], "0x7");
    let index = changed["index"].as_u64().unwrap();
    assert_eq!(changed["tx"], index - 1);
    let file = fs::read_to_string(sample("hot-pool").join("block.json")).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let transactions = file.get("result").unwrap_or(&file)["transactions"].as_array().unwrap();
    assert_eq!(changed["hash"], transactions[usize::try_from(index - 1).unwrap()]["hash"]);
    let touching = changed["touched_by"].as_array().unwrap();
    assert!(touching.iter().any(|tx| tx["tx"] == index - 1 && tx["hash"] == changed["hash"]));
    assert!(changed["text"].as_str().unwrap().contains("the list has 0x7, must be 0x"));
    let read = of_kind("storage_read");
    assert_eq!((&read["slot"], &read["found"]), (&"0xabcdef".into(), &"read".into()));
    assert!(read["expected"].is_null() && read.get("index").is_none() && read.get("tx").is_none());
    assert_eq!(read["touched_by"], serde_json::json!([]));

    wrong.as_array_mut().unwrap().swap(0, 1);
    let block = with_list("hot-pool", &wrong.to_string());
    let ran = run(&["bal", "--check", "--json"], block.path());
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["faults"][0]["kind"], "order");
    assert_eq!(report["faults"][0]["account"], list[0]["address"]);
}

#[test]
fn a_block_that_comes_with_its_list_is_scored_by_it_without_executing() {
    let list = list_of("hot-pool");
    let block = with_list("hot-pool", &list.to_string());
    let by_list = ["score", "--json", "--repeat=1", "--predictor=none,static,bal,oracle"];
    let ran = run(&by_list, block.path());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(report["total"].is_null() && report["blocks"] == serde_json::json!([]));
    assert_eq!(report["listed"].as_array().unwrap().len(), 1);
    let scores = &report["listed_total"]["predictors"];
    for field in ["write_recall", "storage_write_recall", "slot_recall", "account_recall"] {
        assert_eq!(scores["oracle"][field], 1.0, "oracle {field}");
        assert!(scores["none"][field].as_f64() < Some(1.0), "none {field}");
    }
    for field in ["write_recall", "storage_write_precision", "slot_precision"] {
        assert_eq!(scores["bal"][field], 1.0, "bal {field}");
    }
    assert!(scores["bal"]["slot_recall"].as_f64() < Some(1.0), "a list names no reader");
    let text = run(&["score", "--repeat=1", "--predictor=static"], block.path());
    assert!(text.stdout.contains("by the access list, nothing executed"), "{}", text.stdout);
    let executed = run(&["score", "--json", "--repeat=1", "--truth=execution"], block.path());
    let report: Value = serde_json::from_str(&executed.stdout).unwrap();
    assert!(report["listed_total"].is_null() && report["total"]["blocks"] == 1);

    // Of a state on which the block cannot be executed.
    let path = block.path().join("pre_state.json");
    let state = fs::read_to_string(&path).unwrap();
    let mut state: Value = serde_json::from_str(&state).unwrap();
    let accounts = state.as_object_mut().unwrap();
    accounts.values_mut().for_each(|account| account["balance"] = "0x0".into());
    fs::write(&path, state.to_string()).unwrap();
    let by_static = ["score", "--repeat=1", "--predictor=static"];
    assert_eq!(run(&by_static, block.path()).code, Some(0));
    let executing = [&by_static[..], &["--truth=execution"]].concat();
    assert_eq!(run(&executing, block.path()).code, Some(1));

    let ran = run(&["score", "--truth=list"], &sample("hot-pool"));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("there is no access list to score by"), "{}", ran.stderr);
}

#[test]
fn the_list_that_saves_gas_is_named_and_never_costs_any() {
    let ran = run(&["access-list", "--json"], &sample("access-list"));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    let reports: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let gas = |report: &Value, name: &str| report[name].as_u64().unwrap();
    assert!(reports.iter().all(|it| gas(it, "gas_with") <= gas(it, "gas_without")));
    assert!(reports.iter().any(|it| gas(it, "unused") > 0));
    let ran = run(&["access-list"], &sample("lending"));
    assert!(ran.stdout.contains("3 slots would save 400"), "{}", ran.stdout);
    let text = run(&["access-list", "--tx", "0"], &sample("access-list"));
    assert_eq!(text.code, Some(0));
    assert!(text.stdout.contains("tx0: "), "{}", text.stdout);
    let ran = run(&["access-list", "--tx", "99"], &sample("access-list"));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("there is no tx99"), "{}", ran.stderr);
}
