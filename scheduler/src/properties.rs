//! Generated blocks: the fast graph against the naive one, and what schedules
//! must hold whatever they are made from.

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256};
use forewave_analyzer::{
    AccessKind, AccessSetBuilder, KeyOrigin, Location, PredictedAccess, Scope, TxIndex,
    WidenedAccess,
};
use proptest::{
    prelude::{Just, ProptestConfig, Strategy, any},
    prop_assert, prop_assert_eq, prop_oneof, proptest,
    test_runner::RngSeed,
};

use crate::{
    Cause, ConflictGraph, FAN_IN_MAX, GraphView, Hazard, StatedSchedule, Wave, hot_spots,
    naive::{self, Named},
    schedule, verify,
};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 256,
        rng_seed: RngSeed::Fixed(0x0f0e_77a5),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn address() -> impl Strategy<Value = Address> {
    (1u8..=2).prop_map(Address::repeat_byte)
}

fn number() -> impl Strategy<Value = U256> {
    (0u8..3).prop_map(U256::from)
}

fn kind() -> impl Strategy<Value = AccessKind> {
    prop_oneof![Just(AccessKind::Read), Just(AccessKind::Write), Just(AccessKind::Delta)]
}

fn location() -> impl Strategy<Value = Location> {
    prop_oneof![
        address().prop_map(Location::Balance),
        address().prop_map(Location::Nonce),
        (address(), number()).prop_map(|(address, key)| Location::Storage(address, key)),
        (address(), number()).prop_map(|(address, key)| Location::Storage(address, key)),
    ]
}

fn widened() -> impl Strategy<Value = WidenedAccess> {
    let scope = prop_oneof![
        4 => (address(), number()).prop_map(|(address, slot)| Scope::Mapping { address, slot }),
        2 => address().prop_map(|address| Scope::Contract { address }),
        1 => Just(Scope::Everything),
    ];
    let kind = prop_oneof![Just(AccessKind::Read), Just(AccessKind::Write)];
    (scope, kind).prop_map(|(scope, kind)| WidenedAccess { scope, kind })
}

fn origin() -> impl Strategy<Value = (Address, U256, KeyOrigin)> {
    // Mostly what another transaction would say too, so that origins do decide.
    (address(), number(), any::<u8>()).prop_map(|(address, key, chance)| {
        let origin = match chance % 16 {
            0 => KeyOrigin::Mapping(U256::ZERO),
            _ if key.is_zero() => KeyOrigin::Plain,
            _ => KeyOrigin::Mapping(key - U256::ONE),
        };
        (address, key, origin)
    })
}

fn prediction(widened_max: usize) -> impl Strategy<Value = PredictedAccess> {
    let accesses = proptest::collection::vec((kind(), location()), 0..4);
    let origins = proptest::collection::vec(origin(), 0..2);
    let widened = proptest::collection::vec(widened(), 0..=widened_max);
    (accesses, origins, widened, 0u64..100, any::<bool>()).prop_map(
        |(accesses, origins, widened, gas, is_widened)| {
            let mut set = AccessSetBuilder::new();
            for (kind, location) in accesses {
                set.add(kind, location);
            }
            // A block in which everybody is widened shows little.
            let widened = widened.into_iter().filter(|_| is_widened);
            PredictedAccess::exact(set.build(), gas).with_widened(widened).with_origins(origins)
        },
    )
}

/// Blocks on which no list reaches its bound.
fn small_block() -> impl Strategy<Value = Vec<PredictedAccess>> {
    proptest::collection::vec(prediction(2), 0..20)
}

/// Blocks in which long lists of credits, of readers and of widened reads meet.
fn crowded_block() -> impl Strategy<Value = Vec<PredictedAccess>> {
    let hot = || Location::Balance(Address::ZERO);
    let slot = |key: u8| Location::Storage(Address::ZERO, U256::from(key));
    let one = move |kind, location| {
        let mut set = AccessSetBuilder::new();
        set.add(kind, location);
        PredictedAccess::exact(set.build(), 1)
    };
    let whole = |kind| {
        let scope = Scope::Contract { address: Address::ZERO };
        PredictedAccess::exact(AccessSetBuilder::new().build(), 1)
            .with_widened([WidenedAccess { scope, kind }])
    };
    let transaction = prop_oneof![
        20 => Just(one(AccessKind::Delta, hot())),
        20 => Just(one(AccessKind::Read, hot())),
        1 => Just(one(AccessKind::Write, hot())),
        20 => (0u8..8).prop_map(move |key| one(AccessKind::Write, slot(key))),
        20 => Just(whole(AccessKind::Read)),
        1 => Just(whole(AccessKind::Write)),
    ];
    proptest::collection::vec(transaction, 0..8 * FAN_IN_MAX)
}

/// The conflicts of the fast graph, in the terms of the naive one.
fn conflicts(graph: &ConflictGraph) -> naive::Conflicts {
    let mut found = naive::Conflicts::new();
    for edge in graph.edges() {
        for (hazard, cause) in edge.hazards() {
            let named = match cause {
                Cause::Location(id) => Named::Location(graph.accesses().location(id)),
                Cause::Scope(scope) => Named::Scope(scope),
            };
            let is_new = found.insert((edge.from.index(), edge.to.index(), hazard, named));
            assert!(is_new, "{} and {} repeat {hazard} {cause}", edge.from, edge.to);
        }
    }
    found
}

/// For each transaction, whom it reaches through the conflicts that pass.
fn ancestors(
    transactions: usize,
    conflicts: &naive::Conflicts,
    passes: impl Fn(Hazard) -> bool,
) -> Vec<BTreeSet<usize>> {
    let mut all: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); transactions];
    let mut direct: Vec<BTreeSet<usize>> = all.clone();
    for &(from, to, hazard, _) in conflicts {
        if passes(hazard) {
            direct[to].insert(from);
        }
    }
    for (to, direct) in direct.iter().enumerate() {
        for &from in direct {
            let (below, rest) = all.split_at_mut(to);
            rest[0].insert(from);
            rest[0].extend(&below[from]);
        }
    }
    all
}

/// The least number of waves that the schedule's chains can run in.
fn levels_needed(graph: &ConflictGraph) -> usize {
    let schedule = schedule(graph);
    let mut level_of = vec![0usize; graph.len()];
    let mut chain_of = vec![0usize; graph.len()];
    let chains = schedule.waves().iter().flat_map(Wave::chains);
    for (number, chain) in chains.enumerate() {
        for tx in chain.transactions() {
            chain_of[tx.index()] = number;
        }
    }
    for tx in graph.transactions() {
        let below = graph.predecessors(tx).map(|before| {
            level_of[before.index()] + usize::from(chain_of[before.index()] != chain_of[tx.index()])
        });
        level_of[tx.index()] = below.max().unwrap_or(0);
    }
    level_of.iter().max().map_or(0, |last| last + 1)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_fast_graph_has_exactly_the_conflicts_of_the_naive_one(block in small_block()) {
        prop_assert_eq!(conflicts(&ConflictGraph::new(&block)), naive::conflicts(&block));
    }

    #[test]
    fn whoever_may_read_what_a_widened_prediction_covers_runs_later(block in small_block()) {
        let graph = ConflictGraph::new(&block);
        for (later, reader) in block.iter().enumerate() {
            let ancestors = graph.ancestors(TxIndex::new(later));
            for (earlier, writer) in block[..later].iter().enumerate() {
                let meets = naive::accesses(writer).into_iter().any(|(written, kind)| {
                    naive::accesses(reader).into_iter().any(|(read, read_kind)| {
                        let is_widened = [written, read].iter().any(|it| matches!(it, Named::Scope(_)));
                        let reads = read_kind == AccessKind::Read || matches!(read, Named::Scope(_));
                        is_widened && reads && kind != AccessKind::Read
                            && naive::overlaps(&block, written, read)
                    })
                });
                if meets {
                    prop_assert!(ancestors.contains(TxIndex::new(earlier)), "{earlier} {later}");
                }
            }
        }
    }

    #[test]
    fn schedules_hold_what_they_must(block in small_block()) {
        let graph = ConflictGraph::new(&block);
        let schedule = schedule(&graph);
        prop_assert_eq!(verify(&schedule, &graph), Ok(()));
        prop_assert_eq!(schedule.waves().len(), levels_needed(&graph));
        prop_assert!(schedule.span() <= schedule.work());
    }

    #[test]
    fn output_is_a_function_of_the_block(block in small_block()) {
        let text = || {
            let graph = ConflictGraph::new(&block);
            let schedule = schedule(&graph);
            let json = serde_json::to_string(&(&schedule, GraphView::from(&graph), hot_spots(&graph)));
            format!("{graph}{schedule}{}{}", crate::dot(&graph, &schedule), json.unwrap())
        };
        prop_assert_eq!(text(), text());
    }

    #[test]
    fn json_returns_the_schedule_and_the_graph(block in small_block()) {
        let graph = ConflictGraph::new(&block);
        let (schedule, view) = (schedule(&graph), GraphView::from(&graph));
        let json = serde_json::to_string(&(&schedule, &view)).unwrap();
        let (stated, read): (StatedSchedule, GraphView) = serde_json::from_str(&json).unwrap();
        prop_assert_eq!((stated.verified(&graph), read), (Ok(schedule), view));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..config() })]

    #[test]
    fn beyond_the_bounds_every_order_is_kept(block in crowded_block()) {
        let graph = ConflictGraph::new(&block);
        let (fast, slow) = (conflicts(&graph), naive::conflicts(&block));
        for passes in [|hazard| hazard == Hazard::Raw, |_| true] {
            let fast = ancestors(block.len(), &fast, passes);
            let slow = ancestors(block.len(), &slow, passes);
            prop_assert!(fast.iter().zip(&slow).all(|(fast, slow)| fast.is_superset(slow)));
        }
        prop_assert_eq!(verify(&schedule(&graph), &graph), Ok(()));
    }

    #[test]
    fn beyond_the_bounds_the_graph_stays_linear(block in crowded_block()) {
        // Each transaction of these blocks uses at most two places, and pays for at most the
        // bound and a stand-in at each, besides what it hides or stands for itself.
        let conflicts = conflicts(&ConflictGraph::new(&block)).len();
        prop_assert!(conflicts <= block.len() * 2 * (FAN_IN_MAX + 4));
    }
}
