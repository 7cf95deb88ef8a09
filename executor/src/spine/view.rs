//! The versions as one thread's EVM sees them, from the place of one transaction.

use revm::{
    Database, DatabaseRef,
    bytecode::Bytecode,
    context::TxEnv,
    primitives::{Address, B256, StorageKey, StorageValue},
    state::AccountInfo,
};

use super::versions::{Point, Versions};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct VersionedState<'v, 'r, DB> {
    versions: &'v Versions<'r, DB>,
    point: Point,
    /// Who sends the transaction, and the nonce that it names: what the sender's nonce
    /// will be at its turn, whichever transactions of the sender have not run yet.
    sender: Option<(Address, u64)>,
    beneficiary: Address,
    /// The beneficiary as this thread found it first. Every transaction loads it to add
    /// its fee; one that looks at it is found stale.
    cached: Option<Option<AccountInfo>>,
}

impl<'v, 'r, DB: DatabaseRef> VersionedState<'v, 'r, DB> {
    pub(super) const fn new(versions: &'v Versions<'r, DB>, beneficiary: Address) -> Self {
        Self { versions, point: 0, sender: None, beneficiary, cached: None }
    }

    /// Turns to the place of a transaction, some of those before which are not committed.
    pub(super) const fn turn_ahead_to(&mut self, point: Point, tx: &TxEnv) {
        self.point = point;
        self.sender = Some((tx.caller, tx.nonce));
    }

    /// Turns to the place of a transaction, those before which are committed.
    pub(super) const fn turn_to(&mut self, point: Point) {
        self.point = point;
        self.sender = None;
    }
}

impl<DB: DatabaseRef> Database for VersionedState<'_, '_, DB> {
    type Error = DB::Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        if address == self.beneficiary && self.sender.is_some_and(|(sender, _)| sender != address) {
            if self.cached.is_none() {
                self.cached = Some(self.versions.account(address, self.point)?);
            }
            return Ok(self.cached.clone().flatten());
        }
        let mut info = self.versions.account(address, self.point)?;
        if let (Some((sender, named)), Some(info)) = (self.sender, &mut info)
            && sender == address
            && info.nonce != named
        {
            info.nonce = named;
        }
        Ok(info)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.versions.code_by_hash(code_hash)
    }

    fn storage(&mut self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        self.versions.slot(address, key, self.point)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, DB::Error> {
        self.versions.block_hash(number)
    }
}
