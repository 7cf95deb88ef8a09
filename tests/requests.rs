//! Requests to the consensus layer (EIP-7685) from outside: blocks of `forewave test`
//! and of `forewave run` whose header names them right or wrong, and blocks that are
//! invalid since a system contract fails.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use alloy_consensus::{Block as WireBlock, BlockBody, Header, TxEnvelope};
use alloy_eips::{
    eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE},
    eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_CODE},
    eip7685::{EMPTY_REQUESTS_HASH, Requests},
};
use alloy_primitives::{Address, B256, Bytes, U256, hex};
use forewave::{
    MemoryState, PredictorKind,
    conformance::{CaseReport, Setup, Verdict, Ways, run_file},
    input::SourceFile,
    state_root,
};
use rayon::ThreadPoolBuilder;
use revm::{bytecode::Bytecode, state::AccountInfo};
use serde_json::{Value, json};

/// `PUSH1 0 PUSH1 0 REVERT`.
const REVERTS: [u8; 5] = [0x60, 0, 0x60, 0, 0xfd];

/// Slots of the contract of EIP-7002: the end of its queue, and the first entry.
const TAIL: u64 = 3;
const QUEUE: u64 = 4;

type Accounts = Vec<(Address, Bytes, Vec<(u64, U256)>)>;

fn state(accounts: &Accounts) -> MemoryState {
    let mut state = MemoryState::default();
    for (address, code, storage) in accounts {
        let code = Bytecode::new_raw(code.clone());
        state.insert_account(*address, AccountInfo::from_bytecode(code));
        for (key, value) in storage {
            state.insert_storage(*address, U256::from(*key), *value);
        }
    }
    state
}

fn stated(accounts: &Accounts) -> Value {
    let accounts = accounts.iter().map(|(address, code, storage)| {
        let storage = storage.iter().map(|(key, value)| (format!("{key:#x}"), json!(value)));
        let storage = Value::Object(storage.collect());
        (
            address.to_string(),
            json!({ "balance": "0x0", "nonce": "0x1", "code": code, "storage": storage }),
        )
    });
    Value::Object(accounts.collect())
}

/// Both contracts, the first with so many requests in its queue.
fn contracts(queued: u64) -> Accounts {
    let words = |n: u64| (0..3).map(move |part| (QUEUE + 3 * n + part, entry(part)));
    let mut storage: Vec<_> = (0..queued).flat_map(words).collect();
    if queued > 0 {
        storage.push((TAIL, U256::from(queued)));
    }
    vec![
        (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone(), storage),
        (
            CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
            CONSOLIDATION_REQUEST_PREDEPLOY_CODE.clone(),
            vec![],
        ),
    ]
}

/// The words of an entry: the source, and a public key and an amount of sevens.
fn entry(part: u64) -> U256 {
    match part {
        0 => U256::from(0x5e),
        1 => U256::from_be_bytes([7; 32]),
        _ => U256::from_be_bytes([7; 32]) << (8 * 8),
    }
}

/// What the contract answers to be asked for that entry.
fn withdrawal() -> Vec<u8> {
    let source = Address::left_padding_from(&[0x5e]);
    [source.as_slice(), &[7; 48], &[7; 8]].concat()
}

fn requests_hash(queued: usize) -> B256 {
    let mut requests = Requests::default();
    requests.push_request_with_type(1, withdrawal().repeat(queued));
    requests.requests_hash()
}

/// A case of one block on these accounts, whose header names these requests. The state
/// after it is that before it, but for `after`.
fn run_case(
    accounts: &Accounts,
    after: &Accounts,
    requests_hash: B256,
    exception: Option<&str>,
) -> CaseReport {
    let header = Header {
        gas_limit: 30_000_000,
        base_fee_per_gas: Some(7),
        withdrawals_root: Some(alloy_consensus::EMPTY_ROOT_HASH),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        difficulty: U256::ZERO,
        state_root: state_root(&state(accounts)),
        ..Header::default()
    };
    let (number, timestamp, parent_hash) = (1, 12, header.hash_slow());
    let child = Header {
        number,
        timestamp,
        parent_hash,
        state_root: state_root(&state(after)),
        requests_hash: Some(requests_hash),
        ..header.clone()
    };
    let rlp = |header: &Header| {
        let withdrawals = Some(vec![].into());
        let body = BlockBody::<TxEnvelope> { withdrawals, ..BlockBody::default() };
        hex::encode_prefixed(alloy_rlp::encode(WireBlock::new(header.clone(), body)))
    };
    let (last, end) =
        if exception.is_some() { (parent_hash, accounts) } else { (child.hash_slow(), after) };
    let mut block = json!({ "rlp": rlp(&child) });
    if let Some(exception) = exception {
        block["expectException"] = exception.into();
    }
    let case = json!({ "case": {
        "network": "Prague", "pre": stated(accounts), "genesisRLP": rlp(&header),
        "blocks": [block], "lastblockhash": last, "postState": stated(end),
    }});
    let file = SourceFile { path: "case.json".into(), bytes: case.to_string().into() };
    let pools = [1, 2, 8].map(|n| ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    let ways = Ways::All;
    let setup = Setup { ways, predictors: &PredictorKind::ALL, pools: &pools };
    run_file(&file, &setup, |_| true).unwrap().remove(0)
}

#[test]
fn the_requests_of_a_block_are_those_of_its_header() {
    for queued in [0, 1, 2] {
        let (before, mut after) = (contracts(queued), contracts(queued));
        // The queue is empty again, and its entries stay where they are.
        after[0].2.retain(|(key, _)| *key != TAIL);
        let hash = requests_hash(usize::try_from(queued).unwrap());
        let report = run_case(&before, &after, hash, None);
        assert_eq!((report.verdict, report.valid_blocks), (Verdict::Passed, 1), "{queued}");
        let wrong = run_case(&before, &after, B256::ZERO, Some("BlockException.INVALID_REQUESTS"));
        assert_eq!((wrong.verdict, wrong.rejected_blocks), (Verdict::Passed, 1), "{queued}");
        let accepted = run_case(&before, &after, hash, Some("BlockException.INVALID_REQUESTS"));
        assert!(matches!(accepted.verdict, Verdict::Failed(_)), "{queued}");
    }
}

#[test]
fn a_block_whose_system_contract_fails_is_rejected_for_just_that() {
    let (empty, failed) =
        ("BlockException.SYSTEM_CONTRACT_EMPTY", "BlockException.SYSTEM_CONTRACT_CALL_FAILED");
    for contract in [0, 1] {
        let mut reverting = contracts(0);
        reverting[contract].1 = REVERTS.into();
        let mut absent = contracts(0);
        absent.remove(contract);
        for (accounts, right, wrong) in [(reverting, failed, empty), (absent, empty, failed)] {
            let report = run_case(&accounts, &accounts, EMPTY_REQUESTS_HASH, Some(right));
            assert_eq!((report.verdict, report.rejected_blocks), (Verdict::Passed, 1), "{right}");
            assert!(report.not_judged.is_empty(), "{right}");
            let report = run_case(&accounts, &accounts, EMPTY_REQUESTS_HASH, Some(wrong));
            assert!(matches!(report.verdict, Verdict::Failed(_)), "{right}");
        }
    }
}

/// A sample block of Prague with these instead of its system contracts.
fn with_accounts(accounts: &Accounts) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks/delegation");
    let read =
        |name| -> Value { serde_json::from_slice(&fs::read(sample.join(name)).unwrap()).unwrap() };
    let mut pre_state = read("pre_state.json");
    let pre_accounts = pre_state.as_object_mut().unwrap();
    pre_accounts.retain(|address, _| {
        let address: Address = address.parse().unwrap();
        contracts(0).iter().all(|(contract, ..)| *contract != address)
    });
    pre_accounts.extend(stated(accounts).as_object().unwrap().clone());
    let at = |name| -> PathBuf { directory.path().join(name) };
    fs::write(at("block.json"), read("block.json").to_string()).unwrap();
    fs::write(at("pre_state.json"), pre_state.to_string()).unwrap();
    directory
}

fn run(directory: &Path, threads: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_forewave"))
        .args(["run", "--compare", "--threads", threads])
        .arg(directory)
        .output()
        .unwrap()
}

#[test]
fn run_compares_the_requests_with_the_header_where_the_contracts_are_there() {
    for threads in ["1", "2", "8"] {
        for (accounts, code, said) in [
            (vec![], 0, "withdrawal requests (EIP-7002): left out once"),
            (contracts(0), 0, "matches"),
            (contracts(1), 1, "requests_hash: header 0xe3b0c442"),
        ] {
            let ran = run(with_accounts(&accounts).path(), threads);
            let stdout = String::from_utf8_lossy(&ran.stdout);
            assert_eq!((ran.status.code(), stdout.contains(said)), (Some(code), true), "{ran:?}");
        }
        for contract in [0, 1] {
            let mut accounts = contracts(0);
            for (bad, said) in [(REVERTS.to_vec(), "reverted"), (vec![], "has no code")] {
                accounts[contract].1 = bad.into();
                let ran = run(with_accounts(&accounts).path(), threads);
                let message = String::from_utf8_lossy(&ran.stderr);
                assert_eq!(ran.status.code(), Some(1), "{ran:?}");
                assert!(message.contains("the block is invalid"), "{message}");
                assert!(message.contains(said), "{message}");
                assert!(message.contains(&accounts[contract].0.to_string()), "{message}");
            }
        }
    }
}
