//! The results of one transaction, as a tree of what must hold for each.
//!
//! ```text
//! sender is able ── slot 3 = 7 ─┬─ slot 4 = 1 ── balance covers 5 ──> result
//!                               └─ slot 4 = 2 ── slot 9 = 0 ────────> result
//! ```
//!
//! What a transaction looks at next follows from what it has seen so far. So its results have
//! beginnings in common, and finding the one that holds takes about one look at each place,
//! however many results there are. Nothing relies on it: a result is found only where all that
//! is on the way to it holds.

use std::sync::Arc;

use revm::primitives::StorageValue;

use super::{
    Known,
    places::{AccountPlace, SlotPlace},
};
use crate::reads::{AccountRead, Seen, stale_field};

/// Something that must hold for a result.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    /// The slot has the value.
    Slot(SlotPlace, StorageValue),
    /// What was looked at of the account is as it was.
    Account(AccountPlace, Box<AccountRead>),
}

/// A state that is asked by place.
pub(crate) trait Placed {
    /// Why it does not answer.
    type Error;

    /// The value of a slot.
    fn slot_at(&mut self, place: SlotPlace) -> Result<StorageValue, Self::Error>;

    /// An account.
    fn account_at(&mut self, place: AccountPlace) -> Result<Seen, Self::Error>;
}

impl Check {
    fn holds<P: Placed>(&self, state: &mut P) -> Result<bool, P::Error> {
        Ok(match self {
            Self::Slot(place, value) => state.slot_at(*place)? == *value,
            Self::Account(place, read) => stale_field(read, &state.account_at(*place)?).is_none(),
        })
    }

    /// Whether it is the same question with the same answer.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Slot(place, value), Self::Slot(other, as_value)) => {
                place == other && value == as_value
            }
            (Self::Account(place, read), Self::Account(other, as_read)) => {
                place == other && read.is_same(as_read)
            }
            _ => false,
        }
    }
}

/// What some results have in common, and where they part.
#[derive(Clone, Debug, Default)]
struct Node {
    checks: Vec<Check>,
    /// Nodes that go on from here, the latest last.
    next: Vec<usize>,
    result: Option<Arc<Known>>,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    /// The first is the root.
    nodes: Vec<Node>,
    len: usize,
}

impl Tree {
    /// How many results there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// A result for which everything holds.
    pub(super) fn find<P: Placed>(&self, state: &mut P) -> Result<Option<&Arc<Known>>, P::Error> {
        if self.nodes.is_empty() { Ok(None) } else { self.find_from(0, state) }
    }

    /// As deep as nodes part from each other, of which there are as many as results at most.
    fn find_from<P: Placed>(
        &self,
        node: usize,
        state: &mut P,
    ) -> Result<Option<&Arc<Known>>, P::Error> {
        let Node { checks, next, result } = &self.nodes[node];
        for check in checks {
            if !check.holds(state)? {
                return Ok(None);
            }
        }
        if result.is_some() {
            return Ok(result.as_ref());
        }
        for &node in next.iter().rev() {
            if let Some(found) = self.find_from(node, state)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Adds a result; one for which the same must hold is replaced.
    pub(super) fn add(&mut self, checks: Vec<Check>, known: Arc<Known>) {
        if self.nodes.is_empty() {
            self.nodes.push(Node { checks, next: Vec::new(), result: Some(known) });
            self.len = 1;
            return;
        }
        let (mut at, mut left) = (0, checks);
        loop {
            let shared = common(&self.nodes[at].checks, &left);
            let rest = left.split_off(shared);
            if shared < self.nodes[at].checks.len() {
                self.part(at, shared);
            }
            let node = &self.nodes[at];
            let Some(first) = rest.first() else {
                self.len += usize::from(node.result.is_none());
                self.nodes[at].result = Some(known);
                return;
            };
            let goes_on = |next: &&usize| self.nodes[**next].checks[0].is_same(first);
            let Some(&next) = node.next.iter().find(goes_on) else {
                let new = self.nodes.len();
                self.nodes.push(Node { checks: rest, next: Vec::new(), result: Some(known) });
                self.nodes[at].next.push(new);
                self.len += 1;
                return;
            };
            (at, left) = (next, rest);
        }
    }

    /// Divides a node after so many checks.
    fn part(&mut self, at: usize, shared: usize) {
        let new = self.nodes.len();
        let node = &mut self.nodes[at];
        let rest = Node {
            checks: node.checks.split_off(shared),
            next: core::mem::replace(&mut node.next, vec![new]),
            result: node.result.take(),
        };
        self.nodes.push(rest);
    }
}

/// How many checks two lists begin with that are the same.
fn common(one: &[Check], other: &[Check]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one.is_same(other)).count()
}
