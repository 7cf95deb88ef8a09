//! When each transaction of a block is done if there are threads enough, in gas, under rules
//! that let less order transactions, or more: one pass over what they touched.
//!
//! A transaction begins when the last value that it reads is there. Of each location only that
//! time is kept, not who made it, so that a pass takes as long as the accesses are many.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use forewave_analyzer::{Block, Location, ObservedAccess};
use hashbrown::HashMap;

/// A block with what its transactions touched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observed<'a> {
    pub(super) block: &'a Block,
    pub(super) accesses: &'a [ObservedAccess],
    pub(super) gas: &'a [u64],
    /// Senders that can afford all their transactions.
    pub(super) rich: &'a BTreeSet<Address>,
    /// For each transaction, whether code looked at its sender's balance.
    pub(super) payers_seen: &'a [bool],
}

/// What orders transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Credits that nothing looks at commute.
    AsItIs,
    /// Credits are reads and writes, but for fees.
    CreditsOrdered,
    /// Nonces of senders order nothing.
    NoncesIgnored,
    /// Nor do payments of senders that can afford them all.
    PaymentsIgnored,
    /// Nothing of this account does but its nonce.
    Without(Address),
}

/// What a transaction waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The nonce or balance of its own sender.
    Sender,
    /// Something of an account.
    Of(Address),
}

/// A transaction on the heaviest path, with what it waits for.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) gas: u64,
    pub(super) places: BTreeSet<Place>,
}

/// When a location's value is there, and which transaction is the last to make it.
#[derive(Clone, Copy, Debug)]
struct Made {
    at: u64,
    by: usize,
}

/// When each transaction is done.
#[derive(Clone, Debug)]
pub(super) struct Finish<'a> {
    observed: &'a Observed<'a>,
    done: Vec<u64>,
    /// The transaction that each waits for longest, and where it does.
    waits: Vec<Option<(usize, BTreeSet<Place>)>>,
}

impl<'a> Finish<'a> {
    pub(super) fn new(observed: &'a Observed<'a>, rule: Rule) -> Self {
        let mut made: HashMap<Location, Made> = HashMap::new();
        let mut finish = Self { observed, done: Vec::new(), waits: Vec::new() };
        let fee = Location::Balance(observed.block.env.beneficiary);
        for (tx, ObservedAccess(set)) in observed.accesses.iter().enumerate() {
            let sender = observed.block.transactions[tx].caller;
            let is_ignored = |at: &Location| match rule {
                Rule::Without(address) => {
                    at.address() == address && !matches!(at, Location::Nonce(_))
                }
                _ => false,
            };
            let commutes = |at: &Location| match rule {
                Rule::NoncesIgnored => *at == Location::Nonce(sender),
                Rule::PaymentsIgnored => {
                    *at == Location::Nonce(sender)
                        || *at == Location::Balance(sender)
                            && observed.rich.contains(&sender)
                            && !observed.payers_seen[tx]
                }
                _ => false,
            };
            let is_ordered_credit = |at: &Location| rule == Rule::CreditsOrdered && *at != fee;
            let reads =
                set.reads().iter().chain(set.deltas().iter().filter(|at| is_ordered_credit(at)));
            let mut begin: Option<(Made, BTreeSet<Place>)> = None;
            for at in reads.filter(|at| !commutes(at) && !is_ignored(at)) {
                let Some(value) = made.get(at) else { continue };
                let place = match at {
                    Location::Nonce(of) | Location::Balance(of) if *of == sender => Place::Sender,
                    other => Place::Of(other.address()),
                };
                match &mut begin {
                    Some((last, places)) if last.at == value.at => drop(places.insert(place)),
                    Some((last, _)) if last.at > value.at => {}
                    _ => begin = Some((*value, [place].into())),
                }
            }
            let done = begin.as_ref().map_or(0, |(last, _)| last.at) + observed.gas[tx];
            let value = Made { at: done, by: tx };
            for at in set.writes() {
                if commutes(at) {
                    later(&mut made, *at, value);
                } else {
                    made.insert(*at, value);
                }
            }
            for at in set.deltas() {
                if is_ordered_credit(at) {
                    made.insert(*at, value);
                } else {
                    later(&mut made, *at, value);
                }
            }
            finish.done.push(done);
            finish.waits.push(begin.map(|(last, places)| (last.by, places)));
        }
        finish
    }

    /// When the last one is done.
    pub(super) fn span(&self) -> u64 {
        self.done.iter().copied().max().unwrap_or_default()
    }

    /// The transactions of the heaviest path that wait for others, from the last on.
    pub(super) fn heaviest_path(&self) -> Vec<Step> {
        let Some(mut at) = (0..self.done.len()).max_by_key(|tx| self.done[*tx]) else {
            return Vec::new();
        };
        let mut path = Vec::new();
        while let Some((earlier, places)) = &self.waits[at] {
            path.push(Step { gas: self.observed.gas[at], places: places.clone() });
            at = *earlier;
        }
        path
    }
}

/// A value that is added to what is there: it is whole when the last one is.
fn later(made: &mut HashMap<Location, Made>, at: Location, value: Made) {
    let there = made.entry(at).or_insert(value);
    if there.at < value.at {
        *there = value;
    }
}
