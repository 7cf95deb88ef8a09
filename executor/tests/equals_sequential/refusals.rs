//! Blocks and plans that are refused, and where; what is said of a run again.

use forewave_analyzer::{AccessSet, PredictedAccess, StateError};
use forewave_executor::{ExecutionError, ReexecutionReason, RunPlan, execute, sequential};
use revm::{
    bytecode::opcode,
    primitives::{U256, hardfork::SpecId},
};

use crate::{
    check,
    common::{GAS_LIMIT, Program, account, block, call, deploy, funded},
    parallel_reads::InHalves,
    plan_of, pool,
};

#[test]
fn an_invalid_transaction_is_named_and_nothing_comes_after_it() {
    let transactions = vec![
        call(1, 0, account(40), 1, &[]),
        call(2, 5, account(40), 1, &[]),
        call(3, 9, account(40), 1, &[]),
    ];
    let block = block(SpecId::CANCUN, transactions);
    let error = sequential(&block, &funded()).expect_err("a nonce is too high");
    assert_eq!(error.to_string(), "tx1 is invalid: nonce 5 too high, expected 0");
    check(&block, &funded());
}

#[test]
fn a_gas_limit_beyond_what_the_block_has_left_is_named() {
    let mut transactions: Vec<_> = (1..4).map(|n| call(n, 0, account(40), 1, &[])).collect();
    transactions[2].gas_limit = 2 * GAS_LIMIT;
    let mut block = block(SpecId::CANCUN, transactions);
    block.env.gas_limit = 42_000 + GAS_LIMIT;
    let error = sequential(&block, &funded()).expect_err("the third transaction asks too much");
    let expected = ExecutionError::GasLimitExceeded {
        tx: forewave_analyzer::TxIndex::new(2),
        limit: 2 * GAS_LIMIT,
        available: GAS_LIMIT,
    };
    assert_eq!(error, expected);
    check(&block, &funded());
}

#[test]
fn a_missing_block_hash_is_an_error_at_its_transaction() {
    let mut state = funded();
    let program = Program::new().push(U256::from(98)).op(opcode::BLOCKHASH).store(0);
    deploy(&mut state, account(34), program.build());
    let transactions = vec![call(1, 0, account(40), 1, &[]), call(2, 0, account(34), 0, &[])];
    let block = block(SpecId::CANCUN, transactions);
    let error = sequential(&block, &state).expect_err("the hash is not known");
    let tx = forewave_analyzer::TxIndex::new(1);
    assert_eq!(error, ExecutionError::State { tx, source: StateError::MissingBlockHash(98) });
    check(&block, &state);
}

#[test]
fn a_reexecution_names_the_location_that_was_stale() {
    let mut state = funded();
    deploy(&mut state, account(30), Program::new().increment(0).build());
    let calls = (0..64).map(|n| call(n % 8 + 1, u64::from(n / 8), account(30), 0, &[]));
    let block = block(SpecId::CANCUN, calls.collect());
    // So heavy that each is a thread's portion, on a state so slow that the other wakes up.
    let nothing = vec![PredictedAccess::exact(AccessSet::default(), 10_000_000); 64];
    let plan = plan_of(&block, &nothing);
    let (slow, pool) = (InHalves(state), pool(2));
    let mut runs = (0..100).map(|_| execute(&block, &slow, &plan, &pool).expect("a valid block"));
    let reexecuted = runs.find_map(|outcome| outcome.stats.reexecuted.first().copied());
    let Some(rerun) = reexecuted else { panic!("one transaction runs again") };
    let location = forewave_analyzer::Location::Storage(account(30), U256::ZERO);
    assert_eq!(rerun.reason, ReexecutionReason::StaleRead { location });
}

#[test]
fn a_plan_of_another_block_is_refused() {
    let calls = |count| block(SpecId::CANCUN, vec![call(1, 0, account(30), 0, &[]); count]);
    let plan = RunPlan::in_block_order(&calls(0));
    for threads in [1, 2] {
        let error = execute(&calls(1), &funded(), &plan, &pool(threads)).expect_err("a mismatch");
        assert_eq!(error, ExecutionError::PlanMismatch { planned: 0, transactions: 1 });
    }
}
