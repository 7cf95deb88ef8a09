//! Reads, writes and deltas, within a transaction and from one to the next.

use revm::{
    context::TxEnv,
    context_interface::transaction::{AccessList, AccessListItem},
    primitives::{B256, TxKind, U256, hardfork::SpecId},
};

use crate::scene::{A, B, C, Scene, scene};

#[test]
fn a_store_reads_and_writes_only_if_the_value_differs_at_the_end() {
    let cases: &[(&str, &[&str])] = &[
        ("9 1 SSTORE STOP", &["read storage(a, 0x1)", "write storage(a, 0x1)"]),
        ("5 1 SSTORE STOP", &["read storage(a, 0x1)"]),
        ("9 1 SSTORE 5 1 SSTORE STOP", &["read storage(a, 0x1)"]),
        ("9 1 SSTORE 0 0 REVERT", &["read storage(a, 0x1)"]),
        ("9 1 SSTORE INVALID", &["read storage(a, 0x1)"]),
        ("9 1 SSTORE loop: @loop JUMP", &["read storage(a, 0x1)"]),
    ];
    for (code, expected) in cases {
        scene().contract(A, code).slot(A, 1, U256::from(5)).call(A, &[]).check(expected);
    }
}

#[test]
fn the_writes_of_earlier_transactions_are_carried() {
    let scene = scene()
        .contract(A, "CALLDATASIZE @second JUMPI 33 1 SSTORE STOP second: 1 SLOAD SLOAD STOP")
        .call(A, &[])
        .call(A, &[1]);
    scene.check(&["read storage(a, 0x1)", "read storage(a, 0x21)"]);
}

#[test]
fn the_writes_of_an_earlier_transaction_that_reverts_are_not_carried() {
    let scene = scene()
        .contract(A, "CALLDATASIZE @second JUMPI 33 1 SSTORE 0 0 REVERT second: 1 SLOAD SLOAD STOP")
        .call(A, &[])
        .call(A, &[1]);
    scene.check(&["read storage(a, 0x0)", "read storage(a, 0x1)"]);
}

#[test]
fn value_is_a_delta_for_who_does_not_look_and_a_write_for_who_pays() {
    let scene = scene().contract(A, "0 0 0 0 3 $b GAS CALL STOP").contract(B, "STOP").call(A, &[]);
    scene.check(&["read balance(a)", "read code(b)", "write balance(a)", "delta balance(b)"]);
}

#[test]
fn who_looks_at_its_balance_has_it_written_by_a_credit() {
    let scene = scene()
        .contract(A, "0 0 0 0 3 $b GAS CALL STOP")
        .contract(B, "SELFBALANCE POP STOP")
        .call(A, &[]);
    scene.check(&[
        "read balance(a)",
        "read balance(b)",
        "read code(b)",
        "write balance(a)",
        "write balance(b)",
    ]);
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
fn a_contract_that_destroys_itself_is_gone_for_the_next_transaction() {
    let scene = Scene::new(SpecId::SHANGHAI).contract(A, "$b SELFDESTRUCT").contract(B, "STOP");
    let scene = scene.call(A, &[]).call(A, &[]);
    assert_eq!(
        scene.text(&scene.predict()[0]).lines().collect::<Vec<_>>(),
        [
            "read balance(a)",
            "write balance(a)",
            "write nonce(a)",
            "write code(a)",
            "delta balance(b)"
        ],
    );
    scene.check(&[]);
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

#[test]
fn a_call_without_gas_for_its_code_fails_and_its_caller_goes_on() {
    let scene = scene()
        .contract(A, "0 0 0 0 0 $b 2000 CALL SLOAD STOP")
        .contract(B, "1 2 SSTORE STOP")
        .call(A, &[]);
    scene.check(&["read code(b)", "read storage(a, 0x0)"]);
}
