//! The versions as one thread's EVM sees them, from the place of one transaction.
//!
//! What no transaction has written is kept in maps of the thread's own once it was read:
//! a look there touches no memory that other threads write.

use hashbrown::HashTable;
use revm::{
    Database, DatabaseRef,
    bytecode::Bytecode,
    context::TxEnv,
    primitives::{Address, B256, StorageKey, StorageValue},
    state::AccountInfo,
};

use super::{
    slots::{ReadFilter, Start},
    versions::{Point, Versions},
};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct VersionedState<'v, 'r, DB> {
    versions: &'v Versions<'r, DB>,
    point: Point,
    /// Who sends the transaction, and the nonce that it names: what the sender's nonce
    /// will be at its turn, whichever transactions of the sender have not run yet.
    sender: Option<(Address, u64)>,
    names_nonce: bool,
    reads: ReadFilter,
    beneficiary: Address,
    /// The beneficiary as this thread found it first. Every transaction loads it to add
    /// its fee; one that looks at it is validated as a whole.
    cached: Option<Cached>,
    /// What was before the block, and is not written.
    accounts: HashTable<(Address, Option<AccountInfo>)>,
    slots: HashTable<(Address, StorageKey, StorageValue)>,
}

/// An account that was read, if there is one.
#[derive(Debug)]
struct Cached(Option<AccountInfo>);

impl<'v, 'r, DB: DatabaseRef> VersionedState<'v, 'r, DB> {
    pub(super) fn new(versions: &'v Versions<'r, DB>, beneficiary: Address) -> Self {
        Self {
            versions,
            point: 0,
            sender: None,
            names_nonce: false,
            reads: ReadFilter::default(),
            beneficiary,
            cached: None,
            accounts: HashTable::new(),
            slots: HashTable::new(),
        }
    }

    /// Turns to the place of a transaction; some of those before it may not be committed,
    /// and then it is told who sends it.
    pub(super) fn turn_to(&mut self, point: Point, ahead: Option<&TxEnv>) {
        self.point = point;
        self.sender = ahead.map(|tx| (tx.caller, tx.nonce));
        self.names_nonce = false;
        self.reads = ReadFilter::default();
    }

    /// When a run begins, the first `committed` transactions before it being committed.
    pub(super) fn start(&self, committed: usize) -> Start {
        Start { committed, time: self.versions.now() }
    }

    /// What was read since the last turn.
    pub(super) const fn reads(&self) -> ReadFilter {
        self.reads
    }

    /// Whether the sender was given another nonce than it had.
    pub(super) const fn names_nonce(&self) -> bool {
        self.names_nonce
    }

    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        let versions = self.versions;
        if address == self.beneficiary {
            if self.sender.is_none_or(|(sender, _)| sender == address) {
                return versions.account(address, self.point);
            }
            if self.cached.is_none() {
                self.cached = Some(Cached(versions.account(address, self.point)?));
            }
            return Ok(self.cached.as_ref().and_then(|cached| cached.0.clone()));
        }
        let hash = versions.hash_account(address);
        self.reads.add(hash);
        if versions.may_be_written(hash) {
            return versions.account(address, self.point);
        }
        if let Some((_, info)) = self.accounts.find(hash, |(known, _)| *known == address) {
            return Ok(info.clone());
        }
        let info = versions.account(address, self.point)?;
        // The filter is set before there are versions, so that these are not kept.
        if !versions.may_be_written(hash) {
            let hasher = |(address, _): &(Address, _)| versions.hash_account(*address);
            self.accounts.insert_unique(hash, (address, info.clone()), hasher);
        }
        Ok(info)
    }
}

impl<DB: DatabaseRef> Database for VersionedState<'_, '_, DB> {
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
        self.versions.code_by_hash(code_hash)
    }

    fn storage(&mut self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        let versions = self.versions;
        let (account, hash) = versions.hash_slot(address, key);
        self.reads.add(hash);
        let is_changed = || versions.may_be_written(hash) || versions.may_be_wiped(account);
        if is_changed() {
            return versions.slot(address, key, self.point);
        }
        let is_it = |slot: &(Address, StorageKey, _)| slot.1 == key && slot.0 == address;
        if let Some((_, _, value)) = self.slots.find(hash, is_it) {
            return Ok(*value);
        }
        let value = versions.slot(address, key, self.point)?;
        if !is_changed() {
            let hasher = |slot: &(Address, StorageKey, _)| versions.hash_slot(slot.0, slot.1).1;
            self.slots.insert_unique(hash, (address, key, value), hasher);
        }
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, DB::Error> {
        self.versions.block_hash(number)
    }
}
