//! Accounts that come, go and change their code: creation, destruction,
//! delegation (EIP-7702), emptiness (EIP-161).

use forewave_analyzer::MemoryState;
use forewave_executor::sequential;
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

use crate::{
    check,
    common::{ETHER, Program, account, block, call, create, deploy, funded},
};

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
