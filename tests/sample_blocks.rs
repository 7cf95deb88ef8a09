//! The promise on the sample blocks of `fixtures/blocks`.

#[path = "support/equality.rs"]
mod equality;

use std::{fs, path::PathBuf};

#[test]
fn every_sample_block_ends_as_in_sequential_execution() {
    let blocks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks");
    let mut directories: Vec<PathBuf> =
        fs::read_dir(blocks).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    assert!(directories.len() >= 14, "only {} sample blocks", directories.len());
    let pools = equality::pools();
    for directory in directories {
        equality::check_equal_to_sequential(&directory, &pools, 1);
    }
}
