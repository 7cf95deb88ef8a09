//! The state as the transactions of the block so far are predicted to leave it.
//!
//! Reads through to the state before the block, once per account and slot, and
//! keeps for each what the current transaction found at its start, so that its
//! accesses can be read off at its end. Frames that fail are undone from a
//! journal; what they looked at stays looked at. No gas, no EVM rules.

use hashbrown::hash_map::Entry;
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{Address, B256, KECCAK_EMPTY, StorageKey, U256},
};

pub(crate) use super::account::{Account, AccountId, AccountValues};
pub(crate) use super::slot::{Content, Slot, SlotId};
use super::{
    guesses::{Knowledge, Pointers},
    tables::{Tables, Undo},
    word::{Provenance, Word},
};
use crate::keys::{AddressKey, WordKey};

/// How far the journal had come; later entries can be undone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checkpoint(usize);

/// The overlay of the block; see the module.
#[derive(Debug)]
pub(crate) struct World<'a, DB> {
    db: &'a DB,
    knowledge: Knowledge,
    pointers: Pointers,
    tables: Tables,
    /// Number of the transaction, from 1.
    tx: u32,
}

impl<'a, DB: DatabaseRef> World<'a, DB> {
    /// The state before the block, and tables to use.
    pub(crate) fn new(db: &'a DB, knowledge: Knowledge, tables: Tables) -> Self {
        Self { db, knowledge, pointers: Pointers::default(), tables, tx: 0 }
    }

    /// The tables, empty; for when the block is over.
    pub(crate) fn take_tables(&mut self) -> Tables {
        let mut tables = core::mem::take(&mut self.tables);
        tables.clear();
        tables
    }

    /// Starts the next transaction: nothing touched, nothing warm.
    pub(crate) fn begin(&mut self) {
        self.tx += 1;
        self.tables.journal.clear();
        self.tables.touched_accounts.clear();
        self.tables.touched_slots.clear();
        self.tables.transient.clear();
    }

    /// Ends the transaction: what it destroyed is gone for the next.
    pub(crate) fn end(&mut self) {
        for id in &self.tables.touched_accounts {
            let account = &mut self.tables.accounts[id.0 as usize];
            if account.now.destroyed {
                account.generation += 1;
                account.now.balance = U256::ZERO;
                account.now.nonce = 0;
                account.now.code_hash = KECCAK_EMPTY;
                account.now.exists = false;
                account.code = Some(Bytecode::default());
            }
        }
    }

    /// The account at `address`, loaded if it is not yet.
    pub(crate) fn load(&mut self, address: Address) -> Result<AccountId, DB::Error> {
        let id = match self.tables.account_ids.entry(AddressKey(address)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let position = u32::try_from(self.tables.accounts.len()).unwrap_or(u32::MAX);
                let mut account = Account::new(address, self.db.basic_ref(address)?);
                if self.knowledge == Knowledge::Code {
                    account.forget();
                }
                self.tables.accounts.push(account);
                *new.insert(AccountId(position))
            }
        };
        let account = &mut self.tables.accounts[id.0 as usize];
        if account.touched_by != self.tx {
            account.open(self.tx);
            self.tables.touched_accounts.push(id);
        }
        Ok(id)
    }

    pub(crate) fn account(&self, id: AccountId) -> &Account {
        &self.tables.accounts[id.0 as usize]
    }

    /// Makes the account warm; true if it was cold.
    pub(crate) fn warm(&mut self, id: AccountId) -> bool {
        let cold = !self.account(id).now.warm;
        if cold {
            self.change(id, |values| values.warm = true);
        }
        cold
    }

    /// Changes values of an account; undone with the frame.
    pub(crate) fn change(&mut self, id: AccountId, change: impl FnOnce(&mut AccountValues)) {
        let account = &mut self.tables.accounts[id.0 as usize];
        self.tables.journal.push(Undo::Account(id, account.now));
        change(&mut account.now);
    }

    /// Changes values of an account for good.
    pub(crate) fn settle_account(
        &mut self,
        id: AccountId,
        change: impl FnOnce(&mut AccountValues),
    ) {
        change(&mut self.tables.accounts[id.0 as usize].now);
    }

    /// Notes that code looked at the balance, and returns it.
    pub(crate) fn read_balance(&mut self, id: AccountId) -> U256 {
        self.tables.accounts[id.0 as usize].reads.balance_by_code = true;
        self.read_cover(id)
    }

    /// Notes that a payment looked at whether the balance suffices, and returns it.
    pub(crate) fn read_cover(&mut self, id: AccountId) -> U256 {
        let account = &mut self.tables.accounts[id.0 as usize];
        account.reads.balance = true;
        account.now.balance
    }

    /// Notes that the transaction looked at the nonce, and returns it.
    pub(crate) fn read_nonce(&mut self, id: AccountId) -> u64 {
        let account = &mut self.tables.accounts[id.0 as usize];
        account.reads.nonce = true;
        account.now.nonce
    }

    /// Notes that the transaction looked at whether the account is empty (EIP-161).
    pub(crate) fn note_emptiness_read(&mut self, id: AccountId) {
        self.tables.accounts[id.0 as usize].reads.emptiness = true;
    }

    /// Notes that the transaction looked at the code.
    pub(crate) fn note_code_read(&mut self, id: AccountId) {
        self.tables.accounts[id.0 as usize].reads.code = true;
    }

    /// Notes that the transaction looked at the code, and returns it.
    pub(crate) fn read_code(&mut self, id: AccountId) -> Result<Bytecode, DB::Error> {
        let account = &mut self.tables.accounts[id.0 as usize];
        account.reads.code = true;
        if let Some(code) = &account.code {
            return Ok(code.clone());
        }
        let code = self.db.code_by_hash_ref(account.now.code_hash)?;
        account.code = Some(code.clone());
        Ok(code)
    }

    /// Replaces the code; undone with the frame.
    pub(crate) fn set_code(&mut self, id: AccountId, code: Bytecode, code_hash: B256) {
        self.change(id, |values| values.code_hash = code_hash);
        let old = self.tables.accounts[id.0 as usize].code.replace(code);
        self.tables.journal.push(Undo::Code(id, old));
    }

    /// Adds to a balance without looking at it.
    pub(crate) fn credit(&mut self, id: AccountId, amount: U256) {
        self.change(id, |values| {
            values.balance = values.balance.saturating_add(amount);
            values.exists = true;
        });
    }

    /// Takes from a balance; false, and nothing taken, if it does not suffice.
    #[must_use]
    pub(crate) fn debit(&mut self, id: AccountId, amount: U256) -> bool {
        match self.read_cover(id).checked_sub(amount) {
            Some(rest) => {
                self.change(id, |values| values.balance = rest);
                true
            }
            None => false,
        }
    }

    /// The slot at `key`. What it holds is read when somebody asks.
    pub(crate) fn find_slot(&mut self, account: AccountId, key: Word) -> SlotId {
        let &Account { address, generation, now, .. } = self.account(account);
        let id = match self.tables.slot_ids.entry((account, WordKey(key.value))) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let cleared = generation > 0 || now.created;
                let content = if cleared || self.knowledge == Knowledge::Code {
                    Content::Word(Word::new(U256::ZERO, Provenance::STATE))
                } else {
                    Content::Unread
                };
                let position = u32::try_from(self.tables.slots.len()).unwrap_or(u32::MAX);
                self.tables.slots.push(Slot {
                    account,
                    key,
                    now: content,
                    start: content,
                    warm: false,
                    used: false,
                    generation,
                    touched_by: 0,
                });
                *new.insert(SlotId(position))
            }
        };
        let slot = &mut self.tables.slots[id.0 as usize];
        if slot.touched_by != self.tx {
            if slot.generation != generation {
                slot.generation = generation;
                slot.now = Content::Word(Word::new(U256::ZERO, Provenance::STATE));
            }
            slot.touched_by = self.tx;
            if self.knowledge == Knowledge::Code && !now.created {
                let guess = self.pointers.guess(address, key.value);
                slot.now = Content::Word(Word::new(guess, Provenance::UNKNOWN));
            }
            if let Content::Word(word) = &mut slot.now {
                word.provenance = word.provenance.flags().join(Provenance::STATE);
            }
            slot.start = slot.now;
            slot.key = key;
            slot.warm = false;
            slot.used = false;
            self.tables.touched_slots.push(id);
        }
        id
    }

    /// What the slot holds in the state before the block, read once as long as
    /// nothing was stored to it.
    pub(crate) fn read_slot(&mut self, id: SlotId) -> Result<Word, DB::Error> {
        let slot = self.slot(id);
        let address = self.account(slot.account).address;
        let word = Word::new(self.db.storage_ref(address, slot.key.value)?, Provenance::STATE);
        let slot = &mut self.tables.slots[id.0 as usize];
        for content in [&mut slot.now, &mut slot.start] {
            if *content == Content::Unread {
                *content = Content::Word(word);
            }
        }
        Ok(word)
    }

    /// Notes what the slot holds, and held at the start of the transaction.
    pub(crate) fn settle_slot(&mut self, id: SlotId, now: Word, start: Word) {
        let slot = &mut self.tables.slots[id.0 as usize];
        (slot.now, slot.start) = (Content::Word(now), Content::Word(start));
    }

    pub(crate) fn slot(&self, id: SlotId) -> &Slot {
        &self.tables.slots[id.0 as usize]
    }

    /// Notes that the transaction loads or stores to the slot; true if it was cold.
    pub(crate) fn use_slot(&mut self, id: SlotId) -> bool {
        self.tables.slots[id.0 as usize].used = true;
        self.warm_slot(id)
    }

    /// Notes that the transaction loads or stores to the slot; no matter whether it is warm.
    pub(crate) fn look_at_slot(&mut self, id: SlotId) {
        self.tables.slots[id.0 as usize].used = true;
    }

    /// Makes the slot warm; true if it was cold.
    pub(crate) fn warm_slot(&mut self, id: SlotId) -> bool {
        let slot = &mut self.tables.slots[id.0 as usize];
        let cold = !slot.warm;
        if cold {
            slot.warm = true;
            self.tables.journal.push(Undo::WarmSlot(id));
        }
        cold
    }

    /// Stores to a slot; undone with the frame.
    pub(crate) fn store(&mut self, id: SlotId, content: Content) {
        let slot = &mut self.tables.slots[id.0 as usize];
        self.tables.journal.push(Undo::Slot(id, slot.now));
        slot.now = content;
    }

    /// Transient storage (EIP-1153).
    pub(crate) fn transient(&self, account: AccountId, key: StorageKey) -> Word {
        self.tables.transient.get(&(account, key)).copied().unwrap_or_default()
    }

    /// Stores to transient storage; undone with the frame.
    pub(crate) fn store_transient(&mut self, account: AccountId, key: StorageKey, word: Word) {
        let old = self.tables.transient.insert((account, key), word).unwrap_or_default();
        self.tables.journal.push(Undo::Transient(account, key, old));
    }

    /// Notes that the account was named from a guess.
    pub(crate) fn note_guess(&mut self, id: AccountId) {
        self.tables.accounts[id.0 as usize].is_guess |= self.knowledge == Knowledge::Code;
    }

    /// Whether balances, nonces and storage are those of the state.
    pub(crate) fn knows_state(&self) -> bool {
        self.knowledge == Knowledge::State
    }

    /// What a balance depends on.
    pub(crate) fn balance_provenance(&self) -> Provenance {
        if self.knows_state() { Provenance::STATE } else { Provenance::UNKNOWN }
    }

    /// The address in the state for which `guess` stands, if it stands for one.
    pub(crate) fn resolve(&self, guess: Address) -> Result<Option<Address>, DB::Error> {
        self.pointers.find(guess).map(|pointer| pointer.read(self.db)).transpose()
    }

    /// The hash of an earlier block, if the state knows it.
    pub(crate) fn block_hash(&self, number: u64) -> Option<B256> {
        self.db.block_hash_ref(number).ok()
    }

    /// Undoes all that the transaction did; it can then begin anew.
    pub(crate) fn undo(&mut self) {
        self.revert(Checkpoint::default());
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint(self.tables.journal.len())
    }

    /// Undoes what happened since `checkpoint`, except what was looked at.
    pub(crate) fn revert(&mut self, checkpoint: Checkpoint) {
        while self.tables.journal.len() > checkpoint.0 {
            match self.tables.journal.pop().expect("the journal is longer than the checkpoint") {
                Undo::Account(id, values) => self.tables.accounts[id.0 as usize].now = values,
                Undo::Code(id, code) => self.tables.accounts[id.0 as usize].code = code,
                Undo::Slot(id, content) => self.tables.slots[id.0 as usize].now = content,
                Undo::WarmSlot(id) => self.tables.slots[id.0 as usize].warm = false,
                Undo::Transient(account, key, word) => {
                    self.tables.transient.insert((account, key), word);
                }
            }
        }
    }

    /// Accounts and slots that the overlay knows, of all transactions: for limits.
    pub(crate) fn known(&self) -> usize {
        self.tables.accounts.len() + self.tables.slots.len()
    }

    /// What the transaction makes the overlay hold, in entries: for limits.
    pub(crate) fn held(&self) -> usize {
        self.tables.touched_accounts.len()
            + self.tables.touched_slots.len()
            + self.tables.journal.len()
    }

    /// Sorts what the transaction has touched: accounts by address, slots by account and key.
    pub(crate) fn sort_touched(&mut self) {
        let Tables { accounts, slots, touched_accounts, touched_slots, .. } = &mut self.tables;
        touched_accounts.sort_unstable_by_key(|id| accounts[id.0 as usize].address);
        for (rank, id) in (0..).zip(&*touched_accounts) {
            accounts[id.0 as usize].rank = rank;
        }
        touched_slots.sort_unstable_by_key(|id| {
            let slot = &slots[id.0 as usize];
            (accounts[slot.account.0 as usize].rank, slot.key.value)
        });
    }

    /// The accounts that the transaction has touched.
    pub(crate) fn touched_accounts(&self) -> impl ExactSizeIterator<Item = &Account> {
        self.tables.touched_accounts.iter().map(|id| self.account(*id))
    }

    /// The slots that the transaction has touched.
    pub(crate) fn touched_slots(&self) -> &[SlotId] {
        &self.tables.touched_slots
    }
}
