//! The state of a block under execution: a flat map of what was loaded or
//! changed, over the caller's read-only state.
//!
//! It is the database of the sequential oracle, which commits revm's own changes, and of
//! what the protocol does at the two ends of a block. Touched accounts that end empty are
//! removed from Spurious Dragon on (EIP-161).

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
    AccountChange, StateChanges,
    reads::Seen,
    touched::Touched,
    transition::{AccountTransition, BalanceChange, Lifecycle, Transition},
};

/// Accounts that a transaction brings into play at least: sender and recipient.
const ACCOUNTS_PER_TRANSACTION: usize = 2;

/// A slot that was loaded or written.
#[derive(Clone, Copy, Debug)]
struct FlatSlot {
    /// Value before the block, if it was read before it was written.
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

    fn slots_mut(&mut self) -> &mut FlatSlots {
        self.storage.get_or_insert_default()
    }

    fn store(&mut self, key: StorageKey, value: StorageValue) {
        self.slots_mut().entry(key).or_insert(FlatSlot { original: None, value }).value = value;
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct FlatState<'a, DB> {
    base: &'a DB,
    accounts: HashMap<Address, FlatAccount, FbBuildHasher<20>>,
    /// What each commit and credit touched, if that is noted.
    touched: Option<Vec<Touched>>,
}

impl<'a, DB: DatabaseRef> FlatState<'a, DB> {
    /// The state with room for what the block's transactions touch at least.
    pub(crate) fn for_block(base: &'a DB, block: &Block) -> Self {
        let accounts = block.transactions.len().saturating_mul(ACCOUNTS_PER_TRANSACTION);
        Self::with_room(base, accounts)
    }

    /// The state with room for so many accounts.
    pub(crate) fn with_room(base: &'a DB, accounts: usize) -> Self {
        let accounts = HashMap::with_capacity_and_hasher(accounts, FbBuildHasher::default());
        Self { base, accounts, touched: None }
    }

    /// Notes from here on what each commit and credit touches, where the block's access list
    /// is made.
    pub(crate) fn note_touched(&mut self, block: &Block) {
        self.touched = block.makes_access_list.then(Vec::new);
    }

    /// What has been touched since this was asked last, if it is noted.
    pub(crate) fn take_touched(&mut self) -> Vec<Touched> {
        self.touched.as_mut().map_or_else(Vec::new, core::mem::take)
    }

    /// What each account that was touched had when the state was opened.
    pub(crate) fn original_balances(&self) -> AddressMap<U256> {
        self.accounts.keys().map(|address| (*address, self.original_balance(*address))).collect()
    }

    /// What an account that was touched had when the state was opened.
    pub(crate) fn original_balance(&self, address: Address) -> U256 {
        let Some(account) = self.accounts.get(&address) else { return U256::ZERO };
        let now = || account.info.as_ref().map_or(U256::ZERO, |info| info.balance);
        account.original.as_ref().map_or_else(now, |original| original.balance)
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
        account.touch();
        if change.lifecycle != Lifecycle::Kept {
            account.clear_storage();
        }
        if change.lifecycle == Lifecycle::Destroyed {
            account.info = None;
            return Ok(());
        }
        let mut info = account.info.take().unwrap_or_default();
        info.balance = change.balance.apply(info.balance);
        if let Some(nonce) = change.nonce {
            info.nonce = nonce;
        }
        if let Some(change) = &change.code {
            info.code_hash = change.hash;
            info.code.clone_from(&change.code);
        }
        // EIP-161: what is empty and was touched ceases to exist. Before it, revm
        // reports such an account as created (or as untouched).
        let survives = change.lifecycle == Lifecycle::Created || !info.is_empty();
        account.info = survives.then_some(info);
        for slot in change.slots() {
            account.store(slot.key, slot.value);
        }
        Ok(())
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
        let base = self.base;
        let account = self.account_mut(address)?;
        let is_cleared = account.storage_cleared;
        Ok(match account.slots_mut().entry(key) {
            Entry::Occupied(entry) => entry.get().value,
            Entry::Vacant(_) if is_cleared => StorageValue::ZERO,
            Entry::Vacant(entry) => {
                let value = base.storage_ref(address, key)?;
                entry.insert(FlatSlot { original: Some(value), value }).value
            }
        })
    }
}

impl<DB: DatabaseRef> DatabaseCommit for FlatState<'_, DB> {
    fn commit(&mut self, changes: AddressMap<Account>) {
        if let Some(touched) = &mut self.touched {
            touched.push(Touched::at_turn(&changes));
        }
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
        // revm loads every account that it changes, so the entry is there,
        // except where a caller commits changes of its own making.
        let flat = self
            .accounts
            .entry(address)
            .or_insert_with(|| FlatAccount::loaded(Some(account.original_info())));
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
        let before = info.balance;
        info.balance = before.saturating_add(wei);
        let change = BalanceChange::set(before, info.balance);
        let survives = clearing == StateClearing::Disabled || !info.is_empty();
        account.info = survives.then_some(info);
        self.note_payment(address, change);
        Ok(())
    }

    /// Takes an account's whole balance (EIP-779) and says how much it was.
    pub(crate) fn drain(&mut self, address: Address) -> Result<U256, DB::Error> {
        let account = self.account_mut(address)?;
        account.touch();
        let info = account.info.as_mut();
        let taken = info.map_or(U256::ZERO, |info| core::mem::take(&mut info.balance));
        self.note_payment(address, BalanceChange::set(taken, U256::ZERO));
        Ok(taken)
    }

    /// Notes that an account is touched that nothing is done to.
    pub(crate) fn note_access(&mut self, address: Address) {
        self.note_payment(address, BalanceChange::Keep);
    }

    fn note_payment(&mut self, address: Address, change: BalanceChange) {
        if let Some(touched) = &mut self.touched {
            let change = AccountTransition::payment(change, None);
            touched.push(Touched::by_payment([(address, change)].into_iter()));
        }
    }
}

impl<DB: DatabaseRef> FlatState<'_, DB> {
    /// Net changes since the state was opened. Reads the original of slots
    /// that were written unread.
    pub(crate) fn changes(&self) -> Result<StateChanges, DB::Error> {
        let touched = self.accounts.iter().filter(|(_, account)| account.original.is_some());
        let mut touched: Vec<_> = touched.collect();
        touched.sort_unstable_by_key(|(address, _)| **address);
        let changes = touched.into_iter().filter_map(|(address, account)| {
            let change = net_change(self.base, *address, account).transpose()?;
            Some(change.map(|change| (*address, change)))
        });
        changes.collect()
    }
}

/// The account's net change, if there is one.
fn net_change<DB: DatabaseRef>(
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
            FlatSlot { original: Some(original), .. } => *original,
            _ => base.storage_ref(address, key)?,
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

/// Whether touched accounts that are empty are removed (EIP-161).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateClearing {
    /// From Spurious Dragon on.
    Enabled,
    /// Before it.
    Disabled,
}
