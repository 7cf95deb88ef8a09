//! Wrong access lists (EIP-7928) of the sample blocks: each is rejected, with the place where it is wrong, and
//! a run by it ends as in sequential execution.

#[path = "support/wrong_lists.rs"]
mod wrong_lists;

use std::{env, fs, path::PathBuf};

use forewave::input::{BlockInput, LoadOptions};
use rayon::ThreadPoolBuilder;

use wrong_lists::Listed;

/// Wrong lists that each block is run by; more by `FOREWAVE_WRONG_LISTS`.
const LISTS: usize = 12;

fn sample_blocks() -> Vec<(String, BlockInput)> {
    let blocks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks");
    let entries = fs::read_dir(blocks).unwrap();
    let mut directories: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    let load = |directory: PathBuf| {
        let input = BlockInput::load(&directory, &LoadOptions::default()).unwrap();
        (directory.display().to_string(), input)
    };
    directories.into_iter().map(load).collect()
}

#[test]
fn every_wrong_entry_of_a_sample_block_is_rejected_with_its_place() {
    let mut judged = 0;
    for (name, input) in sample_blocks() {
        judged += Listed::new(input.block, &input.state).check_judgements(&name);
    }
    assert!(judged > 40_000, "only {judged} wrong lists");
    println!("{judged} wrong lists, all rejected");
}

#[test]
fn runs_of_sample_blocks_by_wrong_lists_end_as_in_sequential_execution() {
    let lists = env::var("FOREWAVE_WRONG_LISTS").map_or(LISTS, |text| text.parse().unwrap());
    let pools = [2, 8].map(|count| ThreadPoolBuilder::new().num_threads(count).build().unwrap());
    let mut runs = 0;
    for (seed, (name, input)) in (0..).zip(sample_blocks()) {
        runs += Listed::new(input.block, &input.state).check_runs(&name, &pools, lists, seed);
    }
    assert!(runs > 200, "only {runs} wrong lists");
    println!("runs by {runs} wrong lists, no difference");
}
