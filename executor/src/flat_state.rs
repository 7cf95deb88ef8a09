//! The state of a block under execution: a flat map of what was loaded or
//! changed, over the caller's read-only state.
//!
//! It is the database of the sequential oracle, which commits revm's own
//! changes, and it is where a parallel run takes its transactions' transitions
//! in block order. Touched accounts that end empty are removed from Spurious
//! Dragon on (EIP-161).

use forewave_analyzer::Block;
use hashbrown::{HashMap, hash_map::Entry};
use revm::{
    Database, DatabaseCommit, DatabaseRef,
    bytecode::Bytecode,
    primitives::{
        Address, AddressMap, B256, StorageKey, StorageValue, U256,
        map::{DefaultHashBuilder, FbBuildHasher},
    },
    state::{Account, AccountInfo},
};

use crate::{
    outcome::{AccountChange, StateChanges},
    tracking::Seen,
    transition::{AccountTransition, Lifecycle, Transition},
};

/// Accounts that a transaction brings into play at least: sender and recipient.
const ACCOUNTS_PER_TRANSACTION: usize = 2;

/// A slot that was loaded or written.
#[derive(Clone, Copy, Debug)]
struct FlatSlot {
    /// Value before the block; `None` if it was written before it was read.
    original: Option<StorageValue>,
    value: StorageValue,
}

/// The slots of one account that were loaded or written.
type FlatSlots = HashMap<StorageKey, FlatSlot, DefaultHashBuilder>;

/// An account that was loaded or changed. Most accounts of a block have no
/// storage, so what they have is kept apart.
#[derive(Clone, Debug)]
struct FlatAccount {
    info: Option<AccountInfo>,
    /// What it was before the block, once something has been done to it.
    original: Option<Seen>,
    storage_cleared: bool,
    storage: Option<Box<FlatSlots>>,
}

impl FlatAccount {
    const fn loaded(info: Option<AccountInfo>) -> Self {
        Self { info, original: None, storage_cleared: false, storage: None }
    }

    /// Keeps what the account was; before every change.
    fn touch(&mut self) {
        if self.original.is_none() {
            self.original = Some(Seen::new(self.info.as_ref()));
        }
    }

    fn clear_storage(&mut self) {
        self.storage_cleared = true;
        self.storage = None;
    }

    fn slot(&self, key: StorageKey) -> Option<&FlatSlot> {
        self.storage.as_ref()?.get(&key)
    }

    fn slots_mut(&mut self) -> &mut FlatSlots {
        self.storage.get_or_insert_default()
    }

    fn store(&mut self, key: StorageKey, value: StorageValue) {
        let unread = FlatSlot { original: None, value };
        self.slots_mut().entry(key).or_insert(unread).value = value;
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct FlatState<'a, DB> {
    base: &'a DB,
    accounts: HashMap<Address, FlatAccount, FbBuildHasher<20>>,
}

impl<'a, DB: DatabaseRef> FlatState<'a, DB> {
    /// The state with room for what the block's transactions touch at least.
    pub(crate) fn for_block(base: &'a DB, block: &Block) -> Self {
        let accounts = block.transactions.len().saturating_mul(ACCOUNTS_PER_TRANSACTION);
        let accounts = HashMap::with_capacity_and_hasher(accounts, FbBuildHasher::default());
        Self { base, accounts }
    }

    /// The number of accounts that were loaded or changed.
    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether the account was loaded or changed.
    pub(crate) fn holds_account(&self, address: Address) -> bool {
        self.accounts.contains_key(&address)
    }

    /// Whether the slot was loaded or changed.
    pub(crate) fn holds_slot(&self, address: Address, key: StorageKey) -> bool {
        let account = self.accounts.get(&address);
        account.is_some_and(|account| account.storage_cleared || account.slot(key).is_some())
    }

    /// A second state that begins as this one is now.
    pub(crate) fn fork(&self) -> Self {
        let mut accounts =
            HashMap::with_capacity_and_hasher(self.accounts.capacity(), FbBuildHasher::default());
        accounts.extend(self.accounts.iter().map(|(address, account)| (*address, account.clone())));
        Self { base: self.base, accounts }
    }

    fn account_mut(&mut self, address: Address) -> Result<&mut FlatAccount, DB::Error> {
        Ok(match self.accounts.entry(address) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(FlatAccount::loaded(self.base.basic_ref(address)?))
            }
        })
    }

    /// The account as it is now.
    pub(crate) fn account(&mut self, address: Address) -> Result<Option<&AccountInfo>, DB::Error> {
        Ok(self.account_mut(address)?.info.as_ref())
    }

    /// Takes over what one transaction does to the state.
    pub(crate) fn apply(&mut self, transition: &Transition) -> Result<(), DB::Error> {
        for (address, change) in &transition.accounts {
            self.apply_account(*address, change)?;
        }
        Ok(())
    }

    /// Takes over what one transaction does to one account.
    pub(crate) fn apply_account(
        &mut self,
        address: Address,
        change: &AccountTransition,
    ) -> Result<(), DB::Error> {
        apply_account(self.account_mut(address)?, change);
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
}

/// One of `parts` parts of the address space, in the order of the addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) part: usize,
    pub(crate) parts: usize,
}

impl Share {
    fn holds(self, address: &Address) -> bool {
        // Two bytes are enough to tell as many parts apart as there can be threads.
        let prefix = usize::from(u16::from_be_bytes([address[0], address[1]]));
        prefix * self.parts / (usize::from(u16::MAX) + 1) == self.part
    }
}

/// What the account's transition makes of it.
fn apply_account(account: &mut FlatAccount, change: &AccountTransition) {
    account.touch();
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
    account: &FlatAccount,
) -> Result<Option<AccountChange>, DB::Error> {
    let FlatAccount { info, original, storage_cleared: cleared, storage } = account;
    let Some(original) = original else { return Ok(None) };
    let mut slots = Vec::new();
    for (&key, slot) in storage.iter().flat_map(|slots| slots.iter()) {
        let original = match slot.original {
            _ if *cleared => StorageValue::ZERO,
            Some(original) => original,
            None => base.storage_ref(address, key)?,
        };
        if slot.value != original {
            slots.push((key, slot.value));
        }
    }
    let storage_cleared = *cleared && original.exists;
    let changed = storage_cleared || !slots.is_empty() || Seen::new(info.as_ref()) != *original;
    let change = || AccountChange {
        info: info.clone(),
        storage_cleared,
        storage: slots.into_iter().collect(),
    };
    Ok(changed.then(change))
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
        self.slot(address, key)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, DB::Error> {
        self.base.block_hash_ref(number)
    }
}

impl<DB: DatabaseRef> FlatState<'_, DB> {
    /// The slot's value as it is now.
    pub(crate) fn slot(
        &mut self,
        address: Address,
        key: StorageKey,
    ) -> Result<StorageValue, DB::Error> {
        let base = self.base;
        let account = self.account_mut(address)?;
        let cleared = account.storage_cleared;
        if cleared && account.storage.is_none() {
            return Ok(StorageValue::ZERO);
        }
        Ok(match account.slots_mut().entry(key) {
            Entry::Occupied(entry) => entry.get().value,
            Entry::Vacant(_) if cleared => StorageValue::ZERO,
            Entry::Vacant(entry) => {
                let value = base.storage_ref(address, key)?;
                entry.insert(FlatSlot { original: Some(value), value }).value
            }
        })
    }
}

impl<DB: DatabaseRef> DatabaseCommit for FlatState<'_, DB> {
    fn commit(&mut self, changes: AddressMap<Account>) {
        for (address, account) in changes {
            self.commit_account(address, account);
        }
    }
}

impl<DB: DatabaseRef> FlatState<'_, DB> {
    /// Takes over one account as a transaction left it.
    pub(crate) fn commit_account(&mut self, address: Address, account: Account) {
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

/// What revm's finalized account makes of it.
fn commit_account(flat: &mut FlatAccount, account: Account) {
    flat.touch();
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
        account.touch();
        let mut info = account.info.take().unwrap_or_default();
        info.balance = info.balance.saturating_add(wei);
        let survives = clearing == StateClearing::Disabled || !info.is_empty();
        account.info = survives.then_some(info);
        Ok(())
    }

    /// Takes an account's whole balance (EIP-779) and says how much it was.
    pub(crate) fn drain(&mut self, address: Address) -> Result<U256, DB::Error> {
        let account = self.account_mut(address)?;
        account.touch();
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
