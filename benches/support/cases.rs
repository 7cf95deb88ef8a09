//! What the benches run on: generated blocks of each kind, and, where they are
//! present, five real ones.
//!
//! Real blocks are block directories under `FOREWAVE_BLOCKS`, or beside the
//! project; without any, the generated ones are all there is.

use std::path::{Path, PathBuf};

use forewave::{
    Block, MemoryState,
    input::{BlockInput, LoadOptions},
};
use forewave_fixtures::Scenario;

/// Where real blocks are looked for unless `FOREWAVE_BLOCKS` says otherwise.
const REAL_BLOCKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/blocks");

/// How many real blocks are measured.
const REAL_BLOCKS_MAX: usize = 5;

/// Real blocks with fewer transactions say little.
const REAL_TRANSACTIONS_MIN: usize = 50;

/// Seed of the generated blocks.
const SEED: u64 = 1;

/// The generated blocks, each with its number of transactions.
const GENERATED: [(Scenario, usize); 12] = [
    (Scenario::Transfers, 2000),
    (Scenario::HotTransfers { percent: 20 }, 2000),
    (Scenario::NonceChain, 1000),
    (Scenario::TokenTransfers, 1000),
    (Scenario::HotTokenTransfers { percent: 20 }, 1000),
    (Scenario::Swaps, 300),
    (Scenario::HotPool, 300),
    (Scenario::Game, 1000),
    (Scenario::MixedDefi, 500),
    (Scenario::HashedTargets, 500),
    (Scenario::TurnedBranches, 500),
    (Scenario::LateConflicts, 500),
];

/// A block to measure.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) block: Block,
    pub(crate) state: MemoryState,
}

impl Case {
    /// Transactions of the block, the unit of throughput.
    pub(crate) fn transactions(&self) -> u64 {
        u64::try_from(self.block.transactions.len()).expect("usize is at most 64 bits")
    }
}

/// The generated blocks, then the real ones.
pub(crate) fn cases() -> Vec<Case> {
    let generated = GENERATED.map(|(scenario, count)| {
        let workload = scenario.generate(count, SEED);
        Case { name: scenario.to_string(), block: workload.block, state: workload.state }
    });
    generated.into_iter().chain(real_cases()).collect()
}

/// Five real blocks, evenly spaced over the loadable ones as sorted by number.
fn real_cases() -> Vec<Case> {
    let root =
        std::env::var_os("FOREWAVE_BLOCKS").map_or_else(|| REAL_BLOCKS.into(), PathBuf::from);
    let mut inputs: Vec<BlockInput> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| load(&entry.ok()?.path()))
        .filter(|input| input.block.transactions.len() >= REAL_TRANSACTIONS_MIN)
        .collect();
    inputs.sort_by_key(|input| (input.header.number, input.header.hash));
    let step = inputs.len().div_ceil(REAL_BLOCKS_MAX).max(1);
    inputs.into_iter().step_by(step).map(real_case).collect()
}

/// The block at `path`, unless it is of a chain that forewave does not execute.
fn load(path: &Path) -> Option<BlockInput> {
    BlockInput::load(path, &LoadOptions::default()).ok()
}

fn real_case(input: BlockInput) -> Case {
    let name = format!("{}-{}", input.chain, input.header.number);
    Case { name, block: input.block, state: input.state }
}
