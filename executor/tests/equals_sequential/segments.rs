//! Blocks in segments, with whatever others ran ahead taken or run again.

use forewave_analyzer::{Block, MemoryState};
use forewave_executor::{BlockOutcome, ExecutionMode, execute_as, sequential};
use forewave_scheduler::{ConflictGraph, schedule};
use revm::{
    bytecode::opcode::{ADD, CALLDATALOAD, DUP1, SLOAD, SSTORE, SWAP1},
    context::TxEnv,
    primitives::{U256, hardfork::SpecId, keccak256},
};

use crate::{
    common::{ETHER, Program, account, block, call, deploy, funded},
    nothing_predicted,
};

/// A contract with a sum for every first word of call data, to which it adds the
/// second.
const SUMS: u8 = 30;

fn sums() -> MemoryState {
    let mut state = funded();
    let code = Program::new()
        .push(U256::ZERO)
        .op(CALLDATALOAD)
        .op(DUP1)
        .op(SLOAD)
        .push(U256::from(32))
        .op(CALLDATALOAD)
        .op(ADD)
        .op(SWAP1)
        .op(SSTORE);
    deploy(&mut state, account(SUMS), code.build());
    state
}

/// A call that adds to the sum of `word`, of a sender that has sent what is before it.
///
/// No two sets of transactions come to the same sum, so a run that has missed one
/// never counts.
fn add(tx: usize, word: usize) -> TxEnv {
    let from = u8::try_from(1 + tx % 9).unwrap();
    let data = [U256::from(word).into(), keccak256(tx.to_be_bytes())].concat();
    TxEnv { gas_limit: 100_000, ..call(from, tx as u64 / 9, account(SUMS), 0, &data) }
}

/// Runs the block in segments on so many threads, after the others have run what they
/// can, and compares it with sequential execution.
#[track_caller]
fn run(block: &Block, state: &MemoryState, threads: usize) -> BlockOutcome {
    let graph = ConflictGraph::new(&nothing_predicted(block));
    let waves = schedule(&graph);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mode = ExecutionMode::Segments;
    let outcome = execute_as(mode, block, state, &graph, &waves, &pool).unwrap();
    assert_eq!(outcome.stats.mode, mode);
    assert_eq!(outcome.first_difference(&sequential(block, state).unwrap()), None);
    outcome
}

fn block_of(transactions: Vec<TxEnv>) -> Block {
    let mut block = block(SpecId::CANCUN, transactions);
    block.env.gas_limit = u64::MAX;
    block
}

#[test]
fn calls_that_meet_nowhere_count_as_they_were_run_though_their_senders_are_the_same() {
    let block = block_of((0..60).map(|tx| add(tx, tx)).collect());
    for threads in [1, 2, 3, 8] {
        assert_eq!(run(&block, &sums(), threads).stats.reexecuted, []);
    }
}

#[test]
fn a_chain_is_run_again_from_the_second_segment_on() {
    let block = block_of((0..60).map(|tx| add(tx, 0)).collect());
    for threads in [2, 3, 8] {
        let again = run(&block, &sums(), threads).stats.reexecuted;
        // The first few are nobody's to run ahead, and all others have missed those.
        let again: Vec<_> = again.iter().map(|again| again.tx.index()).collect();
        assert!((2..=4).contains(&again[0]), "{threads} threads: {again:?}");
        assert_eq!(again, (again[0]..60).collect::<Vec<_>>());
    }
}

#[test]
fn some_of_a_segment_count_and_others_do_not() {
    let word = |tx: usize| if tx.is_multiple_of(3) { 0 } else { tx };
    let block = block_of((0..90).map(|tx| add(tx, word(tx))).collect());
    for threads in [2, 8] {
        let again = run(&block, &sums(), threads).stats.reexecuted;
        assert!(again.len() >= 28, "{}", again.len());
        assert!(again.iter().all(|again| again.tx.index().is_multiple_of(3)));
    }
}

#[test]
fn where_all_is_in_vain_it_is_tried_again_later() {
    let transactions = 1_500;
    let word = |tx: usize| if tx < 700 { 0 } else { tx };
    let block = block_of((0..transactions).map(|tx| add(tx, word(tx))).collect());
    for threads in [2, 4] {
        let again = run(&block, &sums(), threads).stats.reexecuted;
        assert!(again.iter().all(|again| again.tx.index() < 700));
        assert!(again.len() >= 32);
    }
}

#[test]
fn a_sender_that_can_pay_only_by_then_is_run_again() {
    let poor = account(50);
    let mut transactions: Vec<_> = (0..20).map(|tx| add(tx, tx)).collect();
    transactions[0] = TxEnv { value: U256::from(ETHER), ..call(1, 0, poor, 0, &[]) };
    transactions.push(TxEnv { caller: poor, ..call(1, 0, account(2), ETHER / 2, &[]) });
    let again = run(&block_of(transactions), &sums(), 2).stats.reexecuted;
    assert_eq!(again.iter().map(|again| again.tx.index()).collect::<Vec<_>>(), [20]);
}
