//! A builder's work on real blocks: the same transactions again and again, in other orders.
//!
//! `cargo run --release --example orders -- [--orders 50] [DIR]...`
//!
//! Each order is a random one of a random part of the block's transactions, where those of
//! one sender keep their order. It is filled on one thread, once by sequential execution and
//! once with the results that earlier orders have left. Both outcomes are compared.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use forewave::{
    Block, ExecutionError, MemoryState, ReuseCache, RunPlan, Workers, execute,
    input::{BlockInput, LoadOptions},
    sequential,
};
use forewave_fixtures::SplitMix64;
use rayon::{ThreadPool, ThreadPoolBuilder};
use revm::{DatabaseRef, context::TxEnv, primitives::TxKind};

/// Of the whole program, so that it favours neither way to fill a block.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fewest transactions of a block that counts.
const TRANSACTIONS_MIN: usize = 20;

/// Some of the transactions in another order. Those of one sender keep theirs, and what
/// cannot be executed there is left out.
fn shuffled(block: &Block, state: &MemoryState, random: &mut SplitMix64) -> Block {
    let mut places: Vec<usize> = (0..block.transactions.len()).collect();
    for at in (1..places.len()).rev() {
        places.swap(at, below(random, at + 1));
    }
    let mut transactions: Vec<_> =
        places.iter().map(|&at| block.transactions[at].clone()).collect();
    let mut senders: Vec<_> = transactions.iter().map(|tx| tx.caller).collect();
    senders.sort_unstable();
    senders.dedup();
    for sender in senders {
        let of_sender: Vec<usize> =
            (0..transactions.len()).filter(|&at| transactions[at].caller == sender).collect();
        let mut own: Vec<_> = of_sender.iter().map(|&at| transactions[at].clone()).collect();
        own.sort_by_key(|tx| tx.nonce);
        of_sender.into_iter().zip(own).for_each(|(at, tx)| transactions[at] = tx);
    }
    let keep = transactions.len() / 2 + below(random, transactions.len() / 2 + 1);
    transactions.truncate(keep);
    let mut block = Block { transactions, ..block.clone() };
    while let Err(error) = sequential(&block, state) {
        let ExecutionError::InvalidTransaction { tx, .. } = error else {
            block.transactions.pop();
            continue;
        };
        block.transactions.remove(tx.index());
    }
    block
}

fn below(random: &mut SplitMix64, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("below a number of this type")
}

/// Whether more than a plain transfer: its result is worth keeping.
fn is_call(block: &Block, state: &MemoryState, tx: &TxEnv) -> bool {
    let TxKind::Call(to) = tx.kind else { return true };
    let info = state.basic_ref(to).expect("in memory");
    let has_code = info.is_some_and(|info| !info.is_empty_code_hash());
    has_code || !tx.data.is_empty() || [tx.caller, to].contains(&block.env.beneficiary)
}

/// What was found of some orders.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    uncached: Duration,
    reusing: Duration,
    reused: usize,
    /// Transactions that are more than plain transfers.
    calls: usize,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.uncached += other.uncached;
        self.reusing += other.reusing;
        self.reused += other.reused;
        self.calls += other.calls;
    }

    fn print(&self, what: &str) {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{what:<24} {:>9.2} {:>9.2} {:>6.2} {:>7.1} {:>7}",
            ms(self.uncached),
            ms(self.reusing),
            ms(self.uncached) / ms(self.reusing),
            100.0 * self.reused as f64 / self.calls.max(1) as f64,
            self.calls,
        );
    }
}

fn main() {
    let (mut orders, mut directories) = (50, Vec::new());
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--orders" => orders = args.next().expect("a number").parse().expect("a number"),
            directory => directories.push(PathBuf::from(directory)),
        }
    }
    if directories.is_empty() {
        let blocks = fs::read_dir("../shared/blocks").expect("the blocks are there");
        directories = blocks.map(|entry| entry.expect("a block").path()).collect();
        directories.retain(|path| path.to_string_lossy().contains("mainnet-"));
        directories.sort();
    }
    println!("second half of {orders} orders, one thread; times in ms");
    println!(
        "{:<24} {:>9} {:>9} {:>6} {:>7} {:>7}",
        "block", "uncached", "reusing", "ratio", "reused%", "calls"
    );
    let pool = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let mut total = Found::default();
    for directory in directories {
        if let Some(found) = measure(&directory, orders, &pool) {
            found.print(&directory.file_name().unwrap_or_default().to_string_lossy());
            total.add(found);
        }
    }
    total.print("total");
}

fn measure(directory: &Path, orders: usize, pool: &ThreadPool) -> Option<Found> {
    let input = BlockInput::load(directory, &LoadOptions::default()).ok()?;
    if input.block.transactions.len() < TRANSACTIONS_MIN {
        return None;
    }
    let (cache, mut random, mut found) = (ReuseCache::new(), SplitMix64::new(1), Found::default());
    for order in 0..orders {
        let block = shuffled(&input.block, &input.state, &mut random);
        let start = Instant::now();
        let expected = sequential(&block, &input.state).expect("a valid block");
        let uncached = start.elapsed();
        let start = Instant::now();
        let plan = RunPlan::in_block_order(&block);
        let workers = Workers::new(pool).reusing(&cache);
        let outcome = execute(&block, &input.state, &plan, workers).expect("a valid block");
        let reusing = start.elapsed();
        assert_eq!(outcome.first_difference(&expected), None);
        if order >= orders / 2 {
            let calls =
                block.transactions.iter().filter(|tx| is_call(&block, &input.state, tx)).count();
            found.add(Found { uncached, reusing, reused: outcome.stats.reused, calls });
        }
    }
    Some(found)
}
