//! The versions over the state below, as one thread's EVM sees them from the place of one
//! transaction.

use revm::{
    Database, DatabaseRef,
    bytecode::Bytecode,
    context::TxEnv,
    primitives::{Address, B256, StorageKey, StorageValue},
    state::AccountInfo,
};

use super::{
    below::Below,
    slots::{ReadFilter, Start},
    versions::{Found, Point, Versions},
};
use crate::{reads::Seen, transition::Transition};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct VersionedState<'v, 'r, DB> {
    versions: &'v Versions<'r>,
    below: Below<'r, DB>,
    point: Point,
    /// Who sends the transaction, and the nonce that it names: what the sender's nonce
    /// will be at its turn, whichever transactions of the sender have not run yet.
    sender: Option<(Address, u64)>,
    names_nonce: bool,
    reads: ReadFilter,
    /// Who is credited with fees that are published late.
    late_fees: Option<Address>,
    /// That account as this thread found it first. Every transaction loads it to add
    /// its fee; one that looks at it is validated as a whole.
    cached: Option<Found>,
}

impl<'v, 'r, DB: DatabaseRef> VersionedState<'v, 'r, DB> {
    /// For a thread that runs about `share` transactions.
    pub(super) fn new(versions: &'v Versions<'r>, state: &'r DB, share: usize) -> Self {
        Self {
            versions,
            below: Below::new(state, versions.hashes().clone(), share),
            point: 0,
            sender: None,
            names_nonce: false,
            reads: ReadFilter::default(),
            late_fees: versions.late_fees(),
            cached: None,
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

    /// Publishes what a transaction does, or what comes before them all.
    pub(super) fn publish(
        &mut self,
        point: Point,
        transition: &'r Transition,
    ) -> Result<(), DB::Error> {
        self.versions.publish(point, transition, &mut self.below)
    }

    /// Says that the transactions up to a point are committed.
    pub(super) fn commit(
        &mut self,
        point: Point,
        transition: &'r Transition,
    ) -> Result<(), DB::Error> {
        self.versions.commit(point, transition, &mut self.below)
    }

    /// An account as the transactions up to a point have left it.
    pub(super) fn account_at(
        &mut self,
        address: Address,
        point: Point,
    ) -> Result<Option<AccountInfo>, DB::Error> {
        self.account(self.versions.hashes().account(address), address, point)
    }

    /// The same without the code.
    pub(super) fn seen_at(&mut self, address: Address, point: Point) -> Result<Seen, DB::Error> {
        let hash = self.versions.hashes().account(address);
        if self.versions.by_list().is_some() {
            return Ok(Seen::new(self.account(hash, address, point)?.as_ref()));
        }
        if let Some(seen) = self.versions.seen(hash, address, point) {
            return Ok(seen);
        }
        Ok(Seen::new(self.below.account(hash, address)?.as_ref()))
    }

    /// A slot as the transactions up to a point have left it.
    pub(super) fn slot_at(
        &mut self,
        address: Address,
        key: StorageKey,
        point: Point,
    ) -> Result<StorageValue, DB::Error> {
        self.slot(self.versions.hashes().slot(address, key), (address, key), point)
    }

    /// A slot as it was before the block.
    pub(super) fn original_slot(
        &mut self,
        address: Address,
        key: StorageKey,
    ) -> Result<StorageValue, DB::Error> {
        let (_, hash) = self.versions.hashes().slot(address, key);
        match self.versions.original_slot(hash, address, key) {
            Some(original) => Ok(original),
            None => self.below.slot(hash, address, key),
        }
    }

    /// An account as it was before the block.
    pub(super) fn original(&mut self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        self.below.account(self.versions.hashes().account(address), address)
    }

    pub(super) const fn versions(&self) -> &'v Versions<'r> {
        self.versions
    }

    fn account(
        &mut self,
        hash: u64,
        address: Address,
        point: Point,
    ) -> Result<Option<AccountInfo>, DB::Error> {
        if let Some(by_list) = self.versions.by_list() {
            let before = self.below.account(hash, address)?;
            return Ok(by_list.account(hash, address, point, before));
        }
        match self.versions.account(hash, address, point) {
            Some(Found(info)) => Ok(info),
            None => self.below.account(hash, address),
        }
    }

    fn slot(
        &mut self,
        hashes: (u64, u64),
        (address, key): (Address, StorageKey),
        point: Point,
    ) -> Result<StorageValue, DB::Error> {
        match self.versions.slot(hashes, address, key, point) {
            Some(value) => Ok(value),
            None => self.below.slot(hashes.1, address, key),
        }
    }
}

impl<DB: DatabaseRef> Database for VersionedState<'_, '_, DB> {
    type Error = DB::Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        let hash = self.versions.hashes().account(address);
        let is_ahead_of = |sender: (Address, u64)| sender.0 != address;
        if self.late_fees == Some(address) && self.sender.is_some_and(is_ahead_of) {
            if self.cached.is_none() {
                self.cached = Some(Found(self.account(hash, address, self.point)?));
            }
            return Ok(self.cached.as_ref().and_then(|cached| cached.0.clone()));
        }
        self.reads.add(hash);
        let mut info = self.account(hash, address, self.point)?;
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
        self.below.code_by_hash(code_hash)
    }

    fn storage(&mut self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        let hashes = self.versions.hashes().slot(address, key);
        self.reads.add(hashes.1);
        self.slot(hashes, (address, key), self.point)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, DB::Error> {
        self.below.block_hash(number)
    }
}

/// A view that a [`FlatState`](crate::flat_state::FlatState) can stand on.
pub(super) struct At<'s, 'v, 'r, DB> {
    view: core::cell::RefCell<&'s mut VersionedState<'v, 'r, DB>>,
    point: Point,
}

impl<'s, 'v, 'r, DB: DatabaseRef> At<'s, 'v, 'r, DB> {
    /// The state after the transactions up to a point.
    pub(super) const fn new(view: &'s mut VersionedState<'v, 'r, DB>, point: Point) -> Self {
        Self { view: core::cell::RefCell::new(view), point }
    }
}

impl<DB: DatabaseRef> DatabaseRef for At<'_, '_, '_, DB> {
    type Error = DB::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        self.view.borrow_mut().account_at(address, self.point)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.view.borrow().below.code_by_hash(code_hash)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        self.view.borrow_mut().slot_at(address, key, self.point)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DB::Error> {
        self.view.borrow().below.block_hash(number)
    }
}
