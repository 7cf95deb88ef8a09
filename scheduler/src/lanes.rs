//! Conflict graph -> who runs when on how many cores, if time is gas and nothing else waits.
//!
//! List scheduling: a core that is free takes, of the transactions whose predecessors are
//! done, the one with the heaviest remaining path, ties by index. No barriers.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use forewave_analyzer::TxIndex;
use serde::Serialize;

use crate::{ConflictGraph, remaining_gas};

/// When and where one transaction runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LaneSlot {
    /// The core, counted from 0.
    pub lane: u32,
    /// Gas that has passed when it starts.
    pub start: u64,
}

/// A run of a block on some cores.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lanes {
    /// Cores.
    pub lanes: u32,
    /// By transaction.
    pub slots: Vec<LaneSlot>,
    /// Gas that has passed at the end.
    pub end: u64,
}

/// Runs the block on `lanes` cores, at least one.
pub fn lanes(graph: &ConflictGraph, lanes: u32) -> Lanes {
    let lanes = lanes.max(1);
    let remaining = remaining_gas(graph);
    let mut needs: Vec<usize> =
        graph.transactions().map(|tx| graph.predecessors(tx).count()).collect();
    let rank = |tx: TxIndex| (remaining[tx.index()], Reverse(tx));
    let mut ready: BinaryHeap<(u64, Reverse<TxIndex>)> =
        graph.transactions().filter(|tx| needs[tx.index()] == 0).map(rank).collect();
    // More cores than transactions stay idle.
    let used = u32::try_from(graph.len()).map_or(lanes, |transactions| lanes.min(transactions));
    let mut free: BinaryHeap<Reverse<u32>> = (0..used).map(Reverse).collect();
    let mut running: BinaryHeap<Reverse<(u64, TxIndex, u32)>> = BinaryHeap::new();
    let mut slots = vec![LaneSlot::default(); graph.len()];
    let mut now = 0;
    loop {
        while !free.is_empty() && !ready.is_empty() {
            let (Some(Reverse(lane)), Some((_, Reverse(tx)))) = (free.pop(), ready.pop()) else {
                break;
            };
            slots[tx.index()] = LaneSlot { lane, start: now };
            running.push(Reverse((now.saturating_add(graph.gas(tx)), tx, lane)));
        }
        let Some(Reverse((end, tx, lane))) = running.pop() else { break };
        now = end;
        free.push(Reverse(lane));
        for later in graph.successors(tx) {
            needs[later.index()] -= 1;
            if needs[later.index()] == 0 {
                ready.push(rank(later));
            }
        }
    }
    Lanes { lanes, slots, end: now }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{notation::block, schedule};

    const BLOCK: &str = "Wa #5 | Wb #7 | Ra Wc #1 | Rb #1 | Rc #4 | Rd #3 | Re #3";

    #[test]
    fn nothing_overlaps_and_nothing_starts_before_what_it_needs_is_done() {
        let graph = ConflictGraph::new(&block(BLOCK));
        let figures = schedule(&graph);
        for count in [1, 2, 3, 8] {
            let run = lanes(&graph, count);
            let end = |tx: TxIndex| run.slots[tx.index()].start + graph.gas(tx);
            for tx in graph.transactions() {
                let slot = run.slots[tx.index()];
                assert!(slot.lane < count);
                assert!(graph.predecessors(tx).all(|earlier| end(earlier) <= slot.start), "{tx}");
                let on_lane = graph
                    .transactions()
                    .filter(|other| *other != tx && run.slots[other.index()].lane == slot.lane);
                for other in on_lane {
                    let at = run.slots[other.index()].start;
                    assert!(end(other) <= slot.start || end(tx) <= at, "{tx} {other}");
                }
            }
            let bound = figures.span().max(figures.work().div_ceil(u64::from(count)));
            assert!(run.end >= bound && run.end <= figures.work());
        }
        assert_eq!(lanes(&graph, 1).end, figures.work());
        assert_eq!(lanes(&graph, 8).end, figures.span());
    }

    #[test]
    fn a_block_of_nothing_takes_no_time() {
        assert_eq!(lanes(&ConflictGraph::new(&[]), 0), Lanes { lanes: 1, ..Lanes::default() });
    }
}
