//! Divisions of sample blocks.

use serde_json::Value;

use crate::{block, blocks, forewave, json};

fn partition(blocks: &[&str], shards: &str) -> Value {
    json(&[&["partition", "--json", "--shards", shards], blocks].concat())
}

#[test]
fn every_account_and_transaction_is_on_one_shard_and_the_figures_add_up() {
    let all = blocks();
    let paths: Vec<&str> = all.iter().map(String::as_str).collect();
    for shards in ["1", "2", "5", "16"] {
        let found = partition(&paths, shards);
        let count: u64 = shards.parse().unwrap();
        let accounts = found["shard_of"].as_object().unwrap();
        assert_eq!(found["accounts"], accounts.len());
        assert!(accounts.values().all(|shard| shard.as_u64().unwrap() < count));
        for quality in [&found["min_cut"], &found["by_hash"]] {
            let rows = quality["shards"].as_array().unwrap();
            let sum = |field| rows.iter().map(|row| row[field].as_u64().unwrap()).sum::<u64>();
            assert_eq!(rows.len() as u64, count);
            assert_eq!(found["txs"], sum("txs"));
            assert_eq!(found["gas"], sum("gas"));
            assert_eq!(found["accounts"], sum("accounts"));
        }
    }
}

#[test]
fn a_minimum_cut_crosses_less_than_a_hash_and_keeps_the_balance() {
    let all = blocks();
    let paths: Vec<&str> = all.iter().map(String::as_str).collect();
    let found = partition(&paths, "2");
    let crossing = |way: &str| found[way]["cross_shard_txs"].as_u64().unwrap();
    assert!(crossing("min_cut") < crossing("by_hash"), "{found}");
    assert!(found["min_cut"]["imbalance"].as_f64().unwrap() < 1.06, "{found}");
    let alone = partition(&paths, "1");
    assert_eq!((&alone["min_cut"]["cut"], &alone["by_hash"]["cut"]), (&0.into(), &0.into()));
}

#[test]
fn transfers_among_strangers_cross_no_shard() {
    let found = partition(&[&block("nonce-chain"), &block("hot-pool")], "2");
    assert!(found["min_cut"]["cut"].as_u64() < found["by_hash"]["cut"].as_u64(), "{found}");
}

#[test]
fn the_same_blocks_are_divided_the_same() {
    let path = block("mixed-defi");
    let text = || forewave(["partition", &path, "--shards", "4"]).stdout;
    assert!(text().contains("minimum cut"));
    assert_eq!(text(), text());
    assert_eq!(partition(&[&path], "4"), partition(&[&path], "4"));
}

#[test]
fn too_many_shards_are_refused() {
    let ran = forewave(["partition", &block("mixed-defi"), "--shards", "64"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("are too few for 64 shards"), "{ran:?}");
    for shards in ["0", "many", "5000"] {
        let ran = forewave(["partition", &block("mixed-defi"), "--shards", shards]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
}
