//! Summaries that are saved and loaded: the same again, or refused with the reason.

use std::sync::Arc;

use forewave_analyzer::{EvaluationLimits, StaticPredictor, SummaryCache};
use revm::{
    context::TxEnv,
    primitives::{TxKind, keccak256},
};

use crate::scene::{A, B, Scene, scene, words};

/// A scene with a call into another contract, a loop and a mapping, and its summaries.
fn filled() -> (Scene, Arc<SummaryCache>) {
    let token = "4 CALLDATALOAD 0 MSTORE 2 32 MSTORE 64 0 KECCAK256 DUP1 SLOAD 1 ADD SWAP1 SSTORE
        0 loop: 1 ADD DUP1 SLOAD POP DUP1 36 CALLDATALOAD GT @loop JUMPI STOP";
    let scene = scene().contract(A, token).contract(B, "3 SLOAD 0 MSTORE 32 0 RETURN");
    let data = words(&[0x0102_0304, 7, 3]);
    let call = |to| TxEnv {
        kind: TxKind::Call(to),
        gas_limit: 100_000,
        data: data.clone().into(),
        ..TxEnv::default()
    };
    let scene = scene.tx(call(A)).tx(call(B));
    let cache = Arc::new(SummaryCache::default());
    let predictor = StaticPredictor::new(Arc::clone(&cache), EvaluationLimits::default());
    scene.predict_with(&predictor);
    (scene, cache)
}

fn saved(cache: &SummaryCache) -> Vec<u8> {
    let mut bytes = Vec::new();
    cache.save(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_cache_that_was_saved_and_loaded_predicts_and_saves_the_same() {
    let (scene, cache) = filled();
    let bytes = saved(&cache);
    let loaded = SummaryCache::load(&*bytes, usize::MAX).unwrap();
    assert_eq!((loaded.len(), saved(&loaded)), (cache.len(), bytes));
    let predict =
        |cache| scene.predict_with(&StaticPredictor::new(cache, EvaluationLimits::default()));
    assert_eq!(predict(Arc::new(loaded)), predict(cache));
}

#[test]
fn a_hash_of_many_bytes_that_were_stored_one_by_one_can_be_loaded_again() {
    let stores: Vec<String> = (0..92).map(|at| format!("CALLER {at} MSTORE8")).collect();
    let code = format!("{} 92 0 KECCAK256 SLOAD STOP", stores.join(" "));
    let call = TxEnv { kind: TxKind::Call(A), gas_limit: 100_000, ..TxEnv::default() };
    let cache = Arc::new(SummaryCache::default());
    let predictor = StaticPredictor::new(Arc::clone(&cache), EvaluationLimits::default());
    scene().contract(A, &code).tx(call).predict_with(&predictor);
    let loaded = SummaryCache::load(&*saved(&cache), usize::MAX).unwrap();
    assert_eq!(loaded.len(), cache.len());
}

#[test]
fn a_cache_that_is_damaged_older_or_too_long_is_refused_with_the_reason() {
    let (_, cache) = filled();
    let bytes = saved(&cache);
    let changed = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cases = [
        (changed(0), "these are no summaries"),
        (changed(11), "of version 3, expected 2"),
        (changed(12), "more than the 1000000 allowed"),
        (changed(25), "checksum"),
        (changed(bytes.len() - 1), "checksum"),
        (bytes[..bytes.len() - 1].to_vec(), "checksum"),
        (bytes[..20].to_vec(), "these are no summaries"),
        (Vec::new(), "these are no summaries"),
    ];
    for (bytes, reason) in cases {
        let error = SummaryCache::load(&*bytes, 1_000_000).unwrap_err().to_string();
        assert!(error.contains(reason), "{error:?} does not say {reason:?}");
    }
}

#[test]
fn a_cache_whose_checksum_was_made_to_fit_cannot_make_an_evaluation_fail() {
    let (scene, cache) = filled();
    let bytes = saved(&cache);
    let (mut refused, mut evaluated) = (0, 0);
    for at in 52..bytes.len() {
        for change in [1, 0x80] {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            let checksum = keccak256(&bytes[52..]);
            bytes[20..52].copy_from_slice(checksum.as_slice());
            let Ok(loaded) = SummaryCache::load(&*bytes, usize::MAX) else {
                refused += 1;
                continue;
            };
            let predictor = StaticPredictor::new(Arc::new(loaded), EvaluationLimits::default());
            scene.predict_with(&predictor);
            evaluated += 1;
        }
    }
    assert!(refused > 100 && evaluated > 100, "{refused} refused, {evaluated} evaluated");
}
