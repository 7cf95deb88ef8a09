//! What a pool of 100,000 predicted orders costs: one insertion, one removal, a new head, memory.
//!
//! `cargo run --release --example pool [-- ORDERS]`
//!
//! Insertions and removals take turns in the full pool, on one thread. Everything is in memory
//! and the code is summarized. Then a block of orders of the pool is executed and becomes the
//! head; and then one comes that changes 1,000 slots that predictions were computed from.

use std::{
    collections::BTreeSet,
    env,
    error::Error,
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use cpu_time::ProcessTime;
use forewave::{
    Block, CancelToken, ConflictGroups, Location, MemoryState, PredictorKind, StateChanges,
    apply_changes,
    pool::{Order, Pool, PoolLimits},
    predict, sequential,
};
use forewave_fixtures::{Scenario, SplitMix64, Workload};
use rayon::ThreadPoolBuilder;
use revm::DatabaseRef;

/// As builders have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Orders unless another number is given.
const ORDERS: usize = 100_000;

/// Orders that come and go in the full pool.
const CHANGES: usize = 20_000;

/// Transactions of the block that becomes the head.
const BLOCK: usize = 250;

/// Slots that the last head changes.
const SLOTS: usize = 1_000;

const THREADS: usize = 2;

/// Most orders apart from each other and one hot account; and nearly all of them in one group.
const SCENARIOS: [Scenario; 2] = [Scenario::HotTokenTransfers { percent: 10 }, Scenario::MixedDefi];

fn main() -> Result<(), Box<dyn Error>> {
    let orders = env::args().nth(1).map_or(Ok(ORDERS), |orders| orders.parse())?;
    for scenario in SCENARIOS {
        let Workload { block, state } = scenario.generate(orders + CHANGES, 1);
        println!("{scenario}: {orders} orders");
        measure(&block, state, orders)?;
    }
    Ok(())
}

fn measure(block: &Block, mut state: MemoryState, orders: usize) -> Result<(), Box<dyn Error>> {
    let threads = Arc::new(ThreadPoolBuilder::new().num_threads(THREADS).build()?);
    let limits = PoolLimits { orders_max: 2 * orders, ..PoolLimits::default() };
    let pool = Pool::new(block, state.clone(), threads, limits);
    let token = CancelToken::new();
    // What the code touches is summarized beforehand, and the state's copy is paid for.
    let few = block.transactions[..orders.min(200)].to_vec();
    predict(&Block { transactions: few, ..block.clone() }, &state, &PredictorKind::Static)?;
    let held = resident_bytes()?;
    let transactions = block.transactions.iter().cloned();
    let all = transactions.clone().take(orders).map(Order::transaction).collect();
    let start = Instant::now();
    for inserted in pool.insert_all(all, &token) {
        inserted?;
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / orders as f64;
    let held = resident_bytes()?.saturating_sub(held);
    println!("  filled on {THREADS} threads               {each:>9.2} us each");
    println!(
        "  memory                             {:>9} bytes each resident, {} counted",
        held / orders,
        pool.bytes() / orders
    );
    come_and_go(&pool, transactions.skip(orders).map(Order::transaction))?;
    groups(&pool);
    let largest = pool.groups().0.iter().map(Vec::len).max().unwrap_or(0);
    println!("  largest group                      {largest:>9} of {} orders", pool.len());

    let included: Vec<_> = pool.ids().into_iter().take(BLOCK).collect();
    let included = included.iter().filter_map(|id| pool.get(*id));
    let transactions = included.map(|pooled| pooled.order.members()[0].tx().clone()).collect();
    let changes = sequential(&Block { transactions, ..block.clone() }, &state)?.state;
    apply_changes(&mut state, &changes);
    head("a block of 250 transactions", &pool, block, &state, &changes);
    let changes = deciding_slots(&pool, &state)?;
    head("slots that decide", &pool, block, &state, &changes);
    Ok(())
}

/// Orders leave and come, by turns.
fn come_and_go(
    pool: &Pool<MemoryState>,
    new: impl Iterator<Item = Order>,
) -> Result<(), Box<dyn Error>> {
    let mut random = SplitMix64::new(2);
    let mut ids = pool.ids();
    let [mut insertions, mut removals] = [Vec::new(), Vec::new()];
    for order in new {
        let gone = ids.swap_remove(random.index(ids.len()));
        let start = Instant::now();
        let removed = pool.remove(gone);
        removals.push(start.elapsed());
        assert!(removed.is_some());
        let start = Instant::now();
        let inserted = pool.insert(order)?;
        insertions.push(start.elapsed());
        ids.push(inserted.id);
    }
    print("inserted, predicted and grouped", insertions);
    print("removed", removals);
    Ok(())
}

/// The part of the groups: the same orders once more, without predicting them.
fn groups(pool: &Pool<MemoryState>) {
    let mut groups = ConflictGroups::new(PoolLimits::default().rule);
    let pooled: Vec<_> = pool.ids().into_iter().filter_map(|id| pool.get(id)).collect();
    let mut times = Vec::new();
    for pooled in &pooled {
        let start = Instant::now();
        groups.insert(pooled.id, &*pooled.predictions);
        times.push(start.elapsed());
    }
    print("  of which grouped", times);
}

/// Changes to slots that predictions were computed from, as many as there are, and to other
/// slots that are read; with the values that they have.
fn deciding_slots(
    pool: &Pool<MemoryState>,
    state: &MemoryState,
) -> Result<StateChanges, Box<dyn Error>> {
    let [mut deciding, mut read] = [BTreeSet::new(), BTreeSet::new()];
    for pooled in pool.ids().into_iter().rev().filter_map(|id| pool.get(id)) {
        let prediction = &pooled.predictions[0];
        deciding.extend(prediction.deciding_reads().into_iter().flatten().copied());
        if read.len() < SLOTS {
            read.extend(prediction.set().reads().iter().copied());
        }
    }
    let is_slot = |location: &Location| matches!(location, Location::Storage(..));
    let slots = deciding.iter().filter(|location| is_slot(location));
    println!("  deciding slots                     {:>9}", slots.clone().count());
    let mut changes = StateChanges::new();
    for location in slots.chain(read.iter().filter(|location| is_slot(location))).take(SLOTS) {
        let Location::Storage(address, key) = *location else { continue };
        let change = changes.entry(address).or_default();
        change.info = state.basic_ref(address)?;
        change.storage.insert(key, state.storage_ref(address, key)?);
    }
    Ok(changes)
}

fn head(
    what: &str,
    pool: &Pool<MemoryState>,
    block: &Block,
    state: &MemoryState,
    changes: &StateChanges,
) {
    let copy = state.clone();
    let passed = CancelToken::new();
    passed.cancel();
    let start = Instant::now();
    let followed = pool.on_head(block, copy, changes, &passed);
    let follow = start.elapsed();
    let (start, cpu) = (Instant::now(), ProcessTime::now());
    let report = pool.refresh(&CancelToken::new());
    let predict = start.elapsed();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert_eq!(followed.stale, report.predicted);
    let locations: usize = changes.values().map(|change| change.storage.len() + 1).sum();
    println!(
        "  head: {what:<28} {:>9.2} ms, {:.2} to follow, {:.2} to predict on {THREADS} threads \
         ({:.2} of processor): {locations} slots and accounts changed, {} orders dropped, \
         {} predicted again",
        ms(follow + predict),
        ms(follow),
        ms(predict),
        ms(cpu.elapsed()),
        followed.dropped.len(),
        report.predicted.len()
    );
}

/// Median, 99th percentile and maximum.
fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    let (median, p99, max) = (at(50), at(99), at(100));
    println!("  {what:<34} {median:>9.2} us median, {p99:>8.2} us p99, {max:>9.1} us max");
}

/// Bytes of the process in memory.
fn resident_bytes() -> Result<usize, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.ok_or("the system does not say how much memory is held")?.parse::<usize>()? << 10)
}
