//! The files of a block directory, whatever is in them: refused with a message,
//! or a block whose execution from a prediction is the sequential one.
//!
//! The files follow each other with a zero byte in between; see `README.md` for
//! where to begin.

#![no_main]

#[path = "../../tests/support/hostile_input.rs"]
mod hostile_input;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rayon::{ThreadPool, ThreadPoolBuilder};

fn pool() -> &'static ThreadPool {
    static POOL: OnceLock<ThreadPool> = OnceLock::new();
    POOL.get_or_init(|| ThreadPoolBuilder::new().num_threads(1).build().unwrap())
}

fuzz_target!(|bytes: &[u8]| {
    let mut files = bytes.splitn(3, |byte| *byte == 0);
    let mut next = || files.next().unwrap_or(b"{}");
    let files = [("block.json", next()), ("pre_state.json", next()), ("block_hashes.json", next())];
    hostile_input::check(files, pool());
});
