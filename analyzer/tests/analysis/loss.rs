//! What is not known, and what is lost with it.

use crate::scene::{A, B, scene};

#[test]
fn what_is_not_known_does_not_lose_the_bytes_beside_it() {
    // As libraries copy the words of call data behind a selector.
    let code = "5 0 MSTORE 32 32 0 0 $b GAS STATICCALL POP 4 MLOAD 100 MSTORE 96 MLOAD SLOAD STOP";
    scene()
        .contract(A, code)
        .contract(B, "GAS 0 MSTORE 32 0 RETURN")
        .call(A, &[])
        .expect(&["read code(b)", "read storage(a, 5)"]);
}

#[test]
fn a_store_to_some_entry_of_a_mapping_may_be_to_any() {
    let entry = |key| format!("{key} 0 MSTORE 3 32 MSTORE 64 0 KECCAK256");
    let code = format!("{} 1 SWAP1 SSTORE {} SLOAD SLOAD STOP", entry("GAS"), entry("CALLER"));
    let text = scene().contract(A, &code).call(A, &[]).evaluated();
    assert!(text.iter().any(|line| line == "widened contract(a)"), "{text:?}");
}
