//! What an overlay is held in: accounts and slots by position, how to find them,
//! and the journal. Kept from block to block, empty, for its room.

use hashbrown::HashMap;
use revm::{
    bytecode::Bytecode,
    primitives::{StorageKey, map::DefaultHashBuilder},
};

use super::{
    account::{Account, AccountId, AccountValues},
    slot::{Content, Slot, SlotId},
    word::Word,
};
use crate::keys::{AddressKey, WordKey};

/// Accounts and slots that a table may have room for and be kept for the next block.
const KEPT_ENTRIES_MAX: usize = 1 << 16;

/// The tables of an overlay. Empty ones keep their room for the next block.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(super) accounts: Vec<Account>,
    pub(super) account_ids: HashMap<AddressKey, AccountId, DefaultHashBuilder>,
    pub(super) slots: Vec<Slot>,
    pub(super) slot_ids: HashMap<(AccountId, WordKey), SlotId, DefaultHashBuilder>,
    pub(super) transient: HashMap<(AccountId, StorageKey), Word, DefaultHashBuilder>,
    pub(super) journal: Vec<Undo>,
    pub(super) touched_accounts: Vec<AccountId>,
    pub(super) touched_slots: Vec<SlotId>,
}

impl Tables {
    /// Empties the tables. Their room stays, unless it is too much to keep.
    pub(super) fn clear(&mut self) {
        let room = self.accounts.capacity().max(self.slots.capacity()).max(self.journal.capacity());
        if room > KEPT_ENTRIES_MAX {
            *self = Self::default();
            return;
        }
        self.accounts.clear();
        self.account_ids.clear();
        self.slots.clear();
        self.slot_ids.clear();
        self.transient.clear();
        self.journal.clear();
        self.touched_accounts.clear();
        self.touched_slots.clear();
    }
}

/// What a change has replaced.
#[derive(Clone, Debug)]
pub(super) enum Undo {
    Account(AccountId, AccountValues),
    Code(AccountId, Option<Bytecode>),
    Slot(SlotId, Content),
    WarmSlot(SlotId),
    Transient(AccountId, StorageKey, Word),
}
