//! Code written to cost the analysis dearly, against its execution.
//!
//! Each program runs with more gas than it can use well. The analysis must end,
//! and what it then claims to know must be what execution touches.

#![allow(unreachable_pub, dead_code, reason = "the scenes are shared with the analyzer's tests")]

#[path = "../analyzer/tests/analysis/assembler.rs"]
mod assembler;
#[path = "../analyzer/tests/analysis/scene.rs"]
mod scene;

use forewave::{Block, Confidence, InterpretingPredictor, Limits, Scope, observe};
use revm::{
    bytecode::Bytecode,
    context::TxEnv,
    primitives::{Address, B256, TxKind, U256, hardfork::SpecId},
    state::AccountInfo,
};

use self::{
    assembler::{assemble, deployer},
    scene::{A, B, C, Scene},
};

/// Gas of a hostile transaction.
const GAS: u64 = 15_000_000;

/// Code that fills what an account can hold (EIP-170).
const CODE_BYTES_MAX: usize = 24_576;

fn hostile_call(to: Address, gas_limit: u64) -> TxEnv {
    TxEnv { kind: TxKind::Call(to), gas_limit, ..TxEnv::default() }
}

/// A block of one call of A with [`GAS`].
fn call(scene: Scene) -> Scene {
    calls(scene, &[A])
}

fn calls(mut scene: Scene, targets: &[Address]) -> Scene {
    scene.block.env.gas_limit = GAS * targets.len() as u64;
    for &to in targets {
        scene = scene.tx(hostile_call(to, GAS));
    }
    for tx in &mut scene.block.transactions {
        tx.gas_limit = GAS;
    }
    scene
}

/// Checks that every prediction is exactly what execution touches.
fn check_exact(name: &str, scene: &Scene) {
    let scene = &with_beacon_root(scene);
    let predictions = scene.predict();
    let observation = observe(&scene.block, &scene.state).unwrap();
    for (at, (predicted, observed)) in predictions.iter().zip(&observation.accesses).enumerate() {
        assert_eq!(predicted.confidence(), Confidence::Exact, "{name} tx{at}");
        assert_eq!(predicted.set(), &observed.0, "{name} tx{at}");
        let gas = observation.outcome.receipts[at].gas_used;
        assert_eq!(predicted.gas(), gas, "{name} tx{at}");
    }
}

/// The scene with what execution wants of a header since Cancun.
fn with_beacon_root(scene: &Scene) -> Scene {
    let block = Block { parent_beacon_block_root: Some(B256::ZERO), ..scene.block.clone() };
    Scene { state: scene.state.clone(), block, names: Vec::new() }
}

fn prague() -> Scene {
    Scene::new(SpecId::PRAGUE)
}

#[test]
fn what_runs_out_of_gas_is_followed_to_its_end() {
    let programs = [
        ("an endless loop", "loop: @loop JUMP"),
        ("a hash chain", "loop: 32 0 KECCAK256 0 MSTORE @loop JUMP"),
        (
            "a hash chain of storage keys",
            "loop: 32 0 KECCAK256 DUP1 0 MSTORE SLOAD DUP1 SSTORE @loop JUMP",
        ),
        ("a memory bomb", "loop: MSIZE MSIZE MSTORE @loop JUMP"),
        ("a memory bomb at once", "1 100000000000000000000 MSTORE"),
        ("a memory bomb by copying", "loop: MSIZE 0 MSIZE CODECOPY 1 MSIZE MSTORE @loop JUMP"),
        ("a calldata bomb", "1 900 MSTORE loop: 0 0 900 0 $b GAS STATICCALL POP @loop JUMP"),
        ("a returndata bomb", "loop: 0 0 0 0 $c GAS STATICCALL POP @loop JUMP"),
        (
            "a returndata bomb that is picked up",
            "loop: 0 0 0 0 $c GAS STATICCALL POP RETURNDATASIZE 0 0 RETURNDATACOPY @loop JUMP",
        ),
        ("a stack that overflows", "loop: 1 @loop JUMP"),
        ("calls of itself", "loop: 0 0 0 0 0 ADDRESS GAS CALL @loop JUMP"),
        ("calls of itself that fail", "0 0 0 0 0 ADDRESS GAS CALL INVALID"),
        ("a delegation to itself", "loop: 0 0 0 0 ADDRESS GAS DELEGATECALL POP @loop JUMP"),
        ("log after log", "loop: 1 2 3 4 100000 0 LOG4 @loop JUMP"),
        ("looks at ever other accounts", "loop: 1 ADD DUP1 BALANCE POP @loop JUMP"),
        ("transient stores", "loop: 1 ADD DUP1 DUP1 TSTORE @loop JUMP"),
        ("creations", "loop: 0 60000 0 CREATE POP @loop JUMP"),
        ("squaring", "3 loop: DUP1 EXP @loop JUMP"),
        (
            "modexp of huge numbers",
            "loop: 0 NOT 0 MSTORE 0 NOT 64 MSTORE 0 0 96 0 5 GAS STATICCALL POP @loop JUMP",
        ),
        (
            "modexp of a huge exponent",
            "1 0 MSTORE 0 NOT 32 MSTORE 1 64 MSTORE 0 0 96 0 5 GAS STATICCALL POP",
        ),
        (
            "modexp of long zeros",
            "loop: 1024 0 MSTORE 0 32 MSTORE 1024 64 MSTORE 0 0 2144 0 5 GAS STATICCALL POP @loop JUMP",
        ),
        ("the most rounds of blake2", "0 NOT 0 MSTORE8 0 0 213 0 9 GAS STATICCALL POP"),
        ("signatures of nothing", "loop: 0 0 30000 0 1 GAS STATICCALL POP @loop JUMP"),
        ("the identity of much", "loop: 0 0 30000 0 4 GAS STATICCALL POP @loop JUMP"),
        ("pairings of nothing", "loop: 0 0 1920 0 8 GAS STATICCALL POP @loop JUMP"),
    ];
    for (name, program) in programs {
        let scene = prague()
            .contract(A, program)
            .contract(B, "STOP")
            .contract(C, "CALLDATASIZE 60000 0 RETURN");
        check_exact(name, &call(scene));
    }
}

#[test]
fn jumps_computed_from_hashes_are_followed() {
    let dispatch = "loop: GAS 0 MSTORE 32 0 KECCAK256 1023 AND @table ADD JUMP table:";
    let mut code = assemble(dispatch);
    code.extend([0x5b; 1024]);
    code.extend(assemble("0 JUMP"));
    check_exact("a jump table", &call(prague().code(A, &code)));
}

#[test]
fn as_many_jumpdests_as_code_can_hold_are_analysed() {
    let mut code = vec![0x5b; CODE_BYTES_MAX - 2];
    code.extend(assemble("0 JUMP"));
    code.truncate(CODE_BYTES_MAX);
    check_exact("JUMPDESTs", &call(prague().code(A, &code)));
}

#[test]
fn recursion_ends_at_the_depth_that_the_evm_allows() {
    // Before EIP-150 a call can pass on nearly all gas, so that depth is the limit.
    // There is no `PUSH0` either: the value of the call is zero.
    let zeros = ["CALLVALUE"; 5].join(" ");
    let all_but_some = "2000 GAS SUB";
    let programs = [
        ("calls", format!("{zeros} ADDRESS {all_but_some} CALL STOP")),
        ("calls of others", format!("{zeros} $b {all_but_some} CALL STOP")),
        ("code calls", format!("{zeros} ADDRESS {all_but_some} CALLCODE STOP")),
        (
            "creations",
            "CODESIZE CALLVALUE CALLVALUE CODECOPY CODESIZE CALLVALUE CALLVALUE CREATE".to_owned(),
        ),
    ];
    for (name, program) in programs {
        let back = format!("{zeros} $a {all_but_some} CALL STOP");
        let scene = Scene::new(SpecId::HOMESTEAD).contract(A, &program).contract(B, &back);
        let mut scene = call(scene);
        scene.block.env.gas_limit = 50_000_000;
        scene.block.transactions[0].gas_limit = 50_000_000;
        check_exact(name, &scene);
        let shallow = Limits { call_depth_max: 100, ..Limits::default() };
        let predictions = scene.predict_with(&InterpretingPredictor::new(shallow));
        let everything = Confidence::Widened(Scope::Everything);
        assert_eq!(predictions[0].confidence(), everything, "{name}");
    }
}

#[test]
fn code_that_replaces_itself_is_followed() {
    // Deploys its call data at an address that the salt alone decides, if nothing is there.
    let factory = "CALLDATASIZE 0 0 CALLDATACOPY 0 CALLDATASIZE 0 0 CREATE2 \
                   0 0 0 0 0 DUP6 GAS CALL STOP";
    let itself = assemble("CODESIZE 0 0 CODECOPY CODESIZE 0 RETURN");
    let doomed = deployer(&assemble("1 SLOAD 1 ADD 1 SSTORE CALLER SELFDESTRUCT"));
    let in_creation = assemble("CALLER SELFDESTRUCT");
    for spec in [SpecId::SHANGHAI, SpecId::CANCUN] {
        for init_code in [&itself, &doomed, &in_creation] {
            let mut scene = Scene::new(spec).contract(A, &factory.replace('\n', " "));
            for _ in 0..3 {
                scene = scene.call(A, init_code);
            }
            let created =
                TxEnv { kind: TxKind::Create, data: init_code.clone().into(), ..TxEnv::default() };
            scene = scene.tx(created);
            check_exact(&format!("{spec:?}"), &scene);
        }
    }
}

#[test]
fn delegations_in_a_circle_end() {
    let delegating = |scene: &mut Scene, from: Address, to: Address| {
        let info = AccountInfo::from_bytecode(Bytecode::new_eip7702(to)).with_nonce(1);
        scene.state.insert_account(from, info);
    };
    let mut scene = prague().contract(C, "0 0 0 0 0 $a GAS CALL 0 0 0 0 $b GAS DELEGATECALL STOP");
    delegating(&mut scene, A, B);
    delegating(&mut scene, B, A);
    check_exact("a circle of two", &calls(scene, &[A, B, C]));
    let mut scene = prague().contract(C, "0 0 0 0 0 $a GAS CALL STOP");
    delegating(&mut scene, A, A);
    check_exact("a circle of one", &calls(scene, &[A, C]));
}

#[test]
fn a_block_of_hostile_transactions_costs_its_limit_and_then_widens() {
    let programs = ["loop: @loop JUMP", "loop: 1 ADD DUP1 SLOAD POP @loop JUMP"];
    for program in programs {
        let scene = calls(prague().contract(A, program), &[A; 20]);
        let limits = Limits { block_gas_max: 4 * GAS, ..Limits::default() };
        let predictions = scene.predict_with(&InterpretingPredictor::new(limits));
        let everything = Confidence::Widened(Scope::Everything);
        let widened = predictions.iter().filter(|predicted| predicted.confidence() == everything);
        assert_eq!(widened.count(), 16, "{program}");
    }
}

#[test]
fn data_that_is_handed_on_too_often_widens() {
    let targets = ["$b GAS STATICCALL", "1 GAS STATICCALL"];
    for target in targets {
        let program = format!("1 900000 MSTORE loop: 0 0 900000 0 {target} POP @loop JUMP");
        let scene = call(prague().contract(A, &program).contract(B, "STOP"));
        let everything = Confidence::Widened(Scope::Everything);
        assert_eq!(scene.predict()[0].confidence(), everything, "{target}");
    }
}

#[test]
fn an_oversized_word_is_no_length_and_no_offset() {
    let huge = "0 NOT";
    let operands = format!("{huge} {huge} {huge} {huge} {huge} {huge} {huge}");
    let ops = [
        "CALL",
        "CALLCODE",
        "DELEGATECALL",
        "STATICCALL",
        "CREATE",
        "CREATE2",
        "RETURN",
        "REVERT",
        "KECCAK256",
        "CODECOPY",
        "CALLDATACOPY",
        "RETURNDATACOPY",
        "EXTCODECOPY",
        "MCOPY",
        "LOG4",
        "MSTORE8",
        "MLOAD",
        "CALLDATALOAD",
        "BLOCKHASH",
        "JUMP",
        "JUMPI",
        "SELFDESTRUCT",
        "BLOBHASH",
    ];
    for op in ops {
        check_exact(op, &call(prague().contract(A, &format!("{operands} {op} STOP"))));
    }
}

/// What the analysis of `block` is allowed to cost is what the block pays for.
#[test]
fn the_gas_of_the_analysis_is_the_gas_of_the_block() {
    let scene = calls(prague().contract(A, "loop: @loop JUMP"), &[A; 3]);
    let Block { env, .. } = &scene.block;
    let gas: u64 = scene.predict().iter().map(forewave::PredictedAccess::gas).sum();
    assert_eq!(U256::from(gas), U256::from(env.gas_limit));
}
