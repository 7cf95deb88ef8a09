//! What the predictor `static` cannot name is widened, with the cause; what costs too
//! much ends within the limits; and the same transaction always gives the same.

use std::{sync::Arc, time::Instant};

use forewave_analyzer::{
    EvaluationLimits, Scratch, StaticPredictor, SummaryCache, SummaryLimits, TxEvaluator, summarize,
};
use proptest::prelude::*;
use revm::{
    bytecode::Bytecode,
    context::TxEnv,
    primitives::{TxKind, U256, hardfork::SpecId},
};

use crate::{
    evaluation::{arguments, function},
    scene::{A, B, C, Scene, scene, words},
};

#[test]
fn what_is_not_known_widens_as_far_as_it_could_reach() {
    let mapping = "0 MSTORE 3 32 MSTORE 64 0 KECCAK256 SLOAD STOP";
    let cases: &[(&str, &[&str])] = &[
        (&format!("GAS {mapping}"), &["widened mapping(a, 0x3)", "because key"]),
        // The state does not have that hash.
        (&format!("999 BLOCKHASH {mapping}"), &["widened mapping(a, 0x3)", "because key"]),
        (
            "5 0 MSTORE 32 0 KECCAK256 GAS ADD SLOAD STOP",
            &["widened mapping(a, 0x5)", "because key"],
        ),
        ("GAS SLOAD STOP", &["widened contract(a)", "because key"]),
        ("1 GAS SSTORE STOP", &["widened contract(a)", "because key"]),
        ("0 0 0 0 0 GAS GAS CALL STOP", &["widened everything", "because target"]),
        ("0 0 0 0 GAS GAS DELEGATECALL STOP", &["widened everything", "because target"]),
        ("GAS BALANCE STOP", &["widened everything", "because target"]),
        ("GAS SELFDESTRUCT", &["widened everything", "because target"]),
        (
            "GAS 0 MSTORE 0 0 4 0 0 $b GAS CALL STOP",
            &["read code(b)", "widened everything", "because selector"],
        ),
        (
            "GAS 0 MSTORE 0 0 4 0 $b GAS DELEGATECALL STOP",
            &["read code(b)", "widened everything", "because selector"],
        ),
        (
            "0 0 GAS 0 0 $b GAS CALL STOP",
            &["read code(b)", "widened everything", "because selector"],
        ),
        (
            "GAS 0 0 0 CREATE2 STOP",
            &["read nonce(a)", "write nonce(a)", "widened everything", "because creation"],
        ),
    ];
    for (code, expected) in cases {
        let scene = scene().contract(A, code).contract(B, &function("STOP")).call(A, &[]);
        scene.expect(expected);
    }
    let scene = scene().contract(A, "0 CALLDATALOAD JUMP").call(A, &[7; 4]);
    scene.expect(&["widened everything", "because gaveup"]);
}

#[test]
fn what_is_known_of_a_transaction_that_is_widened_is_still_named() {
    let body = "1 SLOAD POP GAS SLOAD POP 0 0 0 0 0 $b GAS CALL POP 2 SLOAD STOP";
    let scene = scene().contract(A, &function(body)).contract(B, "3 SLOAD STOP");
    scene.call(A, &arguments(&[])).expect(&[
        "read code(b)",
        "read storage(a, 1)",
        "read storage(a, 2)",
        "read storage(b, 3)",
        "widened contract(a)",
        "because key",
    ]);
}

#[test]
fn code_without_a_summary_is_everything_and_named_as_missing_once() {
    let scene = scene()
        .contract(A, "0 0 0 0 0 $b GAS CALL 0 0 0 0 0 $b GAS CALL STOP")
        .contract(B, "1 SLOAD STOP")
        .call(A, &[]);
    let cache = SummaryCache::default();
    let evaluator = TxEvaluator::new(&cache, EvaluationLimits::default());
    let mut scratch = Scratch::default();
    let predict = |scratch: &mut Scratch| {
        let tx = &scene.block.transactions[0];
        let found = evaluator.predict_tx(scratch, &scene.block, &scene.state, tx);
        scene.lines(&found.expect("the state is whole"))
    };
    for name in [A, B] {
        let lines = predict(&mut scratch);
        assert_eq!(lines[lines.len() - 2..], ["widened everything", "because notsummarized"]);
        let missing = scratch.take_missing();
        assert_eq!(missing.len(), 1);
        let (hash, code) = &missing[0];
        let called = scene.state.accounts().find(|it| it.0 == name);
        assert_eq!(called.map(|(_, info, _)| info.code_hash), Some(*hash));
        cache.summarize(*hash, code);
    }
    assert_eq!(predict(&mut scratch), ["read code(b)", "read storage(b, 0x1)"]);
    assert!(scratch.take_missing().is_empty());
}

/// What evaluation says under limits that are the usual ones but for a change.
fn limited(scene: &Scene, change: impl FnOnce(&mut EvaluationLimits)) -> Vec<String> {
    let mut limits = EvaluationLimits::default();
    change(&mut limits);
    let predictor = StaticPredictor::new(Arc::default(), limits);
    scene.lines(&scene.predict_with(&predictor).pop().expect("a transaction"))
}

#[test]
fn every_limit_widens_and_says_so() {
    let check = |body: &str, change: fn(&mut EvaluationLimits), expected: &str| {
        let scene = scene().contract(A, &function(body)).contract(B, "STOP").contract(C, "STOP");
        let scene = scene.call(A, &arguments(&[1000]));
        let usual = scene.evaluated();
        assert!(!usual.iter().any(|line| line.starts_with("because")), "{body}: {usual:?}");
        let lines = limited(&scene, change);
        assert_eq!(lines[lines.len() - 2..], [expected, "because limit"], "{body}: {lines:?}");
    };
    let counted = "4 CALLDATALOAD loop: DUP1 @more JUMPI STOP more: DUP1 SLOAD POP \
        1 SWAP1 SUB @loop JUMP";
    check(counted, |limits| limits.operations_max = 100, "widened everything");
    check(counted, |limits| limits.accesses_max = 100, "widened everything");
    let calls = "0 0 0 0 0 $b GAS CALL POP 0 0 0 0 0 $c GAS CALL POP STOP";
    check(calls, |limits| limits.calls_max = 2, "widened everything");
    check(calls, |limits| limits.depth_max = 1, "widened everything");
    let forks = "GAS 1 AND @a JUMPI 1 SLOAD POP a: GAS 1 AND @b JUMPI 2 SLOAD POP b: STOP";
    check(forks, |limits| limits.forks_max = 1, "widened everything");
    check(forks, |limits| limits.may_operations_max = 1, "widened everything");
}

#[test]
fn what_never_ends_and_what_costs_dearly_ends_within_the_limits() {
    let programs = [
        // Recursion: once, twice, and on both ways of a branch.
        "0 0 0 0 0 ADDRESS GAS CALL POP 1 SLOAD STOP",
        "0 0 0 0 0 ADDRESS GAS CALL 0 0 0 0 0 ADDRESS GAS CALL STOP",
        "GAS 1 AND @b JUMPI 0 0 0 0 0 ADDRESS GAS CALL STOP b: 0 0 0 0 0 ADDRESS GAS CALL STOP",
        "0 0 0 0 0 $b GAS CALL STOP",
        // Loops that do not end, or not soon.
        "loop: @loop JUMP",
        "0 loop: 1 ADD DUP1 SLOAD POP DUP1 NUMBER 1 255 SHL OR GT @loop JUMPI STOP",
        "0 loop: 1 ADD DUP1 SLOAD POP 1 255 SHL NUMBER OR DUP2 LT @loop JUMPI STOP",
        "0 loop: 1 ADD DUP1 DUP1 TSTORE 1 255 SHL NUMBER OR DUP2 LT @loop JUMPI STOP",
        "0 loop: 1 ADD DUP1 BALANCE POP 1 255 SHL NUMBER OR DUP2 LT @loop JUMPI STOP",
        "0 loop: 0 0 0 CREATE POP 1 ADD 1 255 SHL NUMBER OR DUP2 LT @loop JUMPI STOP",
        "loop: GAS @loop JUMPI GAS @loop JUMPI 1 SLOAD STOP",
        // Large memory, again and again.
        "0 loop: 1 ADD 200000 0 NUMBER CALLDATACOPY 200000 NUMBER KECCAK256 SLOAD \
         POP 1 255 SHL NUMBER OR DUP2 LT @loop JUMPI STOP",
        "0 loop: 1 ADD 200000 0 NUMBER MCOPY 1 255 SHL NUMBER OR DUP2 LT @loop JUMPI \
         NUMBER MLOAD SLOAD STOP",
        "0 loop: 1 ADD 0 0 200000 NUMBER 0 $c GAS CALL POP 1 255 SHL NUMBER OR DUP2 LT @loop JUMPI \
         NUMBER MLOAD SLOAD STOP",
        "0 loop: 1 ADD 200000 NUMBER 200000 NUMBER 4 GAS STATICCALL POP \
         1 255 SHL NUMBER OR DUP2 LT @loop JUMPI NUMBER MLOAD SLOAD STOP",
        "0 loop: 1 ADD 200000 NUMBER 0 CREATE POP 1 255 SHL NUMBER OR DUP2 LT @loop JUMPI STOP",
    ];
    for program in programs {
        let scene = scene()
            .contract(A, program)
            .contract(B, "0 0 0 0 0 $a GAS CALL STOP")
            .contract(C, "CALLDATASIZE 0 0 CALLDATACOPY CALLDATASIZE 0 RETURN")
            .call(A, &[]);
        let start = Instant::now();
        let lines = scene.evaluated();
        let seconds = start.elapsed().as_secs();
        assert!(lines.len() < 1 << 16 && seconds < 60, "{program}: {seconds} s");
    }
}

/// Limits of summaries that small programs can reach.
const SMALL: SummaryLimits = SummaryLimits {
    steps_max: 1 << 14,
    entry_steps_max: 1 << 12,
    entries_max: 16,
    paths_max: 64,
    meetings_max: 1 << 9,
    memory_pieces_max: 256,
    exprs_max: 1 << 14,
    delegations_max: 4,
};

/// Bytes in which opcodes that matter are frequent.
fn code() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => any::<u8>(),
        3 => 0x5f_u8..=0x62,
        2 => 0x50_u8..=0x5e,
        2 => 0x35_u8..=0x3e,
        2 => 0x80_u8..=0x9f,
        1 => 0xf0_u8..=0xff,
    ];
    // Codes that begin with the delegation prefix (EIP-7702) are not legacy code.
    let sane = |code: Vec<u8>| if code.starts_with(&[0xef]) { vec![0] } else { code };
    prop::collection::vec(byte, 0..512).prop_map(sane)
}

/// Instructions put together at random, each with the operands that it needs.
fn program() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(vec![0x5a]),
        Just(vec![0x33]),
        Just(vec![0x43]),
        (0_u8..100).prop_map(|at| vec![0x60, at, 0x35]),
        (0_u8..4).prop_map(|slot| vec![0x60, slot, 0x54]),
        (0_u8..200).prop_map(|number| vec![0x60, number]),
        Just([&[0x73][..], B.as_slice()].concat()),
        Just([&[0x73][..], A.as_slice()].concat()),
        (0_u8..64).prop_map(|at| vec![0x60, at, 0x51]),
        (0_u8..64).prop_map(|at| vec![0x60, 64, 0x60, at, 0x20]),
        (0_u8..8).prop_map(|slot| vec![0x60, slot, 0x5c]),
    ];
    // Opcode and number of operands; then whether it leaves a word.
    let doing = prop::sample::select(vec![
        (0x52_u8, 2, false),
        (0x55, 2, false),
        (0x54, 1, true),
        (0x5d, 2, false),
        (0x53, 2, false),
        (0x37, 3, false),
        (0x39, 3, false),
        (0x5e, 3, false),
        (0xf1, 7, true),
        (0xf4, 6, true),
        (0xfa, 6, true),
        (0xf0, 3, true),
        (0xf5, 4, true),
        (0x31, 1, true),
        (0x3f, 1, true),
        (0x57, 2, false),
        (0x01, 2, true),
        (0x16, 2, true),
        (0xff, 1, false),
        (0xf3, 2, false),
    ]);
    let piece =
        (doing, prop::collection::vec(word, 7)).prop_map(|((opcode, count, leaves), words)| {
            let mut bytes = vec![0x5b];
            words.into_iter().take(count).for_each(|word| bytes.extend(word));
            bytes.push(opcode);
            if leaves {
                bytes.push(0x50);
            }
            bytes
        });
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn spec() -> impl Strategy<Value = SpecId> {
    let specs =
        [SpecId::FRONTIER, SpecId::BYZANTIUM, SpecId::LONDON, SpecId::CANCUN, SpecId::OSAKA];
    prop::sample::select(specs.to_vec())
}

/// A block of calls and creations around two pieces of code.
fn block(spec: SpecId, [first, second, init]: [&[u8]; 3], data: &[u8]) -> Scene {
    let create = TxEnv { kind: TxKind::Create, data: init.to_vec().into(), ..TxEnv::default() };
    let scene = Scene::new(spec).code(A, first).code(B, second).slot(A, 0, U256::from(3)).slot(
        B,
        1,
        A.into_word().into(),
    );
    scene.call(A, data).tx(create).call(B, data).call(A, &words(&[1, 2, 3]))
}

fn check_pure(scene: &Scene) -> Result<(), TestCaseError> {
    let cache = Arc::new(SummaryCache::new(SMALL, usize::MAX));
    let predictor = StaticPredictor::new(Arc::clone(&cache), EvaluationLimits::default());
    let found = scene.predict_with(&predictor);
    // Again, with all summaries there.
    prop_assert_eq!(&scene.predict_with(&predictor), &found);
    // One by one: each alone, and all backwards with what the ones before have left.
    let evaluator = predictor.evaluator();
    let mut warm = Scratch::default();
    for (tx, expected) in scene.block.transactions.iter().zip(&found).rev() {
        for scratch in [&mut Scratch::default(), &mut warm] {
            let again = evaluator.predict_tx(scratch, &scene.block, &scene.state, tx);
            prop_assert_eq!(&again.expect("the state is whole"), expected);
        }
    }
    // With summaries that were saved and loaded.
    let mut bytes = Vec::new();
    cache.save(&mut bytes).expect("room");
    let loaded = SummaryCache::load(&*bytes, usize::MAX).expect("what was saved");
    let loaded = StaticPredictor::new(Arc::new(loaded), EvaluationLimits::default());
    prop_assert_eq!(&scene.predict_with(&loaded), &found);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_as_code_end_and_always_give_the_same_prediction(
        spec in spec(),
        first in code(),
        second in code(),
        init in code(),
        data in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        summarize(&Bytecode::new_legacy(first.clone().into()), SMALL);
        check_pure(&block(spec, [&first, &second, &init], &data))?;
    }

    #[test]
    fn any_program_ends_and_always_gives_the_same_prediction(
        spec in spec(),
        first in program(),
        second in program(),
        init in program(),
        data in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        summarize(&Bytecode::new_legacy(first.clone().into()), SMALL);
        check_pure(&block(spec, [&first, &second, &init], &data))?;
    }
}
