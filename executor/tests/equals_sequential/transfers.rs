//! Blocks of plain transfers, which run without the EVM, and what makes one of them run in
//! it.

use alloy_eips::{
    eip4788::BEACON_ROOTS_ADDRESS, eip4895::Withdrawal,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
};
use forewave_analyzer::MemoryState;
use forewave_executor::{RunPlan, execute, sequential};
use revm::{
    DatabaseRef,
    bytecode::{Bytecode, opcode},
    context::{
        TxEnv,
        transaction::{AccessList, AccessListItem},
    },
    primitives::{Address, B256, U256, hardfork::SpecId},
    state::AccountInfo,
};

use crate::{
    check,
    common::{ETHER, Program, account, beneficiary, block, call, create, deploy, funded},
    pool,
};

const FORKS: [SpecId; 5] =
    [SpecId::SPURIOUS_DRAGON, SpecId::BERLIN, SpecId::SHANGHAI, SpecId::CANCUN, SpecId::PRAGUE];

/// A transfer between any two accounts.
fn pay(from: Address, nonce: u64, to: Address, wei: u64) -> TxEnv {
    TxEnv { caller: from, ..call(0, nonce, to, wei, &[]) }
}

/// Accounts at both ends of the address space and in the middle, the first with funds.
fn far_apart() -> ([Address; 4], MemoryState) {
    let accounts = [0x11, 0x5a, 0xa6, 0xff].map(Address::repeat_byte);
    let mut state = funded();
    state.insert_account(accounts[0], AccountInfo::from_balance(U256::from(ETHER)));
    (accounts, state)
}

#[test]
fn an_account_that_was_funded_before_can_pay() {
    let ([a, b, c, d], state) = far_apart();
    let half = ETHER / 2;
    let transactions = vec![
        pay(a, 0, d, half),
        pay(d, 0, b, half / 2),
        pay(b, 0, c, half / 4),
        pay(c, 0, a, half / 8),
        pay(a, 1, d, half),
        pay(d, 1, a, half),
    ];
    for spec in FORKS {
        check(&block(spec, transactions.clone()), &state);
        // The other way round nobody can pay for the first.
        let reversed = transactions.iter().rev().cloned().collect();
        check(&block(spec, reversed), &state);
    }
}

#[test]
fn an_account_that_pays_itself_loses_the_fee_alone() {
    let transactions = vec![
        call(1, 0, account(1), ETHER, &[]),
        call(2, 0, account(1), 5, &[]),
        call(1, 1, account(1), 10 * ETHER - 100_000_000, &[]),
        call(1, 2, account(3), 5, &[]),
    ];
    check(&block(SpecId::CANCUN, transactions), &funded());
}

#[test]
fn a_last_transaction_that_is_invalid_is_refused_as_in_sequential_execution() {
    let valid = || (1..9).map(|n| call(n, 0, account(n + 20), 5, &[])).collect::<Vec<_>>();
    let last = call(9, 0, account(40), 5, &[]);
    for invalid in [
        TxEnv { nonce: 1, ..last.clone() },
        TxEnv { nonce: u64::MAX, ..last.clone() },
        TxEnv { value: U256::from(10) * U256::from(ETHER), ..last.clone() },
        TxEnv { gas_limit: 20_999, ..last.clone() },
        TxEnv { gas_limit: 30_000_000 - 7 * 21_000, ..last.clone() },
        TxEnv { gas_price: 6, ..last.clone() },
        TxEnv { gas_price: u128::MAX, ..last.clone() },
        TxEnv { chain_id: Some(2), ..last.clone() },
        TxEnv { caller: account(40), ..last.clone() },
    ] {
        let mut transactions = valid();
        transactions.push(invalid);
        let block = block(SpecId::CANCUN, transactions);
        assert!(sequential(&block, &funded()).is_err());
        check(&block, &funded());
    }
    let mut transactions = valid();
    transactions.push(TxEnv { gas_limit: 30_000_000 - 8 * 21_000, ..last });
    check(&block(SpecId::CANCUN, transactions), &funded());
}

#[test]
fn a_last_transaction_that_runs_code_sees_what_was_paid() {
    let mut state = funded();
    deploy(&mut state, account(30), Program::new().increment(0).build());
    let delegated = Bytecode::new_eip7702(account(30));
    state.insert_account(account(31), AccountInfo::from_bytecode(delegated));
    let call = |to, data: &[u8]| call(9, 0, to, 5, data);
    for last in [
        call(account(30), &[]),
        call(account(31), &[]),
        call(account(40), &[1]),
        call(Address::with_last_byte(4), &[]),
        create(9, 0, 5, Program::new().increment(3).init_code()),
    ] {
        let mut transactions: Vec<_> =
            (1..9).map(|n| crate::common::call(n, 0, account(n + 20), 5, &[])).collect();
        transactions.push(last);
        check(&block(SpecId::PRAGUE, transactions), &state);
    }
}

#[test]
fn a_beneficiary_may_pay_and_be_paid() {
    let mut state = funded();
    state.insert_account(beneficiary(), AccountInfo::from_balance(U256::from(ETHER)));
    for theirs in [call(2, 0, beneficiary(), 5, &[]), pay(beneficiary(), 0, account(2), 5)] {
        let transactions =
            vec![call(1, 0, account(40), 3, &[]), theirs, call(3, 0, account(40), 3, &[])];
        check(&block(SpecId::CANCUN, transactions), &state);
    }
}

#[test]
fn a_beneficiary_that_pays_again_and_again_is_run_once() {
    let mut state = funded();
    state.insert_account(beneficiary(), AccountInfo::from_balance(U256::from(ETHER)));
    deploy(&mut state, account(30), Program::new().increment(0).build());
    let transactions =
        (0..12).map(|n| pay(beneficiary(), n, account(if n % 3 == 0 { 30 } else { 2 }), 5));
    check(&block(SpecId::CANCUN, transactions.collect()), &state);
}

#[test]
fn an_empty_account_that_is_touched_ends_and_may_begin_anew() {
    let mut state = funded();
    let (empty, absent) = (account(30), account(31));
    state.insert_account(empty, AccountInfo::default());
    state.insert_account(beneficiary(), AccountInfo::default());
    let touch = |from, nonce, to| call(from, nonce, to, 0, &[]);
    let touches = vec![touch(1, 0, empty), touch(2, 0, absent), touch(1, 1, account(3))];
    let mut revived = touches.clone();
    revived.extend([call(4, 0, empty, ETHER, &[]), pay(empty, 0, absent, 7)]);
    for spec in FORKS {
        for transactions in [&touches, &revived] {
            let mut free = block(spec, transactions.clone());
            free.env.basefee = 0;
            for tx in &mut free.transactions {
                tx.gas_price = 0;
            }
            check(&block(spec, transactions.clone()), &state);
            check(&free, &state);
        }
    }
}

#[test]
fn an_account_that_pays_all_it_has_is_left_with_its_nonce() {
    let mut state = funded();
    let spent = account(30);
    state.insert_account(spent, AccountInfo::from_balance(U256::from(210_005)));
    let last = TxEnv { gas_limit: 21_000, ..pay(spent, 0, account(2), 5) };
    let transactions = vec![call(1, 0, account(3), 1, &[]), last];
    check(&block(SpecId::SPURIOUS_DRAGON, transactions.clone()), &state);
    check(&block(SpecId::CANCUN, transactions), &state);
}

#[test]
fn balances_that_overflow_are_left_to_the_evm_and_fees_that_do_are_not_paid() {
    let half = U256::ONE << 255;
    let (rich, hoard) = (account(30), account(31));
    let pay_all = |from, value| TxEnv { value, ..pay(from, 0, rich, 0) };
    let mut state = funded();
    for (has, short) in [(U256::MAX, 0), (U256::MAX, ETHER), (half - U256::ONE, 0)] {
        state.insert_account(rich, AccountInfo::from_balance(has - U256::from(short)));
        state.insert_account(hoard, AccountInfo::from_balance(U256::MAX));
        for first in [call(1, 0, rich, ETHER, &[]), pay_all(hoard, half + U256::ONE)] {
            let transactions = vec![first, call(2, 0, rich, 1, &[]), call(3, 0, rich, 1, &[])];
            check(&block(SpecId::CANCUN, transactions), &state);
        }
    }
    for short in [0, 100_000, 1_000_000, ETHER] {
        let mut state = funded();
        let almost = AccountInfo::from_balance(U256::MAX - U256::from(short));
        state.insert_account(beneficiary(), almost);
        let transactions = (1..9).map(|n| call(n, 0, account(20), 5, &[])).collect();
        check(&block(SpecId::CANCUN, transactions), &state);
    }
}

#[test]
fn a_delegated_account_may_pay_but_neither_be_paid_nor_pay_itself() {
    let mut state = funded();
    deploy(&mut state, account(32), Program::new().increment(0).build());
    let info = AccountInfo::from_bytecode(Bytecode::new_eip7702(account(32)));
    state.insert_account(account(30), info.with_balance(U256::from(ETHER)).with_nonce(3));
    let block = |from: Address, nonce, to: Address| {
        let transactions = vec![call(1, 0, account(2), 5, &[]), pay(from, nonce, to, 5)];
        block(SpecId::PRAGUE, transactions)
    };
    check(&block(account(30), 3, account(40)), &state);
    check(&block(account(30), 3, account(30)), &state);
    check(&block(account(2), 0, account(30)), &state);
    // EIP-3607: nobody has the key of a contract.
    check(&block(account(32), 0, account(40)), &state);
}

#[test]
fn what_the_protocol_does_before_and_after_sees_what_was_paid() {
    let (payer, paid, passed_by) = (account(1), account(30), account(31));
    let mut state = funded();
    // It takes stock of an account that changed and of one that did not, and pays the first.
    let stock =
        [payer, paid, passed_by].into_iter().zip(1..).fold(Program::new(), |code, (of, key)| {
            code.push_address(of).op(opcode::BALANCE).store(key)
        });
    deploy(&mut state, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, stock.send(paid, 11).build());
    let mut info = state.basic_ref(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS).unwrap().unwrap();
    info.balance = U256::from(100);
    state.insert_account(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, info);
    let withdrawal = |address| Withdrawal { address, amount: 3, ..Withdrawal::default() };
    let transactions = vec![
        call(1, 0, paid, 5, &[]),
        call(2, 0, paid, 5, &[]),
        call(3, 0, account(3), 5, &[]),
        call(4, 0, passed_by, 0, &[]),
    ];
    for spec in FORKS {
        let mut block = block(spec, transactions.clone());
        block.withdrawals =
            [payer, paid, account(3), passed_by, beneficiary()].map(withdrawal).into();
        check(&block, &state);
        block.env.beneficiary = account(50);
        block.withdrawals.clear();
        check(&block, &state);
        // There is no contract, but the protocol has looked.
        block.transactions.push(call(5, 0, BEACON_ROOTS_ADDRESS, 5, &[]));
        check(&block, &state);
    }
}

#[test]
fn an_empty_account_that_ends_is_brought_back_by_a_withdrawal() {
    let mut state = funded();
    let empty = account(30);
    state.insert_account(empty, AccountInfo::default());
    let mut block = block(SpecId::CANCUN, vec![call(1, 0, empty, 0, &[])]);
    check(&block, &state);
    block.withdrawals = vec![Withdrawal { address: empty, amount: 1, ..Withdrawal::default() }];
    check(&block, &state);
}

#[test]
fn every_type_of_transaction_may_only_pay() {
    let list = AccessList(vec![AccessListItem {
        address: account(30),
        storage_keys: vec![B256::ZERO, B256::repeat_byte(1)],
    }]);
    let of_chain = |from| TxEnv { chain_id: Some(1), ..call(from, 0, account(20), 5, &[]) };
    let transactions = vec![
        TxEnv { tx_type: 1, access_list: list.clone(), ..of_chain(1) },
        TxEnv { tx_type: 2, gas_priority_fee: Some(2), access_list: list, ..of_chain(2) },
        TxEnv { tx_type: 2, gas_priority_fee: Some(10), ..of_chain(3) },
        of_chain(4),
    ];
    check(&block(SpecId::LONDON, transactions.clone()), &funded());
    check(&block(SpecId::PRAGUE, transactions), &funded());
}

#[test]
fn accounts_whose_addresses_begin_alike_are_told_apart() {
    let alike = |last: u8| {
        let mut address = Address::repeat_byte(0x77);
        address[19] = last;
        address
    };
    let mut state = funded();
    for last in 0..16 {
        state.insert_account(alike(last), AccountInfo::from_balance(U256::from(ETHER)));
    }
    let transactions = (0..48_u8)
        .map(|n| pay(alike(n % 16), u64::from(n / 16), alike(n.wrapping_mul(7) % 16), n.into()))
        .collect();
    check(&block(SpecId::CANCUN, transactions), &state);
}

#[test]
fn random_payments_among_few_accounts_end_as_in_sequential_execution() {
    let mut seed = 1_u64;
    let mut below = |bound: u64| -> usize {
        // The multiplier is Knuth's, for MMIX.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((seed >> 33) % bound).unwrap()
    };
    let mut valid = 0;
    for _ in 0..40 {
        let people: Vec<Address> = (1..10).map(account).collect();
        let mut nonces = [0; 9];
        let state = funded();
        let transactions = (0..below(400)).map(|_| {
            let (from, to) = (below(9), below(9));
            nonces[from] += 1;
            let wei = [0, 1, ETHER / 100, ETHER][below(4)];
            TxEnv { gas_limit: 21_000, ..pay(people[from], nonces[from] - 1, people[to], wei) }
        });
        let block = block(SpecId::PRAGUE, transactions.collect());
        let is_valid = sequential(&block, &state).is_ok() && !block.transactions.is_empty();
        valid += usize::from(is_valid);
        check(&block, &state);
    }
    assert!((10..=35).contains(&valid), "{valid}");
}

#[test]
fn payments_are_run_on_the_calling_thread_however_many() {
    let ([a, b, ..], state) = far_apart();
    let mut block = block(SpecId::CANCUN, (0..5_000).map(|n| pay(a, n, b, 1)).collect());
    block.env.gas_limit = u64::MAX;
    let plan = RunPlan::in_block_order(&block);
    assert_eq!(execute(&block, &state, &plan, &pool(8)).unwrap().stats.threads, 1);
}
