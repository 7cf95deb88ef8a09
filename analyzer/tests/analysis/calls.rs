//! Calls and creations: whose storage, whose code, whose caller.

use revm::{
    bytecode::Bytecode,
    primitives::{B256, U256},
};

use crate::{
    assembler::{assemble, deployer},
    scene::{A, B, scene},
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
