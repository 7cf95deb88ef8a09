//! The state of a block under execution: a flat map of what was loaded or
//! changed, over the caller's read-only state.
//!
//! It is the database of the sequential oracle, which commits revm's own
//! changes, and it is where a parallel run takes its transactions' transitions
//! in block order. Touched accounts that end empty are removed from Spurious
//! Dragon on (EIP-161).

use std::collections::BTreeMap;

use hashbrown::{HashMap, hash_map::Entry};
use revm::{
    Database, DatabaseCommit, DatabaseRef,
    bytecode::Bytecode,
    primitives::{
        Address, AddressMap, B256, StorageKey, StorageValue, U256, map::DefaultHashBuilder,
    },
    state::{Account, AccountInfo},
};

use crate::{
    outcome::{AccountChange, StateChanges},
    transition::{AccountTransition, Lifecycle, Transition},
};

/// Bits of any balance that can come about on a chain. Below it no sum of
/// balances overflows, so what a credit does is the same whatever it meets.
const ORDINARY_BALANCE_BITS: usize = 192;

/// A slot that was loaded or written.
#[derive(Clone, Copy, Debug)]
struct FlatSlot {
    /// Value before the block; `None` if it was written before it was read.
    original: Option<StorageValue>,
    value: StorageValue,
}

/// An account that was loaded or changed.
#[derive(Clone, Debug)]
struct FlatAccount {
    original: Option<AccountInfo>,
    info: Option<AccountInfo>,
    touched: bool,
    storage_cleared: bool,
    storage: HashMap<StorageKey, FlatSlot, DefaultHashBuilder>,
}

impl FlatAccount {
    fn loaded(info: Option<AccountInfo>) -> Self {
        Self {
            original: info.clone(),
            info,
            touched: false,
            storage_cleared: false,
            storage: HashMap::default(),
        }
    }

    fn clear_storage(&mut self) {
        self.storage_cleared = true;
        self.storage.clear();
    }

    fn store(&mut self, key: StorageKey, value: StorageValue) {
        let unread = FlatSlot { original: None, value };
        self.storage.entry(key).or_insert(unread).value = value;
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct FlatState<'a, DB> {
    base: &'a DB,
    accounts: HashMap<Address, FlatAccount, DefaultHashBuilder>,
    /// An account that began with more than an ordinary balance.
    excessive: Option<Address>,
}

impl<'a, DB: DatabaseRef> FlatState<'a, DB> {
    pub(crate) fn new(base: &'a DB) -> Self {
        Self { base, accounts: HashMap::default(), excessive: None }
    }

    /// A second state that begins as this one is now.
    pub(crate) fn fork(&self) -> Self {
        Self { base: self.base, accounts: self.accounts.clone(), excessive: self.excessive }
    }

    fn account_mut(&mut self, address: Address) -> Result<&mut FlatAccount, DB::Error> {
        Ok(match self.accounts.entry(address) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let info = self.base.basic_ref(address)?;
                if info.as_ref().is_some_and(|it| it.balance.bit_len() > ORDINARY_BALANCE_BITS) {
                    self.excessive = Some(address);
                }
                entry.insert(FlatAccount::loaded(info))
            }
        })
    }

    /// An account with more ether than can exist, if one was loaded: from then on
    /// a credit can fail, or saturate, for what its recipient already has.
    pub(crate) const fn excessive(&self) -> Option<Address> {
        self.excessive
    }

    /// The account as it is now.
    pub(crate) fn account(&mut self, address: Address) -> Result<Option<&AccountInfo>, DB::Error> {
        Ok(self.account_mut(address)?.info.as_ref())
    }

    /// Takes over what one transaction does to the state.
    pub(crate) fn apply(&mut self, transition: &Transition) -> Result<(), DB::Error> {
        for (address, change) in &transition.accounts {
            apply_account(self.account_mut(*address)?, change);
        }
        Ok(())
    }

    /// Net changes since the state was opened. Reads the original of slots
    /// that were written unread.
    pub(crate) fn into_changes(self) -> Result<StateChanges, DB::Error> {
        let mut changes = StateChanges::new();
        for (address, account) in self.accounts {
            if let Some(change) = net_change(self.base, address, account)? {
                changes.insert(address, change);
            }
        }
        Ok(changes)
    }
}

/// What the account's transition makes of it.
fn apply_account(account: &mut FlatAccount, change: &AccountTransition) {
    account.touched = true;
    match change.lifecycle {
        Lifecycle::Destroyed => {
            account.clear_storage();
            account.info = None;
            return;
        }
        Lifecycle::Created => account.clear_storage(),
        Lifecycle::Kept => {}
    }
    let mut info = account.info.take().unwrap_or_default();
    info.balance = change.balance.apply(info.balance);
    if let Some(nonce) = change.nonce {
        info.nonce = nonce;
    }
    if let Some((hash, code)) = &change.code {
        info.code_hash = *hash;
        info.code.clone_from(code);
    }
    // EIP-161: what is empty and was touched ceases to exist. Before it, revm
    // reports such an account as created (or as untouched).
    let survives = change.lifecycle == Lifecycle::Created || !info.is_empty();
    account.info = survives.then_some(info);
    for &(key, value) in &change.storage {
        account.store(key, value);
    }
}

/// The account's net change, if there is one.
fn net_change<DB: DatabaseRef>(
    base: &DB,
    address: Address,
    account: FlatAccount,
) -> Result<Option<AccountChange>, DB::Error> {
    if !account.touched {
        return Ok(None);
    }
    let storage_cleared = account.storage_cleared && account.original.is_some();
    let mut storage = BTreeMap::new();
    for (key, slot) in account.storage {
        let original = match slot.original {
            _ if account.storage_cleared => StorageValue::ZERO,
            Some(original) => original,
            None => base.storage_ref(address, key)?,
        };
        if slot.value != original {
            storage.insert(key, slot.value);
        }
    }
    let changed = storage_cleared || !storage.is_empty() || account.info != account.original;
    let info = account.info;
    Ok(changed.then_some(AccountChange { info, storage_cleared, storage }))
}

impl<DB: DatabaseRef> Database for FlatState<'_, DB> {
    type Error = DB::Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        self.account(address).map(Option::<&_>::cloned)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.base.code_by_hash_ref(code_hash)
    }

    fn storage(&mut self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        let base = self.base;
        let account = self.account_mut(address)?;
        let cleared = account.storage_cleared;
        Ok(match account.storage.entry(key) {
            Entry::Occupied(entry) => entry.get().value,
            Entry::Vacant(_) if cleared => StorageValue::ZERO,
            Entry::Vacant(entry) => {
                let value = base.storage_ref(address, key)?;
                entry.insert(FlatSlot { original: Some(value), value }).value
            }
        })
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, DB::Error> {
        self.base.block_hash_ref(number)
    }
}

/// Reads without caching, for many threads at once.
impl<DB: DatabaseRef> DatabaseRef for FlatState<'_, DB> {
    type Error = DB::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        match self.accounts.get(&address) {
            Some(account) => Ok(account.info.clone()),
            None => self.base.basic_ref(address),
        }
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.base.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        match self.accounts.get(&address) {
            None => self.base.storage_ref(address, key),
            Some(account) => match account.storage.get(&key) {
                Some(slot) => Ok(slot.value),
                None if account.storage_cleared => Ok(StorageValue::ZERO),
                None => self.base.storage_ref(address, key),
            },
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DB::Error> {
        self.base.block_hash_ref(number)
    }
}

impl<DB: DatabaseRef> DatabaseCommit for FlatState<'_, DB> {
    fn commit(&mut self, changes: AddressMap<Account>) {
        for (address, account) in changes {
            if account.is_touched() {
                // revm loads every account that it changes, so the entry is there,
                // except where a caller commits changes of its own making.
                let flat = self
                    .accounts
                    .entry(address)
                    .or_insert_with(|| FlatAccount::loaded(Some(account.original_info())));
                commit_account(flat, account);
            }
        }
    }
}

/// What revm's finalized account makes of it.
fn commit_account(flat: &mut FlatAccount, account: Account) {
    flat.touched = true;
    if account.is_selfdestructed() {
        flat.clear_storage();
        flat.info = None;
        return;
    }
    if account.is_created() {
        flat.clear_storage();
    }
    for (key, slot) in account.changed_storage_slots() {
        flat.store(*key, slot.present_value);
    }
    let survives = account.is_created() || !account.info.is_empty();
    flat.info = survives.then_some(account.info);
}

impl<DB: DatabaseRef> FlatState<'_, DB> {
    /// Adds to balances outside any transaction: rewards, withdrawals, EIP-779.
    ///
    /// Accounts that stay empty are removed if `spec` says so (EIP-161).
    pub(crate) fn credit(
        &mut self,
        address: Address,
        wei: U256,
        clearing: StateClearing,
    ) -> Result<(), DB::Error> {
        let account = self.account_mut(address)?;
        account.touched = true;
        let mut info = account.info.take().unwrap_or_default();
        info.balance = info.balance.saturating_add(wei);
        let survives = clearing == StateClearing::Disabled || !info.is_empty();
        account.info = survives.then_some(info);
        Ok(())
    }

    /// Takes an account's whole balance (EIP-779) and says how much it was.
    pub(crate) fn drain(&mut self, address: Address) -> Result<U256, DB::Error> {
        let account = self.account_mut(address)?;
        account.touched = true;
        Ok(account.info.as_mut().map_or(U256::ZERO, |info| core::mem::take(&mut info.balance)))
    }
}

/// Whether touched accounts that are empty are removed (EIP-161).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateClearing {
    /// From Spurious Dragon on.
    Enabled,
    /// Before it.
    Disabled,
}
