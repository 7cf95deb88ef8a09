//! What a recorder learns of small assembled contracts, and what it is good for.

#![allow(missing_docs, unreachable_pub, reason = "test crate")]

#[path = "../../analyzer/tests/analysis/assembler.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod assembler;
#[allow(dead_code, reason = "shared with other tests")]
mod common;

use std::sync::Arc;

use forewave_analyzer::{
    AccessKind, Confidence, EvaluationLimits, Learnt, LearntEffect, LearntFunction, LearntInput,
    LearntLimits, Location, MemoryState, PredictedAccess, Predictor, StaticPredictor, SummaryCache,
};
use forewave_executor::{Learner, Sampling};
use revm::{
    bytecode::{Bytecode, opcode},
    primitives::{Address, B256, U256, hardfork::SpecId, keccak256},
};

use self::{
    assembler::assemble,
    common::{account, block, call, deploy, funded},
};

const SELECTOR: [u8; 4] = [1, 2, 3, 4];

fn contract() -> Address {
    account(100)
}

fn other() -> Address {
    account(101)
}

/// `$other` stands for another contract.
fn code(text: &str) -> Vec<u8> {
    assemble(&text.replace("$other", &U256::from_be_bytes(other().into_word().0).to_string()))
}

fn state(code: &[u8]) -> MemoryState {
    let mut state = funded();
    deploy(&mut state, contract(), code.to_vec());
    deploy(&mut state, other(), assemble("7 SLOAD 0 MSTORE 32 0 RETURN"));
    state
}

/// Call data: the selector, then words.
fn data(words: &[u64]) -> Vec<u8> {
    let words = words.iter().flat_map(|word| U256::from(*word).to_be_bytes::<32>());
    SELECTOR.into_iter().chain(words).collect()
}

/// Uses what one run has shown.
fn at_once() -> LearntLimits {
    LearntLimits { runs_min: 1, ..LearntLimits::default() }
}

fn learner(limits: LearntLimits) -> (Learner, StaticPredictor) {
    let cache = SummaryCache::default().with_learnt(Learnt::new(limits));
    let predictor = StaticPredictor::new(Arc::new(cache), EvaluationLimits::default());
    (Learner::new(predictor.clone(), Sampling::default()), predictor)
}

/// Learns from one call of `code` by account 1.
fn learnt(code: &[u8], words: &[u64], limits: LearntLimits) -> (StaticPredictor, LearntFunction) {
    let (learner, predictor) = learner(limits);
    let block = block(SpecId::CANCUN, vec![call(1, 0, contract(), 0, &data(words))]);
    learner.observe(&block, &state(code)).unwrap();
    let bytecode = Bytecode::new_raw(code.to_vec().into());
    let told = predictor.summaries().learnt().told(&bytecode);
    (predictor, told.into_iter().last().expect("the function was seen"))
}

fn shown(function: &LearntFunction) -> Vec<String> {
    let data = |input: &LearntInput| match input {
        LearntInput::CallData => "forwarded".to_owned(),
        LearntInput::Words(words) => {
            let words =
                words.iter().map(|(bytes, word)| format!("{bytes}:{}", function.words(*word)));
            words.collect::<Vec<_>>().join(" ")
        }
    };
    let show = |effect: &LearntEffect| match effect {
        LearntEffect::Read(key) => format!("read {}", function.words(*key).as_slot()),
        LearntEffect::Write(key) => format!("write {}", function.words(*key).as_slot()),
        LearntEffect::Account { of, .. } => format!("account {}", function.words(*of)),
        LearntEffect::Destroy(to) => format!("destroy {}", function.words(*to)),
        LearntEffect::Call { target, input, .. } => {
            format!("call {} {}", function.words(*target), data(input))
        }
        LearntEffect::Create { salt, init, .. } => {
            let salt = salt.map(|salt| function.words(salt).to_string());
            format!("create {} {}", salt.unwrap_or_default(), data(init))
        }
    };
    function.effects().iter().map(|(effect, _)| show(effect)).collect()
}

#[test]
fn keys_targets_and_arguments_are_recorded_as_expressions_over_the_inputs() {
    let mut immutable = vec![opcode::PUSH32];
    immutable.extend(U256::from(0x1234).to_be_bytes::<32>());
    immutable.extend(assemble("SLOAD STOP"));
    let init = keccak256([0; 4096]).to_string();
    let created = format!("account keccak(255, this, caller, {}…{})", &init[..10], &init[60..]);
    let cases: &[(Vec<u8>, &[&str])] = &[
        (
            code("CALLER 0 MSTORE 3 32 MSTORE 64 0 KECCAK256 SLOAD STOP"),
            &["read mapping(slot 3)[caller]"],
        ),
        (
            code(
                "0 loop: 1 DUP2 32 MUL 4 ADD CALLDATALOAD SSTORE
                1 ADD DUP1 2 GT @loop JUMPI STOP",
            ),
            &["write slot(arg0)", "write slot(arg1)"],
        ),
        (
            code("CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 0 SLOAD GAS DELEGATECALL STOP"),
            &["read slot 0", "call slot 0 forwarded"],
        ),
        (immutable, &["read slot(immutable0)"]),
        // What a call answers is a name of its own.
        (
            code("36 CALLDATALOAD 0 MSTORE 32 0 32 0 0 $other GAS CALL 0 MLOAD SLOAD STOP"),
            &["call immutable0 32:arg1", "read slot(0.call())"],
        ),
        // Packed: an address behind a byte.
        (
            code("255 0 MSTORE8 CALLER 96 SHL 1 MSTORE 21 0 KECCAK256 SLOAD STOP"),
            &["read mapping(seed 255)[((caller<<96)>>96)]"],
        ),
        (code("4 CALLDATALOAD 1 0 0 CREATE2 STOP"), &["create arg0 1:0"]),
        // The init code is long, but the same in every run.
        (code("CALLER 4096 0 0 CREATE2 STOP"), &[&created]),
    ];
    let mut found = Vec::new();
    for (code, _) in cases {
        let (_, function) = learnt(code, &[5, 6], LearntLimits::default());
        assert_eq!(function.told().dropped, 0, "{:?}", shown(&function));
        found.push(shown(&function));
    }
    let expected: Vec<&[&str]> = cases.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(found, expected);
}

/// A function that jumps to where its call data says: the code alone says nothing.
fn opaque() -> Vec<u8> {
    code(
        "36 CALLDATALOAD JUMP there: CALLER 0 MSTORE 3 32 MSTORE 64 0 KECCAK256 SLOAD POP
        4 CALLDATALOAD 0 MSTORE 32 0 32 0 0 $other GAS CALL STOP",
    )
}

/// Where [`opaque`] jumps to.
fn there() -> u64 {
    let at = opaque().iter().position(|byte| *byte == opcode::JUMPDEST);
    at.expect("there is one") as u64
}

fn predicted(predictor: &StaticPredictor, from: u8) -> PredictedAccess {
    let tx = call(from, 0, contract(), 0, &data(&[9, there()]));
    let block = block(SpecId::CANCUN, vec![tx]);
    predictor.predict(&block, &state(&opaque())).unwrap().remove(0)
}

fn mapped(caller: Address) -> Location {
    let bytes = [caller.into_word().0, B256::with_last_byte(3).0].concat();
    Location::Storage(contract(), keccak256(bytes).into())
}

#[test]
fn what_the_code_does_not_say_is_predicted_once_a_block_has_shown_it() {
    let (learner, predictor) = learner(at_once());
    let before = predicted(&predictor, 2);
    assert!(matches!(before.confidence(), Confidence::Widened(_)));
    let tx = call(1, 0, contract(), 0, &data(&[9, there()]));
    let lesson = learner.observe(&block(SpecId::CANCUN, vec![tx]), &state(&opaque())).unwrap();
    assert_eq!((lesson.txs, lesson.frames), (1, 2));
    let after = predicted(&predictor, 2);
    assert_eq!(after.confidence(), Confidence::Exact);
    for location in [mapped(account(2)), Location::Storage(other(), U256::from(7))] {
        assert!(after.set().contains(&location, AccessKind::Read), "{location:?} in {after:?}");
        let is_must = |it: &(AccessKind, &Location, bool)| *it.1 == location && it.2;
        assert!(!after.accesses().any(|it| is_must(&it)), "what was learnt may happen");
    }
    assert!(!after.set().contains(&mapped(account(1)), AccessKind::Read));
}

#[test]
fn an_effect_that_few_runs_had_is_not_predicted() {
    let (learner, predictor) = learner(LearntLimits { share_min: 500, ..LearntLimits::default() });
    // Slot 5 is read if the third argument is not zero.
    let text = "36 CALLDATALOAD JUMP there: 68 CALLDATALOAD @more JUMPI STOP more: 5 SLOAD STOP";
    let code = code(text);
    let there = code.iter().position(|byte| *byte == opcode::JUMPDEST).unwrap() as u64;
    let tx = |nonce, flag| call(1, nonce, contract(), 0, &data(&[9, there, flag]));
    let names_slot = |predictor: &StaticPredictor| {
        let block = block(SpecId::CANCUN, vec![tx(0, 1)]);
        let prediction = predictor.predict(&block, &state(&code)).unwrap().remove(0);
        prediction.set().contains(&Location::Storage(contract(), U256::from(5)), AccessKind::Read)
    };
    let txs = vec![tx(0, 1), tx(1, 0)];
    learner.observe(&block(SpecId::CANCUN, txs), &state(&code)).unwrap();
    assert!(names_slot(&predictor), "one of two runs");
    let txs = vec![tx(0, 0), tx(1, 0)];
    learner.observe(&block(SpecId::CANCUN, txs), &state(&code)).unwrap();
    assert!(!names_slot(&predictor), "one of four");
}

#[test]
fn what_is_kept_is_bounded() {
    // 20 slots, each of another expression.
    let text = "0 loop: 1 DUP2 4 CALLDATALOAD ADD SSTORE 1 ADD DUP1 20 GT @loop JUMPI STOP";
    let limits = LearntLimits { effects_max: 8, ..LearntLimits::default() };
    let (_, function) = learnt(&code(text), &[1 << 40], limits);
    assert_eq!(function.effects().len(), 8);
    assert_eq!((function.told().runs, function.told().dropped), (1, 1));
    let limits = LearntLimits { exprs_max: 16, ..LearntLimits::default() };
    let (_, function) = learnt(&code(text), &[1 << 40], limits);
    assert!(function.effects().len() < 16);
    let (learner, predictor) = learner(LearntLimits { bytes_max: 1000, ..LearntLimits::default() });
    let tx = call(1, 0, contract(), 0, &data(&[1 << 40]));
    learner.observe(&block(SpecId::CANCUN, vec![tx]), &state(&code(text))).unwrap();
    assert!(predictor.summaries().learnt().functions().1 <= 1000);
}

#[test]
fn random_code_is_recorded_without_harm_and_changes_nothing() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (learner, predictor) = learner(LearntLimits::default());
    for _ in 0..300 {
        let mut code: Vec<u8> = assemble("7 33 99 CALLER 4 CALLDATALOAD 64 1 0 CALLER");
        code.extend((0..200).map(|_| match next() % 4 {
            0 => (next() % 0x100).to_le_bytes()[0],
            1 => opcode::PUSH1,
            _ => [
                0x01, 0x20, 0x35, 0x37, 0x39, 0x51, 0x52, 0x53, 0x54, 0x55, 0x5e, 0x80, 0x90, 0xf1,
                0xf4, 0xf5, 0x3d, 0x3e,
            ][usize::from(next().to_le_bytes()[0]) % 18],
        }));
        let block = block(SpecId::CANCUN, vec![call(1, 0, contract(), 0, &data(&[3, 4]))]);
        let state = state(&code);
        // Only a hash that the state does not hold can end it.
        if let Err(error) = learner.observe(&block, &state) {
            assert!(error.to_string().contains("hash"), "{error}");
        }
        predictor.predict(&block, &state).unwrap();
    }
}

#[test]
fn what_was_learnt_is_saved_and_loaded_and_what_is_spoilt_is_refused_or_harmless() {
    let (learner, predictor) = learner(LearntLimits::default());
    // As often as it takes until it is used.
    let tx = |nonce| call(1, nonce, contract(), 0, &data(&[9, there()]));
    let txs = vec![tx(0), tx(1)];
    learner.observe(&block(SpecId::CANCUN, txs), &state(&opaque())).unwrap();
    let mut bytes = Vec::new();
    predictor.summaries().save(&mut bytes).unwrap();
    let load = |bytes: &[u8]| {
        let cache = SummaryCache::load(bytes, usize::MAX).ok()?;
        Some(StaticPredictor::new(Arc::new(cache), EvaluationLimits::default()))
    };
    let loaded = load(&bytes).expect("it was saved like this");
    let mut again = Vec::new();
    loaded.summaries().save(&mut again).unwrap();
    assert!(bytes == again, "what was loaded is saved differently");
    assert_eq!(predicted(&loaded, 2), predicted(&predictor, 2));
    let (mut refused, mut harmless) = (0, 0);
    for at in 52..bytes.len() {
        let mut spoilt = bytes.clone();
        spoilt[at] ^= 1 << (at % 8);
        assert!(load(&spoilt).is_none(), "the checksum is not that");
        let checksum = keccak256(&spoilt[52..]);
        spoilt[20..52].copy_from_slice(checksum.as_slice());
        match load(&spoilt) {
            None => refused += 1,
            Some(spoilt) => {
                predicted(&spoilt, 2);
                harmless += 1;
            }
        }
    }
    assert!(refused > 100 && harmless > 20, "{refused} refused, {harmless} harmless");
}
