//! Results that are kept change nothing but the time: the sample blocks in other orders, and
//! in another environment.

use std::{fs, path::PathBuf};

use forewave::{
    Block, ExecutionError, MemoryState, ReuseCache, RunPlan, Workers, execute,
    input::{BlockInput, LoadOptions},
    sequential,
};
use forewave_fixtures::SplitMix64;
use rayon::ThreadPoolBuilder;
use revm::primitives::U256;

/// Orders of each block.
const ORDERS: usize = 6;

fn samples() -> impl Iterator<Item = BlockInput> {
    let blocks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks");
    let paths = fs::read_dir(blocks).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| BlockInput::load(&path, &LoadOptions::default()).unwrap())
}

/// The transactions in another order, without those that cannot be executed there.
fn reordered(block: &Block, state: &MemoryState, random: &mut SplitMix64) -> Block {
    let mut block = block.clone();
    for at in (1..block.transactions.len()).rev() {
        let other = usize::try_from(random.below(at as u64 + 1)).unwrap();
        block.transactions.swap(at, other);
    }
    while let Err(error) = sequential(&block, state) {
        match error {
            ExecutionError::InvalidTransaction { tx, .. }
            | ExecutionError::GasLimitExceeded { tx, .. } => {
                block.transactions.remove(tx.index());
            }
            other => panic!("{other}"),
        }
    }
    block
}

#[test]
fn orders_that_reuse_results_of_other_orders_end_as_in_sequential_execution() {
    let pools = [1, 2].map(|n| ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    let (mut random, mut reused) = (SplitMix64::new(1), 0);
    for BlockInput { block, state, .. } in samples() {
        let known = ReuseCache::new();
        for order in 0..ORDERS {
            let block = reordered(&block, &state, &mut random);
            let expected = sequential(&block, &state).unwrap();
            let plan = RunPlan::in_block_order(&block).on_all_threads();
            for pool in &pools {
                let workers = Workers::new(pool).reusing(&known);
                let outcome = execute(&block, &state, &plan, workers).unwrap();
                let number = block.number();
                assert_eq!(outcome.first_difference(&expected), None, "{number}, order {order}");
                reused += outcome.stats.reused;
            }
        }
    }
    assert!(reused > 1000, "only {reused} results were known");
}

#[test]
fn another_environment_knows_nothing_of_what_was_kept() {
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let BlockInput { mut block, state, .. } =
        samples().max_by_key(|input| input.block.transactions.len()).unwrap();
    let known = ReuseCache::new();
    let run = |block: &Block| {
        let plan = RunPlan::in_block_order(block);
        let workers = Workers::new(&pool).reusing(&known);
        let outcome = execute(block, &state, &plan, workers).unwrap();
        assert_eq!(outcome.first_difference(&sequential(block, &state).unwrap()), None);
        outcome.stats.reused
    };
    assert_eq!(run(&block), 0);
    let results = known.len();
    assert!(results > 0 && run(&block) > 0);
    block.env.timestamp += U256::ONE;
    assert_eq!(run(&block), 0);
    assert!(known.len() <= results);
}
