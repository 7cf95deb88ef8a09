//! A run whose transactions read nothing that has not been read before: it ends
//! at a deadline all the same, between two transactions.

use forewave::{
    Block, CancelToken, Cancellable, ExecutionError, ExecutionMode, MemoryState, Plan,
    PredictorKind, execute_block, execute_unplanned, predict, sequential,
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
        transactions: (0..TRANSACTIONS).map(tx).collect(),
        withdrawals: vec![],
        ommers: vec![],
        reward: forewave::BlockReward::OfFork,
        is_dao_fork: false,
    };
    (block, state)
}

#[test]
fn a_run_that_reads_nothing_more_ends_between_two_transactions() {
    let (block, state) = looping();
    let plan = Plan::new(&predict(&block, &state, &PredictorKind::None).unwrap());
    let truth = sequential(&block, &state).unwrap();
    for threads in [1, 2, 8] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for mode in [
            ExecutionMode::Dataflow,
            ExecutionMode::Waves,
            ExecutionMode::Optimistic,
            ExecutionMode::Segments,
            ExecutionMode::Serial,
        ] {
            let token = CancelToken::new();
            // The state sets the token and goes on answering: only the executor can end.
            let state = FaultyState::new(&state, Fault::None).watched(1, &token);
            let found = Cancellable::new(&state, &token)
                .run(|_| plan.execute_as(mode, &block, &state, &pool));
            assert_eq!(found.unwrap_err(), ExecutionError::Cancelled, "{threads} {mode:?}");
            // Outside of it the token says nothing, though it is set.
            let found = plan.execute_as(mode, &block, &state, &pool).unwrap();
            assert_eq!(found.first_difference(&truth), None, "{threads} {mode:?}");
        }
        let token = CancelToken::new();
        token.cancel();
        let run = Cancellable::new(&state, &token);
        let unplanned = run.run(|_| execute_unplanned(&block, &state, &pool));
        assert_eq!(unplanned.unwrap_err(), ExecutionError::Cancelled);
        let whole = run.run(|state| execute_block(&block, state, &PredictorKind::None, &pool));
        assert!(whole.is_err_and(|error| error.is_cancelled()));
        let one_by_one = run.run(|_| sequential(&block, &state));
        assert_eq!(one_by_one.unwrap_err(), ExecutionError::Cancelled);
    }
}

#[test]
fn a_deadline_inside_another_gives_way_to_it_even_after_a_panic() {
    let (block, state) = looping();
    let (set, unset) = (CancelToken::new(), CancelToken::new());
    set.cancel();
    let within = |token| Cancellable::new(&state, token);
    within(&set).run(|_| {
        let inner = within(&unset).run(|_| sequential(&block, &state));
        assert!(inner.is_ok());
        let panics = || within(&unset).run(|_| panic!("on purpose"));
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(sequential(&block, &state).unwrap_err(), ExecutionError::Cancelled);
    });
    assert!(sequential(&block, &state).is_ok());
}
