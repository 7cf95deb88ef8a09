//! Conformance tests, whatever is in them: a file of them if the first byte is
//! that of JSON, and otherwise the RLP of one block.

#![no_main]

#[path = "../../tests/support/hostile_cases.rs"]
mod hostile_cases;
#[path = "../../tests/support/hostile_files.rs"]
mod hostile_files;
#[path = "../../tests/support/hostile_input.rs"]
mod hostile_input;

use std::sync::OnceLock;

use alloy_primitives::hex;
use forewave::input::SourceFile;
use libfuzzer_sys::fuzz_target;
use rayon::{ThreadPool, ThreadPoolBuilder};

fn pool() -> &'static ThreadPool {
    static POOL: OnceLock<ThreadPool> = OnceLock::new();
    POOL.get_or_init(|| ThreadPoolBuilder::new().num_threads(1).build().unwrap())
}

/// A case of which this is the last block.
fn with_block(rlp: &[u8]) -> Vec<u8> {
    let mut case = hostile_cases::case();
    case["spoilt"]["blocks"][1]["rlp"] = hex::encode_prefixed(rlp).into();
    case.to_string().into_bytes()
}

fuzz_target!(|bytes: &[u8]| {
    let text = if bytes.first() == Some(&b'{') { bytes.to_vec() } else { with_block(bytes) };
    let file = SourceFile { path: "fuzzed.json".into(), bytes: text };
    drop(hostile_cases::judge(&file, pool()));
});
