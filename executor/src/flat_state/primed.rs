//! What one thread has read of the state before the block, handed to another, so
//! that it need not be read twice.

use hashbrown::hash_map::Entry;
use revm::{DatabaseRef, primitives::KECCAK_EMPTY, state::AccountInfo};

use super::{FlatAccount, FlatSlot, FlatState, apart};
use crate::tracking::{Reads, Seen};

impl<DB: DatabaseRef> FlatState<'_, DB> {
    /// Notes which of these reads, just made of this state, gave what was there
    /// before the block.
    pub(crate) fn note_base(&self, reads: &mut Reads) {
        for read in &mut reads.accounts {
            let account = self.accounts.get(&read.address);
            read.is_base = account.is_some_and(|account| account.original.is_none());
        }
        for read in &mut reads.storage {
            let slots =
                self.accounts.get(&read.address).and_then(|account| account.storage.as_ref());
            let slot = slots.and_then(|slots| slots.get(&read.key));
            read.is_base =
                slot.is_some_and(|slot| slot.has_original && slot.original == read.value);
        }
    }

    /// Takes over what is not held here of what another thread has read of the state
    /// before the block. Code is not among that, so accounts that have any are loaded.
    pub(crate) fn prime(&mut self, reads: &Reads) -> Result<(), DB::Error> {
        for read in reads.accounts.iter().filter(|read| read.is_base) {
            let Entry::Vacant(entry) = self.accounts.entry(read.address) else { continue };
            let Seen { exists, balance, nonce, code_hash } = read.seen;
            entry.insert(if code_hash == KECCAK_EMPTY {
                let info = AccountInfo { balance, nonce, code_hash, account_id: None, code: None };
                FlatAccount::loaded(exists.then_some(info))
            } else {
                apart::load(self.base, &self.apart, read.address)?
            });
        }
        for read in reads.storage.iter().filter(|read| read.is_base) {
            if let Some(account) = self.accounts.get_mut(&read.address)
                && !account.storage_cleared
            {
                account.slots_mut().entry(read.key).or_insert(FlatSlot::loaded(read.value, 0));
            }
        }
        Ok(())
    }
}
