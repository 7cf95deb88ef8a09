//! What an order touches -> the places it is at, and its zone at each.
//!
//! A widened access is one of the whole contract, also where a single mapping of it is
//! meant; what is named in the contract is a part of it.

use alloy_primitives::Address;
use forewave_analyzer::{AccessKind, AccessSet, Location, PredictedAccess, Scope};

use super::{
    ConflictRule,
    place::{PlaceKey, Zone},
};
use crate::{table::for_each_location, uses::Uses};

/// What an order does at a place. At a contract, [`Uses::GLANCE`] and [`Uses::CREDIT`] are of
/// some slots that are known by key, [`Uses::READ`] and [`Uses::WRITE`] of any.
pub(super) type UsesAt = (PlaceKey, Uses);

/// What some accesses come to.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Sorted by place, each once.
    pub(super) uses: Vec<UsesAt>,
    /// Whether it may be anything at all.
    pub(super) is_unbounded: bool,
}

impl Touched {
    /// Of one order, which may consist of several transactions. `touched` gives its memory.
    pub(super) fn new<'a>(
        touched: Vec<UsesAt>,
        ignored: Option<&Location>,
        sets: impl IntoIterator<Item = (&'a AccessSet, Option<&'a PredictedAccess>)>,
    ) -> Self {
        let mut new = Self { uses: touched, is_unbounded: false };
        new.uses.clear();
        let mut is_sorted = true;
        for (set, prediction) in sets {
            is_sorted &= new.uses.is_empty();
            new.name(set, ignored);
            for widened in prediction.into_iter().flat_map(PredictedAccess::widened) {
                is_sorted = false;
                let all = match widened.kind {
                    AccessKind::Read => Uses::READ,
                    AccessKind::Write | AccessKind::Delta => Uses::READ | Uses::WRITE,
                };
                match widened.scope {
                    Scope::Mapping { address, .. } | Scope::Contract { address } => {
                        new.uses.push((PlaceKey::Contract(address), all));
                    }
                    Scope::Everything => new.is_unbounded = true,
                }
            }
        }
        if new.is_unbounded {
            new.uses.clear();
        } else if !is_sorted {
            new.uses.sort_unstable_by_key(|(place, _)| *place);
            new.uses.dedup_by(|later, kept| {
                let is_same = later.0 == kept.0;
                if is_same {
                    kept.1 |= later.1;
                }
                is_same
            });
        }
        new
    }

    /// Adds named accesses: locations in their order, then the contracts whose slots they are.
    fn name(&mut self, set: &AccessSet, ignored: Option<&Location>) {
        let start = self.uses.len();
        for_each_location(set, |location, uses| {
            if ignored != Some(location) {
                self.uses.push((PlaceKey::Location(*location), uses));
            }
        });
        let end = self.uses.len();
        let mut last: Option<(Address, Uses)> = None;
        for at in start..end {
            let (PlaceKey::Location(Location::Storage(address, _)), uses) = self.uses[at] else {
                continue;
            };
            let part = if uses.contains(Uses::WRITE) || uses.contains(Uses::CREDIT) {
                Uses::GLANCE | Uses::CREDIT
            } else {
                Uses::GLANCE
            };
            last = match last {
                Some((same, parts)) if same == address => Some((same, parts | part)),
                before => {
                    self.part(before);
                    Some((address, part))
                }
            };
        }
        self.part(last);
    }

    fn part(&mut self, part: Option<(Address, Uses)>) {
        self.uses.extend(part.map(|(address, uses)| (PlaceKey::Contract(address), uses)));
    }
}

/// Where an order belongs at a place.
pub(super) const fn zone(rule: ConflictRule, (place, uses): UsesAt) -> Zone {
    let reads = uses.contains(Uses::READ);
    let replaces = uses.contains(Uses::WRITE);
    let changes = replaces || uses.contains(Uses::CREDIT);
    match (place, rule) {
        (PlaceKey::Contract(_), _) => match (reads, changes) {
            // Also one that reads any slot and changes some: it is with those that change any.
            (true, true) => Zone::Both,
            (true, false) => Zone::Read,
            (false, true) => Zone::Credit,
            (false, false) => Zone::Glance,
        },
        (PlaceKey::Location(_), _) if reads => {
            if changes {
                Zone::Both
            } else {
                Zone::Read
            }
        }
        (PlaceKey::Location(_), ConflictRule::Strict) if replaces => Zone::Write,
        (PlaceKey::Location(_), _) => Zone::Credit,
    }
}
