//! The predictor that may not read state: what it names and what it covers.

use forewave_analyzer::{Confidence, Scope, StaticCodePredictor};
use revm::primitives::U256;

use crate::scene::{A, B, C, Scene, scene};

fn check(scene: &Scene, expected: &[&str]) {
    let predictions = scene.predict_with(&StaticCodePredictor::default());
    let text = scene.text(predictions.last().expect("a transaction"));
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

fn word(address: revm::primitives::Address) -> U256 {
    address.into_word().into()
}

#[test]
fn the_slot_that_holds_an_implementation_is_read() {
    let cases = [
        ("0 0 0 0 7 SLOAD GAS DELEGATECALL STOP", word(B)),
        ("0 0 0 0 1 160 SHL 1 SWAP1 SUB 7 SLOAD AND GAS DELEGATECALL STOP", word(B)),
        ("0 0 0 0 7 SLOAD 8 SHR GAS DELEGATECALL STOP", word(B) << 8 | U256::ONE),
        ("7 SLOAD 0 MSTORE 0 0 0 0 0 MLOAD GAS DELEGATECALL STOP", word(B)),
    ];
    for (proxy, slot) in cases {
        let scene = scene().contract(A, proxy).contract(B, "9 5 SSTORE STOP").slot(A, 7, slot);
        check(
            &scene.call(A, &[]),
            &[
                "read code(b)",
                "read storage(a, 0x5)",
                "read storage(a, 0x7)",
                "write storage(a, 0x5)",
            ],
        );
    }
}

#[test]
fn what_state_decides_is_covered_by_the_narrowest_scope() {
    let cases: [(&str, &[&str]); 6] = [
        // A condition whose other side can only revert is assumed.
        (
            "1 SLOAD @good JUMPI 0 0 REVERT good: 2 SLOAD STOP",
            &["read storage(a, 0x1)", "read storage(a, 0x2)"],
        ),
        // An entry of a mapping.
        (
            "1 SLOAD 0 MSTORE 3 32 MSTORE 64 0 KECCAK256 SLOAD STOP",
            &["read storage(a, 0x1)", "widened mapping(a, 0x3)"],
        ),
        // A slot from anywhere in the contract.
        ("1 SLOAD SLOAD STOP", &["read storage(a, 0x1)", "widened contract(a)"]),
        // A path through code that cannot leave the contract.
        (
            "1 SLOAD @other JUMPI STOP other: 2 SLOAD STOP",
            &["read storage(a, 0x1)", "read storage(a, 0x2)", "widened contract(a)"],
        ),
        // A path through code that can.
        (
            "1 SLOAD @other JUMPI $c BALANCE STOP other: 2 SLOAD STOP",
            &["read storage(a, 0x1)", "read storage(a, 0x2)", "widened everything"],
        ),
        // An account that no slot names.
        ("1 SLOAD 1 ADD BALANCE STOP", &["read storage(a, 0x1)", "widened everything"]),
    ];
    for (code, expected) in cases {
        check(&scene().contract(A, code).slot(A, 1, U256::from(77)).call(A, &[]), expected);
    }
}

#[test]
fn what_a_guessed_path_returns_is_a_guess() {
    let callee = "1 SLOAD @other JUMPI 5 0 MSTORE 32 0 RETURN other: 6 0 MSTORE 32 0 RETURN";
    let caller = "32 0 0 0 $b GAS STATICCALL 0 MLOAD SLOAD STOP";
    check(
        &scene().contract(A, caller).contract(B, callee).call(A, &[]),
        &["read code(b)", "read storage(b, 0x1)", "widened contract(a)", "widened contract(b)"],
    );
}

#[test]
fn a_loop_that_only_state_ends_is_given_up() {
    let code = "0 loop: 1 ADD 1 SLOAD DUP2 LT @loop JUMPI STOP";
    let scene = scene().contract(A, code).contract(C, "STOP").call(A, &[]);
    let predictions = scene.predict_with(&StaticCodePredictor::default());
    assert_eq!(predictions[0].confidence(), Confidence::Widened(Scope::Everything));
}

#[test]
fn the_state_is_not_looked_at() {
    let code = "CALLER 0 MSTORE 64 0 KECCAK256 DUP1 SLOAD 1 ADD SWAP1 SSTORE SELFBALANCE \
                @end JUMPI end: 1 SLOAD @end2 JUMPI end2: $c BALANCE 2 SSTORE STOP";
    let poor = scene().contract(A, code).call(A, &[]);
    let rich = (0..9)
        .fold(scene().contract(A, code), |scene, key| scene.slot(A, key, U256::from(key + 1)));
    let rich = rich.contract(C, "STOP").call(A, &[]);
    let predictor = StaticCodePredictor::default();
    let [poor, rich] = [poor, rich].map(|scene| scene.predict_with(&predictor));
    assert_eq!(poor, rich);
}
