//! The calls of system contracts at the two ends of a block, and the requests that
//! come of them (EIP-7685).

use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::BEACON_ROOTS_ADDRESS,
    eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE},
    eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_CODE},
    eip7685::EMPTY_REQUESTS_HASH,
};
use forewave_analyzer::{Block, MemoryState, StateExtent};
use forewave_executor::{ExecutionError, OutcomeNote, SystemFailure, SystemOperation, sequential};
use revm::{
    bytecode::opcode,
    context::result::{HaltReason, OutOfGasError},
    primitives::{Address, B256, U256, b256, hardfork::SpecId},
};

use crate::{
    check,
    common::{Program, account, block, call, deploy, funded},
};

const WITHDRAWALS: (SystemOperation, Address) =
    (SystemOperation::WithdrawalRequests, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS);
const CONSOLIDATIONS: (SystemOperation, Address) =
    (SystemOperation::ConsolidationRequests, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS);

/// `PUSH1 0 PUSH1 0 REVERT`, `INVALID`, and a loop.
const REVERTS: [u8; 5] = [0x60, 0, 0x60, 0, 0xfd];
const HALTS: [u8; 1] = [0xfe];
const LOOPS: [u8; 3] = [0x5b, 0x5f, 0x56];

/// A state that holds the contracts of both requests as they are on chain.
fn with_contracts() -> MemoryState {
    let mut state = funded();
    deploy(&mut state, WITHDRAWALS.1, WITHDRAWAL_REQUEST_PREDEPLOY_CODE.to_vec());
    deploy(&mut state, CONSOLIDATIONS.1, CONSOLIDATION_REQUEST_PREDEPLOY_CODE.to_vec());
    state
}

fn whole(spec: SpecId) -> Block {
    let transactions = vec![call(1, 0, account(40), 1, &[]), call(2, 0, account(41), 1, &[])];
    Block { state_extent: StateExtent::Whole, ..block(spec, transactions) }
}

#[test]
fn a_block_whose_requests_contract_fails_or_has_no_code_is_invalid() {
    let out_of_gas = HaltReason::OutOfGas(OutOfGasError::Basic);
    for spec in [SpecId::PRAGUE, SpecId::OSAKA] {
        for (operation, address) in [WITHDRAWALS, CONSOLIDATIONS] {
            for (code, failure) in [
                (REVERTS.to_vec(), SystemFailure::Reverted),
                (HALTS.to_vec(), SystemFailure::Halted(HaltReason::InvalidFEOpcode)),
                (LOOPS.to_vec(), SystemFailure::Halted(out_of_gas.clone())),
                (vec![], SystemFailure::NoCode),
            ] {
                let mut state = with_contracts();
                let is_slow = code == LOOPS;
                deploy(&mut state, address, code);
                let invalid = ExecutionError::SystemContract { operation, address, failure };
                for state_extent in [StateExtent::Whole, StateExtent::Touched] {
                    let block = Block { state_extent, ..whole(spec) };
                    assert_eq!(sequential(&block, &state).unwrap_err(), invalid);
                    if !is_slow {
                        check(&block, &state);
                    }
                }
            }
        }
    }
    assert!(sequential(&whole(SpecId::CANCUN), &funded()).is_ok_and(|it| it.requests.is_none()));
}

#[test]
fn an_absent_contract_is_left_out_only_of_a_state_that_need_not_hold_it() {
    for (operation, address) in [WITHDRAWALS, CONSOLIDATIONS] {
        let mut state = funded();
        let other = if address == WITHDRAWALS.1 { CONSOLIDATIONS.1 } else { WITHDRAWALS.1 };
        deploy(&mut state, other, vec![opcode::STOP]);
        let block = whole(SpecId::PRAGUE);
        let failure = SystemFailure::NoCode;
        let invalid = ExecutionError::SystemContract { operation, address, failure };
        assert_eq!(sequential(&block, &state).unwrap_err(), invalid);
        check(&block, &state);
        let block = Block { state_extent: StateExtent::Touched, ..block };
        let outcome = sequential(&block, &state).expect("nothing is known of the contract");
        assert!(outcome.notes.contains(&OutcomeNote::SystemContractAbsent { operation, address }));
        assert_eq!((outcome.requests, outcome.notes.len()), (None, 3));
        check(&block, &state);
    }
}

#[test]
fn calls_before_the_transactions_may_fail() {
    for code in [REVERTS.to_vec(), HALTS.to_vec(), LOOPS.to_vec(), vec![]] {
        let mut state = with_contracts();
        deploy(&mut state, BEACON_ROOTS_ADDRESS, code.clone());
        let is_slow = code == LOOPS;
        deploy(&mut state, HISTORY_STORAGE_ADDRESS, code);
        let outcome = sequential(&whole(SpecId::PRAGUE), &state).expect("valid");
        assert_eq!(outcome.requests_hash(), Some(EMPTY_REQUESTS_HASH));
        if !is_slow {
            check(&whole(SpecId::PRAGUE), &state);
        }
    }
}

#[test]
fn requests_come_in_the_order_of_their_types() {
    let (deposits, topic) = (account(50), deposit_event());
    let copy = Program::new().op(opcode::CALLDATASIZE).push(U256::ZERO).push(U256::ZERO);
    let log = copy.op(opcode::CALLDATACOPY).push(U256::from_be_bytes(topic.0));
    let log = log.op(opcode::CALLDATASIZE).push(U256::ZERO).op(opcode::LOG1);
    let mut state = with_contracts();
    deploy(&mut state, deposits, log.build());
    let block = Block {
        transactions: vec![
            call(1, 0, CONSOLIDATIONS.1, 1, &[7; 96]),
            call(2, 0, WITHDRAWALS.1, 1, &[8; 56]),
            call(3, 0, deposits, 0, &deposit_data()),
            call(4, 0, WITHDRAWALS.1, 1, &[9; 56]),
            call(3, 1, deposits, 0, &deposit_data()),
        ],
        deposit_contract: Some(deposits),
        ..whole(SpecId::PRAGUE)
    };
    let outcome = sequential(&block, &state).expect("valid");
    let withdrawal = |from, byte| [account(from).as_slice(), &[byte; 56]].concat();
    let requests = outcome.requests.as_ref().expect("Prague has requests");
    let expected = [
        [&[0][..], &[6; 192].repeat(2)].concat(),
        [&[1][..], &withdrawal(2, 8), &withdrawal(4, 9)].concat(),
        [&[2][..], account(1).as_slice(), &[7; 96]].concat(),
    ];
    assert_eq!(requests.iter().map(|it| it.to_vec()).collect::<Vec<_>>(), expected);
    check(&block, &state);

    let elsewhere = Block { deposit_contract: None, ..block.clone() };
    let requests = sequential(&elsewhere, &state).expect("valid").requests;
    assert_eq!(requests.map(|it| it.len()), Some(2));

    let mut misshapen = block;
    misshapen.transactions[4].data = deposit_data()[1..].to_vec().into();
    let tx = forewave_analyzer::TxIndex::new(4);
    let error = sequential(&misshapen, &state).unwrap_err();
    assert_eq!(error, ExecutionError::DepositLayout { tx, log: 0 });
    check(&misshapen, &state);
}

fn deposit_event() -> B256 {
    b256!("0x649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5")
}

/// The data of a deposit whose fields are all sixes.
fn deposit_data() -> Vec<u8> {
    let mut data = Vec::new();
    let word = |value: usize| B256::left_padding_from(&value.to_be_bytes());
    for offset in [160, 256, 320, 384, 512] {
        data.extend(word(offset));
    }
    for len in [48usize, 32, 8, 96, 8] {
        data.extend(word(len));
        data.extend(vec![6; len]);
        data.extend(vec![0; len.next_multiple_of(32) - len]);
    }
    data
}
