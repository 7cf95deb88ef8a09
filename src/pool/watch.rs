//! Which predictions a change of the state can turn: a location to the orders whose
//! predictions were computed from it.

use forewave_analyzer::{Location, PredictedAccess, Scope};
use hashbrown::{HashMap, HashSet};
use revm::primitives::{Address, map::DefaultHashBuilder};
use smallvec::SmallVec;

use super::OrderId;

/// What decides a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Decider {
    Location(Location),
    /// Any slot of a contract.
    Contract(Address),
    /// Anything.
    Everything,
}

/// Orders by what decides their predictions, each list sorted.
#[derive(Debug, Default)]
pub(super) struct Watch(HashMap<Decider, SmallVec<[OrderId; 2]>, DefaultHashBuilder>);

impl Watch {
    /// Adds an order with what decides it.
    pub(super) fn add(&mut self, id: OrderId, deciders: &[Decider]) {
        for decider in deciders {
            let orders = self.0.entry(*decider).or_default();
            if let Err(at) = orders.binary_search(&id) {
                orders.insert(at, id);
            }
        }
    }

    /// Removes an order.
    pub(super) fn remove(&mut self, id: OrderId, deciders: &[Decider]) {
        for decider in deciders {
            if let Some(orders) = self.0.get_mut(decider) {
                if let Ok(at) = orders.binary_search(&id) {
                    orders.remove(at);
                }
                if orders.is_empty() {
                    self.0.remove(decider);
                }
            }
        }
    }

    /// The orders that something decides.
    pub(super) fn decided_by(&self, decider: &Decider) -> &[OrderId] {
        self.0.get(decider).map_or(&[], |orders| &orders[..])
    }

    /// The orders that slots of these contracts decide. Looks at everything that is watched.
    pub(super) fn decided_by_slots(&self, contracts: &HashSet<Address>) -> Vec<OrderId> {
        let is_slot = |decider: &Decider| match decider {
            Decider::Location(Location::Storage(address, _)) => contracts.contains(address),
            _ => false,
        };
        let watched = self.0.iter().filter(|(decider, _)| is_slot(decider));
        watched.flat_map(|(_, orders)| orders.iter().copied()).collect()
    }
}

/// What decides the predictions of an order, sorted: their deciding reads, or, where a
/// prediction does not state them, all that it reads.
pub(super) fn deciders(predictions: &[PredictedAccess]) -> Box<[Decider]> {
    let mut deciders = Vec::new();
    for prediction in predictions {
        if let Some(deciding) = prediction.deciding_reads() {
            deciders.extend(deciding.iter().map(|location| Decider::Location(*location)));
        } else {
            let reads = prediction.set().reads();
            deciders.extend(reads.iter().map(|location| Decider::Location(*location)));
            deciders.extend(prediction.widened().iter().map(|widened| match widened.scope {
                Scope::Mapping { address, .. } | Scope::Contract { address } => {
                    Decider::Contract(address)
                }
                Scope::Everything => Decider::Everything,
            }));
        }
    }
    deciders.sort_unstable();
    deciders.dedup();
    deciders.into()
}
