//! Templates against the interpreter: the same prediction whenever guards hold.
//!
//! Gas is left out, and costs nothing here: a template's is that of the recorded
//! run, so the fee, and with it balances that code may look at, differ by design.
//! What that costs on real blocks is measured, not tested (`docs/analysis.md`).

use std::sync::Arc;

use forewave_analyzer::{InterpretingPredictor, Limits, Location, PredictedAccess, TemplateCache};
use proptest::prelude::*;
use revm::{
    context::TxEnv,
    primitives::{TxKind, U256, hardfork::SpecId},
};

use crate::{
    assembler::assemble,
    scene::{A, B, C, Scene, scene, words},
};

/// Interprets every transaction.
fn interpreting() -> InterpretingPredictor {
    InterpretingPredictor::default()
}

/// The parts of a prediction that do not depend on gas, which templates estimate.
fn accesses(predictions: &[PredictedAccess]) -> Vec<PredictedAccess> {
    let without_gas = |prediction: &PredictedAccess| {
        PredictedAccess::exact(prediction.set().clone(), 0)
            .with_widened(prediction.widened().iter().copied())
            .with_origins(prediction.origins().iter().copied())
    };
    predictions.iter().map(without_gas).collect()
}

/// Predicts with templates from nothing, and again with those of before; each
/// must equal what the interpreter says. A template estimates the gas, and the
/// fee shows in the sender's balance, which code can look at: so there is none.
fn check(scene: Scene) {
    let scene = scene.without_fees();
    let expected = accesses(&scene.predict_with(&interpreting()));
    let templates = InterpretingPredictor::learning();
    for round in 0..3 {
        let found = accesses(&scene.predict_with(&templates));
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "round {round}, transaction {at}");
        }
    }
}

/// Calls to `a` with these words, each three times and in turn.
fn calls(scene: Scene, inputs: &[&[u64]]) -> Scene {
    (0..3).fold(scene, |scene, _| {
        inputs.iter().fold(scene, |scene, input| scene.call(A, &words(input)))
    })
}

#[test]
fn a_template_follows_keys_branches_calls_and_reverts() {
    let token = "4 CALLDATALOAD 0 MSTORE 1 32 MSTORE 64 0 KECCAK256 DUP1 SLOAD 36 CALLDATALOAD \
                 ADD SWAP1 SSTORE STOP";
    let programs = [
        token,
        // Another slot for another caller; a nested mapping.
        "CALLER 0 MSTORE 2 32 MSTORE 64 0 KECCAK256 32 MSTORE 0 CALLDATALOAD 0 MSTORE 64 0 \
         KECCAK256 SLOAD SLOAD POP STOP",
        // A branch on the input, and one on state that the block changes.
        "0 CALLDATALOAD 5 LT @big JUMPI 1 SLOAD 1 ADD 1 SSTORE STOP big: 2 SLOAD @no JUMPI 1 2 \
         SSTORE STOP no: 3 SLOAD POP STOP",
        // A loop over the input.
        "0 CALLDATALOAD 7 AND loop: DUP1 ISZERO @end JUMPI DUP1 SLOAD POP 1 SWAP1 SUB @loop JUMP \
         end: STOP",
        // Unaligned memory and single bytes.
        "0 CALLDATALOAD 5 MSTORE 32 CALLDATALOAD 30 MSTORE8 3 MLOAD SLOAD 12 MLOAD SLOAD 64 0 36 \
         CALLDATACOPY 17 MLOAD SSTORE STOP",
        // Transient storage, balances, code.
        "0 CALLDATALOAD 32 CALLDATALOAD TSTORE 7 TLOAD SLOAD 0 CALLDATALOAD BALANCE SLOAD $b \
         EXTCODESIZE SLOAD $b EXTCODEHASH SLOAD SELFBALANCE SLOAD STOP",
    ];
    for program in programs {
        let inputs: [&[u64]; 5] = [&[1, 7], &[2, 9], &[7, 1], &[3, 3], &[]];
        check(calls(scene().contract(A, program).contract(B, "STOP"), &inputs));
    }
}

#[test]
fn a_template_goes_through_a_proxy_and_sees_its_target_change() {
    let proxy = "CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 99 SLOAD GAS DELEGATECALL \
                 RETURNDATASIZE 0 0 RETURNDATACOPY @ok JUMPI 0 0 REVERT ok: 0 CALLDATALOAD 6 EQ \
                 @set JUMPI STOP set: 32 CALLDATALOAD 99 SSTORE STOP";
    let scene = scene()
        .contract(A, proxy)
        .contract(B, "0 CALLDATALOAD SLOAD POP 1 0 CALLDATALOAD SSTORE STOP")
        .contract(C, "CALLER SLOAD POP 0 0 REVERT")
        .slot(A, 99, U256::from_be_bytes(B.into_word().0));
    let mut to_c = words(&[6]);
    to_c.extend(C.into_word());
    let scene = calls(scene, &[&[1, 0], &[2, 0]]).call(A, &to_c);
    check(calls(scene, &[&[1, 0], &[2, 0]]));
}

#[test]
fn a_template_carries_value_and_undoes_what_reverts() {
    let program = "0 0 0 0 0 CALLDATALOAD $b GAS CALL POP 0 0 0 0 3 $c GAS CALL SLOAD STOP";
    let scene = scene()
        .contract(A, program)
        .contract(
            B,
            "CALLVALUE 1 SSTORE CALLVALUE 4 LT @ok JUMPI 1 @no JUMPI no: 0 0 REVERT ok: STOP",
        )
        .contract(C, "1 SLOAD 1 ADD 1 SSTORE STOP");
    check(calls(scene, &[&[0], &[3], &[900], &[5], &[2000]]));
}

#[test]
fn a_template_assumes_that_what_can_only_revert_does_not_happen() {
    let program = "0 CALLDATALOAD 5 LT @ok JUMPI 0 0 REVERT ok: 0 CALLDATALOAD SLOAD POP STOP";
    let scene = calls(scene().contract(A, program), &[&[6], &[7], &[1]]);
    let predictor = InterpretingPredictor::learning();
    scene.predict_with(&predictor);
    let found = scene.predict_with(&predictor);
    let reads = |at: usize| {
        let storage = |location: &&Location| matches!(location, Location::Storage(..));
        found[at].set().reads().iter().filter(storage).count()
    };
    assert_eq!([reads(6), reads(7), reads(8)], [1, 1, 1]);
}

#[test]
fn a_full_cache_forgets_and_goes_on() {
    let limits = Limits { cache_bytes_max: 20_000, ..Limits::default() };
    let cache = Arc::new(TemplateCache::new());
    let predictor = InterpretingPredictor::sharing(limits, Arc::clone(&cache));
    for number in 0..200 {
        let program = format!("{number} SLOAD 0 CALLDATALOAD SLOAD SSTORE STOP");
        let scene = calls(scene().contract(A, &program), &[&[number]]);
        let found = accesses(&scene.predict_with(&predictor));
        assert!(found == accesses(&scene.predict_with(&interpreting())));
        assert!(cache.bytes() <= 40_000, "{} bytes", cache.bytes());
    }
    assert!(!cache.is_empty());
}

#[test]
fn a_cache_is_shared_by_threads() {
    let scene = calls(scene().contract(A, "0 CALLDATALOAD SLOAD POP STOP"), &[&[1], &[2]]);
    let predictor = InterpretingPredictor::learning();
    let expected = scene.predict_with(&interpreting());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let found = scene.predict_with(&predictor);
                    assert!(accesses(&found) == accesses(&expected));
                }
            });
        }
    });
}

/// Instructions that leave the stack as it was or one higher, so that random
/// sequences of them mean something.
const PHRASES: [&str; 24] = [
    "0 CALLDATALOAD",
    "32 CALLDATALOAD",
    "7 CALLDATALOAD",
    "CALLER",
    "CALLVALUE",
    "CALLDATASIZE",
    "1 SLOAD",
    "255 AND",
    "1 ADD",
    "ISZERO",
    "DUP1 MUL",
    "DUP1 DUP1 SSTORE",
    "DUP1 SLOAD ADD",
    "DUP1 0 MSTORE 32 0 KECCAK256",
    "DUP1 45 MSTORE 40 MLOAD",
    "DUP1 63 MSTORE8 35 MLOAD XOR",
    "64 0 KECCAK256",
    "DUP1 31 AND MLOAD",
    "DUP1 @end JUMPI",
    "DUP1 BALANCE",
    "DUP1 DUP1 TSTORE 5 TLOAD",
    "32 64 40 3 0 $b GAS CALL 64 MLOAD",
    "70 3 5 CALLDATACOPY 20 MLOAD",
    "3 SHR",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_programs_are_predicted_alike_by_template_and_interpreter(
        phrases in prop::collection::vec(0..PHRASES.len(), 1..30),
        callee in prop::collection::vec(0..PHRASES.len(), 0..8),
        inputs in prop::collection::vec((0_u64..6, 0_u64..300), 2..5),
    ) {
        let text = |phrases: &[usize]| {
            phrases.iter().map(|at| PHRASES[*at]).collect::<Vec<_>>().join(" ")
        };
        let program = format!("0 {} end: STOP", text(&phrases));
        let callee = format!("0 {} 0 MSTORE end: 32 0 RETURN", text(&callee)).replace("$b", "$c");
        let scene = scene().contract(A, &program).contract(B, &callee).contract(C, "CALLER 1 SSTORE");
        let words: Vec<[u64; 2]> = inputs.iter().map(|&(a, b)| [a, b]).collect();
        let inputs: Vec<&[u64]> = words.iter().map(<[u64; 2]>::as_slice).collect();
        check(calls(scene, &inputs));
    }
}

#[test]
fn a_selector_that_is_copied_to_where_it_lies_across_words_keeps_its_bytes() {
    let program = "CALLDATASIZE 0 30 CALLDATACOPY 0 MLOAD SLOAD 32 MLOAD SLOAD 1 MLOAD SSTORE \
                   2 MLOAD 224 SHR SLOAD CALLDATASIZE 0 3 CALLDATACOPY 0 MLOAD SLOAD 3 MLOAD \
                   SLOAD STOP";
    let call = |scene: Scene, last: u8| {
        let input = [[0xA9, 5, 0x9C, 0xBB].as_slice(), &[7; 31], &[last]].concat();
        scene.call(A, &input)
    };
    check((0..9).fold(scene().contract(A, program), |scene, at| call(scene, at % 3)));
}

#[test]
fn a_template_creates_destroys_and_calls_what_was_created() {
    let programs = [
        // The init code is the call data; what is there is looked at, and called.
        "CALLDATASIZE 0 0 CALLDATACOPY CALLDATASIZE 0 0 CREATE DUP1 EXTCODESIZE SLOAD DUP1 \
         EXTCODEHASH SLOAD 0 0 0 0 0 SWAP5 GAS CALL SLOAD STOP",
        // With a salt that differs, and one that makes the second creation collide.
        "CALLDATASIZE 0 0 CALLDATACOPY 5 SLOAD DUP1 1 ADD 5 SSTORE CALLDATASIZE 0 0 CREATE2 \
         SLOAD STOP",
        "CALLDATASIZE 0 0 CALLDATACOPY 7 CALLDATASIZE 0 0 CREATE2 SLOAD STOP",
        // With a value that is there, or not.
        "CALLDATASIZE 0 0 CALLDATACOPY CALLDATASIZE 0 1 CREATE SLOAD STOP",
        // Destroyed in favour of somebody, and of itself.
        "CALLDATASIZE SLOAD POP 4 CALLDATALOAD SELFDESTRUCT",
        "ADDRESS SELFDESTRUCT",
    ];
    let codes: [&[u8]; 5] = [
        // One zero byte; the first word of the call data of nobody; a store first.
        &[0x60, 1, 0x60, 0, 0xF3],
        &[0x60, 1, 0x60, 0, 0xFD],
        &[0x60, 1, 0x60, 0, 0x55, 0x60, 1, 0x60, 0, 0xF3],
        &[0x60, 1, 0x60, 0, 0x52, 0x60, 32, 0x60, 0, 0xF3],
        &[0xFE],
    ];
    for program in programs {
        for spec in [SpecId::BYZANTIUM, SpecId::SHANGHAI, SpecId::CANCUN] {
            let block = (0..3).fold(Scene::new(spec).contract(A, program), |scene, _| {
                codes.iter().fold(scene, |scene, code| scene.call(A, code))
            });
            check(block);
        }
    }
}

#[test]
fn a_template_creates_the_contract_of_a_transaction() {
    // What it leaves depends on the caller, and on what a contract says; its call
    // data is empty. Then it
    // branches, fails, and runs out of gas.
    let programs = [
        "CALLER 0 MSTORE CALLDATASIZE SLOAD 0 CALLDATALOAD SLOAD SSTORE 32 0 RETURN",
        "1 SLOAD 1 ADD 1 SSTORE ADDRESS SLOAD POP 0 0 0 0 0 $b GAS CALL 0 MSTORE 1 31 RETURN",
        "CALLVALUE 5 LT @big JUMPI STOP big: 3 SLOAD POP STOP",
        "CALLER SLOAD POP 0 0 REVERT",
        "loop: @loop JUMP",
    ];
    for program in programs {
        let code =
            assemble(&program.replace("$b", &U256::from_be_bytes(B.into_word().0).to_string()));
        let create = |scene: Scene, value: u64| {
            let (kind, value) = (TxKind::Create, U256::from(value));
            scene.tx(TxEnv { kind, value, data: code.clone().into(), ..TxEnv::default() })
        };
        check((0..9).fold(scene().contract(B, "2 SLOAD STOP"), |scene, at| create(scene, at % 7)));
    }
}

#[test]
fn a_transaction_that_runs_out_of_gas_has_a_template_for_as_much_gas() {
    let program = "0 CALLDATALOAD SLOAD POP loop: 1 SLOAD POP @loop JUMP";
    let block = |gas_limits: &[u64]| {
        gas_limits.iter().fold(scene().contract(A, program), |scene, gas_limit| {
            let (kind, gas_limit) = (TxKind::Call(A), *gas_limit);
            scene.tx(TxEnv { kind, gas_limit, data: words(&[1]).into(), ..TxEnv::default() })
        })
    };
    check(block(&[50_000, 50_000, 60_000, 50_000, 70_000]));
}
