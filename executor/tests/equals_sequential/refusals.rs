//! Blocks and schedules that are refused, and where; what is said of a run again.

use forewave_analyzer::{AccessSet, PredictedAccess, Predictor, ProtocolPredictor, StateError};
use forewave_executor::{
    ExecutionError, ExecutionMode, ReexecutionReason, execute, execute_as, sequential,
};
use forewave_scheduler::{ConflictGraph, ScheduleError, schedule};
use revm::{
    bytecode::opcode,
    primitives::{U256, hardfork::SpecId},
};

use crate::{
    check,
    common::{GAS_LIMIT, Program, account, block, call, deploy, funded},
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
    let block = block(
        SpecId::CANCUN,
        vec![call(1, 0, account(30), 0, &[]), call(2, 0, account(30), 0, &[])],
    );
    let nothing = vec![PredictedAccess::exact(AccessSet::default(), 1); 2];
    let graph = ConflictGraph::new(&nothing);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
    let waves = schedule(&graph);
    let outcome = execute_as(ExecutionMode::Dataflow, &block, &state, &graph, &waves, &pool)
        .expect("a valid block");
    let [rerun] = outcome.stats.reexecuted[..] else { panic!("one transaction runs again") };
    let location = forewave_analyzer::Location::Storage(account(30), U256::ZERO);
    assert_eq!(rerun.reason, ReexecutionReason::StaleRead { location });
}

#[test]
fn a_schedule_of_another_block_is_refused() {
    let graph = ConflictGraph::new(&[]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
    let block = block(SpecId::CANCUN, vec![call(1, 0, account(30), 0, &[])]);
    let error =
        execute(&block, &funded(), &graph, &schedule(&graph), &pool).expect_err("a mismatch");
    assert_eq!(error, ExecutionError::ScheduleMismatch { scheduled: 0, transactions: 1 });
}

#[test]
fn a_schedule_that_is_not_the_graphs_is_refused_in_every_mode_before_anything_runs() {
    let calls = vec![call(1, 0, account(30), 0, &[]), call(1, 1, account(31), 0, &[])];
    let block = block(SpecId::CANCUN, calls);
    let state = funded();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
    let untouched = |gas| {
        ConflictGraph::new(&[(); 2].map(|()| PredictedAccess::exact(AccessSet::default(), gas)))
    };
    let (alone, heavier) = (untouched(1), untouched(2));
    let predictions = ProtocolPredictor.predict(&block, &state).expect("in memory");
    let ordered = ConflictGraph::new(&predictions);
    let tx = forewave_analyzer::TxIndex::new;
    let order = ScheduleError::Order { earlier: tx(0), later: tx(1) };
    for mode in [ExecutionMode::Auto, ExecutionMode::Waves, ExecutionMode::Serial] {
        let run = |graph: &ConflictGraph, waves: &ConflictGraph| {
            execute_as(mode, &block, &state, graph, &schedule(waves), &pool)
        };
        let error = run(&ordered, &alone).expect_err("tx1 does not wait for tx0");
        assert_eq!(error, ExecutionError::Schedule(order));
        let error = run(&heavier, &alone).expect_err("other gas");
        assert_eq!(error, ExecutionError::Schedule(ScheduleError::ChainGas(tx(0))));
        let error = run(&alone, &ConflictGraph::new(&[])).expect_err("of no block");
        assert_eq!(error, ExecutionError::Schedule(ScheduleError::Missing(tx(0))));
        run(&ordered, &ordered).expect("its own");
    }
}
