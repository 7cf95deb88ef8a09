//! Who pays whom: order, credits, what a sender pays, balances that overflow.

use forewave_executor::{ExecutionError, sequential};
use revm::{
    bytecode::{Bytecode, opcode},
    context::TxEnv,
    primitives::{U256, hardfork::SpecId},
    state::AccountInfo,
};

use crate::{
    check,
    common::{ETHER, Program, account, beneficiary, block, call, create, deploy, funded},
};

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
