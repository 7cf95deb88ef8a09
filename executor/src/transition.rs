//! What one transaction does to the state, in a form that can be applied to
//! a state it has not seen: what it did not look at is left open.
//!
//! A balance that was credited but never looked at becomes a delta, so that
//! credits to one account commute; so does what a sender pays, if the transaction
//! asked no more of its balance than that it is enough. Everything else is
//! absolute.

use forewave_analyzer::{AccessKind, Location};
use revm::{
    bytecode::Bytecode,
    primitives::{Address, B256, StorageKey, StorageValue, U256},
    state::{Account, EvmState},
};

use crate::{
    looks::{Looked, Looks},
    reads::is_hoard,
};

/// What happens to a balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BalanceChange {
    Keep,
    Credit(U256),
    /// What the sender pays and receives, as one difference modulo 2^256.
    Settle(U256),
    Set(U256),
}

impl BalanceChange {
    /// What becomes of a sender's balance.
    pub(crate) fn settle(before: U256, left: U256) -> Self {
        if before == left {
            return Self::Keep;
        }
        Self::Settle(left.wrapping_sub(before))
    }

    /// What replaces a balance.
    pub(crate) fn set(before: U256, after: U256) -> Self {
        if before == after { Self::Keep } else { Self::Set(after) }
    }

    /// Whether the balance may become another one.
    pub(crate) fn is_change(self) -> bool {
        self != Self::Keep
    }

    pub(crate) fn apply(self, balance: U256) -> U256 {
        match self {
            Self::Keep => balance,
            // A fee that overflows is not paid; a payment that does fails.
            Self::Credit(wei) => balance.checked_add(wei).unwrap_or(balance),
            Self::Settle(difference) => balance.wrapping_add(difference),
            Self::Set(wei) => wei,
        }
    }
}

/// What happens to an account as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    Kept,
    /// Its storage starts anew.
    Created,
    /// It ceases to exist.
    Destroyed,
}

/// What happens to one slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotChange {
    pub(crate) key: StorageKey,
    pub(crate) value: StorageValue,
}

impl SlotChange {
    /// A slot that is set.
    pub(crate) fn new(key: StorageKey, value: StorageValue) -> Self {
        Self { key, value }
    }
}

/// What happens to the code of an account.
#[derive(Clone, Debug)]
pub(crate) struct CodeChange {
    pub(crate) hash: B256,
    pub(crate) code: Option<Bytecode>,
}

/// What happens to one touched account.
#[derive(Clone, Debug)]
pub(crate) struct AccountTransition {
    pub(crate) lifecycle: Lifecycle,
    pub(crate) balance: BalanceChange,
    pub(crate) nonce: Option<u64>,
    pub(crate) code: Option<Box<CodeChange>>,
    /// Changed slots only.
    storage: Box<[SlotChange]>,
}

impl AccountTransition {
    /// A payment to or from an account.
    pub(crate) fn payment(balance: BalanceChange, nonce: Option<u64>) -> Self {
        let (lifecycle, storage) = (Lifecycle::Kept, Box::default());
        Self { lifecycle, balance, nonce, code: None, storage }
    }

    /// The same with slots that are set as well.
    pub(crate) fn with_storage(self, storage: Box<[SlotChange]>) -> Self {
        Self { storage, ..self }
    }

    /// Whether it does anything but change slots. What is touched and nothing else
    /// may be empty, and end.
    pub(crate) fn changes_account(&self) -> bool {
        self.storage.is_empty() || self.changes_fields()
    }

    /// Whether it adds to the balance and does nothing else.
    pub(crate) fn only_credits(&self) -> bool {
        matches!(self.balance, BalanceChange::Credit(_))
            && self.lifecycle == Lifecycle::Kept
            && self.nonce.is_none()
            && self.code.is_none()
            && self.storage.is_empty()
    }

    /// Whether it touches the account and changes nothing.
    pub(crate) fn only_touches(&self) -> bool {
        self.storage.is_empty() && !self.changes_fields()
    }

    fn changes_fields(&self) -> bool {
        self.lifecycle != Lifecycle::Kept
            || self.balance != BalanceChange::Keep
            || self.nonce.is_some()
            || self.code.is_some()
    }

    /// The slots that it changes; those of a destroyed account are
    /// not enumerated.
    pub(crate) fn slots(&self) -> &[SlotChange] {
        if self.lifecycle == Lifecycle::Destroyed { &[] } else { &self.storage }
    }
}

/// What one transaction does to the accounts it touched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transition {
    accounts: Vec<(Address, AccountTransition)>,
}

impl Transition {
    /// A transition of these accounts, each of which is named once.
    pub(crate) const fn of(accounts: Vec<(Address, AccountTransition)>) -> Self {
        Self { accounts }
    }

    /// The transition from a transaction's final state and what it looked at.
    pub(crate) fn new(state: &EvmState, looks: &Looks) -> Self {
        let touched = state.iter().filter(|(_, account)| account.is_touched());
        let accounts = touched
            .map(|(address, account)| (*address, account_transition(account, looks.at(*address))));
        // A contract that was called and nothing else is as it was.
        let is_changed = |(address, change): &(Address, AccountTransition)| {
            let has_code = !state[address].info.is_empty_code_hash();
            !has_code || change.changes_fields() || !change.storage.is_empty()
        };
        Self::of(accounts.filter(is_changed).collect())
    }

    /// What it does to each account that it touches.
    pub(crate) fn accounts(&self) -> &[(Address, AccountTransition)] {
        &self.accounts
    }

    /// How many accounts and slots it is about.
    pub(crate) fn len(&self) -> usize {
        self.accounts.iter().map(|(_, change)| 1 + change.slots().len()).sum()
    }

    /// Bytes of code that it puts in place.
    pub(crate) fn code_len(&self) -> usize {
        let codes = self.accounts.iter().filter_map(|(_, change)| change.code.as_ref());
        codes.filter_map(|change| change.code.as_ref()).map(Bytecode::len).sum()
    }

    /// What it does to one account, if it touches it.
    pub(crate) fn account(&self, address: Address) -> Option<&AccountTransition> {
        let change = self.accounts.iter().find(|(touched, _)| *touched == address);
        change.map(|(_, change)| change)
    }

    /// Every location that is replaced or credited. Of a destroyed account only the
    /// slots are enumerated that it changed before.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (AccessKind, Location)> {
        self.accounts.iter().flat_map(|(address, change)| {
            let address = *address;
            let destroyed = change.lifecycle == Lifecycle::Destroyed;
            let balance = match change.balance {
                _ if destroyed => Some(AccessKind::Write),
                BalanceChange::Keep => None,
                BalanceChange::Credit(_) => Some(AccessKind::Delta),
                BalanceChange::Settle(_) | BalanceChange::Set(_) => Some(AccessKind::Write),
            };
            let nonce = (destroyed || change.nonce.is_some()).then_some(Location::Nonce(address));
            let code = (destroyed || change.code.is_some()).then_some(Location::Code(address));
            let slots = change.storage.iter().map(move |slot| Location::Storage(address, slot.key));
            balance
                .map(|kind| (kind, Location::Balance(address)))
                .into_iter()
                .chain(nonce.into_iter().chain(code).chain(slots).map(|at| (AccessKind::Write, at)))
        })
    }
}

/// What becomes of the balance of an account of which so much was looked at.
pub(crate) fn balance_change(account: &Account, looked: Looked) -> BalanceChange {
    let (now, before) = (account.info.balance, account.original_info().balance);
    match now {
        balance if balance == before => BalanceChange::Keep,
        // What is added to a hoard may overflow it, in more ways than one.
        balance if looked.contains(Looked::BALANCE) || is_hoard(before) => {
            BalanceChange::Set(balance)
        }
        left if looked.contains(Looked::COVER) => BalanceChange::settle(before, left),
        balance => BalanceChange::Credit(balance.wrapping_sub(before)),
    }
}

fn account_transition(account: &Account, looked: Looked) -> AccountTransition {
    let lifecycle = match account {
        _ if account.is_selfdestructed() => Lifecycle::Destroyed,
        _ if account.is_created() => Lifecycle::Created,
        _ => Lifecycle::Kept,
    };
    let (now, before) = (&account.info, account.original_info());
    let balance = balance_change(account, looked);
    let changed = account
        .changed_storage_slots()
        .map(|(key, slot)| SlotChange { key: *key, value: slot.present_value });
    AccountTransition {
        lifecycle,
        balance,
        nonce: (now.nonce != before.nonce).then_some(now.nonce),
        code: (now.code_hash != before.code_hash)
            .then(|| Box::new(CodeChange { hash: now.code_hash, code: now.code.clone() })),
        storage: changed.collect(),
    }
}
