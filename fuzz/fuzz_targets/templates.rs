//! Templates against the interpreter, on any code, call data and state: what a
//! filled cache predicts is what an empty one does, as far as nothing fails.
//!
//! `cargo +nightly fuzz run templates -- -max_len=4096`

#![no_main]

#[path = "../../tests/support/programs.rs"]
mod programs;

use libfuzzer_sys::fuzz_target;

use self::programs::Case;

fuzz_target!(|bytes: &[u8]| {
    Case::from_bytes(bytes).check_templates();
});
