//! The executor on a random block, predicted well, badly or with malice, against
//! sequential execution.
//!
//! `cargo +nightly fuzz run executor -- -max_len=8192`

#![no_main]

#[path = "../../tests/support/differential.rs"]
mod differential;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rayon::{ThreadPool, ThreadPoolBuilder};

use self::differential::{Choices, Prediction, check, drawn};

/// Transactions of a block, at most.
const TRANSACTIONS_MAX: u8 = 12;

fn pools() -> &'static [ThreadPool; 3] {
    static POOLS: OnceLock<[ThreadPool; 3]> = OnceLock::new();
    let pool = |threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    POOLS.get_or_init(|| [1, 2, 4].map(pool))
}

fuzz_target!(|bytes: &[u8]| {
    let choices = &mut Choices(bytes);
    let pool = &pools()[usize::from(choices.below(3))];
    let prediction = Prediction::drawn(choices);
    let drawn = drawn(choices, TRANSACTIONS_MAX);
    if let Err(difference) = check(&drawn, prediction, choices, pool) {
        panic!("{difference}");
    }
});
