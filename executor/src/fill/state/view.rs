//! The state of a fill as results, the EVM and what ends the block see it.

use core::cell::RefCell;

use revm::{
    Database, DatabaseRef,
    bytecode::Bytecode,
    primitives::{Address, B256, StorageKey, StorageValue},
    state::AccountInfo,
};

use super::FillState;
use crate::{
    reads::Seen,
    reuse::{AccountPlace, Placed, SlotPlace},
};

impl<DB: DatabaseRef> Placed for FillState<'_, DB> {
    type Error = DB::Error;

    fn slot_at(&mut self, place: SlotPlace) -> Result<StorageValue, DB::Error> {
        self.load_slot(place)?;
        Ok(self.slots[place.index()].now)
    }

    fn account_at(&mut self, place: AccountPlace) -> Result<Seen, DB::Error> {
        Ok(self.load_account(place)?.now)
    }
}

impl<DB: DatabaseRef> Database for FillState<'_, DB> {
    type Error = DB::Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        self.account(address)
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

/// The state as it is, for what only reads.
#[derive(Debug)]
pub(crate) struct Ended<'s, 'a, DB>(RefCell<&'s mut FillState<'a, DB>>);

impl<'s, 'a, DB: DatabaseRef> Ended<'s, 'a, DB> {
    pub(crate) const fn new(state: &'s mut FillState<'a, DB>) -> Self {
        Self(RefCell::new(state))
    }
}

impl<DB: DatabaseRef> DatabaseRef for Ended<'_, '_, DB> {
    type Error = DB::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        self.0.borrow_mut().account(address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.0.borrow().base.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        self.0.borrow_mut().slot(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DB::Error> {
        self.0.borrow().base.block_hash_ref(number)
    }
}
