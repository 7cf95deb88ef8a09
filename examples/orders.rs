//! A builder's work on real blocks: the same transactions again and again, in other orders.
//!
//! `cargo run --release --example orders -- [--orders 50] [DIR]...`
//!
//! Each order is a random one of a random part of the block's transactions, where those of
//! one sender keep their order. It is filled on one thread, in three ways: by sequential
//! execution, by the fill loop, and with a cache of the obvious kind (`orders/exact.rs`). All
//! outcomes are compared. The first half of the orders is not counted.

#[path = "orders/exact.rs"]
mod exact;

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use forewave::{
    Block, ExecutionError, FillLoop, MemoryState, OrderItem, ReuseCache, SequentialRun, TxIndex,
    input::{BlockInput, LoadOptions},
    sequential,
};
use forewave_fixtures::SplitMix64;
use revm::{DatabaseRef, context::TxEnv, primitives::TxKind};

use exact::{ExactCache, ExactRun};

/// Of the whole program, so that it favours neither way to fill a block.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fewest transactions of a block that counts.
const TRANSACTIONS_MIN: usize = 20;

/// Some of the transactions in another order, by position. Those of one sender keep theirs, and
/// what cannot be executed there is left out.
fn shuffled(block: &Block, state: &MemoryState, random: &mut SplitMix64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..block.transactions.len()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, below(random, at + 1));
    }
    let sender = |tx: usize| block.transactions[tx].caller;
    let mut senders: Vec<_> = order.iter().map(|&tx| sender(tx)).collect();
    senders.sort_unstable();
    senders.dedup();
    for from in senders {
        let places: Vec<usize> = (0..order.len()).filter(|&at| sender(order[at]) == from).collect();
        let mut own: Vec<_> = places.iter().map(|&at| order[at]).collect();
        own.sort_unstable();
        places.into_iter().zip(own).for_each(|(at, tx)| order[at] = tx);
    }
    order.truncate(order.len() / 2 + below(random, order.len() / 2 + 1));
    while let Err(error) = sequential(&of_order(block, &order), state) {
        match error {
            ExecutionError::InvalidTransaction { tx, .. } => drop(order.remove(tx.index())),
            _ => drop(order.pop()),
        }
    }
    order
}

fn of_order(block: &Block, order: &[usize]) -> Block {
    let transactions = order.iter().map(|&tx| block.transactions[tx].clone()).collect();
    Block { transactions, ..block.clone() }
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
    /// Executing, and what makes a block of it.
    uncached: [Duration; 2],
    filling: [Duration; 2],
    exact: Duration,
    reused: usize,
    exact_reused: usize,
    /// Transactions that are more than plain transfers.
    calls: usize,
}

impl Found {
    fn add(&mut self, other: Self) {
        for part in 0..2 {
            self.uncached[part] += other.uncached[part];
            self.filling[part] += other.filling[part];
        }
        self.exact += other.exact;
        self.reused += other.reused;
        self.exact_reused += other.exact_reused;
        self.calls += other.calls;
    }

    fn against_uncached(&self) -> f64 {
        self.uncached[0].as_secs_f64() / self.filling[0].as_secs_f64()
    }

    fn sealed(&self) -> f64 {
        let all = |times: [Duration; 2]| (times[0] + times[1]).as_secs_f64();
        all(self.uncached) / all(self.filling)
    }

    fn against_exact(&self) -> f64 {
        self.exact.as_secs_f64() / self.filling[0].as_secs_f64()
    }

    fn print(&self, what: &str) {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let share = |reused: usize| 100.0 * reused as f64 / self.calls.max(1) as f64;
        println!(
            "{what:<20} {:>9.2} {:>8.2} {:>8.2} {:>7.2} {:>7.2} {:>7.2} {:>8.1} {:>7.1} {:>7}",
            ms(self.uncached[0]),
            ms(self.filling[0]),
            ms(self.exact),
            self.against_uncached(),
            self.sealed(),
            self.against_exact(),
            share(self.reused),
            share(self.exact_reused),
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
        "{:<20} {:>9} {:>8} {:>8} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7}",
        "block",
        "uncached",
        "fill",
        "exact",
        "ratio",
        "sealed",
        "/exact",
        "reused%",
        "exact%",
        "calls"
    );
    let (mut total, mut blocks) = (Found::default(), Vec::new());
    for directory in directories {
        if let Some(found) = measure(&directory, orders) {
            found.print(&directory.file_name().unwrap_or_default().to_string_lossy());
            total.add(found);
            blocks.push(found);
        }
    }
    total.print("total");
    if blocks.is_empty() {
        return;
    }
    let quantile = |of: fn(&Found) -> f64, tenths: usize| {
        let mut values: Vec<f64> = blocks.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[(values.len() - 1) * tenths / 10]
    };
    for (what, tenths) in [("median block", 5), ("tenth percentile", 1)] {
        let of = |ratio| quantile(ratio, tenths);
        println!(
            "{what}: {:.2} times uncached, {:.2} sealed, {:.2} times the exact cache",
            of(Found::against_uncached),
            of(Found::sealed),
            of(Found::against_exact),
        );
    }
}

fn measure(directory: &Path, orders: usize) -> Option<Found> {
    let BlockInput { block, state, .. } =
        BlockInput::load(directory, &LoadOptions::default()).ok()?;
    if block.transactions.len() < TRANSACTIONS_MIN || block.is_dao_fork {
        return None;
    }
    let (cache, mut exact) = (ReuseCache::new(), ExactCache::default());
    let (mut random, mut found) = (SplitMix64::new(1), Found::default());
    let mut fill = FillLoop::new(&block, &state, &cache).expect("a valid block");
    for number in 0..orders {
        let order = shuffled(&block, &state, &mut random);
        let ordered = of_order(&block, &order);
        let items: Vec<OrderItem> = order.iter().map(|&tx| TxIndex::new(tx).into()).collect();

        let start = Instant::now();
        let mut run = SequentialRun::new(&ordered, &state).expect("a valid block");
        for (tx, _) in ordered.indexed() {
            run.step(tx).expect("a valid order");
        }
        let executed = start.elapsed();
        let start = Instant::now();
        let expected = run.finish().expect("a valid block");
        let uncached = [executed, start.elapsed()];

        // What the order begins with as the last one did is not executed again.
        let kept = fill.items().iter().zip(&items).take_while(|(old, new)| old.item() == *new);
        let kept = kept.count();
        let start = Instant::now();
        fill.fill(&items).expect("a valid order");
        let filled = start.elapsed();
        let start = Instant::now();
        let outcome = fill.seal().expect("a valid block");
        let filling = [filled, start.elapsed()];
        assert_eq!(outcome.first_difference(&expected), None);

        let start = Instant::now();
        let mut run = ExactRun::new(&block, &state);
        let mut gas = 0;
        for &tx in &order {
            gas += run.step(&mut exact, tx).tx_gas_used();
        }
        let by_exact = start.elapsed();
        assert_eq!(gas, expected.receipts.last().map_or(0, |last| last.cumulative_gas_used));

        if number >= orders / 2 {
            let calls: Vec<bool> =
                ordered.transactions.iter().map(|tx| is_call(&block, &state, tx)).collect();
            let txs = fill.transactions().iter().enumerate();
            let reused = txs.map(|(at, tx)| at < kept || tx.is_reused());
            let among = |reused: &mut dyn Iterator<Item = bool>| {
                reused.zip(&calls).filter(|(reused, is_call)| *reused && **is_call).count()
            };
            found.add(Found {
                uncached,
                filling,
                exact: by_exact,
                reused: among(&mut reused.into_iter()),
                exact_reused: among(&mut run.reused.iter().copied()),
                calls: calls.iter().filter(|is_call| **is_call).count(),
            });
        }
    }
    Some(found)
}
