//! What the steps of a block touched, put together to the block's access list (EIP-7928).
//!
//! ```text
//! before the block: 0 | tx 0: 1 | tx 1: 2 | ... | after the last: n + 1
//!       └── by account, then by index ──> changes with their values, and what was only read
//! ```
//!
//! A run leaves open what a balance is that it paid into or from without looking at it. Here, in
//! block order, it is known.

use alloy_eips::eip7928::{
    AccountChanges, BalanceChange as ListedBalance, BlockAccessIndex, BlockAccessList, CodeChange,
    NonceChange, SlotChanges, StorageChange,
};
use rayon::{
    ThreadPool,
    iter::ParallelIterator,
    slice::{ParallelSlice, ParallelSliceMut},
};
use revm::primitives::{Address, U256};

use crate::touched::{Touched, TouchedAccount, TouchedSlot};

/// What the steps of a block touched, in block order.
#[derive(Debug, Default)]
pub(crate) struct BlockTouched {
    /// The protocol, before the transactions.
    pub(crate) before: Vec<Touched>,
    pub(crate) txs: Vec<Touched>,
    /// The protocol, after the transactions.
    pub(crate) after: Vec<Touched>,
}

/// An account that was touched at an index of the block.
type At<'a> = (BlockAccessIndex, &'a TouchedAccount);

/// Touched accounts from which on threads share the work: less is done before they wake.
const SHARED_MIN: usize = 2_000;

impl BlockTouched {
    /// The block's list. `original` gives what an account that was paid had before the block.
    pub(crate) fn access_list(&self, original: impl Fn(Address) -> U256) -> BlockAccessList {
        let mut touched = self.in_order();
        touched.sort_by_key(address);
        let accounts = touched.chunk_by(|one, other| address(one) == address(other));
        accounts.map(|touched| account_changes(touched, &original)).collect()
    }

    /// The same, on the threads of a pool.
    pub(crate) fn access_list_on(
        &self,
        pool: &ThreadPool,
        original: impl Fn(Address) -> U256 + Sync,
    ) -> BlockAccessList {
        let mut touched = self.in_order();
        if touched.len() < SHARED_MIN {
            return self.access_list(original);
        }
        pool.install(|| {
            touched.par_sort_by_key(address);
            let accounts = touched.par_chunk_by(|one, other| address(one) == address(other));
            accounts.map(|touched| account_changes(touched, &original)).collect()
        })
    }

    /// What the protocol touched after so many transactions, and nothing else.
    pub(crate) fn after_transactions(transactions: usize, after: &[Touched]) -> Self {
        let txs = vec![Touched::default(); transactions];
        Self { before: Vec::new(), txs, after: after.to_vec() }
    }

    /// Every touched account, in block order.
    fn in_order(&self) -> Vec<At<'_>> {
        let last = self.txs.len() + 1;
        let before = self.before.iter().map(|step| (0, step));
        let txs = self.txs.iter().enumerate().map(|(tx, step)| (tx + 1, step));
        let after = self.after.iter().map(|step| (last, step));
        let steps = before.chain(txs).chain(after);
        let accounts = steps.flat_map(|(index, step)| {
            let index = BlockAccessIndex::new(index as u64);
            step.accounts().iter().map(move |account| (index, account))
        });
        accounts.collect()
    }
}

const fn address(touched: &At<'_>) -> Address {
    touched.1.address
}

/// The entry of one account, from where it was touched, in block order.
fn account_changes(touched: &[At<'_>], original: &impl Fn(Address) -> U256) -> AccountChanges {
    let address = touched[0].1.address;
    let mut entry = AccountChanges::new(address);
    let mut balance = Tracked::default();
    let mut slots: Vec<(BlockAccessIndex, TouchedSlot)> = Vec::new();
    for &(index, account) in touched {
        if account.balance.is_change() {
            let before = balance.now.unwrap_or_else(|| original(address));
            balance.set(index, before, account.balance.apply(before));
        }
        if let Some(nonce) = account.nonce {
            // Of several steps at one index the last counts.
            entry.nonce_changes.pop_if(|change| change.block_access_index == index);
            entry.nonce_changes.push(NonceChange::new(index, nonce));
        }
        if let Some(code) = &account.code {
            entry.code_changes.pop_if(|change| change.block_access_index == index);
            entry.code_changes.push(CodeChange::new(index, code.clone()));
        }
        slots.extend(account.slots.iter().map(|slot| (index, *slot)));
    }
    let balances = balance.changes.iter();
    entry.balance_changes =
        balances.map(|&(index, _, after)| ListedBalance::new(index, after)).collect();
    slots.sort_by_key(|(_, slot)| slot.key);
    for touched in slots.chunk_by(|(_, one), (_, other)| one.key == other.key) {
        let key = touched[0].1.key;
        let mut value = Tracked::default();
        for (index, slot) in touched {
            value.set(*index, slot.before, slot.after);
        }
        if value.changes.is_empty() {
            entry.storage_reads.push(key);
            continue;
        }
        let changes = value.changes.iter();
        let changes = changes.map(|&(index, _, after)| StorageChange::new(index, after)).collect();
        entry.storage_changes.push(SlotChanges::new(key, changes));
    }
    entry
}

/// A value over the block, and where it changed: index, value before, value after.
#[derive(Debug, Default)]
struct Tracked {
    now: Option<U256>,
    changes: Vec<(BlockAccessIndex, U256, U256)>,
}

impl Tracked {
    /// Adds what a step made of the value. Several steps may share an index: then what they
    /// all made of it counts.
    fn set(&mut self, index: BlockAccessIndex, before: U256, after: U256) {
        self.now = Some(after);
        let before = match self.changes.pop_if(|(last, ..)| *last == index) {
            Some((_, before, _)) => before,
            None => before,
        };
        if before != after {
            self.changes.push((index, before, after));
        }
    }
}
