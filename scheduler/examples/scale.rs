//! Time and memory of graph and schedule for ten thousand to a million
//! transactions: token transfers as the `static` predictor names them, all
//! independent or a fifth of them to a few hot accounts.
//!
//! `cargo run --release -p forewave-scheduler --example scale [-- TRANSACTIONS...]`

use std::{
    env, fs,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, U256, keccak256};
use forewave_analyzer::{AccessSetBuilder, Location, PredictedAccess};
use forewave_scheduler::{ConflictGraph, schedule};

/// Numbers of transactions unless others are given.
const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];

/// Runs of each size; the medians count.
const REPEAT: usize = 5;

/// Accounts that hot transfers go to.
const HOT_ACCOUNTS: usize = 10;

/// Gas of a token transfer.
const GAS: u64 = 35_000;

fn main() {
    println!(
        "{:<22} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6} {:>9}",
        "block", "txs", "graph ms", "sched ms", "ns/tx", "edges", "waves", "bytes/tx"
    );
    let given = env::args().skip(1).map(|size| size.parse().expect("a number of transactions"));
    let given: Vec<usize> = given.collect();
    let sizes = if given.is_empty() { SIZES.to_vec() } else { given };
    for (name, hot_percent) in [("independent", 0), ("20 % to hot accounts", 20)] {
        for &size in &sizes {
            let predictions = block(size, hot_percent);
            row(name, &predictions);
        }
    }
}

fn row(name: &str, predictions: &[PredictedAccess]) {
    let (mut graphs, mut schedules) = (Vec::new(), Vec::new());
    let (mut edges, mut waves, mut peak) = (0, 0, None);
    for _ in 0..REPEAT {
        // `5` resets the high-water mark (Linux); elsewhere memory is not measured.
        let before = fs::write("/proc/self/clear_refs", "5").ok().and_then(|()| memory("VmRSS:"));
        let start = Instant::now();
        let graph = ConflictGraph::new(predictions);
        graphs.push(start.elapsed());
        let start = Instant::now();
        let scheduled = schedule(&graph);
        schedules.push(start.elapsed());
        (edges, waves) = (graph.edge_count(), scheduled.waves().len());
        // What the first run leaves free, later ones take again.
        peak = peak.or(before.zip(memory("VmHWM:")).map(|(before, peak)| peak - before));
    }
    let size = predictions.len();
    let (graph, schedule) = (median(graphs), median(schedules));
    println!(
        "{name:<22} {size:>9} {:>9.2} {:>9.2} {:>9.0} {edges:>9} {waves:>6} {:>9}",
        graph.as_secs_f64() * 1e3,
        schedule.as_secs_f64() * 1e3,
        (graph + schedule).as_secs_f64() * 1e9 / size as f64,
        peak.map_or_else(|| "-".to_owned(), |bytes| (bytes / size as u64).to_string()),
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A figure of the kernel's account of this process, in bytes.
fn memory(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

/// Token transfers from as many senders.
fn block(size: usize, hot_percent: usize) -> Vec<PredictedAccess> {
    let token = Address::repeat_byte(0x70);
    let beneficiary = Address::repeat_byte(0xbe);
    let hash = |kind: u8, number: usize| keccak256([&[kind][..], &number.to_be_bytes()].concat());
    let balance_of = |hash: B256| Location::Storage(token, U256::from_be_bytes(hash.0));
    let transfer = |tx: usize| {
        let sender = Address::from_word(hash(0, tx));
        let is_hot = (tx * 37) % 100 < hot_percent;
        let to = if is_hot { hash(2, tx % HOT_ACCOUNTS) } else { hash(3, tx) };
        let mut set = AccessSetBuilder::new();
        for location in [
            Location::Balance(sender),
            Location::Nonce(sender),
            balance_of(hash(1, tx)),
            balance_of(to),
        ] {
            set.read(location).write(location);
        }
        set.read(Location::Code(sender)).read(Location::Code(token));
        set.delta(Location::Balance(beneficiary));
        PredictedAccess::exact(set.build(), GAS)
    };
    (0..size).map(transfer).collect()
}
