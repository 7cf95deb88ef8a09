//! Where orders meet: a location, or a contract as a whole, with those that use it, sorted
//! into zones.
//!
//! ```text
//! members:  glance | read | both | write | credit
//!                  ^      ^      ^       ^          ends
//! ```
//!
//! Who conflicts with whom depends on the zones alone, so that the answers to "who reads
//! it", "who changes it" and "who conflicts here" are ranges of one list. And at a place
//! either none is joined to another, or all from one zone on are joined to each other:
//! see [`Place::joined_from`].

use core::ops::Range;

use alloy_primitives::Address;
use forewave_analyzer::Location;
use smallvec::SmallVec;

use super::search::Mark;

/// What orders can meet at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum PlaceKey {
    /// One location.
    Location(Location),
    /// All slots of a contract, for orders of which some are not known by key.
    Contract(Address),
}

/// What an order does at a place, as far as conflicts depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Zone {
    /// Reads some slots of the contract, known by key: met by those that change any slot.
    Glance,
    /// Reads. At a contract: any slot.
    Read,
    /// Reads, and replaces or credits. At a contract: any slot.
    Both,
    /// Replaces unread, which conflicts with all others.
    Write,
    /// Changes unread what others may change unread as well. At a contract: some slots,
    /// known by key, read or unread.
    Credit,
}

impl Zone {
    const ALL: [Self; 5] = [Self::Glance, Self::Read, Self::Both, Self::Write, Self::Credit];

    /// The zones of the others that an order of this zone conflicts with, a range.
    const fn conflicts(self) -> (Self, Self) {
        match self {
            Self::Glance => (Self::Both, Self::Write),
            Self::Read => (Self::Both, Self::Credit),
            Self::Both | Self::Write => (Self::Glance, Self::Credit),
            Self::Credit => (Self::Read, Self::Write),
        }
    }
}

/// One use: the order, and which of its uses it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) order: u32,
    pub(super) use_at: u32,
}

/// A place and those that use it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) key: PlaceKey,
    members: SmallVec<[Member; 2]>,
    /// Where each zone ends, but the last one, which ends with the members.
    ends: [u32; 4],
    /// Which search has come here.
    pub(super) mark: Mark,
}

/// Tells a moved member's order where it is now.
type Moved<'m> = dyn FnMut(Member, u32) + 'm;

impl Place {
    pub(super) fn new(key: PlaceKey) -> Self {
        Self { key, members: SmallVec::new(), ends: [0; 4], mark: Mark::default() }
    }

    /// The members of some zones, in no particular order.
    pub(super) fn of_zones(&self, first: Zone, last: Zone) -> &[Member] {
        &self.members[self.start(first)..self.end(last)]
    }

    /// Those that conflict with a member of `zone`, itself perhaps among them.
    pub(super) fn conflicts(&self, zone: Zone) -> &[Member] {
        let (first, last) = zone.conflicts();
        self.of_zones(first, last)
    }

    /// Whether no order uses the place.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The position from which on all members are joined to each other.
    ///
    /// One that replaces, or that both reads and changes, conflicts with all members. Where
    /// there is none, those that read conflict with those that credit, and glances with
    /// none; and where one of these two is missing as well, no two members conflict.
    pub(super) fn joined_from(&self) -> usize {
        let has = |zone| self.start(zone) < self.end(zone);
        if has(Zone::Both) || has(Zone::Write) {
            0
        } else if has(Zone::Read) && has(Zone::Credit) {
            self.end(Zone::Glance)
        } else {
            self.members.len()
        }
    }

    /// The members that are joined to each other.
    pub(super) fn joined(&self) -> &[Member] {
        &self.members[self.joined_from()..]
    }

    /// The members at these positions.
    pub(super) fn at(&self, positions: Range<usize>) -> &[Member] {
        &self.members[positions]
    }

    /// Adds a member and gives its position.
    pub(super) fn add(&mut self, member: Member, zone: Zone, moved: &mut Moved<'_>) -> u32 {
        let mut hole = self.members.len();
        self.members.push(member);
        // The first member of each later zone goes to that zone's end.
        for later in Zone::ALL.into_iter().rev().take_while(|later| *later > zone) {
            let start = self.start(later);
            if start != hole {
                let first = self.members[start];
                self.members[hole] = first;
                moved(first, narrow(hole));
                hole = start;
            }
            self.ends[later as usize - 1] += 1;
        }
        self.members[hole] = member;
        narrow(hole)
    }

    /// Removes the member at a position.
    pub(super) fn remove(&mut self, position: u32, zone: Zone, moved: &mut Moved<'_>) {
        let mut hole = position as usize;
        // The last member of this zone and of each later one closes the hole before it.
        for next in Zone::ALL.into_iter().skip_while(|next| *next < zone) {
            let last = self.end(next) - 1;
            if last != hole {
                let member = self.members[last];
                self.members[hole] = member;
                moved(member, narrow(hole));
                hole = last;
            }
            if let Some(end) = self.ends.get_mut(next as usize) {
                *end -= 1;
            }
        }
        self.members.pop();
    }

    fn start(&self, zone: Zone) -> usize {
        (zone as usize).checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }

    fn end(&self, zone: Zone) -> usize {
        self.ends.get(zone as usize).map_or(self.members.len(), |end| *end as usize)
    }
}

/// A number of orders or places.
pub(super) fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 2^32 orders and places fit memory")
}
