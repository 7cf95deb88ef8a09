//! The promise, and the observed accesses, on real blocks, where they are
//! present beside the project: single ones, and runs of consecutive ones, of
//! which most are Linea's. They are not ours to publish.
//!
//! `FOREWAVE_REPETITIONS=20 cargo test --release --test real_blocks -- --nocapture every_real`
//! executes each block as often in every way.

#[path = "real_blocks/access_lists.rs"]
mod access_lists;
#[path = "support/equality.rs"]
mod equality;
#[path = "support/wrong_lists.rs"]
mod wrong_lists;

use std::{collections::BTreeSet, env, fs, fs::File, path::PathBuf};

use flate2::read::GzDecoder;
use forewave::{
    AccessKind, AccessSetBuilder, Block, Location, ObservedAccess, PredictedAccess, PredictorKind,
    TxIndex,
    input::{BlockInput, InputError, LoadOptions},
    measure::true_dependencies,
    observe, predict,
};
use serde::Deserialize;

/// The directories of real blocks, or one line that says there are none.
fn real_blocks() -> Vec<PathBuf> {
    let blocks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/blocks");
    let Ok(entries) = fs::read_dir(&blocks) else {
        eprintln!("skipped: no real blocks at {}", blocks.display());
        return Vec::new();
    };
    let mut directories: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    directories
}

/// Those that Ethereum's rules apply to.
fn ethereum_blocks() -> Vec<PathBuf> {
    let is_foreign = |directory: &PathBuf| {
        let loaded = BlockInput::load(directory, &LoadOptions::default());
        matches!(loaded, Err(InputError::UnsupportedTransaction { .. }))
    };
    real_blocks().into_iter().filter(|directory| !is_foreign(directory)).collect()
}

#[test]
fn every_real_block_ends_as_in_sequential_execution_and_as_its_header_says() {
    let repetitions = env::var("FOREWAVE_REPETITIONS").map_or(1, |text| text.parse().unwrap());
    let pools = equality::pools();
    let (mut blocks, mut executions) = (0, 0);
    for directory in ethereum_blocks() {
        executions += equality::check_equal_to_sequential(&directory, &pools, repetitions);
        blocks += 1;
    }
    println!("{executions} executions of {blocks} blocks, no difference");
}

/// The directories of consecutive blocks, or one line that says there are none.
fn consecutive_blocks() -> Vec<PathBuf> {
    let runs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/runs");
    let Ok(entries) = fs::read_dir(&runs) else {
        eprintln!("skipped: no runs of real blocks at {}", runs.display());
        return Vec::new();
    };
    let blocks = entries.flat_map(|run| fs::read_dir(run.unwrap().path()).unwrap());
    let mut directories: Vec<PathBuf> = blocks.map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    directories
}

#[test]
fn every_block_of_a_run_ends_as_in_sequential_execution_and_as_its_header_says() {
    let pools = equality::pools();
    for directory in consecutive_blocks() {
        equality::check_equal_to_sequential(&directory, &pools, 1);
    }
}

/// `graph` warns of an incomplete pre-state where the gas is off by three fifths. An estimate
/// knows no loop that it does not follow, so that few complete blocks are warned of too.
#[test]
fn the_gas_that_static_estimates_of_a_real_block_rarely_raises_a_warning() {
    let (mut blocks, mut warned) = (0, Vec::new());
    for directory in ethereum_blocks().into_iter().chain(consecutive_blocks()) {
        let BlockInput { block, state, header, notes, .. } =
            BlockInput::load(&directory, &LoadOptions::default()).unwrap();
        let predictions = predict(&block, &state, &PredictorKind::Static).unwrap();
        let predicted: u64 = predictions.iter().map(PredictedAccess::gas).sum();
        let stated = header.gas_used.unwrap();
        assert_eq!(notes, [], "{}", directory.display());
        blocks += 1;
        if predicted.abs_diff(stated) > stated / 5 * 3 {
            warned.push(format!("{}: {predicted} of {stated}", directory.display()));
        }
    }
    assert!(warned.len() * 20 <= blocks, "{warned:#?}");
}

/// What an independent program found of a block's dependencies.
#[derive(Deserialize)]
struct IndependentDependencies {
    gas: Vec<u64>,
    status: Vec<u8>,
    raw_last_writer: Vec<BTreeSet<usize>>,
}

#[test]
fn observed_accesses_give_the_dependencies_that_an_independent_program_found() {
    for directory in ethereum_blocks() {
        let Ok(file) = File::open(directory.join("deps.json.gz")) else { continue };
        let expected: IndependentDependencies =
            serde_json::from_reader(GzDecoder::new(file)).unwrap();
        let input = BlockInput::load(&directory, &LoadOptions::default()).unwrap();
        let observation = observe(&input.block, &input.state).unwrap();
        let receipts = &observation.outcome.receipts;
        let gas: Vec<u64> = receipts.iter().map(|receipt| receipt.gas_used).collect();
        let name = directory.display();
        assert_eq!(gas, expected.gas, "{name}");
        // A receipt holds a status since Byzantium; the other program counts that way too.
        let status: Vec<u8> = receipts.iter().map(|receipt| receipt.status.into()).collect();
        assert_eq!(status, expected.status, "{name}");
        let found = last_writers(&input.block, &observation.accesses);
        let pays = |tx: usize| looks_at_beneficiary(&input.block, &observation.accesses[tx]);
        for (tx, (found, expected)) in found.iter().zip(&expected.raw_last_writer).enumerate() {
            assert!(found.is_subset(expected), "{name} tx{tx}: {found:?} but {expected:?}");
            for &earlier in expected.difference(found) {
                assert!(pays(tx) && pays(earlier), "{name} tx{tx}: {found:?} but {expected:?}");
            }
        }
    }
}

/// Whether a transaction does more to the beneficiary than paying its fee. The
/// other program tells fees from value that goes there, observed accesses do
/// not: of such transactions alone it may find more dependencies.
fn looks_at_beneficiary(block: &Block, ObservedAccess(set): &ObservedAccess) -> bool {
    let beneficiary = block.env.beneficiary;
    let places = [Location::Balance(beneficiary), Location::Code(beneficiary)];
    places.iter().any(|place| set.contains(place, AccessKind::Read))
}

/// Dependencies by the other program's convention: any change of a balance is a
/// read and a write of it, and the beneficiary's balance is left out.
fn last_writers(block: &Block, accesses: &[ObservedAccess]) -> Vec<BTreeSet<usize>> {
    let fees = Location::Balance(block.env.beneficiary);
    let convert = |ObservedAccess(set): &ObservedAccess| {
        let mut converted = AccessSetBuilder::new();
        for (kind, &location) in set.iter().filter(|(_, location)| **location != fees) {
            converted.add(kind, location);
            if kind != AccessKind::Read && matches!(location, Location::Balance(_)) {
                converted.read(location).write(location);
            }
        }
        ObservedAccess(converted.build())
    };
    let converted: Vec<ObservedAccess> = accesses.iter().map(convert).collect();
    let dependencies = true_dependencies(block, &converted);
    dependencies.into_iter().map(|txs| txs.into_iter().map(TxIndex::index).collect()).collect()
}
