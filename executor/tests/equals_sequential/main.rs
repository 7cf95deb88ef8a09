//! Parallel execution equals sequential revm in situations that are easy to
//! get wrong, under right, empty, total and partial predictions, on one, two
//! and eight threads.

mod accounts;
mod broken;
#[path = "../common/mod.rs"]
mod common;
mod parallel_reads;
mod payments;
mod refusals;
mod system_calls;
mod transfers;

use common::{Program, account, block, call, deploy, funded};
use forewave_analyzer::{
    AccessSet, AccessSetBuilder, Block, MemoryState, PredictedAccess, Predictor, StateError,
    commute_payments,
};
use forewave_executor::{
    BlockOutcome, ExecutionError, OraclePredictor, ReconPredictor, ReuseCache, RunPlan, Workers,
    execute, observe, sequential,
};
use forewave_scheduler::ConflictGraph;
use rayon::{ThreadPool, ThreadPoolBuilder};
use revm::{
    bytecode::opcode,
    primitives::{Address, U256, hardfork::SpecId},
};

/// Predictions that say nothing.
fn nothing_predicted(block: &Block) -> Vec<PredictedAccess> {
    let nothing = |gas| PredictedAccess::exact(AccessSet::default(), gas);
    block.transactions.iter().map(|tx| nothing(tx.gas_limit)).collect()
}

/// Every prediction a hostile or lazy predictor could come up with. Where the
/// state cannot be read only the empty one is left.
fn predictions(block: &Block, state: &MemoryState) -> Vec<(&'static str, Vec<PredictedAccess>)> {
    let empty = nothing_predicted(block);
    let recon = ReconPredictor.predict(block, state);
    let oracle = OraclePredictor.predict(block, state);
    let (Ok(recon), Ok(oracle)) = (recon, oracle) else { return vec![("empty", empty)] };
    let half = |access: &PredictedAccess| {
        let mut set = AccessSetBuilder::new();
        for (kind, location) in access.set().iter().step_by(2) {
            set.add(kind, *location);
        }
        PredictedAccess::exact(set.build(), access.gas())
    };
    vec![
        ("empty", empty),
        (
            "everything",
            oracle.iter().map(|access| PredictedAccess::everything(access.gas())).collect(),
        ),
        ("half of the truth", oracle.iter().map(half).collect()),
        ("recon", recon),
        ("oracle", oracle),
    ]
}

/// A pool of so many threads.
fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")
}

/// The plan of these predictions, on all threads however small the block is.
fn plan_of(block: &Block, predictions: &[PredictedAccess]) -> RunPlan {
    RunPlan::new(block, predictions, &ConflictGraph::new(predictions)).on_all_threads()
}

/// Compares every plan on one to eight threads with sequential execution.
#[track_caller]
fn check(block: &Block, state: &MemoryState) {
    let expected = sequential(block, state);
    if let Ok(outcome) = &expected {
        let observation = observe(block, state).expect("it executes sequentially");
        assert_eq!(observation.outcome.first_difference(outcome), None, "observed");
    }
    check_plan("in block order", block, state, &RunPlan::in_block_order(block), &expected);
    let in_order = RunPlan::in_block_order(block).on_all_threads();
    check_plan("in block order, shared", block, state, &in_order, &expected);
    // Once to fill it, then again.
    let known = ReuseCache::new();
    for threads in [1, 2, 8, 1, 2] {
        let (pool, plan) = (pool(threads), &in_order);
        let actual = execute(block, state, plan, Workers::new(&pool).reusing(&known));
        compare(&format!("reusing, {threads} threads"), &expected, &actual);
    }
    for (name, prediction) in predictions(block, state) {
        let mut commuting = prediction.clone();
        commute_payments(block, state, &mut commuting).expect("state in memory");
        for (prediction, commutes) in [(prediction, false), (commuting, true)] {
            let plan = plan_of(block, &prediction);
            let runs = check_plan(name, block, state, &plan, &expected);
            // Before EIP-161 the first fee may bring the beneficiary into existence.
            if name == "oracle" && !commutes && block.spec().is_enabled_in(SpecId::SPURIOUS_DRAGON)
            {
                for outcome in runs {
                    let reexecuted = outcome.stats.reexecuted;
                    assert_eq!(reexecuted, [], "an exact prediction runs nothing again");
                }
            }
        }
    }
}

/// Compares one plan on one to eight threads with sequential execution.
#[track_caller]
fn check_plan(
    name: &str,
    block: &Block,
    state: &MemoryState,
    plan: &RunPlan,
    expected: &Executed,
) -> Vec<BlockOutcome> {
    let mut outcomes = Vec::new();
    for threads in [1, 2, 3, 8] {
        let actual = execute(block, state, plan, &pool(threads));
        compare(&format!("{name}, {threads} threads"), expected, &actual);
        outcomes.extend(actual);
    }
    outcomes
}

type Executed = Result<BlockOutcome, ExecutionError<StateError>>;

#[track_caller]
fn compare(case: &str, expected: &Executed, actual: &Executed) {
    match (expected, actual) {
        (Ok(expected), Ok(actual)) => {
            assert_eq!(actual.state, expected.state, "{case}");
            assert_eq!(actual.first_difference(expected), None, "{case}");
        }
        (Err(expected), Err(actual)) => assert_eq!(actual, expected, "{case}"),
        _ => panic!("{case}: sequential gives {expected:?}, parallel {actual:?}"),
    }
}

#[test]
fn a_counter_in_storage_is_one_chain() {
    let mut state = funded();
    deploy(&mut state, account(30), Program::new().increment(0).build());
    let transactions = (1..9).map(|n| call(n, 0, account(30), 0, &[])).collect();
    check(&block(SpecId::CANCUN, transactions), &state);
}

#[test]
fn a_reverting_transaction_leaves_only_its_fee() {
    let mut state = funded();
    let program = Program::new().increment(0).push(U256::ZERO).push(U256::ZERO).op(opcode::REVERT);
    deploy(&mut state, account(34), program.build());
    let transactions = vec![
        call(1, 0, account(34), 4, &[]),
        call(2, 0, account(34), 4, &[]),
        call(1, 1, account(2), 4, &[]),
    ];
    check(&block(SpecId::CANCUN, transactions), &state);
}

/// Addresses and keys can be chosen so that any 64 bits of them are alike, or their sum,
/// so nothing may be told apart by a hash of that length.
#[test]
fn locations_that_agree_in_any_64_bits_are_kept_apart() {
    let word = |limb: usize, n: u64| {
        let mut limbs = [7, 7, 7, 7];
        limbs[limb] = n;
        U256::from_limbs(limbs)
    };
    let sum_alike = |n: u64| U256::from_limbs([n, 0_u64.wrapping_sub(n), n, n]);
    let keys: Vec<U256> = (0..4)
        .flat_map(|limb| (100..108).map(move |n| word(limb, n)))
        .chain((0..8).map(sum_alike))
        .collect();
    let address = |n: usize| {
        let mut bytes = [0xcc; 20];
        bytes[[0, 6, 10, 19][n % 4]] = u8::try_from(n).expect("a few");
        Address::from(bytes)
    };
    let increment = |load_key: Program| {
        let read = load_key.op(opcode::DUP1).op(opcode::SLOAD).push(U256::from(1));
        read.op(opcode::ADD).op(opcode::SWAP1).op(opcode::SSTORE).build()
    };
    let mut state = funded();
    for (n, key) in keys.iter().enumerate() {
        deploy(&mut state, address(n), increment(Program::new().push(*key)));
    }
    let any_key = account(36);
    let load_key = Program::new().push(U256::ZERO).op(opcode::CALLDATALOAD);
    deploy(&mut state, any_key, increment(load_key));
    let transactions = (0..4 * keys.len()).map(|n| {
        let from = u8::try_from(n % 9 + 1).expect("nine senders");
        let nonce = u64::try_from(n / 9).expect("a few");
        let turn = n / 2 % keys.len();
        if n % 2 == 0 {
            call(from, nonce, any_key, 0, &keys[turn].to_be_bytes::<32>())
        } else {
            call(from, nonce, address(turn), 0, &[])
        }
    });
    let mut block = block(SpecId::CANCUN, transactions.collect());
    block.env.gas_limit = 1_000_000_000;
    let outcome = sequential(&block, &state).expect("a valid block");
    assert!(outcome.receipts.iter().all(|receipt| receipt.status));
    assert_eq!(outcome.state[&any_key].storage.len(), keys.len());
    check(&block, &state);
}
