//! The predictor `static` within one contract: keys, branches, loops, memory.
//!
//! Expected lines name keys by their layout: `2[sender][7]+1` is the entry of a nested
//! mapping, `5[]+3` an element of an array ([`key`]).

use revm::{
    context::TxEnv,
    primitives::{TxKind, U256, keccak256},
};

use crate::{
    assembler::assemble,
    scene::{A, B, SENDER, Scene, scene, words},
};

/// Code with a function of selector 1, which a dispatcher jumps to, and no other.
pub fn function(body: &str) -> String {
    format!("0 CALLDATALOAD 224 SHR DUP1 1 EQ @body JUMPI 0 0 REVERT body: POP {body}")
}

/// Call data for the function of selector 1.
pub fn arguments(arguments: &[u64]) -> Vec<u8> {
    [&[0, 0, 0, 1], &words(arguments)[..]].concat()
}

/// A storage key by its layout: a slot, then for each level a key in brackets, and a
/// number that is added.
pub fn key(text: &str) -> U256 {
    let (text, added) = text.split_once('+').unwrap_or((text, "0"));
    let mut parts = text.split('[');
    let slot: U256 = parts.next().unwrap_or_default().parse().expect("a slot");
    let entry = parts.fold(slot, |slot, part| {
        let slot = slot.to_be_bytes::<32>();
        let hashed = match part.trim_end_matches(']') {
            "" => slot.to_vec(),
            "sender" => [SENDER.into_word().0, slot].concat(),
            "a" => [A.into_word().0, slot].concat(),
            "b" => [B.into_word().0, slot].concat(),
            number => [number.parse::<U256>().expect("a key").to_be_bytes::<32>(), slot].concat(),
        };
        keccak256(hashed).into()
    });
    entry.wrapping_add(added.parse().expect("a number"))
}

/// A line in which a key by layout is in place of its number.
fn resolved(line: &str) -> String {
    match line.split_once(", ") {
        Some((head, text)) => {
            format!("{head}, {:#x})", key(text.strip_suffix(')').expect("a key")))
        }
        None => line.to_owned(),
    }
}

impl Scene {
    /// Checks what the predictor `static` says of the last transaction, in any order.
    #[track_caller]
    pub fn expect(&self, expected: &[&str]) {
        let sorted = |mut lines: Vec<String>| {
            lines.sort_unstable();
            lines
        };
        let expected = expected.iter().map(|line| resolved(line)).collect();
        assert_eq!(sorted(self.evaluated()), sorted(expected));
    }
}

/// Checks a function's body, called with these arguments, on slots 1 to 9 that hold
/// 101 to 109.
#[track_caller]
fn check(body: &str, given: &[u64], expected: &[&str]) {
    let scene = scene().contract(A, &function(body)).call(A, &arguments(given));
    (1..10).fold(scene, |scene, slot| scene.slot(A, slot, U256::from(100 + slot))).expect(expected);
}

/// Hashes the word on the stack with a slot: an entry of a mapping.
fn entry(slot: u64) -> String {
    format!("0 MSTORE {slot} 32 MSTORE 64 0 KECCAK256")
}

#[test]
fn keys_come_from_inputs_and_slots() {
    let cases: &[(&str, &[u64], &[&str])] = &[
        ("7 SLOAD STOP", &[], &["read storage(a, 7)"]),
        ("4 CALLDATALOAD SLOAD STOP", &[9], &["read storage(a, 9)"]),
        ("36 CALLDATALOAD 3 ADD SLOAD STOP", &[0, 9], &["read storage(a, 12)"]),
        // Behind the end of call data there are zeros.
        ("68 CALLDATALOAD SLOAD STOP", &[9, 9], &["read storage(a, 0)"]),
        ("CALLDATASIZE SLOAD STOP", &[9, 9], &["read storage(a, 68)"]),
        ("4 CALLDATALOAD 255 AND 8 SHL SLOAD STOP", &[0x1234], &["read storage(a, 13312)"]),
        ("NUMBER SLOAD STOP", &[], &["read storage(a, 1000)"]),
        ("CHAINID CALLVALUE ADD SLOAD STOP", &[], &["read storage(a, 1)"]),
        ("GASPRICE SLOAD STOP", &[], &["read storage(a, 7)"]),
        ("5 4 CALLDATALOAD SSTORE STOP", &[9], &["read storage(a, 9)", "write storage(a, 9)"]),
        (
            "3 SLOAD SLOAD STOP",
            &[],
            &["read storage(a, 3)", "read storage(a, 103)", "decided by storage(a, 3)"],
        ),
        // What is only handed on decides nothing.
        ("3 SLOAD 0 MSTORE 32 0 RETURN", &[], &["read storage(a, 3)"]),
    ];
    for (body, given, expected) in cases {
        check(body, given, expected);
    }
}

#[test]
fn keys_lie_in_mappings_and_arrays() {
    let nested = |first: &str, second: &str| {
        format!("{first} {} {second} 0 MSTORE 32 MSTORE 64 0 KECCAK256 SLOAD STOP", entry(2))
    };
    check(&format!("CALLER {} SLOAD STOP", entry(2)), &[], &["read storage(a, 2[sender])"]);
    check(&format!("ORIGIN {} SLOAD STOP", entry(2)), &[], &["read storage(a, 2[sender])"]);
    check(&format!("ADDRESS {} SLOAD STOP", entry(2)), &[], &["read storage(a, 2[a])"]);
    check(&nested("CALLER", "4 CALLDATALOAD"), &[7], &["read storage(a, 2[sender][7])"]);
    check(
        &nested("4 SLOAD", "36 CALLDATALOAD"),
        &[0, 7],
        &["read storage(a, 4)", "read storage(a, 2[104][7])", "decided by storage(a, 4)"],
    );
    check(
        "5 0 MSTORE 32 0 KECCAK256 4 CALLDATALOAD ADD SLOAD STOP",
        &[3],
        &["read storage(a, 5[]+3)"],
    );
    check(
        &format!("4 CALLDATALOAD {} 2 ADD DUP1 SLOAD 1 ADD SWAP1 SSTORE STOP", entry(2)),
        &[7],
        &["read storage(a, 2[7]+2)", "write storage(a, 2[7]+2)"],
    );
}

#[test]
fn a_branch_that_the_inputs_decide_is_followed_one_way() {
    let body = "4 CALLDATALOAD @one JUMPI 2 SLOAD STOP one: 3 SLOAD STOP";
    check(body, &[0], &["read storage(a, 2)"]);
    check(body, &[1], &["read storage(a, 3)"]);
    let body = "CALLER $sender EQ @one JUMPI 2 SLOAD STOP one: 3 SLOAD STOP";
    check(body, &[], &["read storage(a, 3)"]);
    let by_slot = "1 SLOAD 101 EQ @one JUMPI 2 SLOAD STOP one: 3 SLOAD STOP";
    check(by_slot, &[], &["read storage(a, 1)", "read storage(a, 3)", "decided by storage(a, 1)"]);
}

#[test]
fn a_check_that_only_reverts_decides_nothing() {
    let body = "1 SLOAD @good JUMPI 2 SLOAD 0 0 REVERT good: 3 SLOAD STOP";
    check(body, &[], &["read storage(a, 1)", "read storage(a, 3)"]);
    let asserted = "GAS 1 AND @good JUMPI INVALID good: 3 SLOAD STOP";
    check(asserted, &[], &["read storage(a, 3)"]);
}

#[test]
fn of_a_branch_on_what_is_not_known_both_ways_may_be_taken() {
    // What follows where they meet is certain again.
    check(
        "GAS 1 AND @one JUMPI 2 SLOAD POP @on JUMP one: 3 SLOAD POP on: 4 SLOAD STOP",
        &[],
        &["may read storage(a, 2)", "may read storage(a, 3)", "read storage(a, 4)"],
    );
    // Not where one of them ends.
    check(
        "1 SLOAD POP GAS 1 AND @one JUMPI 2 SLOAD STOP one: 3 SLOAD POP 4 SLOAD STOP",
        &[],
        &[
            "read storage(a, 1)",
            "may read storage(a, 2)",
            "may read storage(a, 3)",
            "may read storage(a, 4)",
        ],
    );
    // A way that does nothing.
    check(
        "GAS 1 AND @on JUMPI 5 2 SSTORE on: 4 SLOAD STOP",
        &[],
        &["may read storage(a, 2)", "may write storage(a, 2)", "read storage(a, 4)"],
    );
    // Within each other.
    check(
        "GAS 1 AND @on JUMPI 2 SLOAD POP GAS 2 AND @on JUMPI 3 SLOAD POP on: 4 SLOAD STOP",
        &[],
        &["may read storage(a, 2)", "may read storage(a, 3)", "read storage(a, 4)"],
    );
    // What both ways do is certain only where they meet.
    check("GAS 1 AND @on JUMPI 4 SLOAD POP on: 4 SLOAD STOP", &[], &["read storage(a, 4)"]);
}

#[test]
fn what_two_ways_leave_differently_is_not_known() {
    // On the stack.
    check(
        "7 GAS 1 AND @on JUMPI POP 8 on: SLOAD STOP",
        &[],
        &["widened contract(a)", "because key"],
    );
    check("7 GAS 1 AND @on JUMPI POP 7 on: SLOAD STOP", &[], &["read storage(a, 7)"]);
    // In storage: to load what one way has stored is no read of its own.
    check(
        "GAS 1 AND @on JUMPI 9 1 SSTORE on: 1 SLOAD SLOAD STOP",
        &[],
        &[
            "may read storage(a, 1)",
            "may write storage(a, 1)",
            "widened contract(a)",
            "because key",
        ],
    );
    // In transient storage.
    check(
        "GAS 1 AND @on JUMPI 9 1 TSTORE on: 1 TLOAD SLOAD STOP",
        &[],
        &["widened contract(a)", "because key"],
    );
    // In memory that is not followed ahead: each way sees what was there before.
    check(
        "32 4 128 CALLDATACOPY 36 CALLDATALOAD 128 ADD GAS 1 AND @one JUMPI \
         9 DUP2 MSTORE @on JUMP one: DUP1 MLOAD SLOAD POP on: MLOAD SLOAD STOP",
        &[7, 0],
        &["may read storage(a, 7)", "widened contract(a)", "because key"],
    );
}

#[test]
fn a_flag_that_is_tested_twice_goes_the_same_way_twice() {
    let body = |flag: &str| {
        format!(
            "{flag} DUP1 @one JUMPI 2 SLOAD POP @on JUMP one: 3 SLOAD POP on: \
             @two JUMPI 4 SLOAD STOP two: 5 SLOAD STOP"
        )
    };
    let given = body("4 CALLDATALOAD ISZERO ISZERO");
    check(&given, &[1], &["read storage(a, 3)", "read storage(a, 5)"]);
    check(&given, &[0], &["read storage(a, 2)", "read storage(a, 4)"]);
    let may = |slot: u64| format!("may read storage(a, {slot})");
    let all = [2, 3, 4, 5].map(may);
    check(&body("GAS 1 AND ISZERO"), &[], &all.each_ref().map(String::as_str));
}

#[test]
fn loops_over_call_data_are_unrolled() {
    // for (i = 0; i < n; i++) mapping(2)[list[i]], with n the first word behind the offset.
    let body = format!(
        "4 CALLDATALOAD 4 ADD 0 loop: DUP2 CALLDATALOAD DUP2 LT @more JUMPI STOP more: \
         DUP1 32 MUL DUP3 ADD 32 ADD CALLDATALOAD {} SLOAD POP 1 ADD @loop JUMP",
        entry(2)
    );
    check(&body, &[32, 0], &[]);
    check(&body, &[32, 1, 7], &["read storage(a, 2[7])"]);
    let many: Vec<u64> = [32, 40].into_iter().chain(1000..1040).collect();
    let all: Vec<String> = (1000..1040).map(|it| format!("read storage(a, 2[{it}])")).collect();
    check(&body, &many, &all.iter().map(String::as_str).collect::<Vec<_>>());
    // One in another: for (i = arg0; i > 0; i--) for (j = i; j > 0; j--) slot 16 * i + j.
    check(
        "4 CALLDATALOAD outer: DUP1 @some JUMPI STOP some: \
         DUP1 inner: DUP1 @more JUMPI POP 1 SWAP1 SUB @outer JUMP more: \
         DUP2 16 MUL DUP2 ADD SLOAD POP 1 SWAP1 SUB @inner JUMP",
        &[2],
        &["read storage(a, 17)", "read storage(a, 33)", "read storage(a, 34)"],
    );
}

#[test]
fn a_loop_whose_end_a_slot_decides_is_decided_by_it() {
    let body = "0 loop: DUP1 1 SLOAD GT @more JUMPI STOP more: \
        DUP1 200 ADD SLOAD POP 1 ADD @loop JUMP";
    let scene = scene().contract(A, &function(body)).slot(A, 1, U256::from(2));
    scene.call(A, &arguments(&[])).expect(&[
        "read storage(a, 1)",
        "read storage(a, 200)",
        "read storage(a, 201)",
        "decided by storage(a, 1)",
    ]);
}

#[test]
fn a_loop_whose_end_is_not_known_widens_what_differs_from_round_to_round() {
    let loops = |step: &str| {
        format!("0 loop: GAS 1 AND @more JUMPI 9 SLOAD STOP more: {step} 1 ADD @loop JUMP")
    };
    let step = format!("DUP1 {} SLOAD POP", entry(2));
    let scene = scene().contract(A, &function(&loops(&step))).call(A, &arguments(&[]));
    let lines = scene.evaluated();
    for line in ["widened mapping(a, 0x2)", "because key"] {
        assert!(lines.contains(&line.to_owned()), "{lines:?}");
    }
    check(&loops("3 SLOAD POP"), &[], &["may read storage(a, 3)", "may read storage(a, 9)"]);
}

#[test]
fn memory_that_cannot_be_followed_ahead_is_followed_with_the_inputs() {
    // An array, copied word by word; then the element that an argument names.
    let copied = "4 CALLDATALOAD 4 ADD 0 loop: DUP2 CALLDATALOAD DUP2 LT @more JUMPI @done JUMP \
        more: DUP1 32 MUL DUP3 ADD 32 ADD CALLDATALOAD DUP2 32 MUL 128 ADD MSTORE \
        1 ADD @loop JUMP done:";
    let given = [64, 1, 3, 21, 22, 23];
    check(
        &format!("{copied} 36 CALLDATALOAD 32 MUL 128 ADD MLOAD SLOAD STOP"),
        &given,
        &["read storage(a, 22)"],
    );
    // Its hash.
    let hash = keccak256(words(&[21, 22, 23]));
    let hashed = format!("{copied} DUP1 32 MUL 128 KECCAK256 SLOAD STOP");
    check(&hashed, &given, &[&format!("read storage(a, {})", U256::from_be_bytes(hash.0))]);
    // A mapping by the first bytes of call data, as many as an argument says.
    let named = keccak256([&[1, 2, 3][..], &U256::from(4).to_be_bytes::<32>()].concat());
    let body = "4 CALLDATALOAD 36 128 CALLDATACOPY 4 4 CALLDATALOAD 128 ADD MSTORE \
        4 CALLDATALOAD 32 ADD 128 KECCAK256 SLOAD STOP";
    let data = [&arguments(&[3])[..], &[1, 2, 3]].concat();
    let line = format!("read storage(a, {})", U256::from_be_bytes(named.0));
    scene().contract(A, &function(body)).call(A, &data).expect(&[&line]);
    // Copied again, and written byte by byte.
    check(
        "7 36 CALLDATALOAD 31 ADD MSTORE8 32 36 CALLDATALOAD 512 MCOPY 512 MLOAD SLOAD STOP",
        &[0, 96],
        &["read storage(a, 7)"],
    );
    // What code holds.
    let body = function("32 4 CALLDATALOAD 512 CODECOPY 512 MLOAD SLOAD STOP");
    let mut code = assemble(&body);
    let at = code.len() as u64;
    code.extend(words(&[77]));
    scene().code(A, &code).call(A, &arguments(&[at])).expect(&["read storage(a, 77)"]);
}

#[test]
fn a_slot_that_was_stored_is_known_when_it_is_loaded() {
    let both =
        |slot: u64| [format!("read storage(a, {slot})"), format!("write storage(a, {slot})")];
    let [read, write] = both(1);
    let body = "4 CALLDATALOAD 1 SSTORE 1 SLOAD SLOAD STOP";
    check(body, &[55], &[&read, &write, "read storage(a, 55)"]);
    // At a key that the inputs make the same.
    let body = "36 CALLDATALOAD 4 CALLDATALOAD SSTORE 1 SLOAD SLOAD STOP";
    check(body, &[1, 55], &[&read, &write, "read storage(a, 55)"]);
    // What it held before decides, where that was added to.
    let body = "1 SLOAD 1 ADD 1 SSTORE 1 SLOAD SLOAD STOP";
    check(body, &[], &[&read, &write, "read storage(a, 102)", "decided by storage(a, 1)"]);
    let body = "4 CALLDATALOAD 1 TSTORE 1 TLOAD SLOAD 2 TLOAD SLOAD STOP";
    check(body, &[55], &["read storage(a, 55)", "read storage(a, 0)"]);
}

#[test]
fn what_slots_hold_afterwards_is_said_where_it_is_known() {
    let body = "4 CALLDATALOAD 1 SSTORE GAS 2 SSTORE 3 SLOAD 1 ADD 3 SSTORE STOP";
    let scene = scene().contract(A, &function(body)).slot(A, 3, U256::from(8));
    let scene = scene.call(A, &arguments(&[5]));
    let found = scene.predict_with(&forewave_analyzer::StaticPredictor::default());
    let values = found[0].values().iter();
    let values: Vec<String> = values.map(|(at, value)| format!("{at} {value}")).collect();
    let expected = [(1, 5), (3, 9)].map(|(slot, value)| format!("storage({A}, {slot:#x}) {value}"));
    assert_eq!(values, expected);
}

#[test]
fn call_data_without_a_function_takes_the_entry_that_is_left() {
    let code = "CALLDATASIZE @some JUMPI 9 SLOAD STOP some: 0 CALLDATALOAD 224 SHR \
        1 EQ @one JUMPI 8 SLOAD STOP one: 7 SLOAD STOP";
    let cases: [(&[u8], &str); 4] = [
        (&[], "read storage(a, 9)"),
        (&[0, 0], "read storage(a, 8)"),
        (&[0, 0, 0, 2], "read storage(a, 8)"),
        (&[0, 0, 0, 1], "read storage(a, 7)"),
    ];
    for (data, expected) in cases {
        scene().contract(A, code).call(A, data).expect(&[expected]);
    }
    // No entry: the call fails.
    scene().contract(A, &function("1 SLOAD STOP")).call(A, &[0, 0, 0, 2]).expect(&[]);
}

#[test]
fn init_code_is_followed_as_far_as_it_stores() {
    let init = assemble("CALLER 3 SSTORE 0 0 RETURN");
    let created = SENDER.create(0);
    let tx = TxEnv { kind: TxKind::Create, data: init.into(), ..TxEnv::default() };
    scene().name(created, "created").tx(tx).expect(&[
        "read nonce(created)",
        "write nonce(created)",
        "read code(created)",
        "write code(created)",
        "read storage(created, 3)",
        "write storage(created, 3)",
    ]);
}
