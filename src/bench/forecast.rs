//! How long a block would take on machines that are not there.
//!
//! Two steps. [`makespan`] runs the conflict graph on so many threads as list
//! scheduling does: whenever a thread is free, it takes, of the transactions
//! that wait for nobody, the one with the heaviest path after it; transactions
//! weigh what they took alone. [`Model`] then fits what was measured here,
//! `execute = fixed + factor x makespan`, since running in parallel adds a
//! share to each transaction and a part that no thread shortens.
//!
//! Where a block is predicted while it runs, the whole time is fitted instead.
//!
//! It assumes that cores do not slow each other down (memory, shared caches,
//! clock), and that analysis and scheduling take as long as measured.

use core::{cmp::Reverse, time::Duration};
use std::collections::BinaryHeap;

use crate::ConflictGraph;

/// Time from the start of the first transaction to the end of the last on
/// `threads` threads, transactions taking `times` each.
///
/// # Panics
///
/// If `threads` is 0, or if there is not one time for each transaction.
pub fn makespan(graph: &ConflictGraph, times: &[Duration], threads: usize) -> Duration {
    assert!(threads > 0, "nothing ends without a thread");
    assert_eq!(times.len(), graph.len(), "one time for each transaction");
    let paths = heaviest_paths(graph, times);
    let mut waits_for: Vec<usize> =
        graph.transactions().map(|tx| graph.predecessors(tx).count()).collect();
    let ready = graph.transactions().filter(|tx| waits_for[tx.index()] == 0);
    let mut ready: BinaryHeap<_> = ready.map(|tx| (paths[tx.index()], Reverse(tx))).collect();
    // When each thread that is busy will be done, and with what.
    let mut busy = BinaryHeap::new();
    let mut now = Duration::ZERO;
    loop {
        while busy.len() < threads
            && let Some((_, Reverse(tx))) = ready.pop()
        {
            busy.push(Reverse((now + times[tx.index()], tx)));
        }
        let Some(Reverse((end, done))) = busy.pop() else { return now };
        now = end;
        for later in graph.successors(done) {
            let waits = &mut waits_for[later.index()];
            *waits -= 1;
            if *waits == 0 {
                ready.push((paths[later.index()], Reverse(later)));
            }
        }
    }
}

/// For each transaction, its time and that of the heaviest path after it.
fn heaviest_paths(graph: &ConflictGraph, times: &[Duration]) -> Vec<Duration> {
    let mut paths = times.to_vec();
    for tx in graph.transactions().rev() {
        let after = graph.successors(tx).map(|later| paths[later.index()]).max();
        paths[tx.index()] += after.unwrap_or_default();
    }
    paths
}

/// Makespan to execution time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    fixed: f64,
    factor: f64,
}

impl Model {
    /// The model closest to the measured pairs of makespan and execution time
    /// (least squares), neither part of it negative. A single pair gives the
    /// factor alone; without any, the makespan itself is the prediction.
    pub fn fit(pairs: &[(f64, f64)]) -> Self {
        let count = pairs.len() as f64;
        let sum = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
        let (x, y) = (sum(|pair| pair.0), sum(|pair| pair.1));
        let (xx, xy) = (sum(|pair| pair.0 * pair.0), sum(|pair| pair.0 * pair.1));
        if xx <= 0.0 {
            let fixed = if pairs.is_empty() { 0.0 } else { y / count };
            return Self { fixed, factor: 1.0 };
        }
        let variance = count * xx - x * x;
        // Below this share of it, the makespans are one and the same but for rounding.
        if variance > count * xx * 1e-9 {
            let factor = (count * xy - x * y) / variance;
            let fixed = (y - factor * x) / count;
            if fixed >= 0.0 && factor >= 0.0 {
                return Self { fixed, factor };
            }
            if factor < 0.0 {
                return Self { fixed: y / count, factor: 0.0 };
            }
        }
        Self { fixed: 0.0, factor: xy / xx }
    }

    /// The execution time for a makespan.
    pub fn execute_ms(self, makespan_ms: f64) -> f64 {
        self.fixed + self.factor * makespan_ms
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;
    use crate::{AccessSetBuilder, Location, PredictedAccess};

    /// A block in which each transaction reads what those named write: its own index.
    fn graph(reads: &[&[u8]]) -> ConflictGraph {
        let at = |byte| Location::Balance(Address::repeat_byte(byte));
        let predictions = reads.iter().zip(0..).map(|(reads, tx)| {
            let mut set = AccessSetBuilder::new();
            set.write(at(tx));
            for &earlier in *reads {
                set.read(at(earlier));
            }
            PredictedAccess::exact(set.build(), 1)
        });
        ConflictGraph::new(&predictions.collect::<Vec<_>>())
    }

    #[test]
    fn the_makespan_is_what_list_scheduling_reaches() {
        let independent: &[&[u8]] = &[&[], &[], &[], &[]];
        let chain: &[&[u8]] = &[&[], &[0], &[1], &[2]];
        let diamond: &[&[u8]] = &[&[], &[0], &[0], &[1, 2]];
        for (reads, times, threads, expected) in [
            (independent, [1, 1, 1, 1], 1, 4),
            (independent, [1, 1, 1, 1], 2, 2),
            (independent, [1, 1, 1, 1], 64, 1),
            (independent, [1, 1, 1, 3], 2, 3),
            (chain, [1, 2, 3, 4], 1, 10),
            (chain, [1, 2, 3, 4], 64, 10),
            (diamond, [1, 5, 2, 1], 2, 7),
            (diamond, [1, 5, 2, 1], 1, 9),
        ] {
            let times = times.map(Duration::from_millis);
            let found = makespan(&graph(reads), &times, threads);
            assert_eq!(found, Duration::from_millis(expected), "{reads:?} on {threads}");
        }
    }

    #[test]
    fn an_empty_block_takes_no_time() {
        assert_eq!(makespan(&graph(&[]), &[], 3), Duration::ZERO);
    }

    #[test]
    fn the_model_finds_the_parts_that_made_the_measurements() {
        for (pairs, makespan, expected) in [
            (&[][..], 7.0, 7.0),
            (&[(4.0, 6.0)], 2.0, 3.0),
            (&[(4.0, 7.0), (2.0, 5.0)], 1.0, 4.0),
            // A serial block: more threads gave nothing.
            (&[(4.0, 6.0), (4.0, 6.0)], 4.0, 6.0),
            // Better than the makespans allow: no negative fixed part.
            (&[(4.0, 8.0), (2.0, 2.0)], 0.0, 0.0),
            // Worse with more threads: the makespan explains nothing.
            (&[(4.0, 5.0), (2.0, 7.0)], 1.0, 6.0),
            (&[(0.0, 2.0)], 0.0, 2.0),
        ] {
            let found = Model::fit(pairs).execute_ms(makespan);
            assert!((found - expected).abs() < 1e-9, "{pairs:?}: {found}");
        }
    }
}
