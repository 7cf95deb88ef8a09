//! Orders that come and go -> groups that have nothing to do with each other.
//!
//! ```text
//! order ──uses──> place: a location, or a contract as a whole
//!                   │ joined: some of its members conflict there
//!                   v
//!                 group: what hangs together by joined places
//! ```
//!
//! Invariant: the groups are the connected components of the conflicts between the orders
//! that are here, whatever the way they have come about. `oracle.rs` has them pair by pair.

#[cfg(test)]
mod oracle;
mod place;
mod search;
mod uses;

use core::hash::{BuildHasher, Hash};
use std::collections::BTreeSet;

use forewave_analyzer::{AccessSet, Location, PredictedAccess};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use slab::Slab;

use self::{
    place::{Member, Place, PlaceKey, Zone, narrow},
    search::{Mark, Seed, parts},
    uses::{Touched, UsesAt, zone},
};
use crate::uses::Uses;

/// Which two orders conflict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConflictRule {
    /// Those of which the result may depend on their order: one changes a location that the
    /// other reads or replaces (RAW, WAR, WAW). Credits commute with each other.
    #[default]
    Strict,
    /// Those of which one changes a location that the other reads, as builders group orders:
    /// two that replace the same location unread do not conflict.
    ReadWrite,
}

/// The use of a place by an order.
#[derive(Clone, Copy, Debug)]
struct Use {
    place: u32,
    position: u32,
    zone: Zone,
    uses: Uses,
}

#[derive(Debug)]
struct Order<K> {
    key: K,
    uses: Box<[Use]>,
    /// The group, and the position in it; none if the order is alone.
    group: Option<(u32, u32)>,
    mark: Mark,
}

/// Orders by what they touch, in groups: two orders are in one group if a chain of conflicts
/// leads from one to the other. Orders of different groups can be executed side by side, and
/// be put into a block in any order of the groups, without a difference to any of them.
///
/// An order is one transaction or several (a bundle), known by a key of the caller's. What it
/// touches is a prediction or an [`AccessSet`]. An access that is widened to a mapping or to a
/// contract meets everything in the contract's storage. An order that is widened to everything
/// conflicts with all others ([`unbounded`](Self::unbounded)).
///
/// Every answer is sorted by key, and depends on what is here, not on how it came.
///
/// # Costs
///
/// With *a* accesses of an order, insertion takes O(*a*) and what it takes to move the members
/// of all but the largest of the groups that it joins: O(log *n*) for each order as long as
/// none is removed. Removal takes O(*a*) where the order met others at one place only, or
/// where those whom it met are seen to meet at once, as in a group around one hot location; else
/// it takes as long as it takes to walk through the parts that fall off, or through as much of
/// the smaller side until it meets the larger. A location that begins or ceases to be changed
/// costs O(its readers), as their groups change. Queries take O(answers), and the time to sort
/// them.
///
/// ```
/// use forewave_analyzer::{AccessSetBuilder, Location};
/// use forewave_scheduler::{ConflictGroups, ConflictRule};
/// use alloy_primitives::Address;
///
/// let pool = Location::Balance(Address::repeat_byte(1));
/// let swap = AccessSetBuilder::new().read(pool).write(pool).clone().build();
/// let mut groups = ConflictGroups::new(ConflictRule::Strict);
/// groups.insert_set(1, &swap);
/// groups.insert_set(2, &AccessSetBuilder::new().build());
/// groups.insert_set(3, &swap);
/// assert_eq!(groups.groups(), [vec![1, 3], vec![2]]);
/// assert_eq!(groups.writers(&pool), [1, 3]);
/// groups.remove(&1);
/// assert_eq!(groups.group_of(&3), [3]);
/// ```
#[derive(Debug)]
pub struct ConflictGroups<K> {
    rule: ConflictRule,
    ignored: Option<Location>,
    ids: HashMap<K, u32>,
    orders: Slab<Order<K>>,
    places: Slab<Place>,
    /// Places by key: the key's hash and the place.
    place_ids: HashTable<(u64, u32)>,
    hasher: DefaultHashBuilder,
    /// The orders of each group of two or more.
    groups: Slab<Vec<u32>>,
    unbounded: BTreeSet<K>,
    removals: u64,
    touched: Vec<UsesAt>,
}

impl<K: Copy + Ord + Hash> ConflictGroups<K> {
    /// No orders, to be grouped by a rule.
    pub fn new(rule: ConflictRule) -> Self {
        Self {
            rule,
            ignored: None,
            ids: HashMap::new(),
            orders: Slab::new(),
            places: Slab::new(),
            place_ids: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            groups: Slab::new(),
            unbounded: BTreeSet::new(),
            removals: 0,
            touched: Vec::new(),
        }
    }

    /// Lets orders that are inserted from now on not meet at a location, such as the balance
    /// of the block's beneficiary, which every transaction credits. One at a time: they meet again
    /// at the location that was ignored before.
    pub const fn ignore(&mut self, location: Location) {
        self.ignored = Some(location);
    }

    /// The rule.
    pub const fn rule(&self) -> ConflictRule {
        self.rule
    }

    /// How many orders there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether this order is here.
    pub fn contains(&self, key: &K) -> bool {
        self.ids.contains_key(key)
    }

    /// Inserts an order with the predictions of its transactions. One that is here already is
    /// replaced, which costs next to nothing if it touches the same.
    pub fn insert<'a>(
        &mut self,
        key: K,
        predictions: impl IntoIterator<Item = &'a PredictedAccess>,
    ) {
        let sets = predictions.into_iter().map(|it| (it.set(), Some(it)));
        let touched = Touched::new(core::mem::take(&mut self.touched), self.ignored.as_ref(), sets);
        self.insert_touched(key, touched);
    }

    /// Inserts or replaces an order that touches exactly this.
    pub fn insert_set(&mut self, key: K, set: &AccessSet) {
        let touched = core::mem::take(&mut self.touched);
        let touched = Touched::new(touched, self.ignored.as_ref(), [(set, None)]);
        self.insert_touched(key, touched);
    }

    fn insert_touched(&mut self, key: K, touched: Touched) {
        if !self.is_here_with(&key, &touched) {
            self.remove(&key);
            if touched.is_unbounded {
                self.unbounded.insert(key);
            }
            let id = self.add_order(key, touched.uses.len());
            for (at, used) in touched.uses.iter().enumerate() {
                self.enter(id, at, *used);
            }
        }
        self.touched = touched.uses;
    }

    fn is_here_with(&self, key: &K, touched: &Touched) -> bool {
        let Some(id) = self.ids.get(key) else { return false };
        let order = &self.orders[*id as usize];
        touched.is_unbounded == self.unbounded.contains(key)
            && order.uses.len() == touched.uses.len()
            && order.uses.iter().zip(&touched.uses).all(|(here, (place, uses))| {
                here.uses == *uses && self.places[here.place as usize].key == *place
            })
    }

    fn add_order(&mut self, key: K, uses: usize) -> u32 {
        let nowhere =
            Use { place: u32::MAX, position: u32::MAX, zone: Zone::Read, uses: Uses::NONE };
        let uses = vec![nowhere; uses].into();
        let id =
            narrow(self.orders.insert(Order { key, uses, group: None, mark: Mark::default() }));
        self.ids.insert(key, id);
        id
    }

    /// Adds an order to a place, and joins those that it joins there.
    fn enter(&mut self, order: u32, use_at: usize, used: UsesAt) {
        let place_id = self.place_id(used.0);
        let Self { orders, places, groups, .. } = self;
        let place = &mut places[place_id as usize];
        let before = place.joined().len();
        let zone = zone(self.rule, used);
        let member = Member { order, use_at: narrow(use_at) };
        let position = place.add(member, zone, &mut |moved, position| {
            orders[moved.order as usize].uses[moved.use_at as usize].position = position;
        });
        orders[order as usize].uses[use_at] = Use { place: place_id, position, zone, uses: used.1 };
        let joined = place.joined();
        // Where others were joined already and none but this one is now, one stands for all.
        let stands_for_all = before > 0 && joined.len() == before + 1;
        let is_joined = position as usize >= place.joined_from();
        let reached = if is_joined { joined } else { &[] };
        let others = reached.iter().filter(|other| other.order != order);
        for other in others.take(if stands_for_all { 1 } else { usize::MAX }) {
            join(orders, groups, order, other.order);
        }
    }

    /// The place of a key, which is new if no order was there.
    fn place_id(&mut self, key: PlaceKey) -> u32 {
        let Self { places, place_ids, hasher, .. } = self;
        let hash = hasher.hash_one(key);
        let is_same = |&(other, id): &(u64, u32)| other == hash && places[id as usize].key == key;
        if let Some((_, id)) = place_ids.find(hash, is_same) {
            return *id;
        }
        let id = narrow(places.insert(Place::new(key)));
        place_ids.insert_unique(hash, (hash, id), |(hash, _)| *hash);
        id
    }

    /// Removes an order. Whether it was here.
    pub fn remove(&mut self, key: &K) -> bool {
        let Some(id) = self.ids.remove(key) else { return false };
        self.unbounded.remove(key);
        let order = self.orders.remove(id as usize);
        let mut seeds = Vec::new();
        for used in &order.uses {
            self.leave(used, &mut seeds);
        }
        if let Some((group, position)) = order.group {
            take_out(&mut self.orders, &mut self.groups, group, position);
            if seeds.len() > 1 {
                self.removals += 1;
                let Self { orders, places, .. } = self;
                for part in parts(orders, places, &seeds, self.removals) {
                    set_apart(&mut self.orders, &mut self.groups, part);
                }
            }
        }
        true
    }

    /// Takes an order out of a place, and adds where those that it met there are now.
    fn leave(&mut self, used: &Use, seeds: &mut Vec<Seed>) {
        let Self { orders, places, place_ids, hasher, .. } = self;
        let place = &mut places[used.place as usize];
        let from_before = place.joined_from();
        let was_joined = used.position as usize >= from_before && place.joined().len() > 1;
        place.remove(used.position, used.zone, &mut |moved, position| {
            orders[moved.order as usize].uses[moved.use_at as usize].position = position;
        });
        if place.is_empty() {
            let hash = hasher.hash_one(place.key);
            let is_it = |&(_, id): &(u64, u32)| id == used.place;
            let entry = place_ids.find_entry(hash, is_it).expect("a place in use is listed");
            entry.remove();
            places.remove(used.place as usize);
        } else if was_joined {
            let from = place.joined_from();
            match place.joined() {
                [] => {}
                [last] => seeds.push(Seed::Order(last.order)),
                _ => seeds.push(Seed::Place(used.place)),
            }
            if from > from_before {
                let loose = place.at(from_before.min(from)..from);
                seeds.extend(loose.iter().map(|member| Seed::Order(member.order)));
            }
        }
    }

    /// The orders of the group that an order is in, itself among them: none if it is not here.
    pub fn group_of(&self, key: &K) -> Vec<K> {
        let Some(id) = self.ids.get(key) else { return Vec::new() };
        if !self.unbounded.is_empty() {
            return sorted(self.orders.iter().map(|(_, order)| order.key));
        }
        match self.orders[*id as usize].group {
            None => vec![*key],
            Some((group, _)) => self.keys(self.groups[group as usize].iter().copied()),
        }
    }

    /// How many orders are in the group that an order is in: 0 if it is not here. O(1).
    pub fn group_size(&self, key: &K) -> usize {
        let Some(id) = self.ids.get(key) else { return 0 };
        if !self.unbounded.is_empty() {
            return self.len();
        }
        let group = self.orders[*id as usize].group;
        group.map_or(1, |(group, _)| self.groups[group as usize].len())
    }

    /// All groups, by their first orders.
    pub fn groups(&self) -> Vec<Vec<K>> {
        if self.unbounded.is_empty() {
            return self.bounded_groups();
        }
        vec![sorted(self.orders.iter().map(|(_, order)| order.key))]
    }

    /// The groups that there would be without the [`unbounded`](Self::unbounded) orders.
    pub fn bounded_groups(&self) -> Vec<Vec<K>> {
        let alone = self.orders.iter().filter(|(_, order)| order.group.is_none());
        let alone = alone.map(|(_, order)| order.key).filter(|key| !self.unbounded.contains(key));
        let together = self.groups.iter().map(|(_, group)| self.keys(group.iter().copied()));
        let mut groups: Vec<_> = alone.map(|key| vec![key]).chain(together).collect();
        groups.sort_unstable_by(|a, b| a[0].cmp(&b[0]));
        groups
    }

    /// The orders that may touch anything. While there is one, all orders are one group.
    pub fn unbounded(&self) -> impl Iterator<Item = K> {
        self.unbounded.iter().copied()
    }

    /// The orders that an order conflicts with.
    pub fn conflicts_of(&self, key: &K) -> Vec<K> {
        let Some(id) = self.ids.get(key) else { return Vec::new() };
        let mut found = if self.unbounded.contains(key) {
            sorted(self.orders.iter().map(|(_, order)| order.key))
        } else {
            let uses = self.orders[*id as usize].uses.iter();
            let met = uses.flat_map(|used| self.places[used.place as usize].conflicts(used.zone));
            let met = met.map(|member| self.orders[member.order as usize].key);
            sorted(met.chain(self.unbounded()))
        };
        found.retain(|other| other != key);
        found
    }

    /// The orders that read a location, or may, as they are widened to a scope that covers it.
    pub fn readers(&self, location: &Location) -> Vec<K> {
        self.users(location, Zone::Read, Zone::Both, Uses::READ)
    }

    /// The orders that replace or credit a location, or may.
    pub fn writers(&self, location: &Location) -> Vec<K> {
        self.users(location, Zone::Both, Zone::Credit, Uses::WRITE)
    }

    fn users(&self, location: &Location, first: Zone, last: Zone, whole: Uses) -> Vec<K> {
        let named = self.find(PlaceKey::Location(*location)).into_iter();
        let named = named.flat_map(|place| place.of_zones(first, last));
        let widened = match *location {
            Location::Storage(address, _) => self.find(PlaceKey::Contract(address)),
            _ => None,
        };
        let widened = widened.into_iter().flat_map(|place| place.of_zones(Zone::Read, Zone::Both));
        let widened = widened.filter(|member| {
            let order = &self.orders[member.order as usize];
            order.uses[member.use_at as usize].uses.contains(whole)
        });
        let keys = named.chain(widened).map(|member| self.orders[member.order as usize].key);
        sorted(keys.chain(self.unbounded()))
    }

    fn find(&self, key: PlaceKey) -> Option<&Place> {
        let hash = self.hasher.hash_one(key);
        let is_same =
            |&(other, id): &(u64, u32)| other == hash && self.places[id as usize].key == key;
        let (_, id) = self.place_ids.find(hash, is_same)?;
        Some(&self.places[*id as usize])
    }

    fn keys(&self, orders: impl Iterator<Item = u32>) -> Vec<K> {
        sorted(orders.map(|order| self.orders[order as usize].key))
    }
}

fn sorted<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<K> {
    let mut keys: Vec<K> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Puts two orders into one group, the members of the smaller group to those of the larger.
fn join<K>(orders: &mut Slab<Order<K>>, groups: &mut Slab<Vec<u32>>, one: u32, other: u32) {
    let group = |order: u32| orders[order as usize].group.map(|(group, _)| group);
    match (group(one), group(other)) {
        (Some(one), Some(other)) if one == other => {}
        (None, None) => {
            let group = narrow(groups.insert(Vec::with_capacity(2)));
            put_in(orders, groups, group, one);
            put_in(orders, groups, group, other);
        }
        (Some(group), None) => put_in(orders, groups, group, other),
        (None, Some(group)) => put_in(orders, groups, group, one),
        (Some(one), Some(other)) => {
            let size = |group: u32| groups[group as usize].len();
            let (large, small) = if size(one) >= size(other) { (one, other) } else { (other, one) };
            for order in groups.remove(small as usize) {
                put_in(orders, groups, large, order);
            }
        }
    }
}

fn put_in<K>(orders: &mut Slab<Order<K>>, groups: &mut Slab<Vec<u32>>, group: u32, order: u32) {
    let members = &mut groups[group as usize];
    orders[order as usize].group = Some((group, narrow(members.len())));
    members.push(order);
}

/// Takes the order at a position out of a group. One that is left alone is in none.
fn take_out<K>(
    orders: &mut Slab<Order<K>>,
    groups: &mut Slab<Vec<u32>>,
    group: u32,
    position: u32,
) {
    let members = &mut groups[group as usize];
    members.swap_remove(position as usize);
    if let Some(moved) = members.get(position as usize) {
        orders[*moved as usize].group = Some((group, position));
    }
    if let [last] = members[..] {
        orders[last as usize].group = None;
        groups.remove(group as usize);
    }
}

/// Makes a group of orders that have fallen off theirs.
fn set_apart<K>(orders: &mut Slab<Order<K>>, groups: &mut Slab<Vec<u32>>, part: Vec<u32>) {
    for order in &part {
        let (group, position) =
            orders[*order as usize].group.take().expect("what falls off was in a group");
        take_out(orders, groups, group, position);
    }
    if part.len() > 1 {
        for (order, position) in part.iter().zip(0..) {
            orders[*order as usize].group = Some((narrow(groups.vacant_key()), position));
        }
        groups.insert(part);
    }
}
