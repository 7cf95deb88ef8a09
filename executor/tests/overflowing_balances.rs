//! Balances that no chain can have, but a state can state: a credit to one
//! overflows, which fails a payment and saturates a fee. Then the outcome of a
//! transaction depends on balances that it does not look at.

#[allow(dead_code, reason = "this target builds fewer programs than the others")]
mod common;

use common::{ETHER, Program, account, beneficiary, block, call, create, deploy, funded};
use forewave_analyzer::{AccessSet, Block, MemoryState, PredictedAccess, Predictor};
use forewave_executor::{
    OraclePredictor, ReconPredictor, ReuseCache, RunPlan, Workers, execute, sequential,
};
use forewave_scheduler::ConflictGraph;
use revm::{
    DatabaseRef,
    bytecode::opcode,
    primitives::{Address, U256, hardfork::SpecId},
    state::AccountInfo,
};

/// Forks with different rules for accounts that are touched, and for fees.
const FORKS: [SpecId; 4] = [SpecId::FRONTIER, SpecId::BYZANTIUM, SpecId::SHANGHAI, SpecId::PRAGUE];

#[track_caller]
fn check(block: &Block, state: &MemoryState) {
    let expected = sequential(block, state).unwrap();
    let nothing = |gas| PredictedAccess::exact(AccessSet::default(), gas);
    let predictions = [
        block.transactions.iter().map(|tx| nothing(tx.gas_limit)).collect(),
        ReconPredictor.predict(block, state).unwrap(),
        OraclePredictor.predict(block, state).unwrap(),
    ];
    for prediction in predictions {
        let graph = ConflictGraph::new(&prediction);
        let plan = RunPlan::new(block, &prediction, &graph).on_all_threads();
        for threads in [1, 2, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let actual = execute(block, state, &plan, &pool).unwrap();
            assert_eq!(actual.first_difference(&expected), None, "{:?}", block.spec());
        }
    }
}

/// The funded state in which `who` owns all but `short` of what a word can say.
fn with_excess(who: Address, short: u64) -> MemoryState {
    let mut state = funded();
    let balance = U256::MAX - U256::from(short);
    state.insert_account(who, AccountInfo::from_balance(balance));
    state
}

#[test]
fn a_payment_fails_or_not_by_what_its_recipient_has() {
    for spec in FORKS {
        for short in [0, ETHER - 1, ETHER, 2 * ETHER] {
            let rich = account(1);
            let receive = |from| call(from, 0, rich, ETHER, &[]);
            let spend = |nonce| call(1, nonce, account(9), ETHER, &[]);
            let state = with_excess(rich, short);
            for transactions in [
                vec![receive(2)],
                vec![receive(2), receive(3), receive(4)],
                vec![spend(0), receive(2), receive(3)],
                vec![receive(2), spend(0), receive(3), spend(1), receive(4)],
            ] {
                check(&block(spec, transactions), &state);
            }
        }
    }
}

#[test]
fn a_payment_from_within_code_fails_or_not_by_what_its_recipient_has() {
    let (payer, heir) = (account(20), account(21));
    for spec in FORKS {
        for short in [0, 1, 2, ETHER] {
            let rich = account(1);
            let mut state = with_excess(rich, short);
            let pay = Program::new().send(rich, 1).store(1).build();
            let bequeath = Program::new().push_address(rich).op(opcode::SELFDESTRUCT).build();
            deploy(&mut state, payer, pay);
            deploy(&mut state, heir, bequeath.clone());
            let transactions = vec![
                call(2, 0, payer, 1, &[]),
                call(3, 0, heir, 1, &[]),
                create(4, 0, 1, bequeath),
                call(6, 0, account(9), 2, &[]),
                call(5, 0, payer, 1, &[]),
            ];
            check(&block(spec, transactions), &state);
        }
    }
}

#[test]
fn a_fee_that_overflows_is_not_paid() {
    for spec in FORKS {
        for short in [0, 100_000, 200_000, 1_000_000, ETHER] {
            let state = with_excess(beneficiary(), short);
            let pay = |from| call(from, 0, account(9), 1, &[]);
            check(&block(spec, vec![pay(1), pay(2), pay(3)]), &state);
            let to_it = call(4, 0, beneficiary(), ETHER, &[]);
            check(&block(spec, vec![pay(1), to_it, pay(2), pay(3)]), &state);
        }
    }
}

/// What a hoard sends may overflow an account that is none, by what others have paid it.
#[test]
fn a_payment_of_a_hoard_fails_or_not_by_what_its_recipient_has() {
    let (hoard, paid) = (account(20), account(30));
    for spec in FORKS {
        for rest in [0, 50, 105, 106, 200] {
            let mut state = funded();
            state.insert_account(paid, AccountInfo::from_balance(U256::from(5)));
            let wei = U256::MAX - U256::from(rest);
            // CALL with all but a rest, which the success is stored of.
            let zeros = [U256::ZERO; 4].into_iter().fold(Program::new(), Program::push);
            let send = zeros.push(wei).push_address(paid).push(U256::from(100_000));
            deploy(&mut state, hoard, send.op(opcode::CALL).store(1).build());
            let mut info = state.basic_ref(hoard).unwrap().unwrap();
            info.balance = wei;
            state.insert_account(hoard, info);
            let transactions = vec![call(2, 0, paid, 100, &[]), call(3, 0, hoard, 0, &[])];
            check(&block(spec, transactions.clone()), &state);
            check_reused(&block(spec, transactions), &state);
        }
    }
}

/// The last transaction alone, and then the block with what that has left.
fn check_reused(block: &Block, state: &MemoryState) {
    let (pool, known) = (rayon::ThreadPoolBuilder::new().num_threads(1).build(), ReuseCache::new());
    let pool = pool.unwrap();
    let mut last = block.clone();
    last.transactions.drain(..last.transactions.len() - 1);
    for block in [&last, block] {
        let plan = RunPlan::in_block_order(block);
        let outcome = execute(block, state, &plan, Workers::new(&pool).reusing(&known)).unwrap();
        let expected = sequential(block, state).unwrap();
        assert_eq!(outcome.first_difference(&expected), None, "{:?}", block.spec());
    }
}
