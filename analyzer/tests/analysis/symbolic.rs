//! The symbolic driver on small programs, one for each rule, and on arbitrary bytes.

use forewave_analyzer::{
    AccessSummary, Completeness, Effect, Entry, GaveUp, SummaryLimits, Target, summarize,
};
use proptest::prelude::*;
use revm::bytecode::{Bytecode, opcode as op};

use crate::assembler::assemble;

fn summary(code: Vec<u8>) -> AccessSummary {
    summarize(&Bytecode::new_legacy(code.into()), SummaryLimits::default())
}

/// Every effect on storage of every entry, in words.
fn words(summary: &AccessSummary) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in summary.entries() {
        for effect in &entry.effects {
            let (verb, key) = match effect {
                Effect::Read(Target::Storage(key)) => ("reads", key),
                Effect::Write(Target::Storage(key)) => ("writes", key),
                _ => continue,
            };
            let name = match entry.entry {
                Entry::Selector(selector) => format!("{selector:#x}"),
                Entry::Receive => "receive".to_owned(),
                Entry::Fallback => "fallback".to_owned(),
            };
            lines.push(format!("{name} {verb} {}", summary.words(*key).as_slot()));
        }
    }
    lines
}

/// A function of selector 1 with this body, which a dispatcher jumps to; what
/// else there is reverts.
fn function(body: &str) -> Vec<u8> {
    assemble(&format!("0 CALLDATALOAD 224 SHR DUP1 1 EQ @body JUMPI 0 0 REVERT body: POP {body}"))
}

#[track_caller]
fn check(body: &str, expected: &[&str]) {
    assert_eq!(words(&summary(function(body))), expected, "{body}");
}

/// EIP-8024: an immediate of 128 reaches the seventeenth word, and one of 91 none.
#[test]
fn words_deep_in_the_stack_are_followed_and_an_immediate_that_means_nothing_halts() {
    let after = |depth: u8, instructions: &[u8]| {
        let mut code = function("7 8");
        code.extend((0..depth).flat_map(|_| [op::PUSH1, 0]));
        code.extend(instructions);
        words(&summary(code))
    };
    let reads = |slot: u8| vec![format!("0x1 reads slot {slot}")];
    // 7, 8 and fifteen zeros: the seventeenth word is 7.
    assert_eq!(after(15, &[op::DUPN, 128, op::SLOAD, op::STOP]), reads(7));
    // One more below the top.
    assert_eq!(after(16, &[op::SWAPN, 128, op::SLOAD, op::STOP]), reads(7));
    // 7, 8, 0: the second and third word.
    assert_eq!(after(1, &[op::EXCHANGE, 142, op::POP, op::SLOAD, op::STOP]), reads(7));
    for instruction in [op::DUPN, op::SWAPN, op::EXCHANGE] {
        assert_eq!(after(16, &[instruction, 91, op::SLOAD, op::STOP]), Vec::<String>::new());
    }
}

#[test]
fn keys_are_named_by_their_layout() {
    check("7 SLOAD STOP", &["0x1 reads slot 7"]);
    // Solidity: key, then slot; nested.
    check(
        "CALLER 0 MSTORE 2 32 MSTORE 64 0 KECCAK256 SLOAD STOP",
        &["0x1 reads mapping(slot 2)[caller]"],
    );
    check(
        "CALLER 0 MSTORE 2 32 MSTORE 64 0 KECCAK256 32 MSTORE 4 CALLDATALOAD 0 MSTORE 64 0 KECCAK256 1 ADD SLOAD STOP",
        &["0x1 reads mapping(slot 2)[caller][arg0]+1"],
    );
    // Vyper: slot, then key.
    check(
        "2 0 MSTORE CALLER 32 MSTORE 64 0 KECCAK256 SLOAD STOP",
        &["0x1 reads mapping(slot 2)[caller]"],
    );
    // Solady: the low bytes of the owner and a seed.
    check(
        "2275545506 12 MSTORE CALLER 0 MSTORE 32 12 KECCAK256 SLOAD STOP",
        &["0x1 reads mapping(seed 2275545506)[caller]"],
    );
    // An array.
    check(
        "5 0 MSTORE 32 0 KECCAK256 36 CALLDATALOAD ADD SLOAD STOP",
        &["0x1 reads array(slot 5)[arg1]"],
    );
    // A mapping of what another slot holds.
    check(
        "3 SLOAD 0 MSTORE 1 32 MSTORE 64 0 KECCAK256 SLOAD STOP",
        &["0x1 reads slot 3", "0x1 reads mapping(slot 1)[slot 3]"],
    );
}

#[test]
fn what_only_reverting_paths_touch_is_left_out() {
    check(
        "1 SLOAD POP 4 CALLDATALOAD @good JUMPI 2 SLOAD 0 0 REVERT good: 1 3 SSTORE STOP",
        &["0x1 reads slot 1", "0x1 writes slot 3"],
    );
}

#[test]
fn both_sides_of_a_condition_count() {
    check(
        "CALLER 4 CALLDATALOAD EQ @one JUMPI 2 SLOAD STOP one: 3 SLOAD STOP",
        &["0x1 reads slot 2", "0x1 reads slot 3"],
    );
}

#[test]
fn a_loop_widens_to_the_elements_of_its_argument() {
    // for (i = 0; i < arg1; i++) mapping(slot 0)[arg0[i]]
    let code = function(
        "0 loop: DUP1 36 CALLDATALOAD GT @more JUMPI STOP more: \
         DUP1 32 MUL 4 CALLDATALOAD ADD 36 ADD CALLDATALOAD 0 MSTORE 0 32 MSTORE \
         64 0 KECCAK256 SLOAD POP 1 ADD @loop JUMP",
    );
    let summary = summary(code);
    assert!(words(&summary).contains(&"0x1 reads mapping(slot 0)[arg0[..]]".to_owned()));
    assert_eq!(summary.entries()[0].completeness, Completeness::WidenedToMapping);
}

#[test]
fn an_unknown_key_is_any_slot_and_an_unknown_jump_is_given_up() {
    let unknown = summary(function("GAS SLOAD STOP"));
    assert_eq!(words(&unknown), ["0x1 reads any slot"]);
    assert_eq!(unknown.entries()[0].completeness, Completeness::WidenedToContract);
    let lost = summary(function("4 CALLDATALOAD JUMP"));
    assert_eq!(lost.entries()[0].completeness, Completeness::GivenUp(GaveUp::Jump));
}

#[test]
fn every_entry_is_found_and_told_apart() {
    let code = assemble(
        "CALLDATASIZE @some JUMPI 9 SLOAD STOP some: 0 CALLDATALOAD 224 SHR \
         DUP1 5 GT @low JUMPI DUP1 7 EQ @seven JUMPI @other JUMP \
         low: DUP1 3 EQ @three JUMPI other: 8 SLOAD STOP \
         seven: 1 SLOAD STOP three: 2 SLOAD STOP",
    );
    let mut found = words(&summary(code));
    found.sort_unstable();
    assert_eq!(
        found,
        ["0x3 reads slot 2", "0x7 reads slot 1", "fallback reads slot 8", "receive reads slot 9",]
    );
}

#[test]
fn an_endless_loop_and_a_forking_one_end() {
    for code in [
        "loop: @loop JUMP",
        "loop: CALLER GAS JUMPI @loop JUMP",
        "loop: GAS @loop JUMPI GAS @loop JUMPI STOP",
    ] {
        summary(assemble(code));
    }
    let mut forks = vec![0x5b];
    forks.extend([0x5a, 0x5f, 0x57].repeat(8000));
    summary(forks);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_summarized_within_the_limits_and_always_alike(
        code in prop::collection::vec(any::<u8>(), 0..512),
    ) {
        let limits = SummaryLimits { steps_max: 1 << 13, ..SummaryLimits::default() };
        let code = Bytecode::new_legacy(code.into());
        let [one, other] = [(); 2].map(|()| summarize(&code, limits));
        prop_assert_eq!(format!("{:?}", one.entries()), format!("{:?}", other.entries()));
        prop_assert_eq!(words(&one), words(&other));
        for entry in one.entries() {
            for effect in &entry.effects {
                if let Effect::Read(Target::Storage(key)) = effect {
                    prop_assert!(one.words(*key).as_slot().len() < 1 << 13);
                }
            }
        }
    }
}
