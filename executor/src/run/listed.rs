//! A run by a block's access list (EIP-7928): what the list says of every transaction is there before any
//! has run, so that none waits, and each is held against the list when its turn comes.
//!
//! ```text
//! list ──by transaction──> versions, all published at the start
//!                              └── each transaction runs on those before it
//! commit: is what it did what the list says of it? ── no ──> the rest runs sequentially
//! ```
//!
//! By induction the state before each transaction is the true one: what the transactions before it did is
//! what the list says. One thing a list does not say is that the storage of an account was
//! cleared. So that is published when a transaction is committed, and what later ones have
//! read of such an account is looked at again.

use alloy_eips::eip7928::{AccountChanges, validate_block_access_list};
use forewave_analyzer::{Block, TxIndex};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{Address, U256},
};

use super::{narrow, versions::point_after, view::VersionedState};
use crate::{
    reads::Reads,
    touched::{Touched, TouchedAccount},
    transition::{AccountTransition, BalanceChange, CodeChange, Lifecycle, SlotChange, Transition},
};

/// What a list says that each transaction does.
#[derive(Clone, Debug)]
pub(super) struct Listed(Vec<Transition>);

/// A change that a list names.
enum Change {
    Balance(U256),
    Nonce(u64),
    Code(CodeChange),
    Slot(SlotChange),
}

impl Listed {
    /// What the list says, if it is in order.
    pub(super) fn new(block: &Block, list: &[AccountChanges]) -> Option<Self> {
        let transactions = block.transactions.len();
        validate_block_access_list(list, transactions).ok()?;
        let mut txs: Vec<Vec<(Address, AccountTransition)>> = vec![Vec::new(); transactions];
        for account in list {
            let mut changes = changes_of(account)?;
            changes.sort_by_key(|(index, _)| *index);
            for changes in changes.chunk_by_mut(|(one, _), (other, _)| one == other) {
                // Index 0 is before the transactions, and the last one after them.
                let tx = usize::try_from(changes[0].0).ok()?.checked_sub(1);
                if let Some(tx) = tx.and_then(|tx| txs.get_mut(tx)) {
                    tx.push((
                        account.address,
                        transition(changes.iter_mut().map(|(_, change)| change)),
                    ));
                }
            }
        }
        Some(Self(txs.into_iter().map(Transition::of).collect()))
    }

    /// What it says that a transaction does.
    pub(super) fn transition(&self, tx: TxIndex) -> &Transition {
        &self.0[tx.index()]
    }

    /// What it says of each transaction.
    pub(super) fn transitions(&self) -> impl Iterator<Item = (TxIndex, &Transition)> {
        self.0.iter().enumerate().map(|(tx, transition)| (TxIndex::new(tx), transition))
    }

    /// Whether a transaction, which touched this, did what the list says of it; all those
    /// before it did.
    pub(super) fn says<DB: DatabaseRef>(
        &self,
        tx: TxIndex,
        touched: &Touched,
        view: &mut VersionedState<'_, '_, DB>,
    ) -> Result<bool, DB::Error> {
        let mut left: usize = self.transition(tx).accounts().len();
        let before = point_after(tx) - 1;
        for account in touched.accounts() {
            let changed = account.slots.iter().filter(|slot| slot.before != slot.after).count();
            let is_changed = changed > 0
                || account.balance.is_change()
                || account.nonce.is_some()
                || account.code.is_some();
            if !is_changed {
                continue;
            }
            let Some(listed) = self.transition(tx).sorted_account(account.address) else {
                return Ok(false);
            };
            let is_relative =
                matches!(account.balance, BalanceChange::Credit(_) | BalanceChange::Settle(_));
            let found = if is_relative {
                view.seen_at(account.address, before)?.balance
            } else {
                U256::ZERO
            };
            if !does(account, changed, found, listed) {
                return Ok(false);
            }
            left -= 1;
        }
        Ok(left == 0)
    }
}

/// Whether an account, whose balance was `found`, became what is listed.
fn does(account: &TouchedAccount, changed: usize, found: U256, listed: &AccountTransition) -> bool {
    let balance = match account.balance {
        BalanceChange::Keep => BalanceChange::Keep,
        change => BalanceChange::Set(change.apply(found)),
    };
    let listed_code = listed.code.as_ref().and_then(|change| change.code.as_ref());
    let is_code = match (&account.code, listed_code) {
        (None, None) => true,
        (Some(code), Some(listed)) => listed.original_byte_slice() == code.as_ref(),
        _ => false,
    };
    let slots = listed.slots();
    let is_slot = |slot: &SlotChange| {
        let mut touched = account.slots.iter();
        touched.any(|it| it.key == slot.key && it.after == slot.value && it.before != it.after)
    };
    balance == listed.balance
        && account.nonce == listed.nonce
        && is_code
        && slots.len() == changed
        && slots.iter().all(is_slot)
}

/// Every change of an account, by index. None if a code is no code.
fn changes_of(account: &AccountChanges) -> Option<Vec<(u64, Change)>> {
    let mut changes = Vec::new();
    let balances = account.balance_changes.iter();
    changes
        .extend(balances.map(|it| (it.block_access_index.get(), Change::Balance(it.post_balance))));
    let nonces = account.nonce_changes.iter();
    changes.extend(nonces.map(|it| (it.block_access_index.get(), Change::Nonce(it.new_nonce))));
    for it in &account.code_changes {
        let code = Bytecode::new_raw_checked(it.new_code.clone()).ok()?;
        let change = CodeChange { hash: code.hash_slow(), code: Some(code) };
        changes.push((it.block_access_index.get(), Change::Code(change)));
    }
    for slot in &account.storage_changes {
        let of_slot = slot.changes.iter().map(|it| {
            let change = SlotChange::new(slot.slot, it.new_value);
            (it.block_access_index.get(), Change::Slot(change))
        });
        changes.extend(of_slot);
    }
    Some(changes)
}

/// What these changes of one account come to.
fn transition<'c>(changes: impl Iterator<Item = &'c mut Change>) -> AccountTransition {
    let mut whole = AccountTransition::payment(BalanceChange::Keep, None);
    let mut slots = Vec::new();
    for change in changes {
        match change {
            Change::Balance(balance) => whole.balance = BalanceChange::Set(*balance),
            Change::Nonce(nonce) => whole.nonce = Some(*nonce),
            Change::Code(code) => whole.code = Some(Box::new(code.clone())),
            Change::Slot(slot) => slots.push(*slot),
        }
    }
    whole.with_storage(slots.into())
}

/// The accounts whose storage a transaction clears, which no list says; if there are any.
pub(super) fn clearing(transition: &Transition) -> Option<Transition> {
    let cleared = transition.accounts().iter().filter(|(_, it)| it.lifecycle != Lifecycle::Kept);
    let cleared: Vec<_> = cleared
        .map(|(address, it)| (*address, AccountTransition::clearing(it.lifecycle)))
        .collect();
    (!cleared.is_empty()).then(|| Transition::of(cleared))
}

/// Whether what a transaction has read of accounts whose storage was cleared before it is what
/// that left.
pub(super) fn sees_clearing<DB: DatabaseRef>(
    tx: TxIndex,
    reads: &Reads,
    view: &mut VersionedState<'_, '_, DB>,
) -> Result<bool, DB::Error> {
    for read in &reads.storage {
        let may_be_cleared = view.versions().may_be_cleared(read.address);
        if may_be_cleared && view.slot_at(read.address, read.key, narrow(tx.index()))? != read.value
        {
            return Ok(false);
        }
    }
    Ok(true)
}
