//! Observed accesses to true dependencies: who read what whom wrote last.

use forewave_analyzer::{AccessSet, Block, Location, ObservedAccess, TxIndex};
use forewave_scheduler::ConflictGraph;
use hashbrown::HashMap;

use super::accesses::MeasuredLocations;

/// The value of one location, by who made it.
#[derive(Default)]
struct Version {
    last_writer: Option<TxIndex>,
    credits_since: Vec<TxIndex>,
}

/// For each transaction, the earlier ones whose effects it read, ascending: the
/// last writer of each location it read, and everybody who credited a balance
/// that it read since that was last written. The measured locations only: an
/// unread credit of the beneficiary makes nobody depend on it.
pub fn true_dependencies(block: &Block, accesses: &[ObservedAccess]) -> Vec<Vec<TxIndex>> {
    let measured = MeasuredLocations::of_block(block);
    let mut versions: HashMap<Location, Version> = HashMap::new();
    let mut dependencies = Vec::with_capacity(accesses.len());
    for (position, ObservedAccess(set)) in accesses.iter().enumerate() {
        let kept = |locations: &[Location]| -> Vec<Location> {
            locations.iter().copied().filter(|at| measured.keeps(set, at)).collect()
        };
        dependencies.push(read(&versions, &kept(set.reads())));
        write(&mut versions, TxIndex::new(position), set, kept);
    }
    dependencies
}

/// Who made what is read.
fn read(versions: &HashMap<Location, Version>, reads: &[Location]) -> Vec<TxIndex> {
    let versions = reads.iter().filter_map(|location| versions.get(location));
    let mut makers: Vec<TxIndex> = versions
        .flat_map(|version| version.last_writer.iter().chain(&version.credits_since).copied())
        .collect();
    makers.sort_unstable();
    makers.dedup();
    makers
}

/// Takes note of what `tx` writes and credits.
fn write(
    versions: &mut HashMap<Location, Version>,
    tx: TxIndex,
    set: &AccessSet,
    kept: impl Fn(&[Location]) -> Vec<Location>,
) {
    for location in kept(set.writes()) {
        versions.insert(location, Version { last_writer: Some(tx), credits_since: Vec::new() });
    }
    for location in kept(set.deltas()) {
        versions.entry(location).or_default().credits_since.push(tx);
    }
}

/// Gas of the heaviest path through the graph's RAW edges, each transaction
/// weighing what `gas` says instead of what was predicted.
///
/// # Panics
///
/// If `gas` does not have one entry for each transaction of the graph.
pub fn weighted_span(graph: &ConflictGraph, gas: &[u64]) -> u64 {
    let mut finish: Vec<u64> = Vec::with_capacity(graph.len());
    for tx in graph.transactions() {
        let start = graph.predecessors(tx).map(|earlier| finish[earlier.index()]).max();
        finish.push(start.unwrap_or(0).saturating_add(gas[tx.index()]));
    }
    finish.into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256};
    use forewave_analyzer::{
        AccessKind::{self, Delta, Read, Write},
        AccessSetBuilder, StateExtent,
    };
    use revm::context::{BlockEnv, CfgEnv};

    use super::*;

    fn block() -> Block {
        Block {
            cfg: CfgEnv::default(),
            env: BlockEnv { beneficiary: Address::repeat_byte(0xfe), ..BlockEnv::default() },
            parent_hash: B256::ZERO,
            parent_beacon_block_root: None,
            deposit_contract: None,
            state_extent: StateExtent::Touched,
            transactions: vec![],
            withdrawals: vec![],
            ommers: vec![],
            reward: forewave_analyzer::BlockReward::OfFork,
            is_dao_fork: false,
            makes_access_list: false,
            access_list: None,
        }
    }

    fn dependencies(at: Location, uses: &[&[AccessKind]]) -> Vec<Vec<usize>> {
        let accesses: Vec<ObservedAccess> = uses
            .iter()
            .map(|kinds| {
                let mut set = AccessSetBuilder::new();
                for &kind in *kinds {
                    set.add(kind, at);
                }
                ObservedAccess(set.build())
            })
            .collect();
        let found = true_dependencies(&block(), &accesses);
        found.into_iter().map(|txs| txs.into_iter().map(TxIndex::index).collect()).collect()
    }

    #[test]
    fn a_reader_depends_on_the_last_writer_and_on_every_credit_since() {
        let shop = Location::Balance(Address::repeat_byte(0xaa));
        let uses: &[&[AccessKind]] =
            &[&[Delta], &[Write], &[Delta], &[Delta], &[Read], &[Read, Write], &[Read]];
        let expected: [&[usize]; 7] = [&[], &[], &[], &[], &[1, 2, 3], &[1, 2, 3], &[5]];
        assert_eq!(dependencies(shop, uses), expected);
    }

    #[test]
    fn fees_of_the_beneficiary_are_no_dependency() {
        let fees = Location::Balance(Address::repeat_byte(0xfe));
        assert_eq!(dependencies(fees, &[&[Delta], &[Delta], &[Read]]), [[0; 0], [], []]);
    }
}
