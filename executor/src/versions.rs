//! Versions placed ahead: for each location that somebody is predicted to
//! write, one place per predicted writer, in block order.
//!
//! The places are laid out before the run, so that a transaction finds the
//! version it may see by index: no map is written and no lock is taken while
//! the block runs. A place is filled at most once, by its transaction; one that
//! stays empty means that the transaction did not write, or has not yet. What
//! was written without having been predicted has no place: its readers are
//! found stale when results are taken in block order (as in BOHM, Faleiro and
//! Abadi, VLDB 2015).

use std::sync::OnceLock;

use forewave_analyzer::{Location, TxIndex};
use forewave_scheduler::{AccessTable, LocationId};
use revm::{
    Database, DatabaseRef,
    bytecode::Bytecode,
    context::TxEnv,
    primitives::{Address, B256, StorageKey, StorageValue, U256},
    state::AccountInfo,
};

use crate::{
    flat_state::FlatState,
    transition::{AccountTransition, BalanceChange, Lifecycle, Transition},
};

/// Places that are looked through for a balance which is not predicted to matter.
const GLANCE_VERSIONS_MAX: usize = 16;

/// What one transaction made of one location.
#[derive(Clone, Debug)]
enum Version {
    Balance(BalanceChange),
    Nonce(u64),
    Code(Box<CodeVersion>),
    Storage(StorageValue),
}

/// The code of an account, and whether its storage began anew with it.
#[derive(Clone, Debug)]
struct CodeVersion {
    hash: B256,
    code: Option<Bytecode>,
    lifecycle: Lifecycle,
}

/// All places of a block.
#[derive(Debug)]
pub(crate) struct Versions<'a> {
    table: &'a AccessTable,
    /// Index of a location's first place.
    starts: Vec<usize>,
    places: Vec<OnceLock<Version>>,
    /// Whether any code is predicted to change in the block.
    code_changes: bool,
}

impl<'a> Versions<'a> {
    /// Lays out one empty place for each predicted write.
    pub(crate) fn new(table: &'a AccessTable) -> Self {
        let mut starts = Vec::with_capacity(table.len());
        let mut total = 0;
        let mut code_changes = false;
        for id in table.ids() {
            let writers = table.writers(id).len();
            code_changes |= writers > 0 && matches!(table.location(id), Location::Code(_));
            starts.push(total);
            total += writers;
        }
        let places = core::iter::repeat_with(OnceLock::new).take(total).collect();
        Self { table, starts, places, code_changes }
    }

    /// Fills the places of `tx` with what it did.
    pub(crate) fn publish(&self, tx: TxIndex, transition: &Transition) {
        for (address, change) in &transition.accounts {
            let publish = |location, version| self.fill(tx, &location, version);
            for (location, version) in account_versions(*address, change) {
                publish(location, self.settled(tx, &location, version));
            }
        }
    }

    /// The balance that is left, if `tx` waited for what it was before: that
    /// spares later readers the way back to it.
    fn settled(&self, tx: TxIndex, location: &Location, version: Version) -> Version {
        match version {
            Version::Balance(BalanceChange::Settle { left, .. })
                if self.is_reader(tx, location) =>
            {
                Version::Balance(BalanceChange::Set(left))
            }
            version => version,
        }
    }

    fn fill(&self, tx: TxIndex, location: &Location, version: Version) {
        let Some(id) = self.table.id_used_by(tx, location) else { return };
        let writers = self.table.writers(id);
        if let Ok(position) = writers.binary_search_by_key(&tx, |(writer, _)| *writer) {
            let place = &self.places[self.starts[id.index()] + position];
            place.set(version).expect("a transaction runs once between barriers");
        }
    }

    /// The versions of `location` that `tx` may see, with their writers, latest
    /// first, from the latest `places_max` places.
    fn before(
        &self,
        tx: TxIndex,
        location: Location,
        places_max: usize,
    ) -> impl Iterator<Item = (TxIndex, &Version)> {
        let id: Option<LocationId> = self.table.id_used_by(tx, &location);
        let (writers, places) = id.map_or((&[][..], &[][..]), |id| {
            let writers = self.table.writers(id);
            let below = writers.partition_point(|(writer, _)| *writer < tx);
            let start = self.starts[id.index()];
            (&writers[..below], &self.places[start..start + below])
        });
        let latest_first = writers.iter().zip(places).rev().take(places_max);
        latest_first.filter_map(|((writer, _), place)| Some((*writer, place.get()?)))
    }

    /// Whether `tx` is predicted to look at `location`.
    fn is_reader(&self, tx: TxIndex, location: &Location) -> bool {
        let id = self.table.id_used_by(tx, location);
        id.is_some_and(|id| self.table.readers(id).binary_search(&tx).is_ok())
    }

    /// What the latest `places_max` places below `tx` make of a balance.
    fn balance(&self, tx: TxIndex, address: Address, places_max: usize) -> BalanceChange {
        let mut credits = None;
        for (_, version) in self.before(tx, Location::Balance(address), places_max) {
            match version {
                Version::Balance(BalanceChange::Set(wei)) => {
                    return BalanceChange::Set(wei.wrapping_add(credits.unwrap_or_default()));
                }
                Version::Balance(
                    BalanceChange::Credit(wei) | BalanceChange::Settle { difference: wei, .. },
                ) => {
                    credits = Some(credits.unwrap_or(U256::ZERO).wrapping_add(*wei));
                }
                _ => {}
            }
        }
        credits.map_or(BalanceChange::Keep, BalanceChange::Credit)
    }

    fn nonce(&self, tx: TxIndex, address: Address) -> Option<u64> {
        let mut versions = self.before(tx, Location::Nonce(address), usize::MAX);
        versions.find_map(|(_, version)| match version {
            Version::Nonce(nonce) => Some(*nonce),
            _ => None,
        })
    }

    fn code(&self, tx: TxIndex, address: Address) -> Option<&CodeVersion> {
        if !self.code_changes {
            return None;
        }
        let mut versions = self.before(tx, Location::Code(address), usize::MAX);
        versions.find_map(|(_, version)| match version {
            Version::Code(code) => Some(&**code),
            _ => None,
        })
    }

    /// Who last let the storage of an account begin anew.
    fn cleared(&self, tx: TxIndex, address: Address) -> Option<TxIndex> {
        if !self.code_changes {
            return None;
        }
        let mut versions = self.before(tx, Location::Code(address), usize::MAX);
        versions.find_map(|(writer, version)| match version {
            Version::Code(code) => (code.lifecycle != Lifecycle::Kept).then_some(writer),
            _ => None,
        })
    }

    fn storage(&self, tx: TxIndex, address: Address, key: StorageKey) -> Option<StorageValue> {
        let mut versions = self.before(tx, Location::Storage(address, key), usize::MAX);
        let stored = versions.find_map(|(writer, version)| match version {
            Version::Storage(value) => Some((writer, *value)),
            _ => None,
        });
        match (stored, self.cleared(tx, address)) {
            (Some((writer, value)), cleared) if cleared.is_none_or(|at| at <= writer) => {
                Some(value)
            }
            (_, cleared) => cleared.map(|_| StorageValue::ZERO),
        }
    }
}

/// What an account's transition makes of its locations.
fn account_versions(
    address: Address,
    change: &AccountTransition,
) -> impl Iterator<Item = (Location, Version)> {
    let gone = AccountInfo::default();
    let destroyed = change.lifecycle == Lifecycle::Destroyed;
    let balance = match change.balance {
        _ if destroyed => Some(BalanceChange::Set(gone.balance)),
        BalanceChange::Keep => None,
        balance => Some(balance),
    };
    let nonce = if destroyed { Some(gone.nonce) } else { change.nonce };
    let code = if destroyed { Some((gone.code_hash, gone.code)) } else { change.code.clone() };
    let lifecycle = change.lifecycle;
    let code = code.map(|(hash, code)| Box::new(CodeVersion { hash, code, lifecycle }));
    let slots = change
        .storage
        .iter()
        .map(move |(key, value)| (Location::Storage(address, *key), Version::Storage(*value)));
    balance
        .map(|balance| (Location::Balance(address), Version::Balance(balance)))
        .into_iter()
        .chain(nonce.map(|nonce| (Location::Nonce(address), Version::Nonce(nonce))))
        .chain(code.map(|code| (Location::Code(address), Version::Code(code))))
        .chain(slots)
}

/// The state as one transaction sees it: versions of lower transactions over
/// the state at the start of the block.
#[derive(Debug)]
pub(crate) struct VersionedView<'a, DB> {
    pub(crate) versions: &'a Versions<'a>,
    pub(crate) base: &'a FlatState<'a, DB>,
    pub(crate) tx: TxIndex,
    /// Sender of `tx`, and the nonce that `tx` names.
    pub(crate) sender: (Address, u64),
}

impl<'a, DB> VersionedView<'a, DB> {
    /// The view of no transaction yet.
    pub(crate) fn new(versions: &'a Versions<'a>, base: &'a FlatState<'a, DB>) -> Self {
        Self { versions, base, tx: TxIndex::default(), sender: (Address::ZERO, 0) }
    }

    /// From now on the view of `tx`.
    pub(crate) const fn look_from(&mut self, tx: TxIndex, env: &TxEnv) {
        (self.tx, self.sender) = (tx, (env.caller, env.nonce));
    }

    /// The nonce of an account. A sender that is not predicted to wait for its
    /// earlier transactions has the nonce that this one names.
    fn nonce(&self, address: Address) -> Option<u64> {
        let (sender, named) = self.sender;
        if address == sender && !self.versions.is_reader(self.tx, &Location::Nonce(address)) {
            return Some(named);
        }
        self.versions.nonce(self.tx, address)
    }
}

impl<DB: DatabaseRef> Database for VersionedView<'_, DB> {
    type Error = DB::Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, DB::Error> {
        let base = self.base.basic_ref(address)?;
        // Summing up the credits of a hot account for everybody who merely credits
        // it as well would be quadratic, and nobody looks at that balance. Where it
        // makes the account other than empty it may matter (EIP-161).
        let balance = if self.versions.is_reader(self.tx, &Location::Balance(address)) {
            self.versions.balance(self.tx, address, usize::MAX)
        } else if base.as_ref().is_none_or(AccountInfo::is_empty) {
            self.versions.balance(self.tx, address, GLANCE_VERSIONS_MAX)
        } else {
            BalanceChange::Keep
        };
        let nonce = self.nonce(address);
        let code = self.versions.code(self.tx, address);
        if balance == BalanceChange::Keep && nonce.is_none() && code.is_none() {
            return Ok(base);
        }
        let mut info = base.unwrap_or_default();
        info.balance = balance.apply(info.balance);
        info.nonce = nonce.unwrap_or(info.nonce);
        if let Some(version) = code {
            info.code_hash = version.hash;
            info.code.clone_from(&version.code);
        }
        Ok((!info.is_empty()).then_some(info))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, DB::Error> {
        self.base.code_by_hash_ref(code_hash)
    }

    fn storage(&mut self, address: Address, key: StorageKey) -> Result<StorageValue, DB::Error> {
        match self.versions.storage(self.tx, address, key) {
            Some(value) => Ok(value),
            None => self.base.storage_ref(address, key),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, DB::Error> {
        self.base.block_hash_ref(number)
    }
}
