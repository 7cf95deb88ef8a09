//! The orders of a pool, and everything that finds them: what a lock protects.

use core::{cmp::Reverse, mem::size_of_val};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use forewave_analyzer::{Location, PredictedAccess};
use forewave_scheduler::{ConflictGroups, ConflictRule};
use revm::primitives::Address;

use super::{
    Inserted, Order, OrderId, PoolError, PoolLimits, PooledOrder,
    senders::Senders,
    watch::{Decider, Watch, deciders},
};

/// Bytes that each access of an order takes outside its prediction: its place in the
/// conflict groups, an entry in it and one of the order's.
const BYTES_PER_ACCESS: usize = 200;

/// Bytes that each order takes outside its transactions and predictions.
const BYTES_PER_ORDER: usize = 1_000;

/// An order, and what finds it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) pooled: PooledOrder,
    deciders: Box<[Decider]>,
    fee: u128,
    bytes: usize,
}

/// What was found out about an order before the book is locked.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) predictions: Vec<PredictedAccess>,
    /// The senders, with their nonces in the state.
    pub(super) nexts: Vec<(Address, u64)>,
    /// Number of the block that it was predicted for.
    pub(super) number: u64,
}

/// The orders of a pool.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) entries: BTreeMap<OrderId, Entry>,
    pub(super) groups: ConflictGroups<OrderId>,
    pub(super) senders: Senders,
    pub(super) watch: Watch,
    /// Orders whose predictions are for a state that is gone.
    pub(super) stale: BTreeSet<OrderId>,
    /// By fee, and of the same fee the last ones first.
    by_fee: BTreeSet<(u128, Reverse<OrderId>)>,
    pub(super) bytes: usize,
    next: u64,
}

impl Book {
    pub(super) fn new(rule: ConflictRule, beneficiary: Address) -> Self {
        let mut groups = ConflictGroups::new(rule);
        groups.ignore(Location::Balance(beneficiary));
        Self {
            entries: BTreeMap::new(),
            groups,
            senders: Senders::default(),
            watch: Watch::default(),
            stale: BTreeSet::new(),
            by_fee: BTreeSet::new(),
            bytes: 0,
            next: 0,
        }
    }

    /// Takes an order in, if nonces, fees and limits allow it.
    pub(super) fn insert<E: core::error::Error + 'static>(
        &mut self,
        limits: &PoolLimits,
        order: Arc<Order>,
        looked: Looked,
    ) -> Result<Inserted, PoolError<E>> {
        self.check_nonces(limits, &order, &looked.nexts)?;
        let replaced = self.replaced(limits, &order)?;
        let (fee, bytes) = (order.fee(), bytes(&order, &looked.predictions));
        let evicted = self.make_room(limits, fee, bytes, replaced)?;
        for gone in replaced.iter().chain(&evicted) {
            self.remove(*gone);
        }
        let id = OrderId(self.next);
        self.next += 1;
        self.senders.add(id, &order, &looked.nexts);
        self.by_fee.insert((fee, Reverse(id)));
        self.bytes += bytes;
        self.groups.insert(id, &looked.predictions);
        let deciders = deciders(&looked.predictions);
        self.watch.add(id, &deciders);
        let (predictions, predicted_for) = (looked.predictions.into(), looked.number);
        let pooled = PooledOrder { id, order, predictions, predicted_for };
        self.entries.insert(id, Entry { pooled, deciders, fee, bytes });
        Ok(Inserted { id, replaced, evicted })
    }

    fn check_nonces<E: core::error::Error + 'static>(
        &self,
        limits: &PoolLimits,
        order: &Order,
        nexts: &[(Address, u64)],
    ) -> Result<(), PoolError<E>> {
        for (member, of) in order.members().iter().enumerate() {
            let (sender, nonce) = (of.tx().caller, of.tx().nonce);
            let read = || nexts.iter().find(|(address, _)| *address == sender).map(|it| it.1);
            let next = self.senders.next(&sender).or_else(read).unwrap_or_default();
            let max = limits.nonces_ahead_max;
            if nonce < next && !of.is_optional() {
                return Err(PoolError::NonceTooLow { member, sender, nonce, next });
            }
            if nonce > next.saturating_add(max) {
                return Err(PoolError::NonceTooHigh { member, sender, nonce, next, max });
            }
        }
        Ok(())
    }

    /// The transaction that an order takes the place of, if it may.
    fn replaced<E: core::error::Error + 'static>(
        &self,
        limits: &PoolLimits,
        order: &Order,
    ) -> Result<Option<OrderId>, PoolError<E>> {
        let Some(tx) = order.single() else { return Ok(None) };
        let held = |id: &OrderId| self.entries[id].pooled.order.single().is_some();
        let Some(by) = self.senders.with(&tx.caller, tx.nonce).find(held) else { return Ok(None) };
        let held = self.entries[&by].pooled.order.clone();
        let held = held.single().expect("found as one");
        let raised = |fee: u128| {
            let percent = u128::from(limits.price_bump_percent);
            fee.saturating_add(fee.saturating_mul(percent).div_ceil(100).max(1))
        };
        let [offers, held] = [tx, held].map(|tx| {
            let priority = tx.gas_priority_fee.unwrap_or(tx.gas_price);
            (tx.gas_price, priority, tx.max_fee_per_blob_gas)
        });
        let (max_fee, priority_fee) = (raised(held.0), raised(held.1));
        let suffices = offers.0 >= max_fee
            && offers.1 >= priority_fee
            && (held.2 == 0 || offers.2 >= raised(held.2));
        suffices.then_some(Some(by)).ok_or(PoolError::Underpriced { by, max_fee, priority_fee })
    }

    /// The orders that have to leave for a new one: those that pay the least, whole. An error
    /// if the new one does not pay more than each of them.
    fn make_room<E: core::error::Error + 'static>(
        &self,
        limits: &PoolLimits,
        fee: u128,
        bytes: usize,
        replaced: Option<OrderId>,
    ) -> Result<Vec<OrderId>, PoolError<E>> {
        let freed = replaced.map_or(0, |id| self.entries[&id].bytes);
        let mut held = self.bytes - freed + bytes;
        let mut orders = self.entries.len() + 1 - usize::from(replaced.is_some());
        let mut evicted = Vec::new();
        let mut cheapest = self.by_fee.iter().filter(|(_, Reverse(id))| Some(*id) != replaced);
        while held > limits.bytes_max || orders > limits.orders_max {
            match cheapest.next() {
                Some((least, Reverse(id))) if *least < fee => {
                    held -= self.entries[id].bytes;
                    orders -= 1;
                    evicted.push(*id);
                }
                _ => return Err(PoolError::Full { fee }),
            }
        }
        Ok(evicted)
    }

    /// Removes an order.
    pub(super) fn remove(&mut self, id: OrderId) -> Option<PooledOrder> {
        let Entry { pooled, deciders, fee, bytes } = self.entries.remove(&id)?;
        self.groups.remove(&id);
        self.watch.remove(id, &deciders);
        self.senders.remove(id, &pooled.order);
        self.by_fee.remove(&(fee, Reverse(id)));
        self.stale.remove(&id);
        self.bytes -= bytes;
        Some(pooled)
    }

    /// Gives an order predictions for the state that is, unless it has left. Memory may exceed
    /// the limit by what they are larger, until the next order comes.
    pub(super) fn renew(&mut self, id: OrderId, looked: Looked) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let Looked { predictions, number, .. } = looked;
        self.stale.remove(&id);
        entry.pooled.predicted_for = number;
        // Costs next to nothing where the places are the same.
        self.groups.insert(id, &predictions);
        if *predictions == *entry.pooled.predictions {
            return true;
        }
        let deciders = deciders(&predictions);
        if deciders != entry.deciders {
            self.watch.remove(id, &entry.deciders);
            self.watch.add(id, &deciders);
            entry.deciders = deciders;
        }
        self.bytes -= entry.bytes;
        entry.bytes = bytes(&entry.pooled.order, &predictions);
        self.bytes += entry.bytes;
        entry.pooled.predictions = predictions.into();
        true
    }

    /// Whether a transaction of an order is of another sender.
    pub(super) fn has_other_sender(&self, id: OrderId, sender: &Address) -> bool {
        let members = self.entries[&id].pooled.order.members();
        members.iter().any(|member| member.tx().caller != *sender)
    }

    /// The orders that cannot do without a transaction whose nonce is passed.
    pub(super) fn advance(&mut self, sender: &Address, next: u64) -> Vec<OrderId> {
        let mut passed = self.senders.advance(sender, next);
        passed.retain(|id| {
            let members = self.entries[id].pooled.order.members().iter();
            let mut needed = members.filter(|member| !member.is_optional());
            needed.any(|member| member.tx().caller == *sender && member.tx().nonce < next)
        });
        passed
    }
}

/// About what an order holds, in bytes.
fn bytes(order: &Order, predictions: &[PredictedAccess]) -> usize {
    let members = order.members().iter().map(|member| {
        let tx = member.tx();
        let listed: usize =
            tx.access_list.iter().map(|item| size_of_val(&*item.storage_keys)).sum();
        size_of_val(member)
            + tx.data.len()
            + listed
            + size_of_val(&*tx.access_list.0)
            + size_of_val(&*tx.authorization_list)
            + size_of_val(&*tx.blob_hashes)
    });
    let predictions = predictions.iter().map(|prediction| {
        let set = prediction.set();
        let accesses = set.reads().len().max(set.writes().len()) + set.deltas().len();
        let named = [set.reads(), set.writes(), set.deltas()].map(size_of_val);
        let deciding = prediction.deciding_reads().unwrap_or(set.reads());
        size_of_val(prediction)
            + accesses * BYTES_PER_ACCESS
            + named.iter().sum::<usize>()
            + size_of_val(prediction.widened())
            + size_of_val(prediction.origins())
            + size_of_val(prediction.values())
            + 2 * size_of_val(deciding)
    });
    BYTES_PER_ORDER + members.sum::<usize>() + predictions.sum::<usize>()
}
