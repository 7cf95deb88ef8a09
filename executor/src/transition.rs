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

use crate::looks::{Looked, Looks};

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

    pub(crate) const fn apply(self, balance: U256) -> U256 {
        match self {
            Self::Keep => balance,
            Self::Credit(wei) | Self::Settle(wei) => balance.wrapping_add(wei),
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

/// What happens to one touched account.
#[derive(Clone, Debug)]
pub(crate) struct AccountTransition {
    pub(crate) lifecycle: Lifecycle,
    pub(crate) balance: BalanceChange,
    pub(crate) nonce: Option<u64>,
    pub(crate) code: Option<(B256, Option<Bytecode>)>,
    /// Changed slots only, sorted.
    pub(crate) storage: Vec<(StorageKey, StorageValue)>,
}

impl AccountTransition {
    /// What it makes of a slot, if it changes it.
    pub(crate) fn slot(&self, key: StorageKey) -> Option<StorageValue> {
        let at = self.storage.binary_search_by_key(&key, |(changed, _)| *changed);
        at.ok().map(|at| self.storage[at].1)
    }
}

/// What one transaction does to all the accounts it touched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transition {
    pub(crate) accounts: Vec<(Address, AccountTransition)>,
}

impl Transition {
    /// The transition from a transaction's final state and what it looked at.
    pub(crate) fn new(state: &EvmState, looks: &Looks) -> Self {
        let touched = state.iter().filter(|(_, account)| account.is_touched());
        let accounts = touched
            .map(|(address, account)| (*address, account_transition(account, looks.at(*address))))
            .collect();
        Self { accounts }
    }

    /// What it does to one account, if it touches it.
    pub(crate) fn account(&self, address: Address) -> Option<&AccountTransition> {
        let mut accounts = self.accounts.iter();
        accounts.find_map(|(touched, change)| (*touched == address).then_some(change))
    }

    /// Every location that is replaced or credited. The slots of a destroyed
    /// account are not enumerated.
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
            let slots = change.storage.iter().map(move |(key, _)| Location::Storage(address, *key));
            balance
                .map(|kind| (kind, Location::Balance(address)))
                .into_iter()
                .chain(nonce.into_iter().chain(code).chain(slots).map(|at| (AccessKind::Write, at)))
        })
    }
}

fn account_transition(account: &Account, looked: Looked) -> AccountTransition {
    let lifecycle = match account {
        _ if account.is_selfdestructed() => Lifecycle::Destroyed,
        _ if account.is_created() => Lifecycle::Created,
        _ => Lifecycle::Kept,
    };
    let (now, before) = (&account.info, account.original_info());
    let balance = match now.balance {
        balance if balance == before.balance => BalanceChange::Keep,
        balance if looked.contains(Looked::BALANCE) => BalanceChange::Set(balance),
        left if looked.contains(Looked::COVER) => BalanceChange::settle(before.balance, left),
        balance => BalanceChange::Credit(balance.wrapping_sub(before.balance)),
    };
    let mut storage: Vec<_> =
        account.changed_storage_slots().map(|(k, slot)| (*k, slot.present_value)).collect();
    storage.sort_unstable();
    AccountTransition {
        lifecycle,
        balance,
        nonce: (now.nonce != before.nonce).then_some(now.nonce),
        code: (now.code_hash != before.code_hash).then(|| (now.code_hash, now.code.clone())),
        storage,
    }
}
