//! A run whose transactions read nothing that has not been read before: it ends
//! at a deadline as well, between two transactions.

use forewave::{
    Block, BlockError, CancelToken, ExecutionError, MemoryState, Plan, PredictorKind, RunPlan,
    StateExtent, Workers, execute, execute_block, predict, sequential, sequential_until,
};
use rayon::ThreadPoolBuilder;
use revm::{
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, TxEnv},
    primitives::{Address, B256, TxKind, U256, hardfork::SpecId},
    state::AccountInfo,
};

use crate::faulty_state::{Fault, FaultyState};

const TRANSACTIONS: u64 = 40;

/// One person's calls of a contract that loops until its gas is used up.
fn looping() -> (Block, MemoryState) {
    let (sender, contract) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let mut state = MemoryState::default();
    state.insert_account(sender, AccountInfo::from_balance(U256::from(10).pow(U256::from(20))));
    // JUMPDEST PUSH0 JUMP
    let code = Bytecode::new_legacy(vec![0x5b, 0x5f, 0x56].into());
    state.insert_account(contract, AccountInfo::from_bytecode(code));
    let tx = |nonce| TxEnv {
        caller: sender,
        nonce,
        kind: TxKind::Call(contract),
        gas_limit: 200_000,
        gas_price: 10,
        ..TxEnv::default()
    };
    let env = BlockEnv {
        number: U256::from(1),
        gas_limit: 30_000_000,
        prevrandao: Some(B256::ZERO),
        ..BlockEnv::default()
    };
    let block = Block {
        cfg: CfgEnv::new_with_spec(SpecId::SHANGHAI),
        env,
        parent_hash: B256::ZERO,
        parent_beacon_block_root: None,
        deposit_contract: None,
        state_extent: StateExtent::Touched,
        transactions: (0..TRANSACTIONS).map(tx).collect(),
        withdrawals: vec![],
        ommers: vec![],
        reward: forewave::BlockReward::OfFork,
        is_dao_fork: false,
        makes_access_list: false,
        access_list: None,
    };
    (block, state)
}

#[test]
fn a_run_that_reads_nothing_more_ends_between_two_transactions() {
    let (block, state) = looping();
    let plan = Plan::new(predict(&block, &state, &PredictorKind::None).unwrap());
    let truth = sequential(&block, &state).unwrap();
    for threads in [1, 2, 8] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let in_order = RunPlan::in_block_order(&block);
        let plans = [
            plan.run_plan(&block).on_all_threads(),
            in_order.clone().on_all_threads(),
            in_order.clone(),
        ];
        for (plan, number) in plans.iter().zip(0..) {
            let token = CancelToken::new();
            // The state sets the token and goes on answering: only the executor can end.
            let state = FaultyState::new(&state, Fault::None).watched(1, &token);
            let workers = Workers::new(&pool).until(&token);
            let found = execute(&block, &state, plan, workers);
            let case = format!("{threads} threads, plan {number}");
            assert_eq!(found.unwrap_err(), ExecutionError::Cancelled, "{case}");
            // A run that is not given the token goes on, though it is set.
            let found = execute(&block, &state, plan, &pool).unwrap();
            assert_eq!(found.first_difference(&truth), None, "{case}");
        }
        let token = CancelToken::new();
        token.cancel();
        let workers = Workers::new(&pool).until(&token);
        let whole = execute_block(&block, &state, &PredictorKind::None, workers);
        assert!(matches!(whole, Err(BlockError::Execute(ExecutionError::Cancelled))));
        let one_by_one = sequential_until(&block, &state, &token);
        assert_eq!(one_by_one.unwrap_err(), ExecutionError::Cancelled);
        let on_another_thread = std::thread::scope(|scope| {
            let run = scope.spawn(|| execute(&block, &state, &in_order, workers));
            run.join().expect("no panic")
        });
        assert_eq!(on_another_thread.unwrap_err(), ExecutionError::Cancelled);
    }
}
