//! The promise on the sample blocks of `fixtures/blocks`, and on generated ones
//! of every kind, those included that are made to defeat a predictor.

#[path = "support/equality.rs"]
mod equality;

use std::{fs, path::PathBuf};

use forewave::{
    Plan, PredictorKind, RunPlan, StaticPredictor, execute, execute_block, predict,
    predict_on_threads, sequential,
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

#[test]
fn predictions_for_another_number_of_transactions_are_refused_and_more_are_left_over() {
    let Workload { block, state } = Scenario::Swaps.generate(TRANSACTIONS, SEED);
    let predictions = predict(&block, &state, &PredictorKind::Oracle).unwrap();
    let expected = sequential(&block, &state).unwrap();
    let pool = &equality::pools()[1];
    let few = execute_block(&block, &state, &predictions[1..], pool).unwrap_err();
    let said = "the plan covers 59 transactions, the block has 60";
    assert_eq!(few.to_string(), said);
    let few = Plan::new(predictions[1..].to_vec()).execute(&block, &state, pool).unwrap_err();
    assert_eq!(few.to_string(), said);
    let many = [predictions.as_slice(), &predictions].concat();
    let outcome = execute_block(&block, &state, many.as_slice(), pool).unwrap();
    assert_eq!(outcome.first_difference(&expected), None);
    assert_eq!(outcome.stats.predicted, TRANSACTIONS);
    Plan::new(many).execute(&block, &state, pool).unwrap_err();
}

#[test]
fn threads_share_the_blocks_that_are_worth_it() {
    let pools = equality::pools();
    for (scenario, count, is_shared) in [
        (Scenario::Transfers, 5_000, false),
        (Scenario::NonceChain, 5_000, false),
        (Scenario::Swaps, 4, false),
        (Scenario::Swaps, 100, true),
        (Scenario::HotPool, 100, true),
        (Scenario::TokenTransfers, 10, false),
        (Scenario::TokenTransfers, 1_000, true),
    ] {
        let Workload { block, state } = scenario.generate(count, SEED);
        for pool in &pools {
            let (threads, plan) = (pool.current_num_threads(), RunPlan::in_block_order(&block));
            let shared_by = execute(&block, &state, &plan, pool).unwrap().stats.threads;
            let expected = if is_shared { threads } else { 1 };
            assert_eq!(shared_by, expected, "{scenario}, {count} transactions");
        }
    }
    // Of one chain that is predicted there is nothing to share.
    let Workload { block, state } = Scenario::HotPool.generate(100, SEED);
    let predictions = predict(&block, &state, &PredictorKind::Oracle).unwrap();
    let outcome = execute_block(&block, &state, predictions.as_slice(), &pools[2]).unwrap();
    assert_eq!((outcome.stats.threads, outcome.stats.predicted), (1, 100));
}
