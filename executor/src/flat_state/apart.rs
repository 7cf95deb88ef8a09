//! Accounts that go through the transactions of a block apart from all others,
//! and what became of them: accounts that do nothing but pay and are paid.
//!
//! The flat state does not hold them. Once they are through, it is told of their
//! changes and loads what it meets of them from there.

use revm::{
    DatabaseRef, database_interface::WrapDatabaseRef, primitives::Address, state::AccountInfo,
};

use super::{FlatAccount, FlatState, apply_to_account, closing::net_change};
use crate::{
    outcome::{AccountChange, StateChanges},
    transition::AccountTransition,
};

/// An account on its way through the transactions.
#[derive(Debug)]
pub(crate) struct Apart {
    address: Address,
    account: FlatAccount,
}

impl Apart {
    /// The account as it is now.
    pub(crate) const fn info(&self) -> Option<&AccountInfo> {
        self.account.info.as_ref()
    }

    /// Takes over what a transaction does to it; slots are not among that.
    pub(crate) fn apply(&mut self, change: &AccountTransition) {
        apply_to_account(&mut self.account, 0, change);
    }
}

impl<DB: DatabaseRef> FlatState<'_, DB> {
    /// The account before the transactions, unless the protocol has met it already.
    pub(crate) fn apart(&self, address: Address) -> Result<Option<Apart>, DB::Error> {
        if self.accounts.contains_key(&address) {
            return Ok(None);
        }
        let account = FlatAccount::loaded(self.base.basic_ref(address)?);
        Ok(Some(Apart { address, account }))
    }

    /// The state below, as it was before the block.
    pub(crate) const fn below(&self) -> WrapDatabaseRef<&DB> {
        WrapDatabaseRef(self.base)
    }

    /// What has become of an account, if that is another than before.
    pub(crate) fn change_of(
        &self,
        Apart { address, account }: &Apart,
    ) -> Result<Option<AccountChange>, DB::Error> {
        net_change(self.base, *address, account)
    }

    /// Is told what has become of the accounts apart: their changes, sorted.
    pub(crate) fn take_apart(&mut self, changes: Vec<(Address, AccountChange)>) {
        self.apart = changes;
    }

    /// Net changes since the state was opened, those of the accounts apart included.
    pub(crate) fn into_all_changes(self) -> Result<StateChanges, DB::Error> {
        let mut changes: StateChanges = self.apart.into_iter().collect();
        for (address, account) in &self.accounts {
            match net_change(self.base, *address, account)? {
                Some(change) => changes.insert(*address, change),
                None if account.original.is_some() => changes.remove(address),
                None => None,
            };
        }
        Ok(changes)
    }
}

/// An account that is met for the first time.
pub(super) fn load<DB: DatabaseRef>(
    base: &DB,
    apart: &[(Address, AccountChange)],
    address: Address,
) -> Result<FlatAccount, DB::Error> {
    let mut account = FlatAccount::loaded(base.basic_ref(address)?);
    if let Ok(at) = apart.binary_search_by_key(&address, |(address, _)| *address) {
        account.touch();
        account.info.clone_from(&apart[at].1.info);
    }
    Ok(account)
}
