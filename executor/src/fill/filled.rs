//! What became of the transactions and items of an order.

use core::ops::Range;
use std::sync::Arc;

use forewave_analyzer::{AccessSetBuilder, Location, ObservedAccess, TxIndex};
use revm::{
    context::result::ExecutionResult,
    primitives::{Address, Bytes, I256, StorageKey, StorageValue},
};

use super::{
    order::{Dropped, OrderItem},
    state::Mark,
};
use crate::{
    TxReceipt, block_gas::BlockGas, observation::observed_fields, reuse::Known, touched::Touched,
};

/// A transaction that is included in a fill. Cheap to clone: what it holds is shared with the
/// cache.
#[derive(Clone, Debug)]
pub struct FilledTx {
    pub(super) tx: TxIndex,
    pub(super) tx_type: u8,
    pub(super) known: Arc<Known>,
    pub(super) cumulative_gas_used: u64,
    pub(super) payment: I256,
    pub(super) is_reused: bool,
}

impl FilledTx {
    /// The transaction.
    pub const fn tx(&self) -> TxIndex {
        self.tx
    }

    /// What revm said of it: success, revert or halt, logs, output.
    pub fn result(&self) -> &ExecutionResult {
        &self.known.result
    }

    /// Whether it neither reverted nor halted.
    pub fn is_success(&self) -> bool {
        self.result().is_success()
    }

    /// What it returned, or its revert data; none if it halted.
    pub fn output(&self) -> Option<&Bytes> {
        self.result().output()
    }

    /// Gas that its sender pays for, refunds taken off.
    pub fn gas_used(&self) -> u64 {
        self.result().tx_gas_used()
    }

    /// Its receipt at this place.
    pub fn receipt(&self) -> TxReceipt {
        TxReceipt::new(self.tx_type, self.cumulative_gas_used, self.result().clone())
    }

    /// What it added to the balance of the block's beneficiary, in wei: fees and direct
    /// payments. Negative if it took from there.
    pub const fn payment(&self) -> I256 {
        self.payment
    }

    /// Whether its result was known, so that no code ran.
    pub const fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// What it read and wrote, precompiles included. Slots are named as reads where the state
    /// was asked for them, which it is not for those of accounts that the transaction creates.
    pub fn access(&self) -> ObservedAccess {
        let mut set = AccessSetBuilder::new();
        let record = &self.known.record;
        record.reads.accounts.iter().for_each(|read| observed_fields(&mut set, read));
        for read in &record.reads.storage {
            set.read(Location::Storage(read.address, read.key));
        }
        record.transition.changes().for_each(|(kind, location)| {
            set.add(kind, location);
        });
        ObservedAccess(set.build())
    }

    /// The slots that it loaded, with the values they had before it, in the order of the loads.
    pub fn slots_read(&self) -> impl Iterator<Item = (Address, StorageKey, StorageValue)> {
        self.known.record.reads.storage.iter().map(|read| (read.address, read.key, read.value))
    }

    /// The slots that it changed, with the values that they have after it.
    pub fn slots_written(&self) -> impl Iterator<Item = (Address, StorageKey, StorageValue)> {
        let accounts = self.known.record.transition.accounts().iter();
        accounts.flat_map(|(address, change)| {
            change.slots().iter().map(|slot| (*address, slot.key, slot.value))
        })
    }

    pub(super) fn touched(&self) -> Option<&Touched> {
        self.known.record.touched.as_ref()
    }
}

/// What there was before an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) mark: Mark,
    pub(super) gas: BlockGas,
    pub(super) payment: I256,
    pub(super) transactions: usize,
}

/// What became of one item of an order.
#[derive(Clone, Debug)]
pub struct FilledItem {
    pub(super) item: OrderItem,
    pub(super) before: Before,
    pub(super) included: Range<usize>,
    pub(super) dropped: Option<Dropped>,
    pub(super) left_out: Vec<Dropped>,
}

impl FilledItem {
    /// The item.
    pub const fn item(&self) -> &OrderItem {
        &self.item
    }

    /// Whether it is part of the fill.
    pub const fn is_included(&self) -> bool {
        self.dropped.is_none()
    }

    /// Why it is not, if so: of a bundle, the first member that it was dropped for.
    pub const fn dropped(&self) -> Option<&Dropped> {
        self.dropped.as_ref()
    }

    /// Optional members of a bundle that were left out.
    pub fn left_out(&self) -> &[Dropped] {
        &self.left_out
    }

    /// Positions of its transactions among those of the fill.
    pub fn transactions(&self) -> Range<usize> {
        self.included.clone()
    }
}
