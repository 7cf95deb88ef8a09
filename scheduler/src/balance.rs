//! Earliest levels -> waves of balanced gas.
//!
//! With a barrier after each wave, a wave takes as long as its heaviest chain,
//! or as its gas spread over the lanes, whichever is longer. A chain with slack
//! moves to a later wave where that lowers the sum over the waves. The number of
//! waves stays: every level has a chain on a longest path, and that has no slack.
//!
//! The lanes are the block's own parallelism, rounded up, so that the schedule
//! is a function of the graph alone and not of the machine.

use std::collections::BinaryHeap;

use crate::{Chain, ConflictGraph, chain::Chains};

/// How many waves later than its earliest a chain is looked at: the cost is
/// this times the number of chains.
const SLACK_WAVES_MAX: u32 = 64;

/// Moves chains to later waves. `waves` holds the wave of each chain and stays
/// feasible.
pub(crate) fn balance(graph: &ConflictGraph, chains: &Chains, lanes: u64, waves: &mut [u32]) {
    let Some(&last) = waves.iter().max() else { return };
    let mut loads: Vec<Load> = (0..=last).map(|_| Load::default()).collect();
    for (chain, &wave) in waves.iter().enumerate() {
        loads[wave as usize].add(chain, chains.chains[chain].gas());
    }
    // From the last chain to the first, so that whoever waits for a chain has its final wave.
    for chain in (0..waves.len()).rev() {
        let earliest = waves[chain];
        let next = chains.after(graph, chain).map(|after| waves[after]).min();
        let latest =
            next.map_or(last, |next| next - 1).min(earliest.saturating_add(SLACK_WAVES_MAX));
        if latest > earliest {
            move_later(chain, &chains.chains, lanes, latest, waves, &mut loads);
        }
    }
}

/// Moves one chain to the wave, of those up to `latest`, where it costs least,
/// if that is less than what its own wave gains.
fn move_later(
    chain: usize,
    chains: &[Chain],
    lanes: u64,
    latest: u32,
    waves: &mut [u32],
    loads: &mut [Load],
) {
    let gas = chains[chain].gas();
    let earliest = waves[chain];
    let own = &mut loads[earliest as usize];
    let with = own.time(lanes);
    let heaviest = own.heaviest_without(chain, |other| waves[other] == earliest);
    let without = time(lanes, heaviest, own.total - u128::from(gas));
    let mut least = with - without;
    let mut best = earliest;
    for wave in earliest + 1..=latest {
        if least == 0 {
            break;
        }
        let load = &loads[wave as usize];
        let grown = time(lanes, load.heaviest.max(gas), load.total + u128::from(gas));
        let cost = grown - load.time(lanes);
        // The first wave that is free is as good as any other; otherwise the cheapest.
        if cost < least {
            (least, best) = (cost, wave);
        }
    }
    if best != earliest {
        let own = &mut loads[earliest as usize];
        own.total -= u128::from(gas);
        own.heaviest = heaviest;
        waves[chain] = best;
        loads[best as usize].add(chain, gas);
    }
}

/// The gas of one wave.
#[derive(Debug, Default)]
struct Load {
    total: u128,
    heaviest: u64,
    /// Chains by gas, with some that have moved away.
    by_gas: BinaryHeap<(u64, usize)>,
}

impl Load {
    fn add(&mut self, chain: usize, gas: u64) {
        self.total += u128::from(gas);
        self.heaviest = self.heaviest.max(gas);
        self.by_gas.push((gas, chain));
    }

    /// The gas of the heaviest chain but one. `is_here` tells who has moved away.
    fn heaviest_without(&mut self, chain: usize, is_here: impl Fn(usize) -> bool) -> u64 {
        let mut own = None;
        while let Some(&(gas, top)) = self.by_gas.peek() {
            if top != chain && is_here(top) {
                break;
            }
            own = own.or((top == chain).then_some((gas, top)));
            self.by_gas.pop();
        }
        let heaviest = self.by_gas.peek().map_or(0, |&(gas, _)| gas);
        self.by_gas.extend(own);
        heaviest
    }

    fn time(&self, lanes: u64) -> u128 {
        time(lanes, self.heaviest, self.total)
    }
}

/// Time of a wave on `lanes` threads, in gas times lanes.
fn time(lanes: u64, heaviest: u64, total: u128) -> u128 {
    (u128::from(heaviest) * u128::from(lanes)).max(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chain::levels, notation::block};

    /// Time of all waves, in gas times lanes.
    fn total_time(chains: &Chains, lanes: u64, waves: &[u32]) -> u128 {
        let last = waves.iter().max().copied().unwrap_or(0);
        let mut loads: Vec<Load> = (0..=last).map(|_| Load::default()).collect();
        for (chain, &wave) in waves.iter().enumerate() {
            loads[wave as usize].add(chain, chains.chains[chain].gas());
        }
        loads.iter().map(|load| load.time(lanes)).sum()
    }

    #[test]
    fn balancing_shortens_the_run_down_to_what_the_block_allows() {
        for (text, lanes, before, after) in [
            // Nothing to move to.
            ("Wa #9 | Wb #1 | Wc #5", 2, 18, 18),
            // A heavy chain hides behind an equally heavy one.
            ("Wa #10 | Wb #100 | Ra #100 | Ra #100", 4, 800, 440),
            // Light chains fill a narrow wave.
            ("Wa #5 | Wb #5 | Wc #5 | Wd #5 | Ra #5 | Ra #5", 3, 35, 30),
            // The later wave would grow as much as the earlier shrinks.
            ("Wa #10 | Wb #10 | Ra #1 | Ra #1", 8, 88, 88),
        ] {
            let graph = ConflictGraph::new(&block(text));
            let chains = Chains::new(&graph);
            let mut waves = levels(&graph, &chains);
            assert_eq!(total_time(&chains, lanes, &waves), before, "{text}");
            balance(&graph, &chains, lanes, &mut waves);
            assert_eq!(total_time(&chains, lanes, &waves), after, "{text}");
        }
    }

    #[test]
    fn no_chain_is_heavier_than_the_rest_of_an_empty_wave() {
        let mut load = Load::default();
        load.add(3, 7);
        assert_eq!(load.heaviest_without(3, |_| true), 0);
        load.add(4, 9);
        load.add(5, 8);
        assert_eq!(load.heaviest_without(4, |chain| chain != 5), 7);
        assert_eq!(load.heaviest_without(3, |chain| chain != 5), 9);
    }
}
