//! `forewave test`, on cases made here.

use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::{forewave, sample};

/// A test of one valid block without transactions, and the archive forms of it.
fn conformance_case() -> Value {
    let rlp = |block: &alloy_consensus::Block<alloy_consensus::TxEnvelope>| {
        alloy_primitives::hex::encode_prefixed(alloy_rlp::encode(block))
    };
    let body = alloy_consensus::BlockBody::default();
    let genesis = alloy_consensus::Header { gas_limit: 1 << 20, ..Default::default() };
    let reward = alloy_primitives::U256::from(5_000_000_000_000_000_000_u64);
    let mut state = forewave::MemoryState::default();
    let info = revm::state::AccountInfo::from_balance(reward);
    state.insert_account(alloy_primitives::Address::ZERO, info);
    let state_root = forewave::state_root(&state);
    let parent_hash = genesis.hash_slow();
    let header = alloy_consensus::Header { number: 1, parent_hash, state_root, ..genesis.clone() };
    json!({ "a_reward": {
        "network": "Frontier",
        "pre": {},
        "genesisRLP": rlp(&alloy_consensus::Block::new(genesis, body.clone())),
        "blocks": [
            { "rlp": "0x00", "expectException": "BlockException.RLP_STRUCTURES_ENCODING" },
            { "rlp": rlp(&alloy_consensus::Block::new(header.clone(), body)) },
        ],
        "lastblockhash": header.hash_slow(),
        "postState": {
            "0x0000000000000000000000000000000000000000": { "balance": "5000000000000000000" },
        },
    }})
}

#[test]
fn test_runs_a_file_a_directory_or_an_archive_and_says_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let case = serde_json::to_vec(&conformance_case()).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut entry = tar::Header::new_gnu();
    entry.set_size(case.len() as u64);
    archive.append_data(&mut entry, "inside/case.json", &case[..]).unwrap();
    let archive = archive.into_inner().unwrap();
    fs::create_dir_all(at("good/.hidden")).unwrap();
    fs::write(at("good/.hidden/index.json"), "{}").unwrap();
    fs::write(at("good/case.json"), &case).unwrap();
    fs::write(at("good/one.tar.zst"), zstd::encode_all(&archive[..], 1).unwrap()).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&archive).unwrap();
    fs::write(at("good/two.tgz"), gzip.finish().unwrap()).unwrap();

    let ran = forewave(["test".into(), at("good")]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    assert!(ran.stdout.starts_with("3 cases in 3 files: 3 passed, 0 failed, 0 skipped\n"));
    assert!(ran.stdout.contains("6 predictors on 1, 2, 8 threads; 3 invalid blocks rejected"));

    let ran = forewave(["test".into(), at("good"), "--quick".into()]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    assert!(ran.stdout.contains("1 predictor in the usual way on 2 threads"), "{}", ran.stdout);
    for other in ["--predictor=none", "--threads=1"] {
        let ran = forewave(["test".into(), at("good"), "--quick".into(), other.into()]);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    }

    let ran = forewave(["test".into(), sample("hot-pool")]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("hot-pool is a block directory"), "{}", ran.stderr);

    let mut wrong = conformance_case();
    wrong["a_reward"]["postState"] = json!({});
    fs::write(at("wrong.json"), serde_json::to_vec(&wrong).unwrap()).unwrap();
    let ran = forewave(["test".into(), at("wrong.json")]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("state after the last block: 0x0000"), "{}", ran.stdout);
    wrong["a_reward"]["network"] = json!("\u{1b}[2J");
    fs::write(at("wrong.json"), serde_json::to_vec(&wrong).unwrap()).unwrap();
    let ran = forewave(["test".into(), at("wrong.json"), "--verbose".into()]);
    assert!(
        ran.stdout.contains("skipped: the rules of \\u{1b}[2J are not known"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
    wrong["a_reward"]["network"] = json!("Nowhere");
    fs::write(at("wrong.json"), serde_json::to_vec(&wrong).unwrap()).unwrap();
    let ran = forewave(["test".into(), at("wrong.json"), "--json".into()]);
    let lines: Vec<Value> =
        ran.stdout.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(lines[0]["verdict"], "skipped");
    assert_eq!(lines[1]["total"]["skipped_for"]["the rules of Nowhere are not known"], 1);

    fs::write(at("broken.json"), r#"{"a": {"network": "Cancun"}}"#).unwrap();
    for (path, part) in [("broken.json", "missing field"), ("none", "does not exist")] {
        let ran = forewave(["test".into(), at(path)]);
        assert_eq!(ran.code, Some(1), "{path}");
        assert!(ran.stderr.contains(part), "{path}: {}", ran.stderr);
    }
}
