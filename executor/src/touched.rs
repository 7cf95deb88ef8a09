//! What one step of a block touched, whether it changed it or not: a transaction, or an
//! operation of the protocol. Access lists (EIP-7928) are made of it.

use revm::{
    bytecode::Bytecode,
    primitives::{Address, Bytes, StorageKey, StorageValue},
    state::{Account, EvmState, EvmStorageSlot},
};

use crate::{
    looks::{Looked, Looks},
    transition::{AccountTransition, BalanceChange, balance_change},
};

/// What one step touched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Touched(Vec<TouchedAccount>);

/// A touched account. Accounts that were only loaded are among them, with no change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TouchedAccount {
    pub(crate) address: Address,
    pub(crate) balance: BalanceChange,
    pub(crate) nonce: Option<u64>,
    pub(crate) code: Option<Bytes>,
    pub(crate) slots: Box<[TouchedSlot]>,
}

/// A slot that was loaded or stored to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TouchedSlot {
    pub(crate) key: StorageKey,
    pub(crate) before: StorageValue,
    pub(crate) after: StorageValue,
}

impl Touched {
    /// What a transaction touched, from the state that it ended in and what it looked at.
    pub(crate) fn by_transaction(state: &EvmState, looks: &Looks) -> Self {
        let accounts = state.iter();
        Self(
            accounts
                .map(|(address, account)| touched(*address, account, looks.at(*address)))
                .collect(),
        )
    }

    /// What a step touched that ran on the state at its place, from the state that it ended in.
    pub(crate) fn at_turn(state: &EvmState) -> Self {
        let accounts = state.iter();
        Self(accounts.map(|(address, account)| touched(*address, account, Looked::all())).collect())
    }

    /// What a step touched that paid and did nothing else.
    pub(crate) fn by_payment(changes: impl Iterator<Item = (Address, AccountTransition)>) -> Self {
        let account = |(address, change): (Address, AccountTransition)| {
            let AccountTransition { balance, nonce, .. } = change;
            TouchedAccount { address, balance, nonce, code: None, slots: Box::default() }
        };
        Self(changes.map(account).collect())
    }

    /// The accounts, each once, in no order.
    pub(crate) fn accounts(&self) -> &[TouchedAccount] {
        &self.0
    }

    /// The accounts whose balance the step may have changed.
    pub(crate) fn paid(&self) -> impl Iterator<Item = Address> {
        let is_paid = |account: &&TouchedAccount| account.balance.is_change();
        self.0.iter().filter(is_paid).map(|account| account.address)
    }

    /// How many accounts and slots there are.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|account| 1 + account.slots.len()).sum()
    }
}

fn touched(address: Address, account: &Account, looked: Looked) -> TouchedAccount {
    let before = account.original_info();
    let mut slots: Box<[_]> = account.storage.iter().map(touched_slot).collect();
    if account.is_selfdestructed() {
        // What an account held before it was destroyed is gone, and so is what it received
        // since then.
        slots.iter_mut().for_each(|slot| slot.after = StorageValue::ZERO);
        return TouchedAccount {
            address,
            balance: BalanceChange::set(before.balance, StorageValue::ZERO),
            nonce: (before.nonce != 0).then_some(0),
            code: (!before.is_empty_code_hash()).then(Bytes::new),
            slots,
        };
    }
    let now = &account.info;
    let code = || now.code.as_ref().map_or_else(Bytes::new, Bytecode::original_bytes);
    TouchedAccount {
        address,
        balance: balance_change(account, looked),
        nonce: (now.nonce != before.nonce).then_some(now.nonce),
        code: (now.code_hash != before.code_hash).then(code),
        slots,
    }
}

fn touched_slot((key, slot): (&StorageKey, &EvmStorageSlot)) -> TouchedSlot {
    TouchedSlot { key: *key, before: slot.original_value, after: slot.present_value }
}
