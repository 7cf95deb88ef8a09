//! alloy-evm's block executor in parallel, against alloy-evm's own: receipts, requests, gas, the
//! bundle with its reverts, and what the state hook was told, on the sample blocks and, where
//! they are present, on the real ones; over revm's mainnet EVM and over one with a precompile and
//! an opcode of its own.

mod custom;
mod execute;
mod load;
mod own_block;

use std::{path::Path, sync::Arc};

use alloy_evm::EthEvmFactory;
use alloy_primitives::U256;
use rayon::{ThreadPool, ThreadPoolBuilder};

use self::{
    custom::{COUNTER, CustomEvmFactory},
    execute::{in_order, on_threads},
    load::{Loaded, real_blocks, sample_blocks},
    own_block::{COUNTING, own_block},
};

fn pool(threads: usize) -> Arc<ThreadPool> {
    Arc::new(ThreadPoolBuilder::new().num_threads(threads).build().unwrap())
}

/// Executes a block in every way, and compares. Gives how many transactions threads have read
/// the state for.
fn check(directory: &Path, pools: &[Arc<ThreadPool>]) -> usize {
    let Some(block) = Loaded::read(directory) else { return 0 };
    let name = directory.display();
    let mainnet = in_order(&block, EthEvmFactory::default());
    let custom = in_order(&block, CustomEvmFactory);
    let mut reads = 0;
    for pool in pools {
        let threads = pool.current_num_threads();
        let run = on_threads(&block, EthEvmFactory::default(), Arc::clone(pool));
        mainnet.assert_same(&run, &format!("{name}, mainnet EVM, {threads} threads"));
        reads += run.reads_of_threads;
        let run = on_threads(&block, CustomEvmFactory, Arc::clone(pool));
        custom.assert_same(&run, &format!("{name}, own EVM, {threads} threads"));
        reads += run.reads_of_threads;
    }
    reads
}

#[test]
fn every_sample_block_gives_what_the_sequential_executor_gives() {
    let pools = [1, 2, 4].map(pool);
    let blocks = sample_blocks();
    assert!(blocks.len() > 20);
    let reads: usize = blocks.iter().map(|block| check(block, &pools)).sum();
    assert!(reads > 0, "no thread has run anything");
}

#[test]
fn every_real_block_gives_what_the_sequential_executor_gives() {
    let pools = [pool(2)];
    let blocks = real_blocks();
    let reads: usize = blocks.iter().map(|block| check(block, &pools)).sum();
    println!("{} blocks, {reads} reads of threads of the pool", blocks.len());
    assert_eq!(blocks.is_empty(), reads == 0);
}

#[test]
fn a_precompile_and_an_opcode_of_its_own_give_what_they_give_sequentially() {
    let block = own_block();
    let truth = in_order(&block, CustomEvmFactory);
    assert_eq!(truth.slot(COUNTER, U256::ZERO), Some(U256::from(COUNTING)));
    assert!(!truth.is_same_bundle(&in_order(&block, EthEvmFactory::default())));
    let mut reads = 0;
    for threads in [1, 2, 3, 8] {
        let pool = pool(threads);
        for _ in 0..8 {
            let run = on_threads(&block, CustomEvmFactory, Arc::clone(&pool));
            truth.assert_same(&run, &format!("{threads} threads"));
            reads += run.reads_of_threads;
        }
    }
    assert!(reads > 0, "no thread has run anything");
}

#[test]
fn an_invalid_transaction_is_the_same_error() {
    let mut block = own_block();
    block.transactions.remove(3);
    let truth = in_order(&block, CustomEvmFactory);
    assert!(truth.error().is_some_and(|error| error.contains("nonce")));
    truth.assert_same(&on_threads(&block, CustomEvmFactory, pool(2)), "own EVM");
    truth_of_mainnet_is_the_same(&block);
}

fn truth_of_mainnet_is_the_same(block: &Loaded) {
    let truth = in_order(block, EthEvmFactory::default());
    truth.assert_same(&on_threads(block, EthEvmFactory::default(), pool(2)), "mainnet EVM");
}
