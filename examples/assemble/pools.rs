//! Block directories -> pools of transactions that were valid one after the other.

use std::{
    fs,
    path::{Path, PathBuf},
};

use forewave::{
    Block, BlockOutcome, ExecutionError, MemoryState, SequentialRun, StateError,
    input::{BlockInput, LoadOptions},
};
use revm::DatabaseRef;

/// Transactions that a pool of consecutive blocks has at least, where the run has so many.
const WINDOW: usize = 100;

/// Fewest transactions of a pool that counts.
const TRANSACTIONS_MIN: usize = 20;

pub(crate) fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.sort();
    found
}

/// Transactions that a block can be assembled from: all of them valid in this order.
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) block: Block,
    pub(crate) state: MemoryState,
    /// Gas that each uses, run one after the other.
    pub(crate) gas: Vec<u64>,
}

/// The pools of a directory: of one block, or of a run.
pub(crate) fn pools(directory: &Path) -> Vec<Pool> {
    let load = |path: &Path| BlockInput::load(path, &LoadOptions::default()).ok();
    if let Some(input) = load(directory) {
        return Pool::of(name(directory), &[input]).into_iter().collect();
    }
    let inputs: Vec<BlockInput> = entries(directory).iter().filter_map(|path| load(path)).collect();
    let mut pools = Vec::new();
    let mut left = &inputs[..];
    while !left.is_empty() {
        let mut transactions = 0;
        let enough = left.iter().position(|input| {
            transactions += input.block.transactions.len();
            transactions >= WINDOW
        });
        let (window, rest) = left.split_at(enough.map_or(left.len(), |last| last + 1));
        left = rest;
        let chain = name(directory).split('-').next().unwrap_or_default().to_owned();
        let name = format!("{chain}-{} +{}", window[0].block.number(), window.len() - 1);
        pools.extend(Pool::of(name, window));
    }
    pools
}

fn name(directory: &Path) -> String {
    directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Pool {
    /// The transactions of consecutive blocks on the state before the first one: of every
    /// account and slot the earliest that a block says.
    fn of(name: String, inputs: &[BlockInput]) -> Option<Self> {
        let mut state = MemoryState::default();
        for input in inputs.iter().rev() {
            for (address, info, storage) in input.state.accounts() {
                let mut info = info.clone();
                info.code = input.state.code_by_hash_ref(info.code_hash).ok();
                state.insert_account(address, info);
                for (key, value) in storage {
                    state.insert_storage(address, key, value);
                }
            }
            for (number, hash) in input.state.block_hashes() {
                state.insert_block_hash(number, hash);
            }
        }
        let transactions = inputs.iter().flat_map(|input| input.block.transactions.clone());
        let mut block = inputs[0].block.clone();
        block.transactions = transactions.collect();
        block.access_list = None;
        block.makes_access_list = false;
        block.withdrawals.clear();
        let limit = core::mem::replace(&mut block.env.gas_limit, u64::MAX >> 1);
        let run = run(&block, &state)?;
        block = run.block;
        block.env.gas_limit = limit;
        let gas = run.outcome.receipts.iter().map(|receipt| receipt.gas_used).collect();
        let pool = Self { name, block, state, gas };
        (pool.block.transactions.len() >= TRANSACTIONS_MIN).then_some(pool)
    }
}

/// A block without what turned out to be invalid, and what it does.
pub(crate) struct Run {
    pub(crate) block: Block,
    pub(crate) outcome: BlockOutcome,
    pub(crate) invalid: usize,
}

/// Executes a block sequentially and drops what is invalid.
pub(crate) fn run(block: &Block, state: &MemoryState) -> Option<Run> {
    let mut run = SequentialRun::new(block, state).ok()?;
    let (mut valid, mut invalid) = (Vec::new(), 0);
    for (tx, env) in block.indexed() {
        match run.step(tx) {
            Ok(_) => valid.push(env.clone()),
            Err(
                ExecutionError::InvalidTransaction { .. } | ExecutionError::GasLimitExceeded { .. },
            ) => invalid += 1,
            Err(error) => return failed(&error),
        }
    }
    let outcome = run.finish().ok()?;
    Some(Run { block: Block { transactions: valid, ..block.clone() }, outcome, invalid })
}

fn failed<T>(error: &ExecutionError<StateError>) -> Option<T> {
    eprintln!("left out: {error}");
    None
}
