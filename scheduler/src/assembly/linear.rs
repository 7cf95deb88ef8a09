//! Orders with planned starts -> block order: who conflicts in the order of the starts,
//! everything else in the order in which it was taken.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use super::prepare::Candidates;
use crate::{OrderIndex, csr::Csr, uses::Uses};

/// What an order does at a place, as far as its position goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Readers commute.
    Reader,
    /// Credits commute.
    Creditor,
    Writer,
}

impl Kind {
    fn of(uses: Uses) -> Self {
        if uses.contains(Uses::WRITE) {
            Self::Writer
        } else if uses.contains(Uses::CREDIT) {
            // One that also reads all of it commutes with no other.
            if uses.contains(Uses::READ) { Self::Writer } else { Self::Creditor }
        } else {
            Self::Reader
        }
    }
}

/// The orders in block order. `taken` has them as they were taken, with their starts.
pub(super) fn block_order(
    candidates: &Candidates<'_>,
    taken: &[(OrderIndex, u64)],
) -> Vec<OrderIndex> {
    // Nodes: the orders as they were taken, then a barrier between any two groups.
    let mut edges: Vec<(usize, usize)> = required_edges(candidates, taken);
    let mut nodes = taken.len();
    let mut by_start: Vec<usize> = (0..taken.len()).collect();
    by_start.sort_by_key(|&at| (taken[at].1, at));
    let uses = by_start.iter().flat_map(|&at| {
        let uses = candidates.planned.row(taken[at].0.index()).iter();
        uses.map(move |&(place, uses)| (place as usize, (at, Kind::of(uses))))
    });
    let places = Csr::group(candidates.places.len(), uses);
    for place in 0..places.len() {
        let mut barrier = None;
        let same = |a: &(usize, Kind), b: &(usize, Kind)| a.1 == b.1 && a.1 != Kind::Writer;
        for group in places.row(place).chunk_by(same) {
            edges.extend(group.iter().filter_map(|&(at, _)| Some((barrier?, at))));
            barrier = Some(nodes);
            edges.extend(group.iter().map(|&(at, _)| (at, nodes)));
            nodes += 1;
        }
    }
    sorted(nodes, taken.len(), &edges).into_iter().map(|at| taken[at].0).collect()
}

/// What must come first whatever is touched: nonces, the front, the caller's pairs.
fn required_edges(candidates: &Candidates<'_>, taken: &[(OrderIndex, u64)]) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    let mut place_of = vec![None; candidates.orders().len()];
    let mut last_of = vec![None; candidates.accounts.len()];
    let front = front_len(candidates, taken);
    for (at, (order, _)) in taken.iter().enumerate() {
        place_of[order.index()] = Some(at);
        for need in candidates.needs.row(order.index()) {
            let last = last_of[need.account as usize].replace(at);
            edges.extend(last.map(|last| (last, at)));
        }
        let before = candidates.before.row(order.index()).iter();
        edges.extend(before.filter_map(|earlier| Some((place_of[earlier.index()]?, at))));
        let in_front = if at < front { at.checked_sub(1) } else { front.checked_sub(1) };
        edges.extend(in_front.map(|last| (last, at)));
    }
    edges
}

/// How many orders stand at the front: they were taken first.
fn front_len(candidates: &Candidates<'_>, taken: &[(OrderIndex, u64)]) -> usize {
    let first = &candidates.constraints.first;
    taken.iter().take_while(|(order, _)| first.contains(order)).count().min(first.len())
}

/// The first `len` nodes so that all edges lead onwards, otherwise ascending.
fn sorted(nodes: usize, len: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let onwards = Csr::group(nodes, edges.iter().copied());
    let mut needs = vec![0u32; nodes];
    for &(_, to) in edges {
        needs[to] += 1;
    }
    // Barriers first: they stand for orders that are placed.
    let rank = |node: usize| Reverse(if node < len { node + 1 } else { 0 });
    let mut ready: BinaryHeap<(Reverse<usize>, usize)> =
        (0..nodes).filter(|&node| needs[node] == 0).map(|node| (rank(node), node)).collect();
    let mut order = Vec::with_capacity(len);
    while let Some((_, node)) = ready.pop() {
        if node < len {
            order.push(node);
        }
        for &to in onwards.row(node) {
            needs[to] -= 1;
            if needs[to] == 0 {
                ready.push((rank(to), to));
            }
        }
    }
    debug_assert_eq!(order.len(), len, "starts give every conflict a direction");
    order
}
