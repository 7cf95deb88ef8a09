//! An order has left: which of those that it held together still hang together.
//!
//! One search starts at each place where it met others, and at each order that is joined
//! there no more. All take turns, one step each, from place to order to place. Two that
//! meet go on as one. One that has nowhere to go has found a part that has fallen off. The
//! last one that is left stops where it is: what it has not seen it need not see.
//!
//! So the work is proportional to the parts that fall off, or, if none does, to the way
//! that the searches go until they meet: never to the largest part.

use std::collections::VecDeque;

use slab::Slab;

use super::{
    Order,
    place::{Place, narrow},
};

/// Which search of which removal has come to an order or place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    removal: u64,
    search: u32,
}

/// Where a search starts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seed {
    /// At a place of which two or more members are joined still.
    Place(u32),
    /// At one order.
    Order(u32),
}

#[derive(Debug, Default)]
struct Search {
    /// Places to look at, each with how many of its joined members are seen.
    places: VecDeque<(u32, u32)>,
    /// The orders it has come to.
    orders: Vec<u32>,
    /// The search that it goes on as, if not itself.
    goes_on_as: Option<u32>,
}

/// The searches of one removal.
struct Searches<'a, K> {
    orders: &'a mut Slab<Order<K>>,
    places: &'a mut Slab<Place>,
    all: Vec<Search>,
    removal: u64,
    /// Searches that are neither done nor gone on as another.
    live: usize,
}

/// The parts that have fallen off, each as its orders. What is not in one of them stays
/// together. `removal` is a number that was not given before, from 1.
pub(super) fn parts<K>(
    orders: &mut Slab<Order<K>>,
    places: &mut Slab<Place>,
    seeds: &[Seed],
    removal: u64,
) -> Vec<Vec<u32>> {
    let all = seeds.iter().map(|_| Search::default()).collect();
    let mut searches = Searches { orders, places, all, removal, live: seeds.len() };
    for (search, seed) in (0..).zip(seeds) {
        match *seed {
            Seed::Place(place) => searches.see_place(place, search),
            Seed::Order(order) => searches.see_order(order, search),
        };
    }
    searches.run()
}

impl<K> Searches<'_, K> {
    fn run(mut self) -> Vec<Vec<u32>> {
        let mut parts = Vec::new();
        let mut active: Vec<u32> = (0..narrow(self.all.len())).collect();
        while self.live > 1 {
            let mut next = 0;
            while next < active.len() && self.live > 1 {
                let search = active[next];
                if self.all[search as usize].goes_on_as.is_some() {
                    active.swap_remove(next);
                } else if self.step(search) {
                    next += 1;
                } else {
                    active.swap_remove(next);
                    self.live -= 1;
                    parts.push(core::mem::take(&mut self.all[search as usize].orders));
                }
            }
        }
        parts
    }

    /// Looks at one more order. Whether there was one.
    fn step(&mut self, search: u32) -> bool {
        let Some((place, seen)) = self.all[search as usize].places.pop_front() else {
            return false;
        };
        let joined = self.places[place as usize].joined();
        let member = joined[seen as usize];
        if (seen as usize) + 1 < joined.len() {
            self.all[search as usize].places.push_back((place, seen + 1));
        }
        self.see_order(member.order, search);
        true
    }

    /// Comes to an order, and to all places where it is joined to others.
    fn see_order(&mut self, order: u32, search: u32) -> u32 {
        let here = Mark { removal: self.removal, search };
        let found = &mut self.orders[order as usize];
        if found.mark.removal == self.removal {
            let other = found.mark.search;
            return self.meet(search, other);
        }
        found.mark = here;
        let uses = found.uses.len();
        self.all[search as usize].orders.push(order);
        let mut search = search;
        for at in 0..uses {
            let used = self.orders[order as usize].uses[at];
            let place = &self.places[used.place as usize];
            let from = place.joined_from();
            if used.position as usize >= from && place.joined().len() > 1 {
                search = self.see_place(used.place, search);
            }
        }
        search
    }

    /// Comes to a place. Gives the search that goes on.
    fn see_place(&mut self, place: u32, search: u32) -> u32 {
        let found = &mut self.places[place as usize];
        if found.mark.removal == self.removal {
            let other = found.mark.search;
            return self.meet(search, other);
        }
        found.mark = Mark { removal: self.removal, search };
        self.all[search as usize].places.push_back((place, 0));
        search
    }

    /// Two searches are in the same part. Gives the one that goes on.
    fn meet(&mut self, search: u32, other: u32) -> u32 {
        let (one, other) = (self.current(search), self.current(other));
        if one == other {
            return one;
        }
        let extent = |it: u32| {
            let it = &self.all[it as usize];
            it.orders.len() + it.places.len()
        };
        let (large, small) = if extent(one) >= extent(other) { (one, other) } else { (other, one) };
        let ended = core::mem::take(&mut self.all[small as usize]);
        self.all[small as usize].goes_on_as = Some(large);
        let search = &mut self.all[large as usize];
        search.orders.extend(ended.orders);
        search.places.extend(ended.places);
        self.live -= 1;
        large
    }

    /// What a search has gone on as.
    fn current(&mut self, search: u32) -> u32 {
        let mut last = search;
        while let Some(next) = self.all[last as usize].goes_on_as {
            last = next;
        }
        // The way is short from now on.
        if last != search {
            self.all[search as usize].goes_on_as = Some(last);
        }
        last
    }
}
