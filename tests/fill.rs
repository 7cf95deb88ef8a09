//! The fill loop on the sample blocks and on real ones: whatever it is asked to fill, it holds
//! what sequential execution of the same transactions gives.

#[path = "support/filled.rs"]
mod filled;

use std::{fs, path::PathBuf};

use forewave::{
    Block, FillLoop, FilledTx, MemoryState, OrderItem, ReuseCache,
    input::{BlockInput, LoadOptions},
};
use forewave_fixtures::SplitMix64;
use revm::primitives::hardfork::SpecId;

use self::filled::{check_orders, check_state};

fn blocks_in(directory: &str) -> Vec<PathBuf> {
    let blocks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(directory);
    let Ok(entries) = fs::read_dir(&blocks) else {
        eprintln!("skipped: no blocks at {}", blocks.display());
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn samples() -> impl Iterator<Item = BlockInput> {
    let load = |path: PathBuf| BlockInput::load(&path, &LoadOptions::default()).unwrap();
    blocks_in("fixtures/blocks").into_iter().map(load)
}

/// The same block under the rules of Amsterdam, with its access list made, and little gas.
fn under_amsterdam(block: &Block) -> Block {
    let mut block = Block { makes_access_list: true, ..block.clone() };
    block.cfg.set_spec_and_mainnet_gas_params(SpecId::AMSTERDAM);
    block.env.gas_limit = 2_000_000;
    block.env.prevrandao.get_or_insert_default();
    if block.env.blob_excess_gas_and_price.is_none() {
        block.env.set_blob_excess_gas_and_price(0, 5_007_716);
    }
    block.parent_beacon_block_root.get_or_insert_default();
    block
}

#[test]
fn orders_of_a_sample_block_with_bundles_end_as_in_sequential_execution() {
    let mut random = SplitMix64::new(1);
    for BlockInput { block, state, .. } in samples() {
        let cache = ReuseCache::new();
        for block in [under_amsterdam(&block), block] {
            let mut fill = FillLoop::new(&block, &state, &cache).unwrap();
            check_orders(&mut fill, &block, &state, (3, 8), &mut random);
        }
    }
}

#[test]
fn loops_that_share_a_cache_find_each_others_results() {
    let BlockInput { block, state, .. } =
        samples().max_by_key(|input| input.block.transactions.len()).unwrap();
    let cache = ReuseCache::new();
    let order: Vec<OrderItem> = block.indexed().map(|(tx, _)| tx.into()).collect();
    let fill_on_thread = || {
        let mut fill = FillLoop::new(&block, &state, &cache).unwrap();
        fill.fill(&order).unwrap();
        fill.transactions().iter().filter(|tx| tx.is_reused()).count()
    };
    std::thread::scope(|scope| {
        let threads = [(); 3].map(|()| scope.spawn(fill_on_thread));
        for thread in threads {
            assert!(thread.join().is_ok());
        }
    });
    assert_eq!(fill_on_thread(), block.transactions.len());
}

#[test]
fn orders_of_every_real_block_end_as_in_sequential_execution() {
    let (mut random, mut filled, mut blocks) = (SplitMix64::new(1), 0, 0);
    for path in blocks_in("../shared/blocks") {
        let Ok(input) = BlockInput::load(&path, &LoadOptions::default()) else { continue };
        let BlockInput { block, state, .. } = input;
        if block.is_dao_fork {
            continue;
        }
        let cache = ReuseCache::new();
        let mut fill = FillLoop::new(&block, &state, &cache).unwrap();
        for _ in 0..2 {
            fill.fill(&part(&block, &mut random)).unwrap();
            check_state(&mut fill, &block, &state);
            filled += fill.transactions().len();
        }
        check_reuse(&mut fill, &block, &state);
        blocks += 1;
    }
    assert!(filled >= 100 * blocks, "only {filled} transactions of {blocks} blocks");
}

/// Runs of the block's transactions, in the order of the block or the other way round.
fn part(block: &Block, random: &mut SplitMix64) -> Vec<OrderItem> {
    let txs: Vec<_> = block.indexed().map(|(tx, _)| tx).collect();
    let runs = txs.chunks(1 + usize::try_from(random.below(40)).unwrap());
    let mut runs: Vec<_> = runs.map(<[_]>::to_vec).collect();
    if random.below(2) == 0 {
        runs.reverse();
    }
    runs.retain(|_| random.below(4) > 0);
    runs.concat().into_iter().map(OrderItem::from).collect()
}

/// What is taken back and filled again is all known.
fn check_reuse(fill: &mut FillLoop<'_, MemoryState>, block: &Block, state: &MemoryState) {
    let order: Vec<_> = fill.items().iter().map(|filled| filled.item().clone()).collect();
    fill.truncate(0);
    assert_eq!(fill.transactions().len(), 0);
    fill.fill(&order).unwrap();
    assert!(fill.transactions().iter().all(FilledTx::is_reused));
    check_state(fill, block, state);
}
