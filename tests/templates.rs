//! Templates on whole blocks: what a filled cache predicts is what an empty one does.
//!
//! A template assumes that a branch which can only revert is not taken, so a
//! transaction that fails may be predicted as if it did not. Those are counted.

use std::{fs, path::PathBuf};

use forewave::{
    InterpretingPredictor, PredictedAccess,
    input::{BlockInput, LoadOptions},
    predict, sequential,
};

/// Rounds until every path of a block has been recorded: noted, recorded, replayed.
const ROUNDS: usize = 3;

fn is_alike(one: &PredictedAccess, other: &PredictedAccess) -> bool {
    one.set() == other.set() && one.widened() == other.widened() && one.origins() == other.origins()
}

#[test]
fn every_sample_block_is_predicted_alike_with_and_without_templates() {
    let blocks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks");
    let shared = InterpretingPredictor::learning();
    for entry in fs::read_dir(blocks).unwrap() {
        let path = entry.unwrap().path();
        let input = BlockInput::load(&path, &LoadOptions::default()).unwrap();
        let (block, state) = (&input.block, &input.state);
        let interpreting = InterpretingPredictor::default();
        let expected = predict(block, state, &interpreting).unwrap();
        let receipts = sequential(block, state).unwrap().receipts;
        for round in 0..ROUNDS {
            let found = predict(block, state, &shared).unwrap();
            let differ = |at: &usize| !is_alike(&found[*at], &expected[*at]);
            let differing: Vec<usize> = (0..found.len()).filter(differ).collect();
            let failing = receipts.iter().filter(|receipt| !receipt.status).count();
            assert!(
                differing.len() <= failing,
                "{}, round {round}: {differing:?} differ, {failing} fail",
                path.display(),
            );
        }
    }
}
