//! Versions -> the net changes of the block, by shares of the address space.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use hashbrown::HashMap;
use revm::{
    DatabaseRef,
    primitives::{Address, StorageKey, StorageValue, map::FbBuildHasher},
};

use super::{entries::End, listed::ByList, view::VersionedState};
use crate::{
    AccountChange, StateChanges,
    reads::Seen,
    transition::{AccountTransition, BalanceChange, CodeChange, Lifecycle, SlotChange, Transition},
};

/// Transactions for each part of the net changes.
const TRANSACTIONS_PER_PART: usize = 64;

/// Threads begin this many shards apart from each other.
const SHARDS_APART: usize = 16;

/// Net changes of a system operation as one transition.
pub(super) fn transition_of(changes: StateChanges) -> Transition {
    let accounts = changes.into_iter().map(|(address, change)| {
        let AccountChange { info, storage_cleared, storage } = change;
        let lifecycle = match info {
            None => Lifecycle::Destroyed,
            Some(_) if storage_cleared => Lifecycle::Created,
            Some(_) => Lifecycle::Kept,
        };
        let info = info.unwrap_or_default();
        let slots = storage.into_iter().map(|(key, value)| SlotChange::new(key, value));
        let balance = BalanceChange::Set(info.balance);
        let mut change = AccountTransition::payment(balance, Some(info.nonce));
        change.lifecycle = lifecycle;
        change.code = Some(Box::new(CodeChange { hash: info.code_hash, code: info.code }));
        (address, change.with_storage(slots.collect()))
    });
    Transition::of(accounts.collect())
}

/// One of `parts` parts of the address space, in the order of the addresses.
#[derive(Clone, Copy, Debug)]
struct Share {
    part: usize,
    parts: usize,
}

impl Share {
    /// The number of the part, of so many, that an address is in.
    fn of(address: &Address, parts: usize) -> usize {
        // Two bytes are enough to tell as many parts apart as there can be threads.
        let prefix = usize::from(u16::from_be_bytes([address[0], address[1]]));
        prefix * parts / (usize::from(u16::MAX) + 1)
    }

    fn holds(self, address: &Address) -> bool {
        Self::of(address, self.parts) == self.part
    }
}

/// Net changes of accounts.
pub(super) type Changes = Vec<(Address, AccountChange)>;

/// A part of the net changes, once it is worked out.
type Part<E> = Mutex<Option<Result<Changes, E>>>;

/// The net changes of the block, worked out in parts: by the calling thread and by those
/// that have no more transactions to run.
#[derive(Debug)]
pub(super) struct Closing<E> {
    /// The next part that no thread has taken.
    next: AtomicUsize,
    parts: Box<[Part<E>]>,
}

impl<E> Closing<E> {
    /// For so many transactions on so many threads.
    pub(super) fn new(transactions: usize, threads: usize) -> Self {
        let parts = (transactions / TRANSACTIONS_PER_PART).clamp(1, threads);
        let parts = core::iter::repeat_with(Mutex::default).take(parts).collect();
        Self { next: AtomicUsize::new(0), parts }
    }

    /// Works out parts as long as there are any.
    pub(super) fn work<DB: DatabaseRef<Error = E>>(&self, view: &mut VersionedState<'_, '_, DB>) {
        let parts = self.parts.len();
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(changes) = self.parts.get(part) else { return };
            let worked_out = changes_of(view, Share { part, parts });
            *changes.lock().unwrap_or_else(PoisonError::into_inner) = Some(worked_out);
        }
    }

    /// All changes, once the other threads are gone.
    pub(super) fn collect(&self) -> Result<StateChanges, E> {
        let take = |part: &Part<E>| part.lock().unwrap_or_else(PoisonError::into_inner).take();
        let parts = self.parts.iter().filter_map(take).collect::<Result<Vec<_>, E>>()?;
        Ok(parts.into_iter().flatten().collect())
    }
}

/// Adds what the protocol did after the transactions.
pub(super) fn add_later<DB: DatabaseRef>(
    changes: &mut StateChanges,
    later: StateChanges,
    view: &mut VersionedState<'_, '_, DB>,
) -> Result<(), DB::Error> {
    let last_wipes = view.versions().last_wipes();
    for (address, later) in later {
        let mut change = changes.remove(&address).unwrap_or_default();
        let original = Seen::new(view.original(address)?.as_ref());
        if later.storage_cleared {
            change.storage.clear();
        }
        let is_cleared = later.storage_cleared || last_wipes.contains_key(&address);
        for (key, value) in later.storage {
            let original =
                if is_cleared { StorageValue::ZERO } else { view.original_slot(address, key)? };
            if value == original {
                change.storage.remove(&key);
            } else {
                change.storage.insert(key, value);
            }
        }
        change.storage_cleared |= later.storage_cleared && original.exists;
        change.info = later.info;
        let is_changed = change.storage_cleared
            || !change.storage.is_empty()
            || Seen::new(change.info.as_ref()) != original;
        if is_changed {
            changes.insert(address, change);
        }
    }
    Ok(())
}

/// The net changes of the accounts in one share of the address space, sorted. The shares
/// in their order are all changes, sorted.
fn changes_of<DB: DatabaseRef>(
    view: &mut VersionedState<'_, '_, DB>,
    share: Share,
) -> Result<Changes, DB::Error> {
    if let Some(by_list) = view.versions().by_list() {
        return changes_by_list(view, by_list, share);
    }
    let mut storage = changed_slots(view, share)?;
    let mut changes = Vec::with_capacity(2 * storage.len());
    view.versions().for_each_account(share.part * SHARDS_APART, |account| {
        if !share.holds(&account.address) {
            return;
        }
        let slots = storage.remove(&account.address);
        if slots.is_some() || !account.is_as_before() {
            let change = account_change(account.end(), slots);
            changes.extend(change.map(|change| (account.address, change)));
        }
    });
    for (address, slots) in storage {
        let info = view.original(address)?;
        let end = End { original: Seen::new(info.as_ref()), info, is_cleared: false };
        changes.extend(account_change(end, Some(slots)).map(|change| (address, change)));
    }
    changes.sort_unstable_by_key(|(address, _)| *address);
    Ok(changes)
}

/// The same of a block that is run by its access list.
fn changes_by_list<DB: DatabaseRef>(
    view: &mut VersionedState<'_, '_, DB>,
    by_list: &ByList<'_>,
    share: Share,
) -> Result<Changes, DB::Error> {
    let last_wipes = view.versions().last_wipes();
    let end = by_list.until();
    let mut changes = Vec::new();
    for (address, keys) in by_list.accounts().filter(|(address, _)| share.holds(address)) {
        let hash = view.versions().hashes().account(address);
        let wiped = last_wipes.get(&address).copied();
        let mut slots = Slots::new();
        for key in keys {
            let change = by_list.slot(hash, address, key, end);
            let later = change.filter(|(written, _)| wiped.is_none_or(|wiped| wiped <= *written));
            let Some((_, value)) = later else { continue };
            let original = match wiped {
                Some(_) => StorageValue::ZERO,
                None => view.original_slot(address, key)?,
            };
            if value != original {
                slots.push((key, value));
            }
        }
        let original = view.original(address)?;
        let seen = Seen::new(original.as_ref());
        let info = by_list.account(hash, address, end, original);
        let end = End { original: seen, info, is_cleared: wiped.is_some() };
        let slots = (!slots.is_empty()).then_some(slots);
        changes.extend(account_change(end, slots).map(|change| (address, change)));
    }
    Ok(changes)
}

type Slots = Vec<(StorageKey, StorageValue)>;

/// The slots that end with another value than they had before the block, by account.
fn changed_slots<DB: DatabaseRef>(
    view: &mut VersionedState<'_, '_, DB>,
    share: Share,
) -> Result<HashMap<Address, Slots, FbBuildHasher<20>>, DB::Error> {
    let mut changed = HashMap::<Address, Slots, _>::default();
    let last_wipes = view.versions().last_wipes();
    let mut unread = Vec::new();
    view.versions().for_each_slot(share.part * SHARDS_APART, |slot| {
        let Some((written, value)) = slot.last() else { return };
        if !share.holds(&slot.address) {
            return;
        }
        let original = match (last_wipes.get(&slot.address), slot.original) {
            (Some(wiped), _) if *wiped > written => return,
            (Some(_), _) => StorageValue::ZERO,
            (None, Some(original)) => original,
            (None, None) => return unread.push((slot.address, slot.key, value)),
        };
        if value != original {
            changed.entry(slot.address).or_default().push((slot.key, value));
        }
    });
    for (address, key, value) in unread {
        if value != view.original_slot(address, key)? {
            changed.entry(address).or_default().push((key, value));
        }
    }
    Ok(changed)
}

/// The net change of an account, if there is one.
fn account_change(end: End, storage: Option<Slots>) -> Option<AccountChange> {
    let End { original, info, is_cleared } = end;
    let storage_cleared = is_cleared && original.exists;
    let is_changed = storage_cleared || storage.is_some() || Seen::new(info.as_ref()) != original;
    let storage = storage.unwrap_or_default().into_iter().collect();
    is_changed.then_some(AccountChange { info, storage_cleared, storage })
}
