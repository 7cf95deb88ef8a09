//! Calls and creations: whose storage, whose code, whose caller.

use revm::{
    bytecode::Bytecode,
    context::TxEnv,
    primitives::{B256, TxKind, U256},
};

use crate::{
    assembler::{assemble, deployer},
    scene::{A, B, SENDER, scene},
};

/// Loads slot 1 and then the slot numbered by the low byte of the caller.
const CALLEE: &str = "1 SLOAD POP 255 CALLER AND SLOAD POP STOP";

#[test]
fn storage_and_caller_follow_the_kind_of_call() {
    let cases: &[(&str, &[&str])] = &[
        ("0 0 0 0 0 $b GAS CALL", &["read storage(b, 0x1)", "read storage(b, 0xa1)"]),
        ("0 0 0 0 $b GAS STATICCALL", &["read storage(b, 0x1)", "read storage(b, 0xa1)"]),
        ("0 0 0 0 0 $b GAS CALLCODE", &["read storage(a, 0x1)", "read storage(a, 0xa1)"]),
        ("0 0 0 0 $b GAS DELEGATECALL", &["read storage(a, 0x1)", "read storage(a, 0x55)"]),
    ];
    for (code, expected) in cases {
        let scene = scene().contract(A, code).contract(B, CALLEE).call(A, &[]);
        scene.check(&[&["read code(b)"], *expected].concat());
    }
}

#[test]
fn a_static_call_cannot_write() {
    let scene = scene()
        .contract(A, "0 0 0 0 $b GAS STATICCALL SLOAD STOP")
        .contract(B, "1 SLOAD POP 7 1 SSTORE STOP")
        .call(A, &[]);
    scene.check(&["read code(b)", "read storage(a, 0x0)", "read storage(b, 0x1)"]);
}

#[test]
fn a_proxy_runs_the_implementation_in_its_slot_with_its_call_data() {
    let scene = scene()
        .contract(
            A,
            "CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 99 SLOAD GAS DELEGATECALL
             RETURNDATASIZE 0 0 RETURNDATACOPY @ok JUMPI RETURNDATASIZE 0 REVERT
             ok: RETURNDATASIZE 0 RETURN",
        )
        .contract(B, "4 CALLDATALOAD DUP1 SSTORE STOP")
        .slot(A, 99, B.into_word().into())
        .call(A, &[&[1, 2, 3, 4][..], &U256::from(6).to_be_bytes::<32>()].concat());
    scene.check(&[
        "read code(b)",
        "read storage(a, 0x6)",
        "read storage(a, 0x63)",
        "write storage(a, 0x6)",
    ]);
}

#[test]
fn a_delegated_account_runs_the_code_of_its_delegate_on_its_own_storage() {
    let delegated = Bytecode::new_eip7702(B);
    let scene = scene()
        .contract(A, "0 0 0 0 0 $c GAS CALL STOP")
        .contract(B, "7 SLOAD STOP")
        .code(crate::scene::C, delegated.original_byte_slice())
        .call(A, &[]);
    scene.check(&["read code(b)", "read code(c)", "read storage(c, 0x7)"]);
}

#[test]
fn a_call_that_reverts_undoes_its_writes_only() {
    let scene = scene()
        .contract(A, "8 1 SSTORE 0 0 0 0 0 $b GAS CALL POP STOP")
        .contract(B, "9 2 SSTORE 0 0 REVERT")
        .call(A, &[]);
    scene.check(&[
        "read code(b)",
        "read storage(a, 0x1)",
        "read storage(b, 0x2)",
        "write storage(a, 0x1)",
    ]);
}

#[test]
fn a_created_contract_is_named_and_can_be_called_in_the_next_transaction() {
    let runtime = assemble("5 SLOAD STOP");
    let created = SENDER.create(0);
    let init = deployer(&runtime);
    let scene = scene()
        .name(created, "created")
        .tx(TxEnv { kind: TxKind::Create, data: init.into(), ..TxEnv::default() })
        .call(created, &[]);
    assert_eq!(
        scene.text(&scene.predict()[0]).lines().collect::<Vec<_>>(),
        ["read nonce(created)", "write nonce(created)", "write code(created)"],
    );
    scene.check(&["read storage(created, 0x5)"]);
}

#[test]
fn a_factory_runs_the_init_code_and_calls_what_it_creates() {
    // The init code is the call data; the address it yields is called at once.
    let init = deployer(&assemble("5 SLOAD STOP"));
    let created = A.create2_from_code(B256::with_last_byte(9), &init);
    let scene = scene()
        .name(created, "created")
        .contract(
            A,
            "CALLDATASIZE 0 0 CALLDATACOPY 0 0 0 0 0 9 CALLDATASIZE 0 0 CREATE2 GAS CALL STOP",
        )
        .call(A, &init);
    scene.check(&[
        "read nonce(created)",
        "read nonce(a)",
        "read code(created)",
        "read storage(created, 0x5)",
        "write nonce(created)",
        "write nonce(a)",
        "write code(created)",
    ]);
}

#[test]
fn a_creation_that_collides_changes_nothing_but_the_creators_nonce() {
    let created = A.create(1);
    let scene = scene()
        .name(created, "created")
        .contract(A, "0 0 0 CREATE SLOAD STOP")
        .code(created, &assemble("STOP"))
        .call(A, &[]);
    scene.check(&[
        "read nonce(a)",
        "read nonce(created)",
        "read code(created)",
        "read storage(a, 0x0)",
        "write nonce(a)",
    ]);
}

#[test]
fn endless_recursion_ends_at_the_depth_that_the_gas_allows() {
    let scene = scene().contract(A, "0 0 0 0 0 ADDRESS GAS CALL POP 1 SLOAD STOP").call(A, &[]);
    scene.check(&["read storage(a, 0x1)"]);
}

#[test]
fn a_precompile_that_verifies_is_assumed_to_find_its_input_valid() {
    // A pairing (EIP-197) of one pair of points that are not even on the curve.
    let scene = scene()
        .contract(
            A,
            "1 0 MSTORE 32 0 192 0 8 GAS STATICCALL 0 MLOAD AND @ok JUMPI 0 0 REVERT
             ok: 5 SLOAD STOP",
        )
        .call(A, &[]);
    scene.check(&["read storage(a, 0x5)"]);
}
