//! A transaction that changes thousands of slots makes the reads after it no slower:
//! processor time is counted, of a process that runs nothing else.

use cpu_time::ProcessTime;
use forewave::{
    Block, BlockOutcome, MemoryState, Plan, PredictorKind, RunPlan, StateExtent, execute,
    execute_block, predict, sequential,
};
use rayon::ThreadPoolBuilder;
use revm::{
    bytecode::{Bytecode, opcode as op},
    context::{BlockEnv, CfgEnv, TxEnv},
    primitives::{Address, B256, TxKind, U256, hardfork::SpecId},
    state::AccountInfo,
};

/// Slots, or accounts, that the first transaction changes.
const CHANGES: u64 = 6_000;
const ACCOUNTS: u64 = 1_000;

/// Transactions after it, and what each reads for the first time.
const READERS: u64 = 400;
const READS: u64 = 100;

/// Runs of each way, of which the cheapest counts: another process may be in the way.
const RUNS: usize = 5;

/// What a parallel run may cost, as a multiple of the sequential one.
const COST_MAX: u32 = 2;

/// `for n in from call data up to its second word { body }`, with n on the stack.
fn loop_over(body: &[u8]) -> Bytecode {
    let mut code = vec![op::PUSH0, op::CALLDATALOAD, op::JUMPDEST];
    code.extend(body);
    code.extend([op::PUSH1, 1, op::ADD, op::DUP1, op::PUSH1, 32, op::CALLDATALOAD, op::GT]);
    code.extend([op::PUSH1, 2, op::JUMPI, op::STOP]);
    Bytecode::new_legacy(code.into())
}

fn call(sender: u64, to: Address, (from, until): (u64, u64), gas_limit: u64) -> TxEnv {
    let word = |n: u64| U256::from(n).to_be_bytes::<32>();
    TxEnv {
        caller: Address::left_padding_from(&(0x5e_0000 + sender).to_be_bytes()),
        kind: TxKind::Call(to),
        data: [word(from), word(until)].concat().into(),
        gas_limit,
        gas_price: 10,
        ..TxEnv::default()
    }
}

/// A large change set, of slots or of accounts, and then first reads of slots.
fn workload(of_accounts: bool) -> (Block, MemoryState) {
    let [storing, paying, reading] = [0xa1, 0xa2, 0xa3].map(Address::repeat_byte);
    let mut state = MemoryState::default();
    let store = [op::DUP1, op::DUP1, op::SSTORE];
    // CALL with one wei to 2^32 + n.
    let zeros = [op::PUSH0; 4];
    let pay = [
        &zeros[..],
        &[op::PUSH1, 1, op::DUP6, op::PUSH5, 1, 0, 0, 0, 0, op::ADD, op::PUSH0, op::CALL, op::POP],
    ];
    let load = [op::DUP1, op::SLOAD, op::POP];
    for (address, body) in [(storing, &store[..]), (paying, &pay.concat()), (reading, &load)] {
        let mut info = AccountInfo::from_bytecode(loop_over(body));
        info.balance = U256::from(1_000_000);
        state.insert_account(address, info);
    }
    for sender in 0..=READERS {
        let funds = AccountInfo::from_balance(U256::from(10).pow(U256::from(20)));
        state.insert_account(call(sender, storing, (0, 0), 0).caller, funds);
    }
    let first = if of_accounts {
        call(0, paying, (1, 1 + ACCOUNTS), 200_000_000)
    } else {
        call(0, storing, (1, 1 + CHANGES), 200_000_000)
    };
    let readers = (1..=READERS).map(|n| call(n, reading, (READS * n, READS * (n + 1)), 1_000_000));
    let env = BlockEnv {
        number: U256::from(1),
        gas_limit: 400_000_000,
        prevrandao: Some(B256::ZERO),
        ..BlockEnv::default()
    };
    let block = Block {
        cfg: CfgEnv::new_with_spec(SpecId::SHANGHAI),
        env,
        parent_hash: B256::ZERO,
        parent_beacon_block_root: None,
        deposit_contract: None,
        state_extent: StateExtent::Whole,
        transactions: core::iter::once(first).chain(readers).collect(),
        withdrawals: vec![],
        ommers: vec![],
        reward: forewave::BlockReward::OfFork,
        is_dao_fork: false,
        makes_access_list: false,
        access_list: None,
    };
    (block, state)
}

/// The least processor time of some runs, all threads together.
fn cost(run: impl Fn() -> BlockOutcome) -> (core::time::Duration, BlockOutcome) {
    let runs = (0..RUNS).map(|_| {
        let before = ProcessTime::now();
        let outcome = run();
        (before.elapsed(), outcome)
    });
    runs.min_by_key(|(cost, _)| *cost).unwrap()
}

// One test: another beside it would be counted too.
#[test]
fn first_reads_after_a_large_change_set_cost_at_most_twice_the_sequential_run() {
    for of_accounts in [false, true] {
        let (block, state) = workload(of_accounts);
        let (alone, truth) = cost(|| sequential(&block, &state).unwrap());
        assert!(truth.receipts.iter().all(|receipt| receipt.status));
        let changes: usize = truth.state.values().map(|change| 1 + change.storage.len()).sum();
        assert!(changes >= 1_000, "{changes} changes");
        let predictions = predict(&block, &state, &PredictorKind::None).unwrap();
        let plan = Plan::to_run(&block, &state, predictions).unwrap();
        for threads in [1, 2, 8] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let check = |way: &str, run: &dyn Fn() -> BlockOutcome| {
                let (cost, outcome) = cost(run);
                assert_eq!(outcome.first_difference(&truth), None, "{way}, {threads} threads");
                eprintln!("{way}, {threads} threads: {cost:?}, sequential {alone:?}");
                assert!(cost <= alone * COST_MAX, "{way}, {threads} threads: {cost:?}, {alone:?}");
            };
            check("usual", &|| execute_block(&block, &state, &PredictorKind::None, &pool).unwrap());
            let in_order = RunPlan::in_block_order(&block).on_all_threads();
            check("in order", &|| execute(&block, &state, &in_order, &pool).unwrap());
            let planned = plan.run_plan(&block).on_all_threads();
            check("planned", &|| execute(&block, &state, &planned, &pool).unwrap());
        }
    }
}
