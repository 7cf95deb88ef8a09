//! The state of a fill: what was loaded or changed, by place, over the caller's read-only state,
//! and what undoes the changes.
//!
//! ```text
//! EVM ── address, key ──> places ──> accounts, slots <── places ── results that are reused
//!                                        │
//!                                      undo ──> the state as it was at a mark
//! ```
//!
//! What was read of the caller's state stays when changes are undone. Touched accounts that end
//! empty are removed from Spurious Dragon on (EIP-161).

mod view;

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{
        Address, StorageKey, StorageValue, U256,
        map::{DefaultHashBuilder, FbBuildHasher},
    },
    state::AccountInfo,
};

use crate::{
    AccountChange, StateChanges,
    reads::Seen,
    reuse::{AccountPlace, Known, Results, SlotPlace},
    transition::{AccountTransition, Lifecycle},
};

pub(crate) use view::Ended;

/// An account as it is and as it was.
#[derive(Clone, Debug)]
struct FillAccount {
    address: Address,
    /// What the state holds, and whether it was asked.
    original: Option<Seen>,
    now: Seen,
    code: Option<Bytecode>,
    storage_cleared: bool,
    /// Its slots that are loaded.
    slots: Vec<SlotPlace>,
}

/// A slot as it is and as it was.
#[derive(Clone, Copy, Debug, Default)]
struct FillSlot {
    original: StorageValue,
    now: StorageValue,
    is_loaded: bool,
    /// Whether its account knows of it.
    is_listed: bool,
}

/// What an account was before a change.
#[derive(Clone, Debug)]
struct UndoAccount {
    place: AccountPlace,
    before: Seen,
    storage_cleared: bool,
    /// Its code, if that was changed.
    code: Option<Code>,
}

/// The code of an account, where the state gives it with the account.
type Code = Box<Option<Bytecode>>;

/// What a slot was before a change; none if it was not loaded.
#[derive(Clone, Copy, Debug)]
struct UndoSlot {
    place: SlotPlace,
    before: Option<StorageValue>,
}

/// A state to come back to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    accounts: usize,
    slots: usize,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct FillState<'a, DB> {
    base: &'a DB,
    results: Arc<Results>,
    accounts: Vec<FillAccount>,
    slots: Vec<FillSlot>,
    /// Places that were asked for here: what all others share takes a lock.
    by_address: HashMap<Address, AccountPlace, FbBuildHasher<20>>,
    by_key: HashMap<(AccountPlace, StorageKey), SlotPlace, DefaultHashBuilder>,
    undo_accounts: Vec<UndoAccount>,
    undo_slots: Vec<UndoSlot>,
}

impl<'a, DB: DatabaseRef> FillState<'a, DB> {
    /// The state before any change.
    pub(crate) fn new(base: &'a DB, results: Arc<Results>) -> Self {
        Self {
            base,
            results,
            accounts: Vec::new(),
            slots: Vec::new(),
            by_address: HashMap::default(),
            by_key: HashMap::default(),
            undo_accounts: Vec::new(),
            undo_slots: Vec::new(),
        }
    }

    /// The results whose places it goes by.
    pub(crate) const fn results(&self) -> &Arc<Results> {
        &self.results
    }

    /// The state as it is now.
    pub(crate) const fn mark(&self) -> Mark {
        Mark { accounts: self.undo_accounts.len(), slots: self.undo_slots.len() }
    }

    /// Undoes what was changed since a mark was taken.
    pub(crate) fn undo(&mut self, mark: Mark) {
        for undo in self.undo_slots.drain(mark.slots..).rev() {
            let slot = &mut self.slots[undo.place.index()];
            match undo.before {
                Some(before) => slot.now = before,
                None => slot.is_loaded = false,
            }
        }
        for undo in self.undo_accounts.drain(mark.accounts..).rev() {
            let account = &mut self.accounts[undo.place.index()];
            account.now = undo.before;
            account.storage_cleared = undo.storage_cleared;
            if let Some(code) = undo.code {
                account.code = *code;
            }
        }
    }

    /// Takes over what a transaction does to the state.
    pub(crate) fn apply(&mut self, known: &Known) -> Result<(), DB::Error> {
        for (place, change) in known.changed_accounts() {
            if change.changes_account() {
                self.apply_account(place, change)?;
            }
        }
        for &(place, value) in &known.slots {
            self.store(place, value)?;
        }
        Ok(())
    }

    /// Takes over net changes: what the protocol does.
    pub(crate) fn apply_changes(&mut self, changes: &StateChanges) -> Result<(), DB::Error> {
        for (address, change) in changes {
            let place = self.account_place(*address);
            let account = self.load_account(place)?;
            let undo = UndoAccount {
                place,
                before: account.now,
                storage_cleared: account.storage_cleared,
                code: Some(Box::new(account.code.clone())),
            };
            let info = change.info.as_ref();
            account.now = Seen::new(info);
            account.code = info.cloned().unwrap_or_default().code;
            self.undo_accounts.push(undo);
            if change.storage_cleared {
                self.clear_storage(place);
            }
            for (key, value) in &change.storage {
                let place = self.slot_place(place, *key);
                self.store(place, *value)?;
            }
        }
        Ok(())
    }

    fn store(&mut self, place: SlotPlace, value: StorageValue) -> Result<(), DB::Error> {
        self.load_slot(place)?;
        let slot = &mut self.slots[place.index()];
        if slot.now != value {
            self.undo_slots.push(UndoSlot { place, before: Some(slot.now) });
            slot.now = value;
        }
        Ok(())
    }

    fn apply_account(
        &mut self,
        place: AccountPlace,
        change: &AccountTransition,
    ) -> Result<(), DB::Error> {
        self.load_account(place)?;
        let account = &mut self.accounts[place.index()];
        let mut undo = UndoAccount {
            place,
            before: account.now,
            storage_cleared: account.storage_cleared,
            code: None,
        };
        let is_destroyed = change.lifecycle == Lifecycle::Destroyed;
        let now = &mut account.now;
        now.balance = change.balance.apply(now.balance);
        now.nonce = change.nonce.unwrap_or(now.nonce);
        if let Some(change) = &change.code {
            now.code_hash = change.hash;
            let code = core::mem::replace(&mut account.code, change.code.clone());
            undo.code = Some(Box::new(code));
        }
        // EIP-161: what is empty and was touched ceases to exist. Before it, revm
        // reports such an account as created (or as untouched).
        now.exists = change.lifecycle == Lifecycle::Created || !now.is_empty();
        if is_destroyed || !now.exists {
            *now = Seen::new(None);
            let code = account.code.replace(Bytecode::default());
            undo.code.get_or_insert_with(|| Box::new(code));
        }
        self.undo_accounts.push(undo);
        if change.lifecycle != Lifecycle::Kept {
            self.clear_storage(place);
        }
        Ok(())
    }

    /// Sets all slots of an account to zero, once what it was is noted.
    fn clear_storage(&mut self, place: AccountPlace) {
        let account = &mut self.accounts[place.index()];
        account.storage_cleared = true;
        for &place in &account.slots {
            let slot = &mut self.slots[place.index()];
            if slot.is_loaded && !slot.now.is_zero() {
                self.undo_slots.push(UndoSlot { place, before: Some(slot.now) });
                slot.now = StorageValue::ZERO;
            }
        }
    }

    /// An account, once it is loaded.
    fn load_account(&mut self, place: AccountPlace) -> Result<&mut FillAccount, DB::Error> {
        let is_loaded = self.accounts.get(place.index()).is_some_and(|it| it.original.is_some());
        if !is_loaded {
            let address = self.results.places().address_of(place);
            self.by_address.insert(address, place);
            let info = self.base.basic_ref(address)?;
            let seen = Seen::new(info.as_ref());
            let account = self.room_for(place);
            account.address = address;
            (account.original, account.now) = (Some(seen), seen);
            account.code = info.unwrap_or_default().code;
        }
        Ok(&mut self.accounts[place.index()])
    }

    fn room_for(&mut self, place: AccountPlace) -> &mut FillAccount {
        if self.accounts.len() <= place.index() {
            let unknown = FillAccount {
                address: Address::ZERO,
                original: None,
                now: Seen::new(None),
                code: None,
                storage_cleared: false,
                slots: Vec::new(),
            };
            self.accounts.resize(place.index() + 1, unknown);
        }
        &mut self.accounts[place.index()]
    }

    /// Loads a slot.
    fn load_slot(&mut self, place: SlotPlace) -> Result<(), DB::Error> {
        if self.slots.get(place.index()).is_some_and(|slot| slot.is_loaded) {
            return Ok(());
        }
        let (of, key) = self.results.places().slot_of(place);
        self.by_key.insert((of, key), place);
        let account = self.load_account(of)?;
        let (address, is_cleared) = (account.address, account.storage_cleared);
        // That it was cleared may be undone.
        let value =
            if is_cleared { StorageValue::ZERO } else { self.base.storage_ref(address, key)? };
        if is_cleared {
            self.undo_slots.push(UndoSlot { place, before: None });
        }
        if self.slots.len() <= place.index() {
            self.slots.resize(place.index() + 1, FillSlot::default());
        }
        let slot = &mut self.slots[place.index()];
        if !slot.is_listed {
            self.accounts[of.index()].slots.push(place);
        }
        *slot = FillSlot { original: value, now: value, is_loaded: true, is_listed: true };
        Ok(())
    }

    /// The place of an account.
    pub(crate) fn account_place(&mut self, address: Address) -> AccountPlace {
        let results = &self.results;
        *self.by_address.entry(address).or_insert_with(|| results.places_mut().account(address))
    }

    /// The place of a slot.
    fn slot_place(&mut self, account: AccountPlace, key: StorageKey) -> SlotPlace {
        let (results, place) = (&self.results, self.by_key.entry((account, key)));
        *place.or_insert_with(|| results.places_mut().slot(account, key))
    }

    /// The caller's state.
    pub(crate) const fn base(&self) -> &'a DB {
        self.base
    }

    /// What an account that was loaded had when the state was opened.
    pub(crate) fn original_balance(&self, address: Address) -> U256 {
        let place = self.by_address.get(&address);
        let account = place.and_then(|place| self.accounts.get(place.index()));
        let original = account.and_then(|account| account.original);
        original.map_or(U256::ZERO, |original| original.balance)
    }

    /// An account as it is now.
    pub(crate) fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        let place = self.account_place(address);
        Ok(self.load_account(place)?.info())
    }

    /// A slot as it is now.
    pub(crate) fn slot(
        &mut self,
        address: Address,
        key: StorageKey,
    ) -> Result<StorageValue, DB::Error> {
        let account = self.account_place(address);
        let place = self.slot_place(account, key);
        self.load_slot(place)?;
        Ok(self.slots[place.index()].now)
    }

    /// Net changes since the state was opened.
    pub(crate) fn changes(&self) -> StateChanges {
        let mut slots: Vec<_> = self.undo_slots.iter().map(|undo| undo.place).collect();
        slots.sort_unstable();
        slots.dedup();
        let mut storage = BTreeMap::<AccountPlace, Vec<SlotPlace>>::new();
        let places = self.results.places();
        for place in slots {
            let (of, _) = places.slot_of(place);
            storage.entry(of).or_default().push(place);
        }
        let touched = self.undo_accounts.iter().map(|undo| undo.place);
        let mut touched: Vec<_> = touched.chain(storage.keys().copied()).collect();
        touched.sort_unstable();
        touched.dedup();
        let change = |place: AccountPlace| {
            let slots = storage.get(&place).map_or(&[][..], Vec::as_slice);
            let slots =
                slots.iter().map(|slot| (places.slot_of(*slot).1, self.slots[slot.index()]));
            let account = &self.accounts[place.index()];
            Some((account.address, account.net_change(slots)?))
        };
        touched.into_iter().filter_map(change).collect()
    }
}

impl FillAccount {
    fn info(&self) -> Option<AccountInfo> {
        let Seen { exists, balance, nonce, code_hash } = self.now;
        let code = || self.code.clone();
        exists.then(|| AccountInfo { balance, nonce, code_hash, code: code(), account_id: None })
    }

    /// What has become of it, if it has changed.
    fn net_change(
        &self,
        slots: impl Iterator<Item = (StorageKey, FillSlot)>,
    ) -> Option<AccountChange> {
        let original = self.original?;
        let is_cleared = self.storage_cleared;
        let before = |slot: &FillSlot| if is_cleared { StorageValue::ZERO } else { slot.original };
        let changed = slots.filter(|(_, slot)| slot.is_loaded && slot.now != before(slot));
        let storage: BTreeMap<_, _> = changed.map(|(key, slot)| (key, slot.now)).collect();
        let storage_cleared = is_cleared && original.exists;
        let is_changed = storage_cleared || !storage.is_empty() || self.now != original;
        is_changed.then(|| AccountChange { info: self.info(), storage_cleared, storage })
    }
}
