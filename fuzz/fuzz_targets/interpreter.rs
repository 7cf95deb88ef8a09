//! The analyzer's interpreter on any code, call data and state: it ends within
//! its limits, does not panic, always gives the same, and where nothing is
//! widened its prediction is what execution touches.
//!
//! `cargo +nightly fuzz run interpreter`

#![no_main]

#[path = "../../tests/support/programs.rs"]
mod programs;

use forewave::Limits;
use libfuzzer_sys::fuzz_target;

use self::programs::Case;

fuzz_target!(|bytes: &[u8]| {
    Case::from_bytes(bytes).check(Limits::default());
});
