//! What is left of a block when its transactions are done: the whole state after
//! them, and the net changes, by shares of the address space.

use hashbrown::hash_map::Entry;
use rayon::{
    iter::{IntoParallelIterator, IntoParallelRefIterator, ParallelIterator},
    slice::ParallelSliceMut,
};
use revm::{
    DatabaseRef,
    primitives::{Address, StorageValue},
};

use super::{AFTER_BLOCK, FlatAccount, FlatSlot, FlatState, apply_to_account, apply_to_storage};
use crate::{
    outcome::{AccountChange, StateChanges},
    tracking::Seen,
};

/// Slots of one account that several threads sort.
const SORTED_TOGETHER_MIN: usize = 4_096;

impl<DB: DatabaseRef> FlatState<'_, DB> {
    /// Takes over what all settled transactions did to the accounts in one share
    /// of the address space.
    pub(crate) fn absorb(&mut self, share: Share) -> Result<(), DB::Error> {
        let Self { base, accounts, settled, now, .. } = self;
        let Some(settled) = *settled else { return Ok(()) };
        for tx in 0..*now {
            for (address, change) in settled.transition(tx).accounts() {
                if !share.holds(address) {
                    continue;
                }
                let account = match accounts.entry(*address) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => {
                        entry.insert(FlatAccount::loaded(base.basic_ref(*address)?))
                    }
                };
                account.touch();
                // Slots are done once more in their order, whatever has been read.
                if account.version <= tx {
                    apply_to_account(account, tx, change);
                    account.version = tx + 1;
                }
                apply_to_storage(account, tx, change);
            }
        }
        Ok(())
    }

    /// Takes over what was done in `other` after the transactions to the accounts in
    /// one share.
    pub(crate) fn take_late(&mut self, share: Share, other: &Self) -> Result<(), DB::Error> {
        for &address in other.late.iter().filter(|address| share.holds(address)) {
            let late = &other.accounts[&address];
            let account = self.touched_mut(address)?;
            account.info.clone_from(&late.info);
            if late.storage_cleared && late.cleared_by == AFTER_BLOCK {
                account.clear_storage(AFTER_BLOCK);
            }
            for (&key, slot) in late.storage.iter().flat_map(|slots| slots.iter()) {
                if slot.version == AFTER_BLOCK {
                    account.store(key, slot.value, AFTER_BLOCK);
                }
            }
        }
        Ok(())
    }

    /// Net changes since the state was opened. Reads the original of slots
    /// that were written unread.
    pub(crate) fn into_changes(self) -> Result<StateChanges, DB::Error> {
        Ok(self.changes_of(Share { part: 0, parts: 1 })?.into_iter().collect())
    }

    /// The net changes of the accounts in one share of the address space,
    /// sorted. The shares in their order are all changes, sorted.
    pub(crate) fn changes_of(
        &self,
        share: Share,
    ) -> Result<Vec<(Address, AccountChange)>, DB::Error> {
        let mut touched: Vec<(Address, &FlatAccount)> = self
            .accounts
            .iter()
            .filter(|(address, account)| account.original.is_some() && share.holds(address))
            .map(|(address, account)| (*address, account))
            .collect();
        touched.sort_unstable_by_key(|(address, _)| *address);
        let mut changes = Vec::with_capacity(touched.len());
        for (address, account) in touched {
            if let Some(change) = net_change(self.base, address, account)? {
                changes.push((address, change));
            }
        }
        Ok(changes)
    }

    /// All net changes, sorted, worked out by the threads of the pool that this is
    /// called on.
    pub(crate) fn changes_by_all(&self) -> Result<Vec<(Address, AccountChange)>, DB::Error>
    where
        DB: Sync,
        DB::Error: Send,
    {
        let Self { base, accounts, .. } = self;
        let touched = accounts.par_iter().filter(|(_, account)| account.original.is_some());
        let mut touched: Vec<_> = touched.collect();
        touched.par_sort_unstable_by_key(|(address, _)| **address);
        let changes = touched.into_par_iter().filter_map(|(address, account)| {
            let change = net_change(*base, *address, account).transpose()?;
            Some(change.map(|change| (*address, change)))
        });
        changes.collect()
    }
}

/// One of `parts` parts of the address space, in the order of the addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) part: usize,
    pub(crate) parts: usize,
}

impl Share {
    /// The number of the part, of so many, that an address is in.
    pub(crate) fn of(address: &Address, parts: usize) -> usize {
        // Two bytes are enough to tell as many parts apart as there can be threads.
        let prefix = usize::from(u16::from_be_bytes([address[0], address[1]]));
        prefix * parts / (usize::from(u16::MAX) + 1)
    }

    pub(crate) fn holds(self, address: &Address) -> bool {
        Self::of(address, self.parts) == self.part
    }
}

/// The account's net change, if there is one.
pub(super) fn net_change<DB: DatabaseRef>(
    base: &DB,
    address: Address,
    account: &FlatAccount,
) -> Result<Option<AccountChange>, DB::Error> {
    let FlatAccount { info, original, storage_cleared: cleared, storage, .. } = account;
    let Some(original) = original else { return Ok(None) };
    let mut slots = Vec::new();
    for (&key, slot) in storage.iter().flat_map(|slots| slots.iter()) {
        let original = match slot {
            _ if *cleared => StorageValue::ZERO,
            FlatSlot { has_original: true, original, .. } => *original,
            _ => base.storage_ref(address, key)?,
        };
        if slot.value != original {
            slots.push((key, slot.value));
        }
    }
    let storage_cleared = *cleared && original.exists;
    let changed = storage_cleared || !slots.is_empty() || Seen::new(info.as_ref()) != *original;
    if slots.len() >= SORTED_TOGETHER_MIN && rayon::current_thread_index().is_some() {
        slots.par_sort_unstable_by_key(|(key, _)| *key);
    }
    let change = || AccountChange {
        info: info.clone(),
        storage_cleared,
        storage: slots.into_iter().collect(),
    };
    Ok(changed.then(change))
}
