//! The state as one evaluated transaction uses it: what it found, what it made of
//! it, and what of that is undone when a call fails.

use hashbrown::HashMap;
use revm::primitives::{Address, B256, U256, map::DefaultHashBuilder};

use crate::keys::{AddressKey, WordKey};

/// Entries that a map may have room for and be kept for the next transaction.
const KEPT_ENTRIES_MAX: usize = 1 << 10;

/// A precompile, RIPEMD-160, that stays touched when the call to it fails: so it went
/// once, and so clients keep it.
const TOUCHED_FOR_GOOD: Address = revm::precompile::u64_to_address(3);

/// What the state says of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundAccount {
    /// Whether it exists.
    pub exists: bool,
    /// Balance, in wei.
    pub balance: U256,
    /// Nonce.
    pub nonce: u64,
    /// Hash of its code, that of no bytes if it has none.
    pub code_hash: B256,
}

/// An account that a transaction has used.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct UsedAccount {
    /// Its address.
    pub address: Address,
    /// What it was before.
    pub found: FoundAccount,
    /// Its balance after.
    pub balance: U256,
    /// Whether the outcome depends on its balance.
    pub looked_at_balance: bool,
    /// Whether the outcome depends on its code.
    pub looked_at_code: bool,
    /// Whether the outcome depends on whether it is empty (EIP-161).
    pub looked_at_emptiness: bool,
    /// Whether it was touched (EIP-161).
    pub touched: bool,
    pub(super) is_warm: bool,
}

impl UsedAccount {
    /// Whether it is empty as EIP-161 means it, by now.
    pub(super) fn is_empty(&self) -> bool {
        let Self { found, balance, .. } = self;
        found.nonce == 0 && balance.is_zero() && found.code_hash == revm::primitives::KECCAK_EMPTY
    }
}

/// A slot that a transaction has named.
#[derive(Clone, Copy, Debug)]
pub struct UsedSlot {
    /// Position of its account among those used.
    pub account: usize,
    /// Its key.
    pub key: U256,
    /// What it held before, if the transaction asked.
    pub found: Option<U256>,
    /// What it holds after; what it held, if nobody stored to it.
    pub value: U256,
    pub(super) is_warm: bool,
}

/// How to undo a change.
#[derive(Clone, Copy, Debug)]
enum Undo {
    Balance(usize, U256),
    Touch(usize),
    Warm(usize),
    Slot(usize, U256),
    WarmSlot(usize),
    Transient((usize, WordKey), U256),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) accounts: Vec<UsedAccount>,
    pub(super) slots: Vec<UsedSlot>,
    account_ids: HashMap<AddressKey, usize, DefaultHashBuilder>,
    slot_ids: HashMap<(usize, WordKey), usize, DefaultHashBuilder>,
    transient: HashMap<(usize, WordKey), U256, DefaultHashBuilder>,
    journal: Vec<Undo>,
}

/// How far the journal had come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark(usize);

impl Used {
    /// Forgets everything, for the next transaction.
    pub(super) fn clear(&mut self) {
        self.accounts.clear();
        self.slots.clear();
        self.journal.clear();
        clear(&mut self.account_ids);
        clear(&mut self.slot_ids);
        clear(&mut self.transient);
    }

    /// The account at this address, if it was used before.
    pub(super) fn find(&self, address: Address) -> Option<usize> {
        self.account_ids.get(&AddressKey(address)).copied()
    }

    /// Adds an account that was not used before.
    pub(super) fn add(&mut self, address: Address, found: FoundAccount, is_warm: bool) -> usize {
        let id = self.accounts.len();
        self.accounts.push(UsedAccount {
            address,
            found,
            balance: found.balance,
            looked_at_balance: false,
            looked_at_code: false,
            looked_at_emptiness: false,
            touched: false,
            is_warm,
        });
        self.account_ids.insert(AddressKey(address), id);
        id
    }

    /// The slot of an account at this key; warm from the start if `is_listed` says so.
    pub(super) fn slot(
        &mut self,
        account: usize,
        key: U256,
        is_listed: impl FnOnce() -> bool,
    ) -> usize {
        *self.slot_ids.entry((account, WordKey(key))).or_insert_with(|| {
            let slot =
                UsedSlot { account, key, found: None, value: U256::ZERO, is_warm: is_listed() };
            self.slots.push(slot);
            self.slots.len() - 1
        })
    }

    /// Makes an account warm; whether it was cold.
    pub(super) fn warm(&mut self, account: usize) -> bool {
        let is_warm = core::mem::replace(&mut self.accounts[account].is_warm, true);
        if !is_warm {
            self.journal.push(Undo::Warm(account));
        }
        !is_warm
    }

    /// Makes a slot warm; whether it was cold.
    pub(super) fn warm_slot(&mut self, slot: usize) -> bool {
        let is_warm = core::mem::replace(&mut self.slots[slot].is_warm, true);
        if !is_warm {
            self.journal.push(Undo::WarmSlot(slot));
        }
        !is_warm
    }

    pub(super) fn touch(&mut self, account: usize) {
        if !core::mem::replace(&mut self.accounts[account].touched, true) {
            self.journal.push(Undo::Touch(account));
        }
    }

    pub(super) fn set_balance(&mut self, account: usize, balance: U256) {
        let before = core::mem::replace(&mut self.accounts[account].balance, balance);
        self.journal.push(Undo::Balance(account, before));
    }

    pub(super) fn store(&mut self, slot: usize, value: U256) {
        let before = core::mem::replace(&mut self.slots[slot].value, value);
        self.journal.push(Undo::Slot(slot, before));
    }

    pub(super) fn transient(&self, account: usize, key: U256) -> U256 {
        self.transient.get(&(account, WordKey(key))).copied().unwrap_or_default()
    }

    pub(super) fn store_transient(&mut self, account: usize, key: U256, value: U256) {
        let key = (account, WordKey(key));
        let before = self.transient.insert(key, value).unwrap_or_default();
        self.journal.push(Undo::Transient(key, before));
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.journal.len())
    }

    /// Undoes what has changed since.
    pub(super) fn revert(&mut self, mark: Mark) {
        for undo in self.journal.drain(mark.0.min(self.journal.len())..).rev() {
            match undo {
                Undo::Balance(account, balance) => self.accounts[account].balance = balance,
                // Nobody has ever paid for the exception that clients make of this one.
                Undo::Touch(account) => {
                    let account = &mut self.accounts[account];
                    account.touched = account.address == TOUCHED_FOR_GOOD;
                }
                Undo::Warm(account) => self.accounts[account].is_warm = false,
                Undo::Slot(slot, value) => self.slots[slot].value = value,
                Undo::WarmSlot(slot) => self.slots[slot].is_warm = false,
                Undo::Transient(key, value) => {
                    self.transient.insert(key, value);
                }
            }
        }
    }
}

/// Empties a map, and lets go of one that has grown large.
fn clear<K, V>(map: &mut HashMap<K, V, DefaultHashBuilder>) {
    if map.capacity() > KEPT_ENTRIES_MAX {
        *map = HashMap::default();
    } else if !map.is_empty() {
        map.clear();
    }
}
