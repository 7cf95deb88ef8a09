//! The predictor `static` across contracts: arguments, answers, kinds of calls, value,
//! creations and ends.

use forewave_analyzer::{EvaluationLimits, StaticPredictor, SummaryCache};
use revm::{
    bytecode::Bytecode,
    context::TxEnv,
    context_interface::{
        either::Either,
        transaction::{Authorization, RecoveredAuthority, RecoveredAuthorization},
    },
    primitives::{Address, B256, TxKind, U256},
    state::AccountInfo,
};
use std::sync::Arc;

use crate::{
    assembler::{assemble, deployer},
    evaluation::{arguments, function},
    scene::{A, B, C, Scene, scene},
};

/// Reads and writes the entry of the mapping at slot 2 that its argument names.
const ENTRY: &str = "4 CALLDATALOAD 0 MSTORE 2 32 MSTORE 64 0 KECCAK256 1 SWAP1 SSTORE STOP";

#[track_caller]
fn check(caller: &str, callee: &str, given: &[u64], expected: &[&str]) {
    let scene = scene().contract(A, &function(caller)).contract(B, &function(callee));
    scene.call(A, &arguments(given)).expect(&[&["read code(b)"], expected].concat());
}

#[test]
fn arguments_go_into_the_keys_of_what_is_called() {
    let entry =
        |key: &str| [format!("read storage(b, 2[{key}])"), format!("write storage(b, 2[{key}])")];
    let call =
        |word: &str| format!("1 224 SHL 0 MSTORE {word} 4 MSTORE 0 0 36 0 0 $b GAS CALL POP STOP");
    for (word, key) in [("CALLER", "sender"), ("ADDRESS", "a"), ("4 CALLDATALOAD 1 ADD", "8")] {
        let expected = entry(key);
        check(&call(word), ENTRY, &[7], &expected.each_ref().map(String::as_str));
    }
    // Words from memory that is only known with the inputs.
    let copied = "1 224 SHL 128 MSTORE 4 CALLDATALOAD 36 132 CALLDATACOPY \
        0 0 4 CALLDATALOAD 4 ADD 128 0 $b GAS CALL POP STOP";
    let expected = entry("9");
    check(copied, ENTRY, &[32, 9], &expected.each_ref().map(String::as_str));
}

#[test]
fn what_a_call_answers_goes_into_keys() {
    let direct = "1 224 SHL 0 MSTORE 32 64 4 0 $b GAS STATICCALL POP 64 MLOAD SLOAD STOP";
    let copied = "1 224 SHL 0 MSTORE 0 0 4 0 $b GAS STATICCALL POP \
        RETURNDATASIZE 0 64 RETURNDATACOPY 64 MLOAD SLOAD STOP";
    for caller in [direct, copied] {
        check(caller, "42 0 MSTORE 32 0 RETURN", &[], &["read storage(a, 42)"]);
        check(caller, "255 ADDRESS AND 0 MSTORE 64 0 RETURN", &[], &["read storage(a, 178)"]);
        // What it loads decides.
        check(
            caller,
            "5 SLOAD 0 MSTORE 32 0 RETURN",
            &[],
            &["read storage(b, 5)", "read storage(a, 0)", "decided by storage(b, 5)"],
        );
    }
    // Through two, an argument there and a word back.
    let scene = scene()
        .contract(A, "0 CALLDATALOAD 0 MSTORE 32 0 32 0 $b GAS STATICCALL POP 0 MLOAD SLOAD STOP")
        .contract(B, "0 CALLDATALOAD 1 ADD 0 MSTORE 32 0 32 0 $c GAS STATICCALL POP 32 0 RETURN")
        .contract(C, "0 CALLDATALOAD 2 MUL 0 MSTORE 32 0 RETURN")
        .call(A, &crate::scene::words(&[20]));
    scene.expect(&["read code(b)", "read code(c)", "read storage(a, 42)"]);
}

#[test]
fn the_latest_answer_of_two_ways_is_not_known() {
    let body = "GAS 1 AND @one JUMPI 0 0 0 0 $b GAS STATICCALL POP @on JUMP \
        one: 0 0 0 0 $c GAS STATICCALL POP on: 32 0 0 RETURNDATACOPY 0 MLOAD SLOAD STOP";
    let scene = scene()
        .contract(A, &function(body))
        .contract(B, "5 0 MSTORE 32 0 RETURN")
        .contract(C, "6 0 MSTORE 32 0 RETURN")
        .call(A, &arguments(&[]));
    scene.expect(&["may read code(b)", "may read code(c)", "widened contract(a)", "because key"]);
}

#[test]
fn storage_and_caller_follow_the_kind_of_call() {
    // Loads slot 1 and then the slot numbered by the low byte of the caller.
    let callee = "1 SLOAD POP 255 CALLER AND SLOAD POP STOP";
    let cases: &[(&str, &[&str])] = &[
        ("0 0 0 0 0 $b GAS CALL STOP", &["read storage(b, 1)", "read storage(b, 161)"]),
        ("0 0 0 0 $b GAS STATICCALL STOP", &["read storage(b, 1)", "read storage(b, 161)"]),
        ("0 0 0 0 0 $b GAS CALLCODE STOP", &["read storage(a, 1)", "read storage(a, 161)"]),
        ("0 0 0 0 $b GAS DELEGATECALL STOP", &["read storage(a, 1)", "read storage(a, 85)"]),
    ];
    for (code, expected) in cases {
        let scene = scene().contract(A, code).contract(B, callee).call(A, &[]);
        scene.expect(&[&["read code(b)"], *expected].concat());
    }
}

#[test]
fn a_call_that_only_reverts_fails_and_that_decides() {
    let caller = "0 0 0 0 0 $b GAS CALL @ok JUMPI 1 SLOAD STOP ok: 2 SLOAD STOP";
    let cases = [
        ("3 SLOAD 0 0 REVERT", "read storage(a, 1)"),
        ("INVALID", "read storage(a, 1)"),
        ("STOP", "read storage(a, 2)"),
    ];
    for (callee, expected) in cases {
        let scene = scene().contract(A, caller).contract(B, callee).call(A, &[]);
        scene.expect(&["read code(b)", expected]);
    }
    // An account without code: a call to it succeeds.
    scene().contract(A, caller).call(A, &[]).expect(&["read code(b)", "read storage(a, 2)"]);
    // A function that its target does not have.
    let scene = scene().contract(A, caller).contract(B, &function("STOP")).call(A, &[]);
    scene.expect(&["read code(b)", "read storage(a, 1)"]);
}

#[test]
fn a_callback_sees_what_was_stored_before() {
    for [store, load] in [["SSTORE", "SLOAD"], ["TSTORE", "TLOAD"]] {
        // With data, the slot of what slot 1 holds; without, stores it and asks b to call.
        let caller = format!(
            "CALLDATASIZE @back JUMPI 77 1 {store} 0 0 0 0 0 $b GAS CALL STOP \
             back: 1 {load} SLOAD STOP"
        );
        let scene =
            scene().contract(A, &caller).contract(B, "0 0 4 0 0 CALLER GAS CALL STOP").call(A, &[]);
        let mut expected = vec!["read code(a)", "read code(b)", "read storage(a, 77)"];
        if store == "SSTORE" {
            expected.extend(["read storage(a, 1)", "write storage(a, 1)"]);
        }
        expected.retain(|line| *line != "read code(a)");
        scene.expect(&expected);
    }
}

#[test]
fn what_a_delegate_may_have_stored_is_not_known() {
    let body = "GAS 1 SSTORE GAS 1 AND @on JUMPI 0 0 0 0 $b GAS DELEGATECALL POP \
        on: 1 SLOAD SLOAD STOP";
    let scene = scene()
        .contract(A, &function(body))
        .contract(B, "0 1 SSTORE STOP")
        .call(A, &arguments(&[]));
    scene.expect(&[
        "may read code(b)",
        "read storage(a, 1)",
        "write storage(a, 1)",
        "widened contract(a)",
        "because key",
    ]);
}

#[test]
fn a_proxy_runs_the_implementation_in_its_slot_on_its_own_storage() {
    let proxy = "CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 99 SLOAD GAS DELEGATECALL \
        RETURNDATASIZE 0 0 RETURNDATACOPY @ok JUMPI RETURNDATASIZE 0 REVERT \
        ok: RETURNDATASIZE 0 RETURN";
    let scene = scene()
        .contract(
            A,
            "1 224 SHL 0 MSTORE 7 4 MSTORE 32 0 36 0 $b GAS STATICCALL POP 0 MLOAD SLOAD STOP",
        )
        .contract(B, proxy)
        .contract(C, &function("4 CALLDATALOAD DUP1 SLOAD POP 1 ADD 0 MSTORE 32 0 RETURN"))
        .slot(B, 99, C.into_word().into())
        .call(A, &[]);
    scene.expect(&[
        "read code(b)",
        "read code(c)",
        "read storage(b, 99)",
        "read storage(b, 7)",
        "read storage(a, 8)",
        "decided by storage(b, 99)",
    ]);
}

/// A minimal proxy (EIP-1167).
fn minimal_proxy(target: Address) -> Vec<u8> {
    let head = [0x36, 0x3d, 0x3d, 0x37, 0x3d, 0x3d, 0x3d, 0x36, 0x3d, 0x73];
    let tail =
        [0x5a, 0xf4, 0x3d, 0x82, 0x80, 0x3e, 0x90, 0x3d, 0x91, 0x60, 0x2b, 0x57, 0xfd, 0x5b, 0xf3];
    [&head, target.as_slice(), &tail].concat()
}

#[test]
fn minimal_proxies_of_different_targets_share_a_skeleton() {
    let targets = [Address::repeat_byte(0x71), Address::repeat_byte(0x72)];
    let scene = scene()
        .name(targets[0], "first")
        .name(targets[1], "second")
        .contract(targets[0], &function("4 CALLDATALOAD SLOAD STOP"))
        .contract(targets[1], &function("4 CALLDATALOAD 1 ADD SLOAD STOP"))
        .code(A, &minimal_proxy(targets[0]))
        .code(B, &minimal_proxy(targets[1]))
        .call(A, &arguments(&[7]))
        .call(B, &arguments(&[7]));
    let cache = Arc::new(SummaryCache::default());
    let predictor = StaticPredictor::new(Arc::clone(&cache), EvaluationLimits::default());
    let found = scene.predict_with(&predictor);
    assert_eq!((cache.len(), cache.skeletons().0), (4, 3));
    let found: Vec<String> =
        found.iter().map(|it| scene.lines(it).last().expect("a line").clone()).collect();
    assert_eq!(found, ["read storage(a, 0x7)", "read storage(b, 0x8)"]);
}

#[test]
fn contracts_that_share_a_skeleton_are_each_read_with_their_own_bytes() {
    // Both copy a constant out of data that looks like a push of an address.
    let head = "22 @data 1 ADD 0 CODECOPY 0 MLOAD 96 SHR SLOAD STOP data:";
    let code = |byte: u8| [&assemble(head)[..], &[0x73], &[byte; 20], &[0]].concat();
    let scene = scene().code(A, &code(0x11)).code(B, &code(0x22)).call(A, &[]).call(B, &[]);
    let found = scene.predict_with(&StaticPredictor::default());
    for (prediction, (name, byte)) in found.iter().zip([("a", 0x73_11_u16), ("b", 0x73_22)]) {
        let [push, byte] = byte.to_be_bytes();
        let mut word = [byte; 20];
        word[0] = push;
        let key = U256::from_be_slice(&word);
        assert_eq!(
            scene.lines(prediction).last(),
            Some(&format!("read storage({name}, {key:#x})"))
        );
    }
}

#[test]
fn an_account_that_delegates_runs_that_code_on_its_own_storage() {
    let delegated = Bytecode::new_eip7702(B);
    let scene = scene()
        .contract(A, "0 0 0 0 0 $c GAS CALL STOP")
        .contract(B, "7 SLOAD STOP")
        .code(C, delegated.original_byte_slice());
    let expected = ["read code(b)", "read storage(c, 7)"];
    scene.call(A, &[]).expect(&[&["read code(c)"], &expected[..]].concat());
    // In the transaction that says so itself.
    let inner = Authorization { chain_id: U256::ZERO, address: B, nonce: 0 };
    let authority = RecoveredAuthority::Valid(C);
    let authorization = RecoveredAuthorization::new_unchecked(inner, authority);
    let tx = TxEnv {
        tx_type: 4,
        kind: TxKind::Call(C),
        authorization_list: vec![Either::Right(authorization)],
        ..TxEnv::default()
    };
    scene_of(tx).contract(B, "7 SLOAD STOP").expect(
        &[&["read balance(c)", "read nonce(c)", "write nonce(c)", "write code(c)"], &expected[..]]
            .concat(),
    );
}

fn scene_of(tx: TxEnv) -> Scene {
    scene().tx(tx)
}

#[test]
fn value_goes_from_payer_to_payee() {
    let pays = "0 0 0 0 4 CALLDATALOAD $b GAS CALL STOP";
    let moved = ["read balance(a)", "write balance(a)", "delta balance(b)"];
    check(pays, "STOP", &[0], &[]);
    let paid = scene().contract(A, &function(pays)).contract(B, "1 SLOAD STOP");
    paid.call(A, &arguments(&[5]))
        .expect(&[&["read code(b)", "read storage(b, 1)"], &moved[..]].concat());
    // Whether the payee is empty decides the price (EIP-161).
    let empty = scene().contract(A, &function(pays));
    empty
        .call(A, &arguments(&[5]))
        .expect(&[&["read code(b)", "read balance(b)"], &moved[..]].concat());
    // What was paid is in the balance.
    let tx = TxEnv { kind: TxKind::Call(A), value: U256::from(7), ..TxEnv::default() };
    let scene = scene().contract(A, "SELFBALANCE SLOAD STOP").tx(tx);
    scene.expect(&[
        "read balance(a)",
        "delta balance(a)",
        "read storage(a, 1007)",
        "decided by balance(a)",
    ]);
}

#[test]
fn a_payment_on_one_of_two_ways_leaves_the_balance_unknown() {
    let body = "GAS 1 AND @on JUMPI 0 0 0 0 5 $b GAS CALL POP on: SELFBALANCE SLOAD STOP";
    let scene = scene().contract(A, &function(body)).contract(B, "STOP");
    scene.call(A, &arguments(&[])).expect(&[
        "read balance(a)",
        "may write balance(a)",
        "may delta balance(b)",
        "may read code(b)",
        "widened contract(a)",
        "because key",
    ]);
}

#[test]
fn created_contracts_are_named_and_their_code_is_followed() {
    let init = deployer(&assemble("5 SLOAD STOP"));
    let created = |address: Address, scene: Scene| scene.name(address, "created");
    let expected = [
        "read nonce(a)",
        "write nonce(a)",
        "read nonce(created)",
        "write nonce(created)",
        "read code(created)",
        "write code(created)",
        "read storage(created, 5)",
    ];
    let cases = [
        (
            "CALLDATASIZE 0 0 CALLDATACOPY 0 0 0 0 0 9 CALLDATASIZE 0 0 CREATE2 GAS CALL STOP",
            A.create2_from_code(B256::with_last_byte(9), &init),
        ),
        (
            "CALLDATASIZE 0 0 CALLDATACOPY 0 0 0 0 0 CALLDATASIZE 0 0 CREATE GAS CALL STOP",
            A.create(1),
        ),
    ];
    for (code, address) in cases {
        created(address, scene()).contract(A, code).call(A, &init).expect(&expected);
    }
}

#[test]
fn each_creator_counts_its_own_creations() {
    // A creates twice, and B, which it calls, once.
    let scene = scene()
        .contract(A, "0 0 0 CREATE 0 0 0 CREATE 0 0 0 0 0 $b GAS CALL STOP")
        .contract(B, "0 0 0 CREATE STOP")
        .call(A, &[]);
    let names = [("first", A.create(1)), ("second", A.create(2)), ("third", B.create(1))];
    let scene = names.iter().fold(scene, |scene, (name, address)| scene.name(*address, name));
    let created = ["first", "second", "third"].iter().flat_map(|name| {
        ["read nonce", "write nonce", "read code", "write code"]
            .map(|access| format!("{access}({name})"))
    });
    let creators =
        ["read nonce(a)", "write nonce(a)", "read nonce(b)", "write nonce(b)", "read code(b)"];
    let expected: Vec<String> = created.chain(creators.map(str::to_owned)).collect();
    scene.expect(&expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_contract_whose_code_is_not_known_may_touch_everything_when_it_is_called() {
    // The init code returns what the clock of the gas says.
    let init = assemble("GAS 0 MSTORE 32 0 RETURN");
    let created = A.create(1);
    let scene = scene()
        .name(created, "created")
        .contract(
            A,
            "CALLDATASIZE 0 0 CALLDATACOPY 0 0 0 0 0 CALLDATASIZE 0 0 CREATE GAS CALL STOP",
        )
        .call(A, &init);
    let lines = scene.evaluated();
    for line in ["widened everything", "because creation"] {
        assert!(lines.contains(&line.to_owned()), "{lines:?}");
    }
}

#[test]
fn an_end_sends_the_balance_on() {
    let ends = "$c SELFDESTRUCT";
    let moved = ["read balance(a)", "write balance(a)", "delta balance(c)"];
    let scene_with_c = |scene: Scene| scene.contract(C, "STOP");
    scene_with_c(scene().contract(A, ends))
        .call(A, &[])
        .expect(&[&["decided by balance(a)"], &moved[..]].concat());
    // Nothing goes from an empty account.
    let mut poor = scene().contract(A, ends);
    let code = Bytecode::new_raw(assemble(&format!("{C} SELFDESTRUCT")).into());
    poor.state.insert_account(A, AccountInfo::from_bytecode(code).with_nonce(1));
    poor.call(A, &[]).expect(&["read balance(a)", "decided by balance(a)"]);
    // The beneficiary comes from a slot.
    let scene = scene_with_c(scene().contract(A, "3 SLOAD SELFDESTRUCT"))
        .slot(A, 3, C.into_word().into())
        .call(A, &[]);
    scene.expect(
        &[&["read storage(a, 3)", "decided by storage(a, 3)", "decided by balance(a)"], &moved[..]]
            .concat(),
    );
}

#[test]
fn accounts_that_are_asked_are_read() {
    let cases: &[(&str, &[&str])] = &[
        (
            "$b BALANCE SLOAD STOP",
            &["read balance(b)", "read storage(a, 1000)", "decided by balance(b)"],
        ),
        (
            "$b EXTCODESIZE SLOAD STOP",
            &["read code(b)", "read storage(a, 1)", "decided by code(b)"],
        ),
        ("$b EXTCODESIZE @ok JUMPI 0 0 REVERT ok: STOP", &["read code(b)"]),
        ("$b EXTCODEHASH POP STOP", &["read code(b)"]),
        (
            "$c EXTCODEHASH SLOAD STOP",
            &["read balance(c)", "read code(c)", "read storage(a, 0)", "decided by code(c)"],
        ),
        ("4 0 0 $b EXTCODECOPY STOP", &["read code(b)"]),
    ];
    for (code, expected) in cases {
        scene().contract(A, code).contract(B, "STOP").call(A, &[]).expect(expected);
    }
}

#[test]
fn precompiles_are_no_accounts_and_what_they_compute_is_known_up_to_a_limit() {
    let copies = "CALLVALUE 7 ADD 0 MSTORE 32 32 32 0 4 GAS STATICCALL POP 32 MLOAD SLOAD STOP";
    scene().contract(A, copies).call(A, &[]).expect(&["read storage(a, 7)"]);
    let hashes = "32 0 32 0 2 GAS STATICCALL POP 0 MLOAD SLOAD STOP";
    let hash =
        "read storage(a, 0x66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925)";
    scene().contract(A, hashes).call(A, &[]).expect(&[hash]);
    // An answer of no bytes leaves memory as it is, which the summary does not say.
    let unknown = ["widened contract(a)", "because key"];
    let long = "4 CALLDATALOAD 5 DUP2 64 ADD MSTORE 96 DUP2 0 0 5 GAS STATICCALL POP \
        64 ADD MLOAD SLOAD STOP";
    scene().contract(A, &function(long)).call(A, &arguments(&[128])).expect(&unknown);
    // A megabyte is not hashed.
    let dear = "32 0 0x100000 0 2 GAS STATICCALL POP 0 MLOAD SLOAD STOP";
    scene().contract(A, dear).call(A, &[]).expect(&unknown);
}

#[test]
fn a_static_call_that_would_write_fails() {
    let caller = "0 0 0 0 $b GAS STATICCALL SLOAD STOP";
    for callee in [
        "1 SLOAD POP 7 1 SSTORE STOP",
        "1 SLOAD POP 7 1 TSTORE STOP",
        "1 SLOAD POP 0 0 0 CREATE STOP",
        "1 SLOAD POP $c SELFDESTRUCT",
        "1 SLOAD POP 0 0 0 0 1 $c GAS CALL STOP",
    ] {
        let scene = scene().contract(A, caller).contract(B, callee).call(A, &[]);
        let lines = scene.evaluated();
        assert!(lines.contains(&"read storage(a, 0x0)".to_owned()), "{callee}: {lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with("write")), "{callee}: {lines:?}");
    }
}

#[test]
fn the_sender_is_origin_and_caller() {
    let scene = scene().contract(A, "ORIGIN CALLER EQ SLOAD STOP").call(A, &[]);
    scene.expect(&["read storage(a, 1)"]);
}
