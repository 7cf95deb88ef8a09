//! The symbolic driver on every contract of the real blocks, where they are
//! present beside the project: it ends within its limits, and how fast.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Instant};

use forewave::{Completeness, SummaryLimits, input::load_state, summarize};
use revm::{DatabaseRef, bytecode::Bytecode, primitives::B256};

/// The code of every contract, once.
fn contracts() -> BTreeMap<B256, Bytecode> {
    let blocks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/blocks");
    let Ok(entries) = fs::read_dir(&blocks) else {
        eprintln!("skipped: no real blocks at {}", blocks.display());
        return BTreeMap::new();
    };
    let mut contracts = BTreeMap::new();
    for directory in entries {
        let state = load_state(&directory.unwrap().path()).unwrap();
        for (_, info, _) in state.accounts() {
            // A pre-state may name the hash of code that the block does not run.
            let Ok(code) = state.code_by_hash_ref(info.code_hash) else { continue };
            if !code.is_empty() {
                contracts.insert(info.code_hash, code);
            }
        }
    }
    contracts
}

#[test]
fn every_contract_of_the_real_blocks_is_summarized_within_the_limits() {
    let contracts = contracts();
    let mut shares: BTreeMap<Completeness, usize> = BTreeMap::new();
    let mut times = Vec::new();
    for code in contracts.values() {
        let started = Instant::now();
        let summary = summarize(code, SummaryLimits::default());
        times.push(started.elapsed());
        assert!(summary.exprs().len() <= SummaryLimits::default().exprs_max);
        for entry in summary.entries() {
            *shares.entry(entry.completeness).or_default() += 1;
        }
    }
    times.sort_unstable();
    let Some(slowest) = times.last() else { return };
    let functions: usize = shares.values().sum();
    println!("{} contracts, {functions} functions", contracts.len());
    println!(
        "median {:?}, 99th percentile {:?}, slowest {slowest:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
    for (completeness, count) in &shares {
        println!("{:6.2} % {completeness:?}", 100.0 * *count as f64 / functions as f64);
    }
    // A summary that names nothing would be of no use.
    let given_up = shares.iter().filter(|(it, _)| matches!(it, Completeness::GivenUp(_)));
    assert!(given_up.map(|(_, count)| count).sum::<usize>() * 4 < functions);
}
