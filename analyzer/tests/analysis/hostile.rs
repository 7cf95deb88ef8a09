//! Code written to cost the analysis dearly, and code that is no code at all.

use forewave_analyzer::{Confidence, InterpretingPredictor, Limits, Scope};
use proptest::prelude::*;
use revm::{
    context::TxEnv,
    primitives::{TxKind, U256, hardfork::SpecId},
};

use crate::scene::{A, B, Scene, scene};

fn small_limits() -> Limits {
    Limits {
        gas_max: 3_000_000,
        block_gas_max: 10_000_000,
        call_depth_max: 64,
        memory_bytes_max: 1 << 16,
        handed_bytes_max: 1 << 20,
        touched_max: 1_000,
        overlay_max: 2_000,
        mappings_max: 16,
        init_code_bytes_max: 1 << 14,
        ..Limits::default()
    }
}

/// A call with more gas than any block has.
fn rich_call(data: Vec<u8>) -> TxEnv {
    let kind = TxKind::Call(A);
    TxEnv { kind, data: data.into(), gas_limit: u64::MAX / 2, ..TxEnv::default() }
}

#[test]
fn what_exceeds_a_limit_is_widened_to_everything() {
    let programs = [
        "loop: @loop JUMP",
        "0 loop: 1 ADD DUP1 SLOAD POP @loop JUMP",
        "0 loop: 1 ADD DUP1 DUP1 TSTORE @loop JUMP",
        "0 loop: 1 ADD DUP1 BALANCE POP @loop JUMP",
        "0 0 0 0 0 ADDRESS GAS CALL POP STOP",
        "1 1000000 MSTORE STOP",
        "60000 0 0 CALLDATACOPY loop: 0 60000 0 60000 0 ADDRESS GAS CALL @loop JUMP",
        "1 50000 MSTORE loop: 0 0 50000 0 4 GAS STATICCALL @loop JUMP",
        "1 50000 MSTORE loop: 0 0 50000 0 $b GAS STATICCALL POP @loop JUMP",
        "0 16000 0 CREATE loop: POP 0 16000 0 CREATE @loop JUMP",
    ];
    for program in programs {
        let mut scene = scene().contract(A, program).contract(B, "STOP").tx(rich_call(Vec::new()));
        scene.block.transactions[0].gas_limit = u64::MAX / 2;
        let predictions = scene.predict_with(&InterpretingPredictor::new(small_limits()));
        let everything = Confidence::Widened(Scope::Everything);
        assert_eq!(predictions[0].confidence(), everything, "{program}");
    }
}

#[test]
fn the_transaction_after_an_abandoned_one_is_predicted_again() {
    let mut scene = scene()
        .contract(A, "loop: @loop JUMP")
        .contract(B, "1 SLOAD STOP")
        .tx(rich_call(Vec::new()))
        .call(B, &[]);
    scene.block.transactions[0].gas_limit = u64::MAX / 2;
    let predictions = scene.predict_with(&InterpretingPredictor::new(small_limits()));
    assert_eq!(predictions[1].confidence(), Confidence::Exact);
    assert_eq!(scene.text(&predictions[1]), "read storage(b, 0x1)");
}

/// Bytes in which opcodes that matter are frequent.
fn code() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => any::<u8>(),
        3 => 0x5f_u8..=0x62,
        2 => 0x50_u8..=0x5e,
        2 => 0x80_u8..=0x9f,
        1 => 0xf0_u8..=0xff,
    ];
    prop::collection::vec(byte, 0..512)
}

fn spec() -> impl Strategy<Value = SpecId> {
    prop::sample::select(vec![
        SpecId::FRONTIER,
        SpecId::HOMESTEAD,
        SpecId::BYZANTIUM,
        SpecId::ISTANBUL,
        SpecId::LONDON,
        SpecId::CANCUN,
        SpecId::OSAKA,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_as_code_end_and_always_give_the_same_prediction(
        spec in spec(),
        first in code(),
        second in code(),
        init in code(),
        data in prop::collection::vec(any::<u8>(), 0..200),
        gas_limit in prop_oneof![0_u64..100_000, Just(u64::MAX / 2)],
    ) {
        // Codes that begin with the delegation prefix (EIP-7702) are not legacy code.
        let sane = |code: &[u8]| if code.starts_with(&[0xef]) { vec![0] } else { code.to_vec() };
        let mut scene = Scene::new(spec)
            .code(A, &sane(&first))
            .code(B, &sane(&second))
            .slot(A, 0, U256::from(3))
            .tx(rich_call(data.clone()))
            .tx(TxEnv { kind: TxKind::Create, data: init.into(), ..TxEnv::default() })
            .tx(rich_call(data));
        for tx in &mut scene.block.transactions {
            tx.gas_limit = gas_limit;
        }
        let predictor = InterpretingPredictor::new(small_limits());
        prop_assert_eq!(scene.predict_with(&predictor), scene.predict_with(&predictor));
    }
}
