//! What it takes to add one order: whether limits and balances suffice, and when it would be
//! done.

use alloy_primitives::U256;

use super::{Fill, Reserve};
use crate::{
    Limits, OrderIndex, Resource,
    assembly::{Assembly, LeftOut, linear::block_order},
};

impl Fill<'_, '_> {
    /// The figures of the block with the order, if the limits allow it.
    pub(super) fn fits(&self, order: OrderIndex) -> Result<Assembly, Resource> {
        let Limits { gas, state_gas, blob_gas, size, work, .. } = self.limits;
        let is_required = self.candidates.is_required[order.index()];
        let reserve = if is_required { Reserve::default() } else { self.reserve };
        let block = &self.block;
        let mut next =
            Assembly { orders: Vec::new(), left_out: Vec::new(), value: block.value, ..*block };
        let within = |used: u64, more: u64, limit: u64, resource| {
            if used.saturating_add(more) > limit { Err(resource) } else { Ok(()) }
        };
        let order = self.candidates.order(order);
        next.value = next.value.saturating_add(order.value);
        for tx in &order.transactions {
            within(next.gas, tx.gas.most(), gas, Resource::Gas)?;
            within(next.state_gas, tx.state_gas.most(), state_gas, Resource::StateGas)?;
            next.gas = next.gas.saturating_add(tx.gas.used);
            next.state_gas = next.state_gas.saturating_add(tx.state_gas.used);
            next.blob_gas = next.blob_gas.saturating_add(tx.blob_gas);
            next.size = next.size.saturating_add(tx.size);
            next.work = next.work.saturating_add(tx.access.gas());
        }
        if !is_required {
            within(next.work, 0, work, Resource::Work)?;
            let later = reserve.gas.saturating_add(reserve.headroom);
            within(next.gas, later, gas, Resource::Gas)?;
            let later = reserve.state_gas.saturating_add(reserve.state_headroom);
            within(next.state_gas, later, state_gas, Resource::StateGas)?;
        }
        within(next.blob_gas, reserve.blob_gas, blob_gas, Resource::BlobGas)?;
        within(next.size, reserve.size, size, Resource::Size)?;
        Ok(next)
    }

    /// What the senders of an order have after it, if that suffices for all of it.
    pub(super) fn paid(&self, order: OrderIndex) -> Result<Vec<(usize, U256)>, LeftOut> {
        let candidates = self.candidates;
        let needs = candidates.needs.row(order.index()).iter();
        let accounts = needs.map(|need| need.account as usize);
        let mut balances: Vec<(usize, U256)> =
            accounts.map(|account| (account, self.balances[account])).collect();
        for tx in &candidates.order(order).transactions {
            let is_senders = |it: &&mut (usize, U256)| candidates.accounts[it.0].0 == tx.sender;
            let paying = balances.iter_mut().find(is_senders);
            let (_, balance) = paying.expect("an order needs its senders");
            if *balance < tx.needs {
                return Err(LeftOut::Funds { sender: tx.sender });
            }
            *balance = balance.saturating_sub(tx.spends);
        }
        Ok(balances)
    }

    fn span_max(&self, order: OrderIndex) -> u64 {
        if self.candidates.is_required[order.index()] { u64::MAX } else { self.limits.span }
    }

    /// Adds the order to the timeline, unless it would finish too late.
    pub(super) fn put_at_end(&mut self, order: OrderIndex) -> bool {
        let candidates = self.candidates;
        let span_max = self.span_max(order);
        self.timeline.mark();
        let first = candidates.first_tx[order.index()];
        for (tx, number) in candidates.order(order).transactions.iter().zip(first..) {
            let uses = candidates.places.of(number);
            let finish = self.timeline.finish_of(uses, tx.access.gas());
            if finish > span_max {
                self.timeline.undo();
                return false;
            }
            self.timeline.add(uses, finish);
        }
        true
    }

    /// Plans the order, unless it would finish too late: a bundle as a whole, one transaction
    /// after the other.
    pub(super) fn put_in_gap(&mut self, order: OrderIndex) -> bool {
        let candidates = self.candidates;
        let needs = candidates.needs.row(order.index());
        let nonces = needs.iter().map(|need| self.last_starts[need.account as usize]);
        let before = candidates.before.row(order.index()).iter();
        let preceding = before.map(|earlier| self.starts[earlier.index()]);
        let floor = nonces.chain(preceding).fold(self.floor, u64::max);
        let transactions = candidates.order(order).transactions.iter();
        let gas = transactions.map(|tx| tx.access.gas()).fold(0, u64::saturating_add);
        let uses = candidates.planned.row(order.index());
        let Some(start) = self.gaps.start_of(uses, gas, floor, self.span_max(order)) else {
            return false;
        };
        self.gaps.add(uses, start, gas);
        self.taken.push((order, start));
        self.starts[order.index()] = start;
        for need in needs {
            self.last_starts[need.account as usize] = start;
        }
        true
    }

    /// The order of the block, and its span: not what was planned, but what follows.
    pub(super) fn put_in_order(&mut self) {
        let candidates = self.candidates;
        self.block.orders = block_order(candidates, &self.taken);
        for order in &self.block.orders {
            let first = candidates.first_tx[order.index()];
            for (tx, number) in candidates.order(*order).transactions.iter().zip(first..) {
                let uses = candidates.places.of(number);
                let finish = self.timeline.finish_of(uses, tx.access.gas());
                self.timeline.add(uses, finish);
            }
        }
        debug_assert!(self.timeline.span() <= self.gaps.span(), "nothing is later than planned");
    }

    /// What a required order has taken is no longer kept for it.
    pub(super) fn settle_reserve(&mut self, order: OrderIndex) {
        if !self.candidates.is_required[order.index()] {
            return;
        }
        for tx in &self.candidates.order(order).transactions {
            self.reserve.gas = self.reserve.gas.saturating_sub(tx.gas.used);
            self.reserve.state_gas = self.reserve.state_gas.saturating_sub(tx.state_gas.used);
            self.reserve.blob_gas = self.reserve.blob_gas.saturating_sub(tx.blob_gas);
            self.reserve.size = self.reserve.size.saturating_sub(tx.size);
        }
    }
}
