//! Who has sent what: the next nonce of each sender, and the orders that have nonces from
//! there on.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use revm::primitives::{Address, map::DefaultHashBuilder};

use super::{Order, OrderId};

/// Whether an order can be executed as far as nonces go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Readiness {
    /// Its nonces are the next ones of their senders.
    Next,
    /// Other orders of the pool have the nonces before its own.
    Behind,
    /// Nonces before its own are missing.
    Gapped,
}

#[derive(Debug, Default)]
struct Sender {
    next: u64,
    /// By nonce.
    orders: BTreeSet<(u64, OrderId)>,
}

/// The senders of the orders of a pool.
#[derive(Debug, Default)]
pub(super) struct Senders(HashMap<Address, Sender, DefaultHashBuilder>);

impl Senders {
    /// The next nonce of a sender that has orders here.
    pub(super) fn next(&self, sender: &Address) -> Option<u64> {
        self.0.get(sender).map(|sender| sender.next)
    }

    /// Adds an order. `nexts` are its senders, with their nonces in the state.
    pub(super) fn add(&mut self, id: OrderId, order: &Order, nexts: &[(Address, u64)]) {
        for member in order.members() {
            let caller = member.tx().caller;
            let sender = self.0.entry(caller).or_insert_with(|| {
                let known = nexts.iter().find(|(sender, _)| *sender == caller);
                Sender { next: known.map_or(0, |(_, next)| *next), orders: BTreeSet::new() }
            });
            sender.orders.insert((member.tx().nonce, id));
        }
    }

    /// Removes an order.
    pub(super) fn remove(&mut self, id: OrderId, order: &Order) {
        for member in order.members() {
            let caller = member.tx().caller;
            if let Some(sender) = self.0.get_mut(&caller) {
                sender.orders.remove(&(member.tx().nonce, id));
                if sender.orders.is_empty() {
                    self.0.remove(&caller);
                }
            }
        }
    }

    /// Sets the next nonce of a sender, and gives the orders whose nonces are passed.
    pub(super) fn advance(&mut self, sender: &Address, next: u64) -> Vec<OrderId> {
        let Some(sender) = self.0.get_mut(sender) else { return Vec::new() };
        sender.next = next;
        sender.orders.range(..(next, OrderId(0))).map(|(_, id)| *id).collect()
    }

    /// The orders of a sender, by nonce.
    pub(super) fn of(&self, sender: &Address) -> Vec<(u64, OrderId)> {
        let orders = self.0.get(sender).map(|sender| sender.orders.iter().copied().collect());
        orders.unwrap_or_default()
    }

    /// The orders of a sender and nonce.
    pub(super) fn with(&self, sender: &Address, nonce: u64) -> impl Iterator<Item = OrderId> {
        let range = (nonce, OrderId(0))..=(nonce, OrderId(u64::MAX));
        let orders = self.0.get(sender).map(|sender| sender.orders.range(range));
        orders.into_iter().flatten().map(|(_, id)| *id)
    }

    /// Whether the nonces before an order's own are there.
    pub(super) fn readiness(&self, id: OrderId, order: &Order) -> Readiness {
        let mut readiness = Readiness::Next;
        for member in order.members().iter().filter(|member| !member.is_optional()) {
            let tx = member.tx();
            let Some(sender) = self.0.get(&tx.caller) else { continue };
            for nonce in sender.next..tx.nonce {
                let mut with = self.with(&tx.caller, nonce).peekable();
                if with.peek().is_none() {
                    return Readiness::Gapped;
                }
                if !with.any(|other| other == id) {
                    readiness = Readiness::Behind;
                }
            }
        }
        readiness
    }
}
