//! Whether what was done is what a list says, and whether all of the list was touched.
//!
//! Each step of the block, on whichever thread it ran, is held against the changes that the list
//! names at its index: all of them, and no others. Accounts and slots that are only read have no
//! index; they are marked when any step touches them. A list all of whose steps agree, all of whose
//! reads are marked and that lacks none is the block's list.

use std::sync::atomic::{AtomicBool, Ordering};

use alloy_eips::eip7928::{AccountChanges, BlockAccessIndex, BlockAccessList};
use revm::{
    DatabaseRef,
    primitives::{Address, StorageKey, StorageValue, U256},
};

use super::{ByList, Listed, cost_of_reads, indices, last};
use crate::{
    SYSTEM_CONTRACTS,
    run::{versions::Point, view::VersionedState},
    touched::{Touched, TouchedAccount},
    transition::{AccountTransition, BalanceChange, Lifecycle, Transition},
};

/// What of a list has been touched.
#[derive(Debug)]
pub(super) struct Marks {
    accounts: Box<[AtomicBool]>,
    reads: Box<[AtomicBool]>,
    /// Something was touched that the list lacks.
    lacks: AtomicBool,
}

impl Marks {
    pub(super) fn new(listed: &Listed) -> Self {
        let reads = listed.reads_before.last().map_or(0, |reads| *reads as usize);
        let none = |len| core::iter::repeat_with(AtomicBool::default).take(len).collect();
        Self {
            accounts: none(listed.list.len()),
            reads: none(reads),
            lacks: AtomicBool::new(false),
        }
    }

    fn is_whole(&self) -> bool {
        let mut all = self.accounts.iter().chain(&self.reads);
        !self.lacks.load(Ordering::Acquire) && all.all(|mark| mark.load(Ordering::Acquire))
    }
}

/// Sets a mark, unless it is: a write would take the cache line from other threads.
fn set(mark: &AtomicBool) {
    if !mark.load(Ordering::Relaxed) {
        mark.store(true, Ordering::Release);
    }
}

impl ByList<'_> {
    /// Whether a transaction, which touched and did this, did what the list says of it. The list is
    /// true of all transactions before it.
    pub(in crate::run) fn says<DB: DatabaseRef>(
        &self,
        point: Point,
        touched: &Touched,
        transition: &Transition,
        view: &mut VersionedState<'_, '_, DB>,
    ) -> Result<bool, DB::Error> {
        // A touch ends an account that exists and is empty (EIP-161), as destruction does, which
        // no list says.
        let may_end =
            |it: &AccountTransition| it.only_touches() || it.lifecycle == Lifecycle::Destroyed;
        for (address, _) in transition.accounts().iter().filter(|(_, it)| may_end(it)) {
            let found = view.seen_at(*address, point - 1)?;
            if found.exists && found.is_empty() {
                return Ok(false);
            }
        }
        let index = BlockAccessIndex::new(point.into());
        let mut left = self.listed.changes[point as usize];
        for account in touched.accounts() {
            let found = match account.balance {
                BalanceChange::Credit(_) | BalanceChange::Settle(_) => {
                    view.seen_at(account.address, point - 1)?.balance
                }
                BalanceChange::Keep | BalanceChange::Set(_) => U256::ZERO,
            };
            let Some(named) = self.agreed(account, found, index) else { return Ok(false) };
            let Some(rest) = left.checked_sub(named) else { return Ok(false) };
            left = rest;
        }
        Ok(left == 0)
    }

    /// How many changes of an account, whose balance was `found`, a step made and the list
    /// names; none if one is not as the other says.
    fn agreed(
        &self,
        account: &TouchedAccount,
        found: U256,
        index: BlockAccessIndex,
    ) -> Option<u32> {
        let Some((position, entry)) = self.find(account.address) else {
            set(&self.marks.lacks);
            let is_changed = account.balance.is_change()
                || account.nonce.is_some()
                || account.code.is_some()
                || account.slots.iter().any(|slot| slot.before != slot.after);
            return (!is_changed).then_some(0);
        };
        set(&self.marks.accounts[position]);
        let mut named = 0;
        let mut agree = |is_named: bool, is_same: bool| {
            named += u32::from(is_named);
            is_same.then_some(())
        };
        let balance = match account.balance {
            BalanceChange::Keep => None,
            change => Some(change.apply(found)),
        };
        let listed = exactly(&entry.balance_changes, index, |it| it.block_access_index);
        let listed = listed.map(|it| it.post_balance);
        agree(listed.is_some(), listed == balance)?;
        let listed = exactly(&entry.nonce_changes, index, |it| it.block_access_index);
        let listed = listed.map(|it| it.new_nonce);
        agree(listed.is_some(), listed == account.nonce)?;
        let listed = exactly(&entry.code_changes, index, |it| it.block_access_index);
        let listed = listed.map(|it| &it.new_code);
        agree(listed.is_some(), listed == account.code.as_ref())?;
        for slot in &account.slots {
            let value = (slot.before != slot.after).then_some(slot.after);
            let listed = self.slot_at((position, entry), slot.key, index);
            agree(listed.is_some(), listed == value)?;
        }
        Some(named)
    }

    /// What the list says that a slot becomes at an index. A slot that is only read is marked.
    fn slot_at(
        &self,
        (position, entry): (usize, &AccountChanges),
        key: StorageKey,
        index: BlockAccessIndex,
    ) -> Option<StorageValue> {
        let changed = &entry.storage_changes;
        if let Ok(at) = changed.binary_search_by_key(&key, |slot| slot.slot) {
            let change = exactly(&changed[at].changes, index, |it| it.block_access_index);
            return change.map(|it| it.new_value);
        }
        match entry.storage_reads.binary_search(&key) {
            Ok(at) => set(&self.marks.reads[self.listed.reads_before[position] as usize + at]),
            Err(_) => set(&self.marks.lacks),
        }
        None
    }

    /// Whether the protocol did at one end of the block, `made` by itself, what the list says.
    pub(in crate::run) fn says_of_end(&self, index: usize, made: &BlockAccessList) -> bool {
        let at = BlockAccessIndex::new(index as u64);
        let mut left = self.listed.changes[index] as usize;
        for account in made {
            let Some((position, entry)) = self.find(account.address) else {
                set(&self.marks.lacks);
                if indices(account).next().is_some() {
                    return false;
                }
                continue;
            };
            set(&self.marks.accounts[position]);
            let balance = exactly(&entry.balance_changes, at, |it| it.block_access_index);
            let nonce = exactly(&entry.nonce_changes, at, |it| it.block_access_index);
            let code = exactly(&entry.code_changes, at, |it| it.block_access_index);
            let is_same = balance == account.balance_changes.first()
                && nonce == account.nonce_changes.first()
                && code == account.code_changes.first()
                && account.storage_changes.iter().all(|slot| {
                    let made = slot.changes.first().map(|it| it.new_value);
                    self.slot_at((position, entry), slot.slot, at) == made
                });
            if !is_same {
                return false;
            }
            for slot in &account.storage_reads {
                if self.slot_at((position, entry), *slot, at).is_some() {
                    return false;
                }
            }
            let Some(rest) = left.checked_sub(indices(account).count()) else { return false };
            left = rest;
        }
        left == 0
    }

    /// The list, once all steps of the block agree with it: none if it lacks something, or
    /// names what nothing touched.
    pub(in crate::run) fn proven(&self) -> Option<BlockAccessList> {
        self.is_proven().then(|| self.listed.list.to_vec())
    }

    /// Whether nothing speaks against the list, and all of it was touched.
    pub(in crate::run) fn is_proven(&self) -> bool {
        self.marks.is_whole()
    }

    /// Says that the list is not the block's.
    pub(in crate::run) fn disprove(&self) {
        set(&self.marks.lacks);
    }

    /// Whether so much gas can pay for the reads of the list that no transaction has made yet. The
    /// protocol pays nothing for its own.
    pub(in crate::run) fn is_affordable(&self, gas: u64) -> bool {
        if cost_of_reads(self.listed.paid_reads) <= gas {
            return true;
        }
        let spans = self.listed.reads_before.windows(2);
        let accounts = self.listed.list.iter().zip(spans);
        let paid = accounts.filter(|(account, _)| !SYSTEM_CONTRACTS.contains(&account.address));
        let left = paid.map(|(_, span)| {
            let marks = &self.marks.reads[span[0] as usize..span[1] as usize];
            marks.iter().filter(|mark| !mark.load(Ordering::Acquire)).count() as u64
        });
        cost_of_reads(left.sum()) <= gas
    }

    fn find(&self, address: Address) -> Option<(usize, &AccountChanges)> {
        self.listed.find(self.listed.hashes.account(address), address)
    }
}

/// The change at an index.
fn exactly<T>(
    changes: &[T],
    index: BlockAccessIndex,
    at: impl Fn(&T) -> BlockAccessIndex,
) -> Option<&T> {
    last(changes, index, &at).filter(|change| at(change) == index)
}
