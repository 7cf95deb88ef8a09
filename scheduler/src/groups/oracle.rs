//! The obvious, quadratic version: each pair of orders, each pair of accesses; and the tests
//! that hold the incremental one against it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use forewave_analyzer::{
    AccessKind, AccessSetBuilder, Location, PredictedAccess, Scope, WidenedAccess,
};
use petgraph::unionfind::UnionFind;
use proptest::{
    prelude::{Just, ProptestConfig, Strategy},
    prop_oneof, proptest,
    test_runner::RngSeed,
};

use super::{ConflictGroups, ConflictRule};
use crate::{
    naive::{Named, accesses},
    notation,
};

const RULES: [ConflictRule; 2] = [ConflictRule::Strict, ConflictRule::ReadWrite];

/// The orders that are here.
type Orders = BTreeMap<u32, Vec<PredictedAccess>>;

/// What an order reads and changes, an access widened to a mapping as one to its contract.
fn touches(order: &[PredictedAccess]) -> Vec<(Named, AccessKind)> {
    let mut all: Vec<_> = order.iter().flat_map(accesses).collect();
    for (named, _) in &mut all {
        if let Named::Scope(Scope::Mapping { address, .. }) = *named {
            *named = Named::Scope(Scope::Contract { address });
        }
    }
    // One that reads any slot of a contract and changes some is with those that change any.
    let changes = |contract: Address| {
        all.iter().any(|(named, kind)| match named {
            Named::Location(Location::Storage(address, _)) => {
                *address == contract && *kind != AccessKind::Read
            }
            _ => false,
        })
    };
    let contracts = all.iter().filter_map(|(named, _)| match named {
        Named::Scope(Scope::Contract { address }) if changes(*address) => Some(*address),
        _ => None,
    });
    let widened: Vec<_> = contracts
        .map(|address| (Named::Scope(Scope::Contract { address }), AccessKind::Write))
        .collect();
    all.extend(widened);
    all
}

fn overlap(one: Named, other: Named) -> bool {
    match (one, other) {
        (Named::Scope(Scope::Everything), _) | (_, Named::Scope(Scope::Everything)) => true,
        (Named::Scope(Scope::Contract { address }), Named::Location(location))
        | (Named::Location(location), Named::Scope(Scope::Contract { address })) => {
            matches!(location, Location::Storage(account, _) if account == address)
        }
        (one, other) => one == other,
    }
}

fn conflict(rule: ConflictRule, one: &[PredictedAccess], other: &[PredictedAccess]) -> bool {
    use AccessKind::{Delta, Read, Write};
    let (one, other) = (touches(one), touches(other));
    let everything = Named::Scope(Scope::Everything);
    let is_unbounded = [&one, &other].into_iter().flatten().any(|(named, _)| *named == everything);
    is_unbounded
        || one.iter().any(|&(a, kind)| {
            other.iter().any(|&(b, other_kind)| {
                let is_whole = |named, kind| matches!(named, Named::Scope(_)) && kind == Write;
                let conflicts = match (kind, other_kind) {
                    (Read, Read) | (Delta, Delta) => false,
                    (Read, _) | (_, Read) => true,
                    _ => rule == ConflictRule::Strict,
                };
                // A widened write is a read too.
                overlap(a, b) && (conflicts || is_whole(a, kind) || is_whole(b, other_kind))
            })
        })
}

/// The groups by all pairs of conflicts.
fn groups(orders: &Orders, pairs: &[(u32, u32)]) -> Vec<Vec<u32>> {
    let mut together =
        UnionFind::<u32>::new(orders.keys().max().map_or(0, |max| *max as usize + 1));
    for (one, other) in pairs {
        together.union(*one, *other);
    }
    let mut groups: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for key in orders.keys() {
        groups.entry(together.find(*key)).or_default().push(*key);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort();
    groups
}

/// Everything that can be asked, against all pairs.
fn check(incremental: &ConflictGroups<u32>, orders: &Orders) {
    let mut pairs = Vec::new();
    for (key, order) in orders {
        let others = orders.iter().filter(|(other, _)| *other != key);
        let others = others.filter(|(_, other)| conflict(incremental.rule(), order, other));
        let others: Vec<u32> = others.map(|(other, _)| *other).collect();
        assert_eq!(incremental.conflicts_of(key), others, "of {key}");
        pairs.extend(others.iter().map(|other| (*key, *other)));
    }
    let groups = groups(orders, &pairs);
    assert_eq!(incremental.groups(), groups);
    for group in &groups {
        for key in group {
            assert_eq!(incremental.group_of(key), *group);
            assert_eq!(incremental.group_size(key), group.len());
        }
    }
    assert_eq!(incremental.len(), orders.len());
}

fn check_users(incremental: &ConflictGroups<u32>, orders: &Orders, location: &Location) {
    let [mut readers, mut writers] = [Vec::new(), Vec::new()];
    for (key, order) in orders {
        let met = order.iter().flat_map(accesses).map(|(named, kind)| match named {
            Named::Scope(Scope::Mapping { address, .. }) => {
                (Named::Scope(Scope::Contract { address }), kind)
            }
            named => (named, kind),
        });
        let met: Vec<_> =
            met.filter(|(named, _)| overlap(*named, Named::Location(*location))).collect();
        let whole = |named| matches!(named, Named::Scope(_));
        let everything = met.iter().any(|(named, _)| *named == Named::Scope(Scope::Everything));
        if everything || met.iter().any(|(named, kind)| *kind == AccessKind::Read || whole(*named))
        {
            readers.push(*key);
        }
        if everything || met.iter().any(|(_, kind)| *kind != AccessKind::Read) {
            writers.push(*key);
        }
    }
    assert_eq!(incremental.readers(location), readers, "readers of {location}");
    assert_eq!(incremental.writers(location), writers, "writers of {location}");
}

/// What happens: an order comes, or is replaced, or goes.
#[derive(Clone, Debug)]
enum Event {
    Insert(u32, Vec<PredictedAccess>),
    Remove(u32),
}

const KEYS: u32 = 20;

fn slot(contract: u8, key: u8) -> Location {
    Location::Storage(Address::repeat_byte(contract), U256::from(key))
}

fn location() -> impl Strategy<Value = Location> {
    prop_oneof![
        3 => (0u8..12).prop_map(|it| Location::Balance(Address::repeat_byte(it))),
        3 => (0u8..4, 0u8..4).prop_map(|(contract, key)| slot(contract, key)),
    ]
}

fn prediction() -> impl Strategy<Value = PredictedAccess> {
    let kind = || {
        prop_oneof![
            3 => Just(&[AccessKind::Read, AccessKind::Write][..]),
            2 => Just(&[AccessKind::Read][..]),
            1 => Just(&[AccessKind::Write][..]),
            1 => Just(&[AccessKind::Delta][..]),
            1 => Just(&[AccessKind::Read, AccessKind::Delta][..]),
        ]
    };
    let scope = (0u8..4).prop_map(|it| {
        let address = Address::repeat_byte(it);
        if it == 0 {
            Scope::Mapping { address, slot: U256::ZERO }
        } else {
            Scope::Contract { address }
        }
    });
    let widened = prop_oneof![
        90 => Just(None),
        12 => (scope, 0u8..2).prop_map(Some),
        2 => Just(Some((Scope::Everything, 1))),
    ];
    (proptest::collection::vec((kind(), location()), 0..3), widened).prop_map(
        |(accesses, widened)| {
            let mut set = AccessSetBuilder::new();
            for (kinds, location) in accesses {
                for kind in kinds {
                    set.add(*kind, location);
                }
            }
            let widened = widened.map(|(scope, kind)| WidenedAccess {
                scope,
                kind: if kind == 0 { AccessKind::Read } else { AccessKind::Write },
            });
            PredictedAccess::exact(set.build(), 1).with_widened(widened)
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..KEYS, proptest::collection::vec(prediction(), 1..3))
            .prop_map(|(key, order)| Event::Insert(key, order)),
        2 => (0..KEYS).prop_map(Event::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        rng_seed: RngSeed::Fixed(0x0f0e_77a6),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn groups_that_follow_every_change_are_those_of_all_pairs(
        events in proptest::collection::vec(event(), 0..80),
    ) {
        for rule in RULES {
            let (mut incremental, mut orders) = (ConflictGroups::new(rule), Orders::new());
            for event in &events {
                match event.clone() {
                    Event::Insert(key, order) => {
                        incremental.insert(key, &order);
                        orders.insert(key, order);
                    }
                    Event::Remove(key) => {
                        let was_here = orders.remove(&key).is_some();
                        assert_eq!(incremental.remove(&key), was_here);
                    }
                }
                check(&incremental, &orders);
            }
            for key in 0..4 {
                check_users(&incremental, &orders, &slot(key, key));
                check_users(&incremental, &orders, &Location::Balance(Address::repeat_byte(key)));
            }
            let mut again = ConflictGroups::new(rule);
            for (key, order) in orders.iter().rev() {
                again.insert(*key, order);
            }
            assert_eq!(again.groups(), incremental.groups());
            for key in orders.keys() {
                incremental.remove(key);
            }
            assert!(incremental.places.is_empty() && incremental.place_ids.is_empty());
            assert!(incremental.groups.is_empty() && incremental.orders.is_empty());
        }
    }
}

/// The groups of orders in the notation of blocks, by position.
fn of(rule: ConflictRule, orders: &str) -> Vec<Vec<usize>> {
    let mut groups = ConflictGroups::new(rule);
    for (key, order) in notation::block(orders).iter().enumerate() {
        groups.insert(key, [order]);
    }
    groups.groups()
}

#[test]
fn each_rule_joins_what_it_says() {
    for (orders, strict, read_write) in [
        ("Ra | Ra", "0 1", "0 1"),
        ("Ra | Wa", "01", "01"),
        ("Wa | Wa", "01", "0 1"),
        ("Da | Da", "0 1", "0 1"),
        ("Da | Wa", "01", "0 1"),
        ("Da | Ra | Da", "012", "012"),
        ("Wa | Wa | Ra", "012", "012"),
        ("Ra Wa | Rb Wb | Ra Rb", "012", "012"),
        ("Wa[0] | Ra.1 | Wa.2 | Rb.1", "012 3", "012 3"),
        ("Ra[] | Ra.1 | Wa.2", "02 1", "02 1"),
        ("Ra[] | Ra[] | Ra.1", "0 1 2", "0 1 2"),
        ("W* | Ra | Rb", "012", "012"),
    ] {
        for (rule, expected) in RULES.into_iter().zip([strict, read_write]) {
            let groups = of(rule, orders);
            let groups = groups.iter().map(|group| group.iter().map(usize::to_string).collect());
            assert_eq!(groups.collect::<Vec<String>>().join(" "), expected, "{rule:?}: {orders}");
        }
    }
}

#[test]
fn a_ring_holds_until_two_links_are_gone() {
    const LINKS: u8 = 200;
    let mut groups = ConflictGroups::new(ConflictRule::Strict);
    for link in 0..LINKS {
        let mut set = AccessSetBuilder::new();
        for end in [link, (link + 1) % LINKS] {
            let location = Location::Nonce(Address::repeat_byte(end));
            set.read(location).write(location);
        }
        groups.insert_set(link, &set.build());
    }
    groups.remove(&50);
    assert_eq!(groups.groups().len(), 1);
    groups.remove(&150);
    let sizes: Vec<usize> = groups.groups().iter().map(Vec::len).collect();
    assert_eq!(sizes, [99, 99]);
}

#[test]
fn a_hot_location_holds_what_stays_when_its_orders_go() {
    let (hot, count) = (Location::Balance(Address::ZERO), 2_000_u32);
    let swap = AccessSetBuilder::new().read(hot).write(hot).clone().build();
    let mut groups = ConflictGroups::new(ConflictRule::ReadWrite);
    for key in 0..count {
        groups.insert_set(key, &swap);
    }
    for key in (0..count).step_by(2) {
        assert_eq!(groups.group_size(&key), (count - key / 2) as usize);
        groups.remove(&key);
    }
    assert_eq!(groups.groups(), [(1..count).step_by(2).collect::<Vec<_>>()]);
}

#[test]
fn orders_without_bounds_are_one_group_with_all_and_named_apart() {
    let orders = notation::block("Ra Wa | Ra Wa | W* | Rb");
    let mut groups = ConflictGroups::new(ConflictRule::Strict);
    for (key, order) in orders.iter().enumerate() {
        groups.insert(key, [order]);
    }
    assert_eq!(groups.groups(), [[0, 1, 2, 3]]);
    assert_eq!(groups.bounded_groups(), [vec![0, 1], vec![3]]);
    assert_eq!(groups.unbounded().collect::<Vec<_>>(), [2]);
    assert_eq!(groups.conflicts_of(&3), [2]);
    groups.remove(&2);
    assert_eq!(groups.groups(), [vec![0, 1], vec![3]]);
}

#[test]
fn orders_do_not_meet_where_they_are_told_not_to() {
    let fees = Location::Balance(Address::repeat_byte(b'a'));
    let mut groups = ConflictGroups::new(ConflictRule::Strict);
    groups.ignore(fees);
    for (key, order) in notation::block("Da | Da | Ra Rb | Wb").iter().enumerate() {
        groups.insert(key, [order]);
    }
    assert_eq!(groups.groups(), [vec![0], vec![1], vec![2, 3]]);
}
