//! Versions -> the net changes of the block.

use hashbrown::HashMap;
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{Address, B256, StorageKey, StorageValue, map::FbBuildHasher},
    state::AccountInfo,
};

use super::versions::{Point, Versions};
use crate::{
    AccountChange, StateChanges,
    tracking::Seen,
    transition::{AccountTransition, BalanceChange, Lifecycle, SlotChange, Transition},
};

/// The state after all transactions, for what the protocol does then.
#[derive(Debug)]
pub(super) struct AfterTransactions<'v, 'r, DB> {
    pub(super) versions: &'v Versions<'r, DB>,
    pub(super) point: Point,
}

impl<DB: DatabaseRef> DatabaseRef for AfterTransactions<'_, '_, DB> {
    type Error = DB::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        self.versions.account(address, self.point)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.versions.code_by_hash(code_hash)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        self.versions.slot(address, key, self.point)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DB::Error> {
        self.versions.block_hash(number)
    }
}

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
        change.code = Some((info.code_hash, info.code));
        (address, change.with_storage(slots.collect()))
    });
    Transition::of(accounts.collect())
}

/// What an account was before the block, what it is after it, and whether its storage
/// was cleared in between.
type End = (Seen, Option<AccountInfo>, bool);

/// Net changes since before the block.
pub(super) fn net_changes<DB: DatabaseRef>(
    versions: Versions<'_, DB>,
) -> Result<StateChanges, DB::Error> {
    let last_wipe = versions.last_wipes();
    let (base, accounts, slots) = versions.into_entries();
    let mut changed: HashMap<Address, Vec<(StorageKey, StorageValue)>, FbBuildHasher<20>> =
        HashMap::default();
    for slot in slots {
        let (original, Some((written, value))) = slot.end() else { continue };
        let wiped = last_wipe.get(&slot.address);
        let original = match (wiped, original) {
            (Some(wiped), _) if *wiped > written => continue,
            (Some(_), _) => StorageValue::ZERO,
            (None, Some(original)) => original,
            (None, None) => base.storage_ref(slot.address, slot.key)?,
        };
        if value != original {
            changed.entry(slot.address).or_default().push((slot.key, value));
        }
    }
    let mut changes = Vec::with_capacity(changed.len());
    for account in accounts {
        let address = account.address;
        let storage = changed.remove(&address);
        if storage.is_none() && account.is_as_before() {
            continue;
        }
        let change = account_change(account.end(), storage);
        changes.extend(change.map(|change| (address, change)));
    }
    for (address, storage) in changed {
        let info = base.basic_ref(address)?;
        let end: End = (Seen::new(info.as_ref()), info, false);
        let change = account_change(end, Some(storage));
        changes.extend(change.map(|change| (address, change)));
    }
    changes.sort_unstable_by_key(|(address, _)| *address);
    Ok(changes.into_iter().collect())
}

/// The net change of an account, if there is one.
fn account_change(
    (original, info, is_cleared): End,
    storage: Option<Vec<(StorageKey, StorageValue)>>,
) -> Option<AccountChange> {
    let storage_cleared = is_cleared && original.exists;
    let is_changed = storage_cleared || storage.is_some() || Seen::new(info.as_ref()) != original;
    let storage = storage.unwrap_or_default().into_iter().collect();
    is_changed.then_some(AccountChange { info, storage_cleared, storage })
}
