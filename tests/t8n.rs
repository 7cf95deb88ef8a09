//! State transitions against the headers of the sample blocks, and of
//! ethereum/tests where they are present beside the project; and rule by rule.

#[path = "t8n/rules.rs"]
mod rules;
#[path = "t8n/unacceptable.rs"]
mod unacceptable;

use std::{collections::BTreeMap, fs, path::Path};

use alloy_consensus::{Block as ConsensusBlock, Header, TxEnvelope};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{B256, U256};
use alloy_rlp::{Decodable, Encodable};
use forewave::{
    BlockReward, StaticPredictor,
    conformance::{fork_by_name, source},
    input::{Chain, InputError, SourceFile},
    state_root,
    t8n::{Transition, TransitionFiles, TransitionInput, TransitionRules, transition},
};
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::{Value, json};

/// One case of ethereum/tests in so many is run: all of them are run otherwise.
const CASES_STEP: usize = 7;

fn file(name: &str, value: &Value) -> SourceFile {
    SourceFile { path: name.into(), bytes: value.to_string().into_bytes() }
}

fn files(alloc: &Value, env: &Value, txs: &Value) -> TransitionFiles {
    TransitionFiles {
        alloc: file("alloc.json", alloc),
        env: file("env.json", env),
        txs: file("txs.json", txs),
    }
}

/// The usual rules of a fork of mainnet.
fn rules_of(fork: EthereumHardfork) -> TransitionRules {
    TransitionRules { fork, chain_id: 1, reward: BlockReward::OfFork }
}

fn run(files: &TransitionFiles, fork: EthereumHardfork) -> Result<Transition, String> {
    run_by(files, rules_of(fork))
}

fn run_by(files: &TransitionFiles, rules: TransitionRules) -> Result<Transition, String> {
    let pool: ThreadPool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let input = TransitionInput::parse(files, rules).map_err(|error| error.to_string())?;
    transition(&input, &StaticPredictor::default(), &pool).map_err(|error| error.to_string())
}

/// A sample block, in the terms of a transition.
fn sample(directory: &Path) -> (Value, Value, Value, Value) {
    let read = |name: &str| -> Value {
        let bytes = fs::read(directory.join(name)).unwrap_or_else(|_| b"{}".to_vec());
        serde_json::from_slice(&bytes).unwrap()
    };
    let block = read("block.json");
    let env = json!({
        "currentCoinbase": block["miner"],
        "currentGasLimit": block["gasLimit"],
        "currentNumber": block["number"],
        "currentTimestamp": block["timestamp"],
        "currentDifficulty": block["difficulty"],
        "currentRandom": block["mixHash"],
        "currentBaseFee": block["baseFeePerGas"],
        "currentExcessBlobGas": block["excessBlobGas"],
        "slotNumber": block["slotNumber"],
        "parentBeaconBlockRoot": block["parentBeaconBlockRoot"],
        "previousHash": block["parentHash"],
        "withdrawals": block["withdrawals"],
        "blockHashes": read("block_hashes.json"),
    });
    (read("pre_state.json"), env, block["transactions"].clone(), block)
}

fn fork_of(block: &Value) -> EthereumHardfork {
    let number = |name: &str| serde_json::from_value::<U256>(block[name].clone()).unwrap();
    Chain::Mainnet.fork(number("number").to(), number("timestamp").to()).unwrap()
}

/// The rules of the chain that the block's transactions name.
fn rules_of_block(block: &Value) -> TransitionRules {
    let number = |value: &Value| serde_json::from_value::<U256>(value.clone()).unwrap().to();
    let chain_id = number(&block["transactions"][0]["chainId"]);
    let fork = Chain::from_id(chain_id).fork(number(&block["number"]), number(&block["timestamp"]));
    TransitionRules { chain_id, ..rules_of(fork.unwrap()) }
}

#[test]
fn every_sample_block_gives_the_roots_of_its_header() {
    let blocks = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks");
    let mut count = 0;
    for entry in fs::read_dir(blocks).unwrap() {
        let directory = entry.unwrap().path();
        let (alloc, env, txs, block) = sample(&directory);
        let done = run_by(&files(&alloc, &env, &txs), rules_of_block(&block)).unwrap();
        let found = json!([done.tx_root, done.receipts_root, done.logs_bloom, done.gas_used]);
        let expected = ["transactionsRoot", "receiptsRoot", "logsBloom", "gasUsed"];
        let expected = expected.map(|name| block[name].clone());
        assert_eq!(found, json!(expected), "{}", directory.display());
        assert_eq!(done.rejected, [], "{}", directory.display());
        // What comes out is an alloc again.
        let again = files(&json!(done.alloc()), &env, &json!([]));
        let again = TransitionInput::parse(&again, rules_of_block(&block)).unwrap();
        assert_eq!(state_root(&again.state), done.state_root, "{}", directory.display());
        count += 1;
    }
    assert!(count >= 14, "only {count} sample blocks");
}

#[test]
fn what_does_not_belong_in_the_block_is_left_out_and_named() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks/nonce-chain");
    let (alloc, env, mut txs, block) = sample(&directory);
    let without = run(&files(&alloc, &env, &txs), fork_of(&block)).unwrap();
    let list = txs.as_array_mut().unwrap();
    let (first, last) = (list[0].clone(), list[list.len() - 1].clone());
    list.insert(1, first);
    list.insert(0, last);
    let with = run(&files(&alloc, &env, &txs), fork_of(&block)).unwrap();
    assert_eq!((with.state_root, with.tx_root), (without.state_root, without.tx_root));
    assert_eq!(with.receipts_root, without.receipts_root);
    let rejected: Vec<_> =
        with.rejected.iter().map(|one| format!("{} {}", one.index, one.error)).collect();
    assert_eq!(rejected, ["0 nonce 11 too high, expected 0", "2 nonce 0 too low, expected 1"]);
}

/// The sender of the key 1 pays; nothing else happens.
#[test]
fn a_transaction_with_a_key_is_signed_with_it() {
    let alloc =
        json!({ "7e5f4552091a69125d5dfcb7b8c2659029395bdf": { "balance": "0xffffffffff" } });
    let env = json!({
        "currentCoinbase": "0xc94f5374fce5edbc8e2a8697c15331677e6ebf0b",
        "currentGasLimit": "0xffffffff", "currentNumber": "1", "currentTimestamp": "1000",
        "currentRandom": "0x0",
        "parentBaseFee": "0x10", "parentGasUsed": "0x0", "parentGasLimit": "0xffffffff",
    });
    let key = B256::with_last_byte(1);
    let tx = |rest: Value| {
        let mut tx = json!({ "gas": "0x186a0", "nonce": "0x0", "value": "0x7", "data": "0x",
            "v": "0x0", "r": "0x0", "s": "0x0", "secretKey": key, "to": "" });
        tx.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        tx
    };
    for rest in [
        json!({ "gasPrice": "0x10" }),
        json!({ "gasPrice": "0x10", "protected": false }),
        json!({ "gasPrice": "0x10", "type": "0x1", "accessList": [] }),
        json!({ "maxFeePerGas": "0x20", "maxPriorityFeePerGas": "0x2", "type": "0x2", "accessList": [] }),
    ] {
        let done = run(&files(&alloc, &env, &json!([tx(rest.clone())])), EthereumHardfork::Paris);
        let done = done.unwrap_or_else(|error| panic!("{rest}: {error}"));
        assert_eq!(done.rejected, [], "{rest}");
        // Keccak-256 of the RLP of the sender and nonce 0.
        let created = "0xf2e246bb76df876cef8b38ae84130f4f55de395b";
        assert_eq!(json!(done.receipts[0].contract_address), json!(created), "{rest}");
        assert_eq!(json!(done.alloc())[created]["balance"], json!("0x7"), "{rest}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks/nonce-chain");
    let (alloc, env, txs, block) = sample(&directory);
    let without = |of: &Value, name: &str| {
        let mut of = of.clone();
        of.as_object_mut().unwrap().remove(name);
        of
    };
    let with = |of: &Value, name: &str, value: Value| {
        let mut of = of.clone();
        of.as_object_mut().unwrap().insert(name.into(), value);
        of
    };
    let unsigned = without(&without(&txs[0], "r"), "s");
    let cases = [
        (files(&alloc, &without(&env, "currentNumber"), &txs), "missing field `currentNumber`"),
        (
            files(&alloc, &without(&env, "currentBaseFee"), &txs),
            "env.json: `currentBaseFee`: expected a number, or parentBaseFee, parentGasUsed and \
             parentGasLimit, which Cancun needs, found nothing",
        ),
        (
            files(
                &alloc,
                &with(&env, "ommers", json!([{ "delta": 9, "address": block["miner"] }])),
                &txs,
            ),
            "env.json: `ommers[0].delta`: expected 1 to 6, within the chain, found 9",
        ),
        (
            files(
                &alloc,
                &with(
                    &with(
                        &without(&env, "currentExcessBlobGas"),
                        "parentBlobGasUsed",
                        json!(u64::MAX),
                    ),
                    "parentExcessBlobGas",
                    json!("0x0"),
                ),
                &txs,
            ),
            "env.json: `parentBlobGasUsed`: expected less than 2^32",
        ),
        (files(&json!([]), &env, &txs), "alloc.json:1:0: invalid type: sequence"),
        (
            files(&alloc, &env, &json!({})),
            "txs.json: `.`: expected an array of transactions, or the RLP of their list in hex, found {}",
        ),
        (
            files(&alloc, &env, &json!([1])),
            "txs.json: `[0]`: expected a transaction object, found 1",
        ),
        (
            files(&alloc, &env, &json!([without(&txs[0], "nonce")])),
            "txs.json: `[0]`: expected a transaction (`nonce` is missing)",
        ),
        (
            files(&alloc, &env, &json!([unsigned])),
            "txs.json: `[0]`: expected a transaction (neither a signature nor a secretKey)",
        ),
        (
            files(&alloc, &env, &json!([with(&txs[0], "gas", json!("0xzz"))])),
            "txs.json: `[0]`: expected a transaction (`gas`: expected a number, hex or decimal, found",
        ),
        (
            TransitionFiles { txs: file("txs.rlp", &json!("0xc0c0")), ..files(&alloc, &env, &txs) },
            "txs.rlp: `.`: expected nothing after the RLP of the list",
        ),
        (
            TransitionFiles { txs: file("txs.rlp", &json!("0xc1")), ..files(&alloc, &env, &txs) },
            "txs.rlp: `.`: expected the RLP of a list of transactions",
        ),
    ];
    for (files, part) in cases {
        let error = run(&files, fork_of(&block)).unwrap_err();
        assert!(error.contains(part), "{error}\n  does not say: {part}");
    }
}

/// The first block of a case, where it is valid and follows one fork.
fn transition_of(case: &Value) -> Option<(TransitionFiles, EthereumHardfork, Header)> {
    let fork = fork_by_name(case["network"].as_str()?).ok()?;
    let block = &case["blocks"][0];
    if block["expectException"].is_string() || block["expectExceptionALL"].is_string() {
        return None;
    }
    let rlp = alloy_primitives::hex::decode(block["rlp"].as_str()?).ok()?;
    let block = ConsensusBlock::<TxEnvelope>::decode(&mut &rlp[..]).ok()?;
    let (header, body) = (block.header, block.body);
    let number = header.number;
    let ommers = body.ommers.iter();
    let ommers =
        ommers.map(|one| json!({ "delta": number - one.number, "address": one.beneficiary }));
    let mut env = json!({
        "currentCoinbase": header.beneficiary,
        "currentGasLimit": header.gas_limit,
        "currentNumber": number,
        "currentTimestamp": header.timestamp,
        "currentDifficulty": header.difficulty,
        "currentRandom": header.mix_hash,
        "parentBeaconBlockRoot": header.parent_beacon_block_root,
        "blockHashes": { number.checked_sub(1)?.to_string(): header.parent_hash },
        "ommers": ommers.collect::<Vec<_>>(),
        "withdrawals": body.withdrawals.unwrap_or_default(),
    });
    let optional = BTreeMap::from([
        ("currentBaseFee", header.base_fee_per_gas),
        ("currentExcessBlobGas", header.excess_blob_gas),
    ]);
    for (name, value) in optional {
        env[name] = json!(value);
    }
    let mut txs = Vec::new();
    body.transactions.encode(&mut txs);
    let txs = json!(alloy_primitives::hex::encode_prefixed(txs));
    let files =
        TransitionFiles { txs: file("txs.rlp", &txs), ..files(&case["pre"], &env, &json!([])) };
    Some((files, fork, header))
}

#[test]
fn first_blocks_of_ethereum_tests_give_the_state_roots_of_their_headers() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/ethereum-tests");
    if !tests.exists() {
        eprintln!("skipped: no ethereum/tests at {}", tests.display());
        return;
    }
    let (mut position, mut count) = (0, 0);
    source::for_each_file(&tests, &mut |file| {
        let cases: BTreeMap<String, Value> =
            serde_json::from_slice(&file.bytes).unwrap_or_default();
        for (name, case) in cases {
            position += 1;
            if position % CASES_STEP != 0 {
                continue;
            }
            let Some((files, fork, header)) = transition_of(&case) else { continue };
            let done = run(&files, fork).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(done.state_root, header.state_root, "{name}");
            assert_eq!(done.tx_root, header.transactions_root, "{name}");
            assert_eq!(done.receipts_root, header.receipts_root, "{name}");
            assert_eq!(done.rejected, [], "{name}");
            count += 1;
        }
        Ok::<_, InputError>(())
    })
    .unwrap();
    eprintln!("{count} transitions of {position} cases");
    assert!(count > 300);
}
