//! Storage keys: where they come from, and which are known.

use forewave_analyzer::{KeyOrigin, Location};
use revm::primitives::{U256, keccak256};

use crate::scene::{A, B, SENDER, scene};

fn mapping_key(key: U256, slot: U256) -> U256 {
    keccak256([key.to_be_bytes::<32>(), slot.to_be_bytes::<32>()].concat()).into()
}

fn sender_word() -> U256 {
    SENDER.into_word().into()
}

/// The keys that the last transaction reads of `A`, with their origins.
#[track_caller]
fn check_keys(code: &str, data: &[u8], expected: &[(U256, Option<KeyOrigin>)]) {
    let scene = scene().contract(A, code).call(A, data);
    let prediction = scene.predict().pop().expect("one transaction");
    let keys = prediction.set().reads().iter().filter_map(|location| match location {
        Location::Storage(A, key) => Some((*key, prediction.origin(A, *key))),
        _ => None,
    });
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(keys.collect::<Vec<_>>(), expected);
}

#[test]
fn a_mapping_entry_belongs_to_the_slot_hashed_last() {
    let key = mapping_key(sender_word(), U256::from(3));
    let origin = Some(KeyOrigin::Mapping(U256::from(3)));
    check_keys("CALLER 0 MSTORE 3 32 MSTORE 64 0 KECCAK256 SLOAD STOP", &[], &[(key, origin)]);
}

#[test]
fn a_mapping_entry_of_vyper_belongs_to_the_slot_hashed_first() {
    let key = mapping_key(U256::from(3), sender_word());
    let origin = Some(KeyOrigin::Mapping(U256::from(3)));
    check_keys("3 0 MSTORE CALLER 32 MSTORE 64 0 KECCAK256 SLOAD STOP", &[], &[(key, origin)]);
}

#[test]
fn a_nested_mapping_and_its_struct_fields_belong_to_the_outermost_slot() {
    let inner = mapping_key(sender_word(), U256::from(3));
    let outer = mapping_key(U256::from(0xabcd), inner);
    let origin = Some(KeyOrigin::Mapping(U256::from(3)));
    check_keys(
        "CALLER 0 MSTORE 3 32 MSTORE 64 0 KECCAK256 32 MSTORE 0 CALLDATALOAD 0 MSTORE 64 0 KECCAK256
         DUP1 SLOAD POP 2 ADD SLOAD STOP",
        &U256::from(0xabcd).to_be_bytes::<32>(),
        &[(outer, origin), (outer + U256::from(2), origin)],
    );
}

#[test]
fn an_array_element_belongs_to_the_array() {
    let key = U256::from_be_bytes(keccak256(U256::from(6).to_be_bytes::<32>()).0) + U256::from(9);
    let origin = Some(KeyOrigin::Mapping(U256::from(6)));
    let data = U256::from(9).to_be_bytes::<32>();
    check_keys("6 0 MSTORE 32 0 KECCAK256 0 CALLDATALOAD ADD SLOAD STOP", &data, &[(key, origin)]);
}

#[test]
fn a_mapping_keyed_by_bytes_belongs_to_the_slot_behind_them() {
    let key = keccak256([&b"abc"[..], &U256::from(4).to_be_bytes::<32>()].concat());
    let origin = Some(KeyOrigin::Mapping(U256::from(4)));
    check_keys(
        "3 0 0 CALLDATACOPY 4 3 MSTORE 35 0 KECCAK256 SLOAD STOP",
        b"abc",
        &[(key.into(), origin)],
    );
}

#[test]
fn a_large_number_from_the_caller_may_be_anything() {
    check_keys(
        "0 CALLDATALOAD SLOAD STOP",
        &[0xee; 32],
        &[(U256::from_be_bytes([0xee; 32]), None)],
    );
}

#[test]
fn a_key_read_from_storage_is_followed() {
    let scene = scene().contract(A, "1 SLOAD SLOAD STOP").slot(A, 1, U256::from(77)).call(A, &[]);
    scene.check(&["read storage(a, 0x1)", "read storage(a, 0x4d)"]);
}

#[test]
fn a_key_returned_by_a_call_is_followed() {
    let scene = scene()
        .contract(A, "32 0 0 0 $b GAS STATICCALL POP 0 MLOAD SLOAD STOP")
        .contract(B, "42 0 MSTORE 32 0 RETURN")
        .call(A, &[]);
    scene.check(&["read code(b)", "read storage(a, 0x2a)"]);
}

#[test]
fn a_key_computed_by_a_precompile_is_followed() {
    // The identity precompile returns its input.
    let code = "CALLVALUE 7 ADD 0 MSTORE 32 32 32 0 4 GAS STATICCALL POP 32 MLOAD SLOAD STOP";
    scene().contract(A, code).call(A, &[]).check(&["read storage(a, 0x7)"]);
}

#[test]
fn a_key_from_an_unknown_block_hash_stands_for_its_mapping_or_contract() {
    let mapping = "999 BLOCKHASH 0 MSTORE 3 32 MSTORE 64 0 KECCAK256 SLOAD STOP";
    let text = scene().contract(A, mapping).call(A, &[]).last();
    assert_eq!(text.lines().last(), Some("widened mapping(a, 0x3)"));
    let text = scene().contract(A, "999 BLOCKHASH SLOAD STOP").call(A, &[]).last();
    assert_eq!(text.lines().last(), Some("widened contract(a)"));
}

#[test]
fn an_account_from_an_unknown_block_hash_stands_for_everything() {
    let text = scene().contract(A, "999 BLOCKHASH BALANCE STOP").call(A, &[]).last();
    assert_eq!(text.lines().last(), Some("widened everything"));
}

#[test]
fn a_guessed_condition_takes_the_side_that_need_not_revert() {
    let code = "999 BLOCKHASH ISZERO ISZERO @bad JUMPI 5 SLOAD STOP bad: 0 0 REVERT";
    scene().contract(A, code).call(A, &[]).check(&["read storage(a, 0x5)"]);
}
