//! The state of a block under execution: a flat map of what was loaded or
//! changed, over the caller's read-only state.
//!
//! It is the database of the sequential oracle, which commits revm's own
//! changes. Each thread of a parallel run has one as well, which shows the state
//! after the transactions that it is turned to: what it holds is brought up to
//! date from what is [`Settled`] when it is read. Touched accounts that end empty
//! are removed from Spurious Dragon on (EIP-161).

mod apart;
mod closing;
mod primed;

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

pub(crate) use apart::Apart;
pub(crate) use closing::Share;

use crate::{
    history::{Settled, narrow},
    outcome::AccountChange,
    tracking::Seen,
    transition::{AccountTransition, Lifecycle, Transition},
};

/// Accounts that a transaction brings into play at least: sender and recipient.
const ACCOUNTS_PER_TRANSACTION: usize = 2;

/// The version of what was changed after the transactions.
const AFTER_BLOCK: u32 = u32::MAX;

/// A slot that was loaded or written.
#[derive(Clone, Copy, Debug)]
struct FlatSlot {
    /// The transactions before this one are part of it.
    version: u32,
    /// Whether it was read before it was written.
    has_original: bool,
    /// Value before the block.
    original: StorageValue,
    value: StorageValue,
}

impl FlatSlot {
    const fn loaded(value: StorageValue, version: u32) -> Self {
        Self { version, has_original: true, original: value, value }
    }

    const fn unread(value: StorageValue, version: u32) -> Self {
        Self { version, has_original: false, original: StorageValue::ZERO, value }
    }
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
    /// The transactions before this one are part of it, its slots aside.
    version: u32,
    /// The transaction that cleared its storage last.
    cleared_by: u32,
    storage_cleared: bool,
    storage: Option<Box<FlatSlots>>,
}

impl FlatAccount {
    const fn loaded(info: Option<AccountInfo>) -> Self {
        let (version, cleared_by, storage_cleared) = (0, 0, false);
        Self { info, original: None, version, cleared_by, storage_cleared, storage: None }
    }

    /// Keeps what the account was; before every change.
    fn touch(&mut self) {
        if self.original.is_none() {
            self.original = Some(Seen::new(self.info.as_ref()));
        }
    }

    fn clear_storage(&mut self, tx: u32) {
        self.storage_cleared = true;
        self.cleared_by = tx;
        self.storage = None;
    }

    fn slots_mut(&mut self) -> &mut FlatSlots {
        self.storage.get_or_insert_default()
    }

    fn store(&mut self, key: StorageKey, value: StorageValue, version: u32) {
        let slot = self.slots_mut().entry(key).or_insert(FlatSlot::unread(value, version));
        (slot.value, slot.version) = (value, version);
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct FlatState<'a, DB> {
    base: &'a DB,
    accounts: HashMap<Address, FlatAccount, FbBuildHasher<20>>,
    settled: Option<Settled<'a>>,
    /// The transactions before this one are seen.
    now: u32,
    /// What was changed after the transactions, where those are settled.
    late: Vec<Address>,
    /// What the transactions did to accounts that are not held, sorted.
    apart: Vec<(Address, AccountChange)>,
}

impl<'a, DB: DatabaseRef> FlatState<'a, DB> {
    /// The state with room for what the block's transactions touch at least.
    pub(crate) fn for_block(base: &'a DB, block: &Block) -> Self {
        let accounts = block.transactions.len().saturating_mul(ACCOUNTS_PER_TRANSACTION);
        let accounts = HashMap::with_capacity_and_hasher(accounts, FbBuildHasher::default());
        Self { base, accounts, settled: None, now: 0, late: vec![], apart: vec![] }
    }

    /// The same state before the transactions, over what is settled of them.
    pub(crate) fn under<'b>(&self, settled: Settled<'b>) -> FlatState<'b, DB>
    where
        'a: 'b,
    {
        let mut accounts =
            HashMap::with_capacity_and_hasher(self.accounts.capacity(), FbBuildHasher::default());
        accounts.extend(self.accounts.iter().map(|(address, account)| (*address, account.clone())));
        FlatState {
            base: self.base,
            accounts,
            settled: Some(settled),
            now: 0,
            late: vec![],
            apart: vec![],
        }
    }

    /// The same state, for changes of its own by so many transactions.
    pub(crate) fn fork(&self, transactions: usize) -> Self {
        let room = self.accounts.len() + transactions.saturating_mul(ACCOUNTS_PER_TRANSACTION);
        let mut accounts = HashMap::with_capacity_and_hasher(room, FbBuildHasher::default());
        accounts.extend(self.accounts.iter().map(|(address, account)| (*address, account.clone())));
        Self { base: self.base, accounts, settled: None, now: 0, late: vec![], apart: vec![] }
    }

    /// Shows the state after the first `settled` transactions, which are; no
    /// fewer than before.
    pub(crate) fn turn_to(&mut self, settled: usize) {
        self.now = narrow(settled);
    }

    /// The number of accounts that were loaded or changed.
    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether the account, its slots aside, can have changed since the first
    /// `applied` transactions.
    pub(crate) fn may_have_changed_account(&self, address: Address, applied: u32) -> bool {
        self.settled.is_none_or(|settled| settled.may_change_account(address, applied))
    }

    /// Whether the slot can have changed since the first `applied` transactions.
    pub(crate) fn may_have_changed_slot(
        &mut self,
        address: Address,
        key: StorageKey,
        applied: u32,
    ) -> Result<bool, DB::Error> {
        let Some(settled) = self.settled else { return Ok(true) };
        if settled.may_change_slot(address, key, applied) {
            return Ok(true);
        }
        if !settled.may_change_account(address, applied) {
            return Ok(false);
        }
        let account = self.account_mut(address)?;
        Ok(account.storage_cleared && account.cleared_by >= applied)
    }

    /// The account, brought up to date.
    fn account_mut(&mut self, address: Address) -> Result<&mut FlatAccount, DB::Error> {
        let account = match self.accounts.entry(address) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(apart::load(self.base, &self.apart, address)?),
        };
        if account.version < self.now
            && let Some(settled) = self.settled
        {
            bring_up(account, address, settled, self.now);
        }
        Ok(account)
    }

    /// The version of what is changed here and now.
    const fn version_of_changes(&self) -> u32 {
        if self.settled.is_some() { AFTER_BLOCK } else { 0 }
    }

    /// The account, brought up to date and about to be changed after the transactions.
    fn touched_mut(&mut self, address: Address) -> Result<&mut FlatAccount, DB::Error> {
        if self.settled.is_some() {
            self.late.push(address);
        }
        let version = self.version_of_changes();
        let account = self.account_mut(address)?;
        account.touch();
        account.version = version;
        Ok(account)
    }

    /// The account as it is now.
    pub(crate) fn account(&mut self, address: Address) -> Result<Option<&AccountInfo>, DB::Error> {
        Ok(self.account_mut(address)?.info.as_ref())
    }

    /// Takes over what one transaction does to the state.
    pub(crate) fn apply(&mut self, transition: &Transition) -> Result<(), DB::Error> {
        for (address, change) in transition.accounts() {
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
        let account = self.account_mut(address)?;
        apply_to_account(account, 0, change);
        apply_to_storage(account, 0, change);
        Ok(())
    }
}

/// Brings an account up to date with the transactions before `now`.
fn bring_up(account: &mut FlatAccount, address: Address, settled: Settled<'_>, now: u32) {
    let mut changes = Vec::new();
    let missed = (account.version, now);
    settled.account_changes(address, missed, |tx, change| changes.push((tx, change)));
    for (tx, change) in changes.into_iter().rev() {
        apply_to_account(account, tx, change);
    }
    account.version = now;
}

/// What a transition makes of the account, its slots aside.
fn apply_to_account(account: &mut FlatAccount, tx: u32, change: &AccountTransition) {
    account.touch();
    if change.lifecycle != Lifecycle::Kept {
        account.clear_storage(tx);
    }
    if change.lifecycle == Lifecycle::Destroyed {
        account.info = None;
        return;
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
}

/// What a transition makes of the account's slots.
fn apply_to_storage(account: &mut FlatAccount, tx: u32, change: &AccountTransition) {
    if change.lifecycle != Lifecycle::Kept {
        account.clear_storage(tx);
    }
    for slot in change.slots() {
        account.store(slot.key, slot.value, tx + 1);
    }
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
        let Self { base, settled, now, .. } = *self;
        let change = |since| settled?.slot_change(address, key, (since, now));
        let account = self.account_mut(address)?;
        let cleared_by = account.storage_cleared.then_some(account.cleared_by);
        Ok(match account.slots_mut().entry(key) {
            Entry::Occupied(mut entry) => {
                let slot = entry.get_mut();
                if slot.version < now {
                    slot.value = change(slot.version).unwrap_or(slot.value);
                    slot.version = now;
                }
                slot.value
            }
            Entry::Vacant(entry) => {
                let slot = match change(cleared_by.unwrap_or(0)) {
                    Some(value) => FlatSlot::unread(value, now),
                    None if cleared_by.is_some() => return Ok(StorageValue::ZERO),
                    None => FlatSlot::loaded(base.storage_ref(address, key)?, now),
                };
                entry.insert(slot).value
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
        if !account.is_touched() {
            return;
        }
        if self.settled.is_some() {
            self.late.push(address);
        }
        let version = self.version_of_changes();
        // revm loads every account that it changes, so the entry is there,
        // except where a caller commits changes of its own making.
        let flat = self
            .accounts
            .entry(address)
            .or_insert_with(|| FlatAccount::loaded(Some(account.original_info())));
        commit_account(flat, account, version);
    }
}

/// What revm's finalized account makes of it.
fn commit_account(flat: &mut FlatAccount, account: Account, version: u32) {
    flat.touch();
    flat.version = version;
    if account.is_selfdestructed() {
        flat.clear_storage(version);
        flat.info = None;
        return;
    }
    if account.is_created() {
        flat.clear_storage(version);
    }
    for (key, slot) in account.changed_storage_slots() {
        flat.store(*key, slot.present_value, version);
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
        let account = self.touched_mut(address)?;
        let mut info = account.info.take().unwrap_or_default();
        info.balance = info.balance.saturating_add(wei);
        let survives = clearing == StateClearing::Disabled || !info.is_empty();
        account.info = survives.then_some(info);
        Ok(())
    }

    /// Takes an account's whole balance (EIP-779) and says how much it was.
    pub(crate) fn drain(&mut self, address: Address) -> Result<U256, DB::Error> {
        let account = self.touched_mut(address)?;
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
