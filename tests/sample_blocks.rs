//! The promise on the sample blocks of `fixtures/blocks`, and on generated ones
//! of every kind, those included that are made to defeat whoever predicts.

#[path = "support/equality.rs"]
mod equality;

use std::{fs, path::PathBuf};

use forewave::{
    PredictorKind, StaticPredictor, execute_block, predict, predict_on_threads, sequential,
};
use forewave_fixtures::{Scenario, Workload};

/// Transactions of a block that is run in every way.
const TRANSACTIONS: usize = 60;

/// Seed of the generated blocks.
const SEED: u64 = 5;

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

#[test]
fn every_scenario_ends_as_in_sequential_execution() {
    let pools = equality::pools();
    for scenario in Scenario::ALL {
        let Workload { block, state } = scenario.generate(TRANSACTIONS, SEED);
        let truth = sequential(&block, &state).unwrap();
        equality::check_every_way(&scenario.to_string(), &block, &state, &truth, &pools, 1);
    }
}

#[test]
fn static_predicts_the_same_on_any_number_of_threads() {
    for scenario in Scenario::ALL {
        let Workload { block, state } = scenario.generate(TRANSACTIONS, SEED);
        let predictor = StaticPredictor::default();
        let expected = predict(&block, &state, &predictor).unwrap();
        for pool in &equality::pools() {
            let fresh = StaticPredictor::default();
            for predictor in [&predictor, &fresh] {
                let predictions = predict_on_threads(&block, &state, predictor, pool).unwrap();
                assert_eq!(predictions, expected, "{scenario}");
            }
        }
    }
}

#[test]
fn hostile_blocks_of_a_thousand_end_as_in_sequential_execution() {
    let pools = equality::pools();
    for scenario in Scenario::HOSTILE {
        let Workload { block, state } = scenario.generate(1000, SEED);
        let truth = sequential(&block, &state).unwrap();
        for kind in PredictorKind::ALL {
            for pool in &pools {
                let outcome = execute_block(&block, &state, &kind, pool).unwrap();
                assert_eq!(outcome.first_difference(&truth), None, "{scenario}, {kind}");
            }
        }
    }
}

#[test]
fn hostile_blocks_touch_otherwise_than_on_the_state_before_the_block() {
    // What a large change set makes dear is predicted well.
    let misleading = |scenario: &Scenario| *scenario != Scenario::LargeChangeSet;
    for scenario in Scenario::HOSTILE.into_iter().filter(misleading) {
        let Workload { block, state } = scenario.generate(TRANSACTIONS, SEED);
        let [alone, truth] = [PredictorKind::Recon, PredictorKind::Oracle]
            .map(|kind| predict(&block, &state, &kind).unwrap());
        let wrong = alone.iter().zip(&truth).filter(|(alone, truth)| alone.set() != truth.set());
        let wrong = wrong.count();
        assert!(wrong * 5 >= TRANSACTIONS * 2, "{scenario}: {wrong} of {TRANSACTIONS}");
    }
}
