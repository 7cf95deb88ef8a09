//! The state as one thread's transactions see it: what is settled, and over it
//! what unsettled transactions did that the next one is predicted to need.
//!
//! Each thread keeps what it has read of the settled state in a map that nobody
//! else touches, and brings it up to date as it reads it again. What a
//! transaction reads may be behind by the time it is settled; then the ledger
//! finds it stale.

use forewave_analyzer::TxIndex;
use revm::{
    Database, DatabaseRef,
    bytecode::Bytecode,
    context::TxEnv,
    primitives::{Address, B256, StorageKey, StorageValue, U256},
    state::AccountInfo,
};

use crate::{
    flat_state::FlatState,
    history::narrow,
    needs::Needs,
    runs::{Basis, TxRuns},
    transition::{AccountTransition, BalanceChange, Lifecycle, Transition},
};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct View<'a, DB> {
    /// The state after the first transactions, as many as it is turned to.
    pub(crate) flat: FlatState<'a, DB>,
    runs: &'a [TxRuns],
    /// Unsettled transitions to be seen, the latest first.
    ahead: Vec<(TxIndex, &'a Transition)>,
    needs: &'a Needs<'a>,
    /// Who sends the transaction that is run ahead, and the nonce that it names:
    /// what the sender's nonce must be by then, whoever has to run before.
    sender: Option<(Address, u64)>,
    names_nonce: bool,
}

impl<'a, DB: DatabaseRef> View<'a, DB> {
    /// A view of the state before the transactions.
    pub(crate) const fn new(
        flat: FlatState<'a, DB>,
        runs: &'a [TxRuns],
        needs: &'a Needs<'a>,
    ) -> Self {
        Self { flat, runs, ahead: Vec::new(), needs, sender: None, names_nonce: false }
    }

    /// Turns to what `tx` is to see: the first `settled` transactions, which are,
    /// and what unsettled ones did that it needs.
    pub(crate) fn turn_to(&mut self, tx: TxIndex, env: &TxEnv, settled: usize) -> Basis {
        self.ahead.clear();
        self.flat.turn_to(settled);
        (self.sender, self.names_nonce) = (None, false);
        if tx.index() == settled {
            return Basis::Settled;
        }
        self.sender = Some((env.caller, env.nonce));
        let Self { needs, runs, ahead, .. } = self;
        needs.for_each(tx, settled, |needed| {
            if let Some(Some(run)) = runs[needed.index()].first.get() {
                ahead.push((needed, &run.record.transition));
            }
        });
        ahead.reverse();
        if ahead.is_empty() { Basis::Behind { applied: narrow(settled) } } else { Basis::Ahead }
    }

    /// Turns to what this thread has run before `env`, nothing of what others have.
    pub(crate) fn turn_to_own(&mut self, env: &TxEnv) {
        (self.sender, self.names_nonce) = (Some((env.caller, env.nonce)), false);
    }

    /// Whether the sender was given another nonce than it had.
    pub(crate) const fn names_nonce(&self) -> bool {
        self.names_nonce
    }

    /// What unsettled transactions did to an account, the latest first.
    fn changes(&self, address: Address) -> impl Iterator<Item = &'a AccountTransition> {
        self.ahead.iter().filter_map(move |(_, transition)| transition.account(address))
    }
}

impl<DB: DatabaseRef> View<'_, DB> {
    /// What unsettled transactions make of a balance.
    fn balance(&self, address: Address) -> BalanceChange {
        let mut credits = None;
        for (tx, transition) in &self.ahead {
            let Some(change) = transition.account(address) else { continue };
            let set = match change.balance {
                _ if change.lifecycle == Lifecycle::Destroyed => U256::ZERO,
                BalanceChange::Set(wei) => wei,
                BalanceChange::Settle { left, .. } if self.needs.replaces_balance(*tx, address) => {
                    left
                }
                BalanceChange::Credit(wei) | BalanceChange::Settle { difference: wei, .. } => {
                    credits = Some(credits.unwrap_or(U256::ZERO).wrapping_add(wei));
                    continue;
                }
                BalanceChange::Keep => continue,
            };
            return BalanceChange::Set(set.wrapping_add(credits.unwrap_or_default()));
        }
        // A sum of differences is one, even if it is not of a sender's.
        let sum = |difference| BalanceChange::Settle { difference, left: U256::ZERO };
        credits.map_or(BalanceChange::Keep, sum)
    }

    /// The account as it is settled, and as unsettled transactions change it.
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        let Some(change) = self.changes(address).next() else { return self.flat.basic(address) };
        if change.lifecycle == Lifecycle::Destroyed {
            return Ok(None);
        }
        let balance = self.balance(address);
        let alive =
            || self.changes(address).take_while(|change| change.lifecycle != Lifecycle::Destroyed);
        let nonce = alive().find_map(|change| change.nonce);
        let code = alive().find_map(|change| change.code.as_ref());
        let was_destroyed = self.changes(address).count() > alive().count();
        let before = if was_destroyed { None } else { self.flat.basic(address)? };
        let mut info = before.unwrap_or_default();
        info.balance = balance.apply(info.balance);
        info.nonce = nonce.unwrap_or(info.nonce);
        if let Some((hash, code)) = code {
            info.code_hash = *hash;
            info.code.clone_from(code);
        }
        Ok((!info.is_empty()).then_some(info))
    }
}

impl<DB: DatabaseRef> Database for View<'_, DB> {
    type Error = DB::Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        let mut info = self.account(address)?;
        if let (Some((sender, named)), Some(info)) = (self.sender, &mut info)
            && sender == address
            && info.nonce != named
        {
            info.nonce = named;
            self.names_nonce = true;
        }
        Ok(info)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.flat.code_by_hash(code_hash)
    }

    fn storage(&mut self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        for change in self.changes(address) {
            if let Some(value) = change.slot(key) {
                return Ok(value);
            }
            if change.lifecycle != Lifecycle::Kept {
                return Ok(StorageValue::ZERO);
            }
        }
        self.flat.storage(address, key)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, DB::Error> {
        self.flat.block_hash(number)
    }
}
