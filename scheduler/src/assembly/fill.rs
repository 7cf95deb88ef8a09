//! One block while it is filled: who can be next, what is left, who is decided.
//!
//! ```text
//! every order ──> waits for a nonce ──> heap by value per gas ──> taken, or left out
//!                      ^                      │    ^
//!                      └── not its turn yet ──┘    └── waits for those that are to precede it
//! ```

mod take;

use core::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use alloy_primitives::U256;

use super::{
    Assembly, AssemblyError, LeftOut,
    gaps::Gaps,
    prepare::{Candidates, Density},
    timeline::Timeline,
};
use crate::{Limits, OrderIndex, Resource};

/// Highest value by gas first, ties by index.
type Ranked = (Density, Reverse<OrderIndex>);

/// Where an order that is taken joins the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placing {
    /// Behind all others.
    AtEnd,
    /// At the earliest time at which it does not meet others.
    InGaps,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Taken,
    LeftOut(LeftOut),
}

/// What an order needs first.
enum Turn {
    Now,
    /// The account's nonce must become this.
    Nonce(u32, u64),
    /// This order must be decided.
    Order(OrderIndex),
    Never(LeftOut),
}

/// What required orders that are not in the block yet will take.
#[derive(Clone, Copy, Debug, Default)]
struct Reserve {
    gas: u64,
    state_gas: u64,
    blob_gas: u64,
    size: u64,
    /// The most by which a limit exceeds what is estimated to be used.
    headroom: u64,
    state_headroom: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Fill<'c, 'p> {
    candidates: &'c Candidates<'p>,
    limits: Limits,
    nonces: Vec<u64>,
    balances: Vec<U256>,
    placing: Placing,
    timeline: Timeline,
    gaps: Gaps,
    /// The orders so far, with their starts in the gaps.
    taken: Vec<(OrderIndex, u64)>,
    /// By order, and by account for its last order.
    starts: Vec<u64>,
    last_starts: Vec<u64>,
    /// Where the front ends.
    floor: u64,
    block: Assembly,
    reserve: Reserve,
    decisions: Vec<Option<Decision>>,
    heap: BinaryHeap<Ranked>,
    /// By account and the nonce that it must have.
    waiting: BTreeMap<(u32, u64), Vec<OrderIndex>>,
    /// By order: who waits for its decision.
    behind: BTreeMap<OrderIndex, Vec<OrderIndex>>,
    /// All who do or did.
    parked: BinaryHeap<Ranked>,
}

impl<'c, 'p> Fill<'c, 'p> {
    pub(super) fn new(candidates: &'c Candidates<'p>, limits: &Limits, placing: Placing) -> Self {
        let accounts = candidates.accounts.iter();
        let (nonces, balances) = accounts.map(|(_, sender)| (sender.nonce, sender.balance)).unzip();
        let mut reserve = Reserve::default();
        for (order, _) in candidates.orders().iter().zip(&candidates.is_required).filter(|it| *it.1)
        {
            for tx in &order.transactions {
                reserve.gas = reserve.gas.saturating_add(tx.gas.used);
                reserve.state_gas = reserve.state_gas.saturating_add(tx.state_gas.used);
                reserve.blob_gas = reserve.blob_gas.saturating_add(tx.blob_gas);
                reserve.size = reserve.size.saturating_add(tx.size);
                reserve.headroom = reserve.headroom.max(tx.gas.most() - tx.gas.used);
                let state_headroom = tx.state_gas.most() - tx.state_gas.used;
                reserve.state_headroom = reserve.state_headroom.max(state_headroom);
            }
        }
        Self {
            candidates,
            limits: *limits,
            nonces,
            balances,
            placing,
            timeline: Timeline::new(candidates.places.len()),
            gaps: Gaps::new(if placing == Placing::InGaps { candidates.places.len() } else { 0 }),
            taken: Vec::new(),
            starts: vec![0; candidates.orders().len()],
            last_starts: vec![0; candidates.accounts.len()],
            floor: 0,
            block: Assembly::default(),
            reserve,
            decisions: vec![None; candidates.orders().len()],
            heap: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            behind: BTreeMap::new(),
            parked: BinaryHeap::new(),
        }
    }

    /// Puts in front what the caller wants there, and lets every other order wait its turn.
    pub(super) fn begin(&mut self) -> Result<(), AssemblyError> {
        for &order in &self.candidates.constraints.first {
            let decision = self.decisions[order.index()];
            if decision == Some(Decision::Taken) {
                continue;
            }
            let placed = match (decision, self.turn(order)) {
                (Some(Decision::LeftOut(why)), _) | (_, Turn::Never(why)) => Err(why),
                (_, Turn::Nonce(account, _)) => Err(self.gap(account, order)),
                // Those that are to precede it are left out by its being taken.
                (_, Turn::Now | Turn::Order(_)) => self.try_take(order),
            };
            placed.map_err(|why| AssemblyError::Unplaceable { order, why })?;
            self.floor = self.starts[order.index()];
        }
        for at in 0..self.decisions.len() {
            let order = OrderIndex::new(at);
            if self.decisions[at].is_none() {
                match self.candidates.malformed[at] {
                    Some(sender) => self.leave_out(order, LeftOut::Nonces { sender }),
                    None => self.await_turn(order),
                }
            }
        }
        Ok(())
    }

    /// The order of the highest value by gas among those whose turn may have come.
    pub(super) fn next(&mut self) -> Option<OrderIndex> {
        self.heap.pop().map(|(_, Reverse(order))| order)
    }

    /// Takes an order, leaves it out, or lets it wait for its turn.
    pub(super) fn decide(&mut self, order: OrderIndex) {
        if self.decisions[order.index()].is_some() {
            return;
        }
        match self.turn(order) {
            Turn::Now => {
                if let Err(why) = self.try_take(order) {
                    self.leave_out(order, why);
                }
            }
            Turn::Nonce(account, nonce) => {
                self.waiting.entry((account, nonce)).or_default().push(order);
            }
            Turn::Order(earlier) => {
                self.behind.entry(earlier).or_default().push(order);
                self.parked.push(self.ranked(order));
            }
            Turn::Never(why) => self.leave_out(order, why),
        }
    }

    /// Decides one order for others that wait for it, where nothing else is left to decide.
    /// False if none is waited for.
    pub(super) fn release(&mut self) -> bool {
        while let Some((_, Reverse(order))) = self.parked.pop() {
            if self.decisions[order.index()].is_some() {
                continue;
            }
            let candidates = self.candidates;
            let before = candidates.before.row(order.index());
            let undecided = before.iter().filter(|it| self.decisions[it.index()].is_none());
            let Some(&earlier) = undecided.max_by_key(|it| candidates.is_required[it.index()])
            else {
                continue;
            };
            if candidates.is_required[earlier.index()] {
                self.leave_out(order, LeftOut::Precedence { with: earlier });
            } else {
                self.leave_out(earlier, LeftOut::Precedence { with: order });
                self.parked.push(self.ranked(order));
            }
            return true;
        }
        false
    }

    /// The block, once everything is decided that ever will be.
    pub(super) fn finish(mut self) -> Result<Assembly, AssemblyError> {
        for at in 0..self.decisions.len() {
            let order = OrderIndex::new(at);
            let why = match self.decisions[at] {
                Some(Decision::Taken) => continue,
                Some(Decision::LeftOut(why)) => why,
                None => match self.turn(order) {
                    Turn::Never(why) => why,
                    Turn::Nonce(account, _) => self.gap(account, order),
                    Turn::Order(with) => LeftOut::Precedence { with },
                    Turn::Now => unreachable!("an order whose turn has come is decided"),
                },
            };
            if self.candidates.is_required[at] {
                return Err(AssemblyError::Unplaceable { order, why });
            }
            self.block.left_out.push((order, why));
        }
        if self.placing == Placing::InGaps {
            self.put_in_order();
        }
        self.block.span = self.timeline.span();
        Ok(self.block)
    }

    fn ranked(&self, order: OrderIndex) -> Ranked {
        (self.candidates.priority[order.index()], Reverse(order))
    }

    /// Puts an order where it is looked at when its nonces are next.
    fn await_turn(&mut self, order: OrderIndex) {
        match self.nonce_turn(order) {
            Turn::Nonce(account, nonce) => {
                self.waiting.entry((account, nonce)).or_default().push(order);
            }
            Turn::Never(why) => self.leave_out(order, why),
            Turn::Now | Turn::Order(_) => self.heap.push(self.ranked(order)),
        }
    }

    /// What an order needs before it can be taken, limits aside.
    fn turn(&self, order: OrderIndex) -> Turn {
        match self.nonce_turn(order) {
            Turn::Now => {}
            other => return other,
        }
        let candidates = self.candidates;
        let excluding = candidates.excludes.row(order.index()).iter().find(|other| {
            let is_taken = self.decisions[other.index()] == Some(Decision::Taken);
            is_taken || (candidates.is_required[other.index()] && **other != order)
        });
        if let Some(&by) = excluding {
            return Turn::Never(LeftOut::Excluded { by });
        }
        let before = candidates.before.row(order.index()).iter();
        let mut undecided = before.filter(|other| self.decisions[other.index()].is_none());
        undecided.next().map_or(Turn::Now, |&other| Turn::Order(other))
    }

    /// Whether the nonces of an order are next.
    fn nonce_turn(&self, order: OrderIndex) -> Turn {
        let is_required = self.candidates.is_required[order.index()];
        for need in self.candidates.needs.row(order.index()) {
            let next = self.nonces[need.account as usize];
            let reserved = &self.candidates.reserved;
            let mut nonces = (0..need.count).map(|at| need.nonce.saturating_add(at));
            let taken = nonces.find(|&nonce| {
                nonce < next || (!is_required && reserved.contains(&(need.account, nonce)))
            });
            if let Some(nonce) = taken {
                let sender = self.candidates.accounts[need.account as usize].0;
                return Turn::Never(LeftOut::NonceUsed { sender, nonce });
            }
            if need.nonce > next {
                return Turn::Nonce(need.account, need.nonce);
            }
        }
        Turn::Now
    }

    fn gap(&self, account: u32, order: OrderIndex) -> LeftOut {
        let needs = self.candidates.needs.row(order.index());
        let need = needs.iter().find(|need| need.account == account);
        let nonce = need.map_or(0, |need| need.nonce);
        LeftOut::NonceGap { sender: self.candidates.accounts[account as usize].0, nonce }
    }

    /// Adds an order to the end of the block, if everything suffices for it.
    fn try_take(&mut self, order: OrderIndex) -> Result<(), LeftOut> {
        let filled = self.fits(order).map_err(LeftOut::Limit)?;
        let balances = self.paid(order)?;
        let is_in_time = match self.placing {
            Placing::AtEnd => self.put_at_end(order),
            Placing::InGaps => self.put_in_gap(order),
        };
        if !is_in_time {
            return Err(LeftOut::Limit(Resource::Span));
        }
        for (account, balance) in balances {
            self.balances[account] = balance;
        }
        self.block = Assembly {
            orders: core::mem::take(&mut self.block.orders),
            left_out: core::mem::take(&mut self.block.left_out),
            ..filled
        };
        self.block.orders.push(order);
        self.decisions[order.index()] = Some(Decision::Taken);
        self.settle_reserve(order);
        for need in self.candidates.needs.row(order.index()) {
            let nonce = &mut self.nonces[need.account as usize];
            *nonce = nonce.saturating_add(need.count);
            let next = (need.account, *nonce);
            for waiting in self.waiting.remove(&next).into_iter().flatten() {
                self.heap.push(self.ranked(waiting));
            }
        }
        let candidates = self.candidates;
        for &earlier in candidates.before.row(order.index()) {
            if self.decisions[earlier.index()].is_none() {
                self.leave_out(earlier, LeftOut::Precedence { with: order });
            }
        }
        for &other in candidates.excludes.row(order.index()) {
            if self.decisions[other.index()].is_none() {
                self.leave_out(other, LeftOut::Excluded { by: order });
            }
        }
        self.decided(order);
        Ok(())
    }

    fn leave_out(&mut self, order: OrderIndex, why: LeftOut) {
        self.decisions[order.index()] = Some(Decision::LeftOut(why));
        self.decided(order);
    }

    /// Looks again at those that waited for this decision.
    fn decided(&mut self, order: OrderIndex) {
        for waiting in self.behind.remove(&order).into_iter().flatten() {
            self.heap.push(self.ranked(waiting));
        }
    }
}
