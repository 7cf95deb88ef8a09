//! The rules of a transition: what the fork gives, what follows from the parent, and
//! what is asked for by name.

use std::{fs, path::Path, time::Instant};

use alloy_hardforks::EthereumHardfork as Fork;
use forewave::{
    BlockReward, StaticPredictor,
    t8n::{TransitionFiles, TransitionInput, TransitionRules, transition},
};
use rayon::ThreadPoolBuilder;
use serde_json::{Value, json};

use super::{files, rules_of, run, run_by};

/// The account of the key 1, which pays for everything here.
const PAYER: &str = "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf";
/// A contract, whose code each test chooses.
const CONTRACT: &str = "0x00000000000000000000000000000000000ca11e";
const BENEFICIARY: &str = "0x00000000000000000000000000000000000c0ffe";

pub(super) fn alloc(code: &str) -> Value {
    json!({ PAYER: { "balance": "0xffffffffffffffffffff" }, CONTRACT: { "code": code } })
}

/// An environment that every fork can do with.
pub(super) fn env(fork: Fork) -> Value {
    let difficulty = if fork < Fork::Paris { "0x20000" } else { "0x0" };
    let withdrawals = if fork < Fork::Shanghai { json!(null) } else { json!([]) };
    json!({
        "currentCoinbase": BENEFICIARY, "currentGasLimit": "0x2fefd800",
        "currentNumber": "0x10", "currentTimestamp": "0x3e8", "currentDifficulty": difficulty,
        "currentRandom": "0x7", "currentBaseFee": "0x7", "currentExcessBlobGas": "0x0",
        "parentBeaconBlockRoot": format!("0x{:064x}", 5), "withdrawals": withdrawals,
        "blockHashes": { "0xf": format!("0x{:064x}", 15) },
    })
}

/// A transaction of the payer's to the contract, with other fields than the usual.
pub(super) fn tx(nonce: u64, fields: &Value) -> Value {
    let mut tx = json!({
        "nonce": format!("{nonce:#x}"), "gas": "0x30d40", "gasPrice": "0x3b9aca00", "value": "0x0",
        "to": CONTRACT, "input": "0x", "secretKey": format!("0x{:064x}", 1),
    });
    tx.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    tx
}

fn blobs(nonce: u64, count: usize) -> Value {
    let hashes: Vec<_> = (0..count).map(|at| format!("0x01{at:062x}")).collect();
    tx(
        nonce,
        &json!({
            "gasPrice": null, "maxFeePerGas": "0x3b9aca00", "maxPriorityFeePerGas": "0x0",
            "maxFeePerBlobGas": "0x3b9aca00", "blobVersionedHashes": hashes, "to": PAYER,
        }),
    )
}

fn without(of: &Value, names: &[&str]) -> Value {
    let mut of = of.clone();
    for name in names {
        of.as_object_mut().unwrap().remove(*name);
    }
    of
}

fn with(of: &Value, fields: &Value) -> Value {
    let mut of = of.clone();
    of.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    of
}

/// A block takes no more blobs than its fork allows, and what comes after one that is
/// refused can still fit.
#[test]
fn a_block_takes_as_many_blobs_as_its_fork_allows() {
    for (fork, in_block) in
        [(Fork::Cancun, 6), (Fork::Prague, 9), (Fork::Osaka, 9), (Fork::Bpo1, 15), (Fork::Bpo2, 21)]
    {
        let mut txs = vec![blobs(0, 4)];
        let mut nonce = 1;
        let mut left = in_block - 4;
        while left >= 4 {
            txs.push(blobs(nonce, 4));
            (nonce, left) = (nonce + 1, left - 4);
        }
        let refused = txs.len();
        txs.push(blobs(nonce, left + 1));
        txs.push(blobs(nonce, left));
        txs.push(blobs(nonce + 1, 1));
        let system = system_contracts();
        let done =
            run(&files(&with(&alloc("0x"), &system), &env(fork), &json!(txs)), fork).unwrap();
        let rejected: Vec<_> = done.rejected.iter().map(|one| one.index).collect();
        assert_eq!(rejected, [refused, refused + 2], "{fork}: {:?}", done.rejected);
        assert!(done.rejected[0].error.contains("blob gas"), "{}", done.rejected[0].error);
        assert_eq!(json!(done.blob_gas_used), json!(format!("{:#x}", in_block << 17)), "{fork}");
    }
}

/// The contracts that Prague calls, with code that stops.
fn system_contracts() -> Value {
    json!({
        "0x00000961ef480eb55e80d19ad83579a64c007002": { "code": "0x00" },
        "0x0000bbddc7ce488642fb579f8b00f3a590007251": { "code": "0x00" },
    })
}

/// Transactions that are refused cost what it takes to refuse them, however much the
/// block runs before them.
#[test]
fn ten_thousand_refused_transactions_cost_less_than_the_block_itself() {
    let fork = Fork::London;
    // A loop that uses up its gas.
    let heavy = tx(0, &json!({ "gas": "0x5f5e100" }));
    let mut txs = vec![heavy];
    txs.extend((0..100).map(|nonce| tx(nonce + 7, &json!({}))));
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let input = |txs: &[Value]| {
        let files = files(&alloc("0x5b600056"), &env(fork), &json!(txs));
        TransitionInput::parse(&files, rules_of(fork)).unwrap()
    };
    // The same hundred a hundred times over.
    let mut many = input(&txs);
    let (refused, envelopes) =
        (many.block.transactions[1..].to_vec(), many.candidates[1..].to_vec());
    for _ in 1..100 {
        many.block.transactions.extend(refused.iter().cloned());
        many.candidates.extend(envelopes.iter().cloned());
    }
    let best = |input: &TransitionInput, rejected: usize| {
        let runs = (0..3).map(|_| {
            let begun = Instant::now();
            let done = transition(input, &StaticPredictor::default(), &pool).unwrap();
            assert_eq!((done.receipts.len(), done.rejected.len()), (1, rejected));
            begun.elapsed()
        });
        runs.min().unwrap()
    };
    let (alone, with_refused) = (best(&input(&txs[..1]), 0), best(&many, 10_000));
    assert!(with_refused < 2 * alone, "{with_refused:?} with, {alone:?} without");
}

/// Difficulties as the Python execution specifications compute them: fork, number,
/// seconds since the parent, the parent's difficulty, whether it has ommers.
const DIFFICULTIES: [(Fork, u64, u64, u64, bool, u128); 22] = [
    (Fork::Frontier, 9_607_639, 1, 655_437, true, 19_807_040_628_566_084_398_386_643_341),
    (Fork::Frontier, 11_266, 44, 131_072, false, 131_072),
    (Fork::Homestead, 54_938, 9, 655_437, false, 655_757),
    (Fork::Homestead, 3_786_904, 13, 1_000_065_066, false, 35_359_803_434),
    (Fork::Dao, 1_190_407, 9, 10_000_000_037_740, true, 10_004_882_850_770),
    (Fork::Tangerine, 80_075, 9, 131_072, true, 131_136),
    (Fork::SpuriousDragon, 875_964, 12, 655_437, true, 655_501),
    (Fork::SpuriousDragon, 2_157_364, 12, 131_072, false, 655_360),
    (Fork::Byzantium, 52_176, 1, 655_437, false, 655_757),
    (Fork::Byzantium, 11_852_576, 1, 655_437, true, 77_371_252_455_336_267_181_851_341),
    (Fork::Petersburg, 47_660, 9, 131_072, true, 131_136),
    (Fork::Petersburg, 47_732, 1_754, 10_000_045_533, false, 9_516_644_967),
    (Fork::Istanbul, 9_226_848, 12, 131_072, true, 1_099_511_758_912),
    (Fork::Istanbul, 1_877_033, 1, 1_000_052_518, true, 1_001_029_130),
    (Fork::MuirGlacier, 12_751_617, 8, 655_437, false, 34_360_394_125),
    (Fork::MuirGlacier, 3_033_147, 803, 655_437, true, 627_597),
    (Fork::Berlin, 15_093_233, 9, 131_072, false, 288_230_376_151_842_816),
    (Fork::London, 11_457_582, 12, 131_072, true, 163_904),
    (Fork::London, 12_843_332, 88, 131_072, true, 537_001_536),
    (Fork::ArrowGlacier, 14_138_256, 10, 131_072, true, 4_295_098_432),
    (Fork::GrayGlacier, 69_899, 10, 10_000_059_289, true, 10_004_942_130),
    (Fork::GrayGlacier, 15_007_248, 9, 655_437, false, 17_180_524_621),
];

#[test]
fn the_difficulty_follows_from_the_parent_by_the_formula_of_the_fork() {
    for (fork, number, seconds, of_parent, has_ommers, expected) in DIFFICULTIES {
        let env = without(&env(fork), &["currentDifficulty"]);
        let mut env = with(
            &env,
            &json!({
                "currentNumber": number, "currentTimestamp": 1_000_000 + seconds,
                "parentTimestamp": 1_000_000, "parentDifficulty": of_parent,
            }),
        );
        if has_ommers {
            env["parentUncleHash"] = json!(format!("0x{}", "ab".repeat(32)));
        }
        // The contract stores what DIFFICULTY gives.
        let files = files(&alloc("0x4460005500"), &env, &json!([tx(0, &json!({}))]));
        let done = run(&files, fork).unwrap();
        let expected = json!(format!("{expected:#x}"));
        assert_eq!(json!(done.current_difficulty), expected, "{fork} {number}");
        let stored = &json!(done.alloc())[CONTRACT]["storage"][format!("0x{:064x}", 0)];
        let digits =
            |value: &Value| value.as_str().unwrap()[2..].trim_start_matches('0').to_owned();
        assert_eq!(digits(stored), digits(&expected), "{fork} {number}");
    }
}

/// What the environment leaves out and nothing gives is asked for by its name.
#[test]
fn what_a_fork_needs_is_asked_for_by_name() {
    let parents = json!({
        "parentDifficulty": "0x20000", "parentTimestamp": "0x3e8", "parentBaseFee": "0x7",
        "parentGasUsed": "0x1", "parentGasLimit": "0x0", "parentExcessBlobGas": "0x0",
        "parentBlobGasUsed": "0x0",
    });
    let cases: [(Fork, &[&str], Value, &str); 14] = [
        (
            Fork::London,
            &["currentDifficulty"],
            json!({}),
            "`currentDifficulty`: expected a number, or",
        ),
        (
            Fork::London,
            &["currentDifficulty"],
            parents.clone(),
            "`parentTimestamp`: expected less than",
        ),
        (
            Fork::Berlin,
            &["currentDifficulty"],
            with(
                &parents,
                &json!({ "parentTimestamp": 1, "parentUncleHash": format!("0x{:064x}", 0) }),
            ),
            "`parentUncleHash`: expected the hash",
        ),
        (Fork::Paris, &[], json!({ "currentDifficulty": 7 }), "`currentDifficulty`: expected zero"),
        (Fork::Paris, &["currentRandom"], json!({}), "`currentRandom`: expected 32 bytes"),
        (Fork::London, &["currentBaseFee"], json!({}), "`currentBaseFee`: expected a number"),
        (Fork::London, &["currentBaseFee"], parents.clone(), "`parentGasUsed`: expected at most"),
        (Fork::Shanghai, &["withdrawals"], json!({}), "`withdrawals`: expected a list"),
        (
            Fork::Paris,
            &[],
            json!({ "withdrawals": [{ "index": "0x0", "validatorIndex": "0x0", "address": PAYER,
                "amount": "0x1" }] }),
            "`withdrawals`: expected none",
        ),
        (Fork::Cancun, &["parentBeaconBlockRoot"], json!({}), "`parentBeaconBlockRoot`: expected"),
        (Fork::Cancun, &["currentExcessBlobGas"], json!({}), "`currentExcessBlobGas`: expected"),
        (
            Fork::Osaka,
            &["currentExcessBlobGas"],
            with(&parents, &json!({ "parentBaseFee": null })),
            "`parentBaseFee`: expected a number",
        ),
        (Fork::Prague, &["blockHashes"], json!({}), "`blockHashes.15`: expected the hash"),
        (
            Fork::London,
            &[],
            json!({ "previousHash": format!("0x{:064x}", 16) }),
            "`previousHash`: expected the hash of block 15",
        ),
    ];
    for (fork, left_out, changed, part) in cases {
        let env = with(&without(&env(fork), left_out), &changed);
        let error = run(&files(&alloc("0x"), &env, &json!([])), fork).unwrap_err();
        assert!(error.contains(part), "{fork}: {error}\n  does not say: {part}");
    }
}

/// The irregular state change of EIP-779 belongs to the fork, not to a number.
#[test]
fn the_dao_change_goes_by_the_fork_and_not_by_the_number() {
    // One of the accounts that the fork drained, and where it went.
    let (drained, refund) = (
        "0xd4fe7bc31cedb7bfb8a345f31e668033056b2728",
        "0xbf4ed7b27f1d666546e30d74d50d173d20bca754",
    );
    let alloc = json!({ drained: { "balance": "0x64" } });
    for number in [16, 1_920_000] {
        for fork in [Fork::Homestead, Fork::Dao, Fork::Tangerine, Fork::London, Fork::Cancun] {
            let env = with(
                &env(fork),
                &json!({
                    "currentNumber": number,
                    "blockHashes": { (number - 1).to_string(): format!("0x{:064x}", 1) },
                }),
            );
            let done = run(&files(&alloc, &env, &json!([])), fork).unwrap();
            let holder = if fork == Fork::Dao { refund } else { drained };
            assert_eq!(json!(done.alloc())[holder]["balance"], json!("0x64"), "{fork} {number}");
        }
    }
}

#[test]
fn the_beneficiary_is_paid_what_the_rules_say() {
    let ommer = "0x0000000000000000000000000000000000000ddd";
    let balance = |fork, reward| {
        let env = with(&env(fork), &json!({ "ommers": [{ "delta": 2, "address": ommer }] }));
        let rules = TransitionRules { fork, chain_id: 1, reward };
        let done = run_by(&files(&json!({}), &env, &json!([])), rules).unwrap();
        let alloc = json!(done.alloc());
        [BENEFICIARY, ommer].map(|address| alloc[address]["balance"].as_str().map(str::to_owned))
    };
    let hex = |wei: u64| Some(format!("{wei:#x}"));
    let ether = 1_000_000_000_000_000_000;
    let of_fork = |of: u64| [hex(of * ether + of * ether / 32), hex(of * ether / 8 * 6)];
    for (fork, of) in [(Fork::Frontier, 5), (Fork::Byzantium, 3), (Fork::London, 2)] {
        assert_eq!(balance(fork, BlockReward::OfFork), of_fork(of), "{fork}");
        assert_eq!(balance(fork, BlockReward::Wei(3_200)), [hex(3_300), hex(2_400)], "{fork}");
        assert_eq!(balance(fork, BlockReward::Unpaid), [None, None], "{fork}");
    }
    // A reward of zero still touches the account; before EIP-161 that creates it.
    assert_eq!(balance(Fork::Frontier, BlockReward::Wei(0)), [hex(0), hex(0)]);
    assert_eq!(balance(Fork::London, BlockReward::Wei(0)), [None, None]);
    assert_eq!(balance(Fork::Paris, BlockReward::OfFork), [None, None]);
}

#[test]
fn a_result_has_the_fields_of_its_fork() {
    let alloc = with(&alloc("0x"), &system_contracts());
    for (fork, present, absent) in [
        (Fork::Berlin, vec!["currentDifficulty"], vec!["currentBaseFee", "withdrawalsRoot"]),
        (Fork::London, vec!["currentDifficulty", "currentBaseFee"], vec!["withdrawalsRoot"]),
        (Fork::Paris, vec!["currentBaseFee"], vec!["currentDifficulty", "withdrawalsRoot"]),
        (Fork::Shanghai, vec!["withdrawalsRoot"], vec!["blobGasUsed", "currentExcessBlobGas"]),
        (Fork::Cancun, vec!["blobGasUsed", "currentExcessBlobGas"], vec!["requests"]),
        (Fork::Prague, vec!["requests", "requestsHash"], vec!["currentDifficulty"]),
    ] {
        let done = json!(run(&files(&alloc, &env(fork), &json!([])), fork).unwrap());
        for name in present {
            assert!(!done[name].is_null(), "{fork} has {name}");
        }
        for name in absent {
            assert!(done.get(name).is_none(), "{fork} has no {name}");
        }
    }
}

/// What the contract of EIP-7002 returns is a request, and what fails there makes the
/// block invalid.
#[test]
fn requests_are_in_the_result_and_a_system_call_that_fails_ends_the_run() {
    let withdrawals = "0x00000961ef480eb55e80d19ad83579a64c007002";
    let run_with = |code: &str| {
        let alloc = with(&alloc("0x"), &system_contracts());
        let alloc = with(&alloc, &json!({ withdrawals: { "code": code } }));
        run(&files(&alloc, &env(Fork::Prague), &json!([])), Fork::Prague)
    };
    // Returns the two bytes ab00.
    let done = json!(run_with("0x60ab60005360026000f3").unwrap());
    assert_eq!(done["requests"], json!(["0x01ab00"]));
    for (code, part) in [("0x60006000fd", "revert"), ("0xfe", "halt"), ("0x", "no code")] {
        let error = run_with(code).unwrap_err().to_lowercase();
        assert!(error.contains("7002"), "{error}");
        assert!(error.contains(part), "{code}: {error}");
    }
}

/// What the JSON says is all that the text says: notes too.
#[test]
fn a_system_contract_that_is_absent_is_noted_in_the_result() {
    let done =
        json!(run(&files(&alloc("0x"), &env(Fork::Cancun), &json!([])), Fork::Cancun).unwrap());
    assert_eq!(done["notes"][0]["note"], "system_contract_absent");
    assert_eq!(done["notes"][0]["operation"], "beacon_roots");
}

#[test]
fn every_example_gives_its_result() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transitions");
    let mut count = 0;
    for entry in fs::read_dir(&examples).unwrap() {
        let directory = entry.unwrap().path();
        if !directory.is_dir() {
            continue;
        }
        let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
        let fork = name.split('-').next().unwrap();
        let fork = forewave::conformance::fork_by_name(fork).unwrap();
        let done = run(&TransitionFiles::read(&directory).unwrap(), fork).unwrap();
        let expected = fs::read(directory.join("result.json")).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        assert_eq!(json!(done), expected, "{name}");
        count += 1;
    }
    assert!(count >= 3, "only {count} examples");
}
