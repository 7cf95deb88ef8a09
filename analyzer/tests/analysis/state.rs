//! Reads, writes and deltas, within a transaction and from one to the next.

use revm::{
    context::TxEnv,
    context_interface::transaction::{AccessList, AccessListItem},
    primitives::{B256, TxKind},
};

use crate::scene::{A, B, C, scene};

#[test]
fn value_is_a_delta_for_who_does_not_look_and_a_write_for_who_pays() {
    let scene = scene().contract(A, "0 0 0 0 3 $b GAS CALL STOP").contract(B, "STOP").call(A, &[]);
    scene.check(&["read balance(a)", "read code(b)", "write balance(a)", "delta balance(b)"]);
}

#[test]
fn paying_an_account_that_does_not_exist_looks_at_its_balance() {
    let scene = scene().contract(A, "0 0 0 0 3 $b GAS CALL STOP").call(A, &[]);
    scene.check(&[
        "read balance(a)",
        "read balance(b)",
        "read code(b)",
        "write balance(a)",
        "delta balance(b)",
    ]);
}

#[test]
fn looking_at_code_is_no_look_at_the_balance() {
    let code = "$b EXTCODESIZE POP $b EXTCODEHASH POP 1 0 0 $b EXTCODECOPY $c BALANCE POP STOP";
    let scene = scene().contract(A, code).contract(B, "STOP").call(A, &[]);
    scene.check(&["read balance(c)", "read code(b)"]);
}

#[test]
fn transient_storage_is_no_access_and_is_gone_in_the_next_transaction() {
    let code =
        "CALLDATASIZE @second JUMPI 8 1 TSTORE 1 TLOAD SLOAD STOP second: 1 TLOAD SLOAD STOP";
    let scene = scene().contract(A, code).call(A, &[]).call(A, &[1]);
    assert_eq!(scene.text(&scene.predict()[0]), "read storage(a, 0x8)");
    scene.check(&["read storage(a, 0x0)"]);
}

#[test]
fn since_cancun_an_old_contract_only_sends_its_balance() {
    let scene = scene().contract(A, "$b SELFDESTRUCT").contract(B, "STOP").call(A, &[]);
    scene.check(&["read balance(a)", "write balance(a)", "delta balance(b)"]);
}

#[test]
fn what_an_access_list_names_is_no_access_unless_it_is_used() {
    let list = AccessList(vec![
        AccessListItem { address: A, storage_keys: vec![B256::with_last_byte(1)] },
        AccessListItem { address: C, storage_keys: vec![B256::with_last_byte(2)] },
    ]);
    let tx = TxEnv { tx_type: 1, kind: TxKind::Call(A), access_list: list, ..TxEnv::default() };
    scene().contract(A, "1 SLOAD STOP").tx(tx).check(&["read storage(a, 0x1)"]);
}
