//! A state with what the protocol has changed of it before the first transaction.

use alloy_primitives::{
    Address, B256, U256,
    map::{AddressMap, HashMap},
};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    state::{AccountInfo, EvmState},
};

/// An account that a system call has changed.
#[derive(Debug, Default)]
struct ChangedAccount {
    info: Option<AccountInfo>,
    is_cleared: bool,
    slots: HashMap<U256, U256>,
}

/// A state below, and the changes of the calls that came before the transactions.
#[derive(Debug)]
pub(super) struct Changed<S> {
    below: S,
    accounts: AddressMap<ChangedAccount>,
}

impl<S> Changed<S> {
    pub(super) fn new(below: S, changes: Vec<EvmState>) -> Self {
        let mut accounts = AddressMap::<ChangedAccount>::default();
        for (address, account) in changes.into_iter().flatten() {
            if !account.is_touched() {
                continue;
            }
            let changed = accounts.entry(address).or_default();
            if account.is_selfdestructed() || account.is_created() {
                changed.is_cleared = true;
                changed.slots.clear();
            }
            let slots = account.changed_storage_slots();
            changed.slots.extend(slots.map(|(key, slot)| (*key, slot.present_value)));
            let is_gone = account.is_selfdestructed() || account.is_empty();
            changed.info = (!is_gone).then_some(account.info);
        }
        Self { below, accounts }
    }
}

impl<S: DatabaseRef> DatabaseRef for Changed<S> {
    type Error = S::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, S::Error> {
        match self.accounts.get(&address) {
            Some(changed) => Ok(changed.info.clone()),
            None => self.below.basic_ref(address),
        }
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, S::Error> {
        self.below.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, S::Error> {
        match self.accounts.get(&address) {
            Some(changed) => match changed.slots.get(&key) {
                Some(value) => Ok(*value),
                None if changed.is_cleared => Ok(U256::ZERO),
                None => self.below.storage_ref(address, key),
            },
            None => self.below.storage_ref(address, key),
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, S::Error> {
        self.below.block_hash_ref(number)
    }
}
