//! Parallel execution equals sequential revm in situations that are easy to
//! get wrong, under right, empty, total and partial predictions, on one, two
//! and eight threads.

mod common;

use common::{
    ETHER, GAS_LIMIT, Program, account, beneficiary, block, call, create, deploy, funded,
};
use forewave_analyzer::{
    AccessSet, AccessSetBuilder, Block, MemoryState, PredictedAccess, Predictor, StateError,
    commute_payments,
};
use forewave_executor::{
    ExecutionError, ExecutionMode, OraclePredictor, ReconPredictor, ReexecutionReason, execute,
    execute_as, observe, sequential,
};
use forewave_scheduler::{ConflictGraph, schedule};
use revm::{
    bytecode::{Bytecode, opcode},
    context::{
        TxEnv,
        either::Either,
        transaction::{Authorization, RecoveredAuthority, RecoveredAuthorization},
    },
    primitives::{Address, TxKind, U256, hardfork::SpecId, keccak256},
    state::AccountInfo,
};

/// Every prediction a hostile or lazy predictor could come up with. Where the
/// state cannot be read only the empty one is left.
fn predictions(block: &Block, state: &MemoryState) -> Vec<(&'static str, Vec<PredictedAccess>)> {
    let empty = |gas| PredictedAccess::exact(AccessSet::default(), gas);
    let empty = block.transactions.iter().map(|tx| empty(tx.gas_limit)).collect();
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

/// Every way to run a block. `Auto` is one of the others.
const MODES: [ExecutionMode; 4] = [
    ExecutionMode::Dataflow,
    ExecutionMode::Waves,
    ExecutionMode::Optimistic,
    ExecutionMode::Serial,
];

#[track_caller]
fn check(block: &Block, state: &MemoryState) {
    let expected = sequential(block, state);
    if let Ok(outcome) = &expected {
        let observation = observe(block, state).expect("it executes sequentially");
        assert_eq!(observation.outcome.first_difference(outcome), None, "observed");
    }
    for (name, prediction) in predictions(block, state) {
        let mut commuting = prediction.clone();
        commute_payments(block, state, &mut commuting).expect("state in memory");
        let runs = [(&prediction, 1), (&prediction, 2), (&prediction, 8), (&commuting, 2)];
        for (prediction, threads) in runs {
            let graph = ConflictGraph::new(prediction);
            let waves = schedule(&graph);
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            for mode in MODES {
                let actual = execute_as(mode, block, state, &graph, &waves, &pool);
                let case = format!("{name}, {mode:?}, {threads} threads");
                let is_planned = [ExecutionMode::Dataflow, ExecutionMode::Waves].contains(&mode);
                match (&expected, &actual) {
                    (Ok(expected), Ok(actual)) => {
                        assert_eq!(actual.state, expected.state, "{case}");
                        assert_eq!(actual.first_difference(expected), None, "{case}");
                        // Before EIP-161 the first fee may bring the beneficiary into existence.
                        if name == "oracle"
                            && is_planned
                            && block.spec().is_enabled_in(SpecId::SPURIOUS_DRAGON)
                        {
                            let reexecuted = &actual.stats.reexecuted;
                            assert_eq!(
                                *reexecuted,
                                [],
                                "{case}: an exact prediction re-runs nothing"
                            );
                        }
                    }
                    (Err(expected), Err(actual)) => assert_eq!(actual, expected, "{case}"),
                    _ => panic!("{case}: sequential gives {expected:?}, parallel {actual:?}"),
                }
            }
        }
    }
}

fn signed(authority: u8, nonce: u64, delegate: Address) -> RecoveredAuthorization {
    let authorization = Authorization { chain_id: U256::ZERO, address: delegate, nonce };
    RecoveredAuthorization::new_unchecked(
        authorization,
        RecoveredAuthority::Valid(account(authority)),
    )
}

fn delegating(from: u8, nonce: u64, authorizations: Vec<RecoveredAuthorization>) -> TxEnv {
    let list = authorizations.into_iter().map(Either::Right).collect();
    let base = call(from, nonce, account(from), 0, &[]);
    TxEnv {
        tx_type: 4,
        gas_priority_fee: Some(1),
        authorization_list: list,
        chain_id: Some(1),
        ..base
    }
}

#[test]
fn a_sender_funded_earlier_in_the_block_can_pay() {
    let poor = 20;
    let transactions = vec![
        call(1, 0, account(poor), ETHER, &[]),
        call(poor, 0, account(2), ETHER / 2, &[]),
        call(2, 0, account(poor), 5, &[]),
        call(poor, 1, account(21), 7, &[]),
    ];
    check(&block(SpecId::CANCUN, transactions), &funded());
}

#[test]
fn credits_to_one_account_commute_and_its_reader_sees_them_all() {
    let mut state = funded();
    let reader = account(30);
    let program = Program::new().push_address(account(40)).op(opcode::BALANCE).store(1);
    deploy(&mut state, reader, program.build());
    let mut transactions: Vec<_> = (1..6).map(|n| call(n, 0, account(40), 3, &[])).collect();
    transactions.push(call(6, 0, reader, 0, &[]));
    transactions.extend((1..4).map(|n| call(n, 1, account(40), 11, &[])));
    transactions.push(call(7, 0, reader, 0, &[]));
    check(&block(SpecId::CANCUN, transactions), &state);
}

#[test]
fn what_a_sender_pays_waits_for_nobody_and_whoever_looks_at_it_sees_it_all() {
    let mut state = funded();
    let (reader, counter) = (account(30), account(31));
    let program = Program::new().op(opcode::CALLER).op(opcode::BALANCE).store(1).increment(2);
    deploy(&mut state, reader, program.build());
    deploy(&mut state, counter, Program::new().increment(0).send(account(50), 1).build());
    let transactions = vec![
        call(1, 0, account(40), 3, &[]),
        call(1, 1, counter, 5, &[]),
        call(1, 2, reader, 0, &[]),
        create(1, 3, 5, Program::new().increment(3).init_code()),
        call(1, 4, account(1), 9, &[]),
        call(2, 0, account(1), 11, &[]),
        call(1, 5, reader, 1, &[]),
        call(1, 6, counter, 0, &[]),
    ];
    check(&block(SpecId::CANCUN, transactions), &state);
}

#[test]
fn a_sender_whose_balance_others_spend_may_fail_in_the_middle() {
    // Its delegate sends away what the sender has to pay with.
    let mut state = funded();
    deploy(&mut state, account(32), Program::new().send(account(41), 19_000_000).build());
    let spendthrift = AccountInfo {
        balance: U256::from(20_000_000),
        ..AccountInfo::from_bytecode(Bytecode::new_eip7702(account(32)))
    };
    state.insert_account(account(8), spendthrift);
    let block_of = |nonce| {
        let transactions = vec![
            call(8, 1, account(42), 1, &[]),
            call(2, 0, account(8), 0, &[]),
            call(8, nonce, account(42), 1, &[]),
            call(3, 0, account(42), 1, &[]),
        ];
        block(SpecId::PRAGUE, transactions)
    };
    for nonce in [2, 3] {
        let block = block_of(nonce);
        let error = sequential(&block, &state).expect_err("the third cannot be paid for");
        assert!(
            matches!(error, ExecutionError::InvalidTransaction { tx, .. } if tx.index() == 2),
            "{error}"
        );
        check(&block, &state);
    }
}

#[test]
fn a_payment_that_overflows_a_balance_fails_as_it_should() {
    let mut state = funded();
    let half = U256::ONE << 255;
    let rich = |n: u8| (account(n), AccountInfo::from_balance(half - U256::ONE));
    for (address, info) in [rich(20), rich(21), rich(22), rich(23)] {
        state.insert_account(address, info);
    }
    let all = half - U256::from(ETHER);
    let pay = |from, nonce, to| TxEnv { value: all, ..call(from, nonce, to, 0, &[]) };
    let transactions = vec![
        pay(20, 0, account(40)),
        pay(21, 0, account(40)),
        pay(22, 0, account(40)),
        call(1, 0, account(40), 3, &[]),
        pay(23, 0, account(40)),
    ];
    let block = block(SpecId::CANCUN, transactions);
    let outcome = sequential(&block, &state).expect("a valid block");
    let status: Vec<bool> = outcome.receipts.iter().map(|receipt| receipt.status).collect();
    assert_eq!(status, [true, true, false, true, false]);
    check(&block, &state);
}

#[test]
fn the_beneficiary_may_spend_and_inspect_the_fees_of_the_block() {
    let mut state = funded();
    let reader = account(30);
    let program = Program::new().op(opcode::COINBASE).op(opcode::BALANCE).store(1).increment(2);
    deploy(&mut state, reader, program.build());
    state.insert_account(beneficiary(), AccountInfo::from_balance(U256::from(ETHER)));
    let spend = TxEnv { caller: beneficiary(), ..call(1, 0, account(50), 1000, &[]) };
    let transactions = vec![
        call(1, 0, account(40), 3, &[]),
        call(2, 0, reader, 0, &[]),
        spend,
        call(3, 0, beneficiary(), 9, &[]),
        call(4, 0, reader, 0, &[]),
    ];
    check(&block(SpecId::CANCUN, transactions), &state);
}

#[test]
fn a_counter_in_storage_is_one_chain() {
    let mut state = funded();
    deploy(&mut state, account(30), Program::new().increment(0).build());
    let transactions = (1..9).map(|n| call(n, 0, account(30), 0, &[])).collect();
    check(&block(SpecId::CANCUN, transactions), &state);
}

#[test]
fn a_contract_deployed_in_the_block_can_be_called_in_it() {
    let deployed = account(1).create(0);
    let transactions = vec![
        call(2, 0, deployed, 77, &[]),
        create(1, 0, 5, Program::new().increment(3).init_code()),
        call(3, 0, deployed, 0, &[]),
        call(4, 0, deployed, 1, &[]),
    ];
    check(&block(SpecId::CANCUN, transactions), &funded());
}

/// A factory that deploys, by `CREATE2` and always at the same address, a
/// contract that stores 5 in slot 9 at birth and destroys itself when called.
fn phoenix(state: &mut MemoryState) -> (Address, Address) {
    let runtime = Program::new().push_address(account(60)).op(opcode::SELFDESTRUCT);
    let init = [Program::new().push(U256::from(5)).store(9).build(), runtime.init_code()];
    // The second part copies from an offset counted without the first.
    let shift = init[0].len();
    let mut init = init.concat();
    let offset = shift + 33;
    let old = U256::from_be_slice(&init[offset + 1..offset + 33]);
    init[offset + 1..offset + 33].copy_from_slice(&(old + U256::from(shift)).to_be_bytes::<32>());
    let factory = account(31);
    let mut program = Program::new();
    for (position, byte) in init.iter().enumerate() {
        program = program.push(U256::from(*byte)).push(U256::from(position)).op(opcode::MSTORE8);
    }
    let program = program
        .push(U256::ZERO)
        .push(U256::from(init.len()))
        .push(U256::ZERO)
        .push(U256::ZERO)
        .op(opcode::CREATE2)
        .store(0);
    deploy(state, factory, program.build());
    (factory, factory.create2(U256::ZERO.to_be_bytes::<32>(), keccak256(&init)))
}

#[test]
fn an_account_is_destroyed_and_created_anew_at_the_same_address() {
    for spec in [SpecId::SHANGHAI, SpecId::CANCUN] {
        let mut state = funded();
        let (factory, child) = phoenix(&mut state);
        let transactions = vec![
            call(1, 0, factory, 0, &[]),
            call(2, 0, child, 8, &[]),
            call(3, 0, child, 9, &[]),
            call(4, 0, factory, 0, &[]),
            call(5, 0, child, 1, &[]),
            call(6, 0, factory, 0, &[]),
        ];
        let transactions = transactions.into_iter().map(|tx| TxEnv { gas_limit: 2_000_000, ..tx });
        let block = block(spec, transactions.collect());
        let outcome = sequential(&block, &state).expect("a valid block");
        assert!(outcome.receipts.iter().all(|receipt| receipt.status));
        assert!(outcome.state.contains_key(&child), "the factory reaches {child}");
        check(&block, &state);
    }
}

#[test]
fn an_authority_may_delegate_twice_in_one_block() {
    let mut state = funded();
    let delegates = [account(32), account(33)];
    deploy(&mut state, delegates[0], Program::new().increment(1).build());
    deploy(&mut state, delegates[1], Program::new().increment(2).build());
    let transactions = vec![
        delegating(1, 0, vec![signed(9, 0, delegates[0])]),
        call(2, 0, account(9), 0, &[]),
        delegating(3, 0, vec![signed(9, 1, delegates[1]), signed(9, 7, delegates[0])]),
        call(4, 0, account(9), 3, &[]),
        delegating(5, 0, vec![signed(9, 2, Address::ZERO)]),
        call(6, 0, account(9), 3, &[]),
        TxEnv { nonce: 3, ..call(9, 0, account(41), 3, &[]) },
    ];
    check(&block(SpecId::PRAGUE, transactions), &state);
}

#[test]
fn a_cleared_delegation_runs_nothing_and_a_renewed_one_runs_again() {
    let mut state = funded();
    let delegate = account(32);
    deploy(&mut state, delegate, Program::new().increment(1).build());
    let transactions = vec![
        delegating(1, 0, vec![signed(9, 0, delegate)]),
        call(2, 0, account(9), 0, &[]),
        delegating(3, 0, vec![signed(9, 1, Address::ZERO)]),
        call(4, 0, account(9), 7, &[]),
        // The sender clears, in its own transaction, what it calls in it.
        TxEnv { kind: TxKind::Call(account(9)), ..delegating(9, 2, vec![signed(9, 3, delegate)]) },
        call(5, 0, account(9), 0, &[]),
    ];
    let block = block(SpecId::PRAGUE, transactions);
    let outcome = sequential(&block, &state).expect("a valid block");
    let used: Vec<u64> = outcome.receipts.iter().map(|receipt| receipt.gas_used).collect();
    assert!(used[1] > 40_000 && used[3] == 21_000 && used[5] > 21_000, "{used:?}");
    check(&block, &state);
}

#[test]
fn a_plain_transfer_keeps_the_delegation_of_its_sender() {
    let mut state = funded();
    deploy(&mut state, account(32), Program::new().increment(1).build());
    let delegated = AccountInfo {
        balance: U256::from(ETHER),
        nonce: 4,
        ..AccountInfo::from_bytecode(Bytecode::new_eip7702(account(32)))
    };
    state.insert_account(account(8), delegated);
    let transactions = vec![
        call(8, 4, account(41), 3, &[]),
        call(1, 0, account(8), 1, &[]),
        call(8, 5, account(8), 2, &[]),
    ];
    check(&block(SpecId::PRAGUE, transactions), &state);
}

#[test]
fn the_first_payment_to_an_empty_account_costs_more_than_the_second() {
    let mut state = funded();
    deploy(&mut state, account(34), Program::new().send(account(70), 1).store(0).build());
    deploy(&mut state, account(35), Program::new().send(account(70), 1).store(0).build());
    for contract in [account(34), account(35)] {
        let code =
            state.accounts().find(|(at, ..)| *at == contract).map(|(_, info, _)| info.clone());
        let info = AccountInfo { balance: U256::from(ETHER), ..code.expect("just deployed") };
        state.insert_account(contract, info);
    }
    let transactions = vec![call(1, 0, account(34), 0, &[]), call(2, 0, account(35), 0, &[])];
    let block = block(SpecId::CANCUN, transactions);
    let outcome = sequential(&block, &state).expect("a valid block");
    assert!(outcome.receipts[0].gas_used > outcome.receipts[1].gas_used + 20_000);
    check(&block, &state);
}

#[test]
fn touching_an_empty_account_creates_it_before_eip_161_and_removes_it_after() {
    for spec in [SpecId::FRONTIER, SpecId::TANGERINE, SpecId::SPURIOUS_DRAGON] {
        let mut state = funded();
        state.insert_account(account(71), AccountInfo::default());
        deploy(&mut state, account(34), Program::new().send(account(70), 0).store(0).build());
        let transactions = vec![
            TxEnv { gas_price: 0, ..call(1, 0, account(71), 0, &[]) },
            call(2, 0, account(34), 0, &[]),
            call(3, 0, account(34), 0, &[]),
            call(4, 0, account(70), 0, &[]),
        ];
        check(&block(spec, transactions), &state);
    }
}

#[test]
fn before_eip_161_calls_of_a_destroyed_contract_bring_an_empty_account_into_existence() {
    for spec in [SpecId::FRONTIER, SpecId::HOMESTEAD, SpecId::TANGERINE, SpecId::SPURIOUS_DRAGON] {
        let mut state = funded();
        let program = Program::new().push_address(account(60)).op(opcode::SELFDESTRUCT);
        let code = Bytecode::new_raw(program.build().into());
        // Calls without value look at neither, and may be run as if it still had them.
        let info = AccountInfo { nonce: 1, ..AccountInfo::from_bytecode(code) };
        state.insert_account(account(34), info.with_balance(U256::from(ETHER)));
        let transactions = (1..6).map(|n| call(n, 0, account(34), 0, &[])).collect();
        check(&block(spec, transactions), &state);
    }
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

/// Whoever chooses addresses and keys can have any 64 bits of them alike, or
/// their sum, so nothing may be told apart by a hash of that length.
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
