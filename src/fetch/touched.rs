//! What a run reads of a state, and that as the files of a block directory.

use core::cell::RefCell;
use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{StorageKey, StorageValue},
    state::AccountInfo,
};
use serde::Serialize;

use super::remote::Known;

/// A state that remembers what was read of it.
#[derive(Debug)]
pub(super) struct Touched<'s, DB> {
    state: &'s DB,
    read: RefCell<Parts>,
}

/// What was read: accounts that exist, slots, hashes of blocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    accounts: BTreeMap<Address, AccountInfo>,
    slots: BTreeMap<Address, BTreeMap<U256, U256>>,
    hashes: BTreeMap<u64, B256>,
}

impl<'s, DB> Touched<'s, DB> {
    pub(super) fn new(state: &'s DB) -> Self {
        Self { state, read: RefCell::default() }
    }

    pub(super) fn into_parts(self) -> Parts {
        self.read.into_inner()
    }
}

impl<DB: DatabaseRef> DatabaseRef for Touched<'_, DB> {
    type Error = DB::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        let info = self.state.basic_ref(address)?;
        if let Some(info) = &info {
            let mut whole = info.clone();
            if whole.code.is_none() {
                whole.code = Some(self.state.code_by_hash_ref(whole.code_hash)?);
            }
            self.read.borrow_mut().accounts.insert(address, whole);
        }
        Ok(info)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.state.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        let value = self.state.storage_ref(address, key)?;
        self.read.borrow_mut().slots.entry(address).or_default().insert(key, value);
        Ok(value)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DB::Error> {
        let hash = self.state.block_hash_ref(number)?;
        self.read.borrow_mut().hashes.insert(number, hash);
        Ok(hash)
    }
}

/// An account as the file states it.
#[derive(Serialize)]
struct StatedAccount<'a> {
    balance: U256,
    nonce: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<&'a BTreeMap<U256, U256>>,
}

impl Parts {
    /// Adds what a tracer has told: it may see more than a run reads.
    pub(super) fn add_known(&mut self, known: &Known) {
        for (address, info, slots) in known.state.accounts() {
            self.accounts.entry(address).or_insert_with(|| info.clone());
            let all = self.slots.entry(address).or_default();
            all.extend(slots);
        }
        for (address, keys) in &known.mentioned {
            let all = self.slots.entry(*address).or_default();
            for key in keys {
                all.entry(*key).or_default();
            }
        }
        self.slots.retain(|_, slots| !slots.is_empty());
    }

    /// `pre_state.json`. Slots of an account that does not exist are zero and left out.
    pub(super) fn pre_state(&self) -> Vec<u8> {
        let stated = |(address, info): (&Address, &AccountInfo)| {
            let code = info.code.as_ref().filter(|code| !code.is_empty());
            let account = StatedAccount {
                balance: info.balance,
                nonce: U64::from(info.nonce),
                code: code.map(Bytecode::original_bytes),
                storage: self.slots.get(address),
            };
            (*address, account)
        };
        let accounts: BTreeMap<_, _> = self.accounts.iter().map(stated).collect();
        serde_json::to_vec(&accounts).expect("addresses are text")
    }

    /// `block_hashes.json`, where the block asks for some.
    pub(super) fn block_hashes(&self) -> Option<Vec<u8>> {
        (!self.hashes.is_empty())
            .then(|| serde_json::to_vec(&self.hashes).expect("numbers are text in JSON"))
    }

    /// How many accounts, slots and hashes.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let slots = self.accounts.keys().filter_map(|at| self.slots.get(at)).map(BTreeMap::len);
        (self.accounts.len(), slots.sum(), self.hashes.len())
    }
}
