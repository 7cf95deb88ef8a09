//! A state in an embedded database on disk (redb), larger than its cache and
//! read cold.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use forewave::{MemoryState, OneByOne};
use redb::{Builder, Database, ReadOnlyTable, ReadableDatabase, TableDefinition};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::DBErrorMarker,
    primitives::{Address, B256, Bytes, KECCAK_EMPTY, StorageKey, StorageValue, U256},
    state::AccountInfo,
};
use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;

type Key = [u8; 52];
type Account = [u8; 72];

/// Balance, nonce and code hash by address.
const ACCOUNTS: TableDefinition<'_, [u8; 20], Account> = TableDefinition::new("accounts");

/// Value by address and key.
const SLOTS: TableDefinition<'_, Key, [u8; 32]> = TableDefinition::new("slots");

/// Code by hash.
const CODE: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("code");

/// Slots that one transaction of the database writes.
const WRITE_BATCH: u64 = 500_000;

/// Strangers' slots for each stranger.
const SLOTS_PER_ACCOUNT: u64 = 4;

/// A database file.
pub(crate) struct Disk {
    directory: TempDir,
}

impl Disk {
    /// What the database may cache.
    pub(crate) const CACHE_BYTES: usize = 8 << 20;

    /// A database that holds `state`, and so many slots of strangers, spread
    /// evenly between its own.
    pub(crate) fn new(state: &MemoryState, strangers: u64) -> Result<Self, redb::Error> {
        let disk = Self { directory: tempfile::tempdir()? };
        let database = Database::create(disk.path())?;
        let step = U256::MAX / U256::from(strangers.max(1));
        for from in (0..strangers).step_by(usize::try_from(WRITE_BATCH).expect("it fits")) {
            let writing = database.begin_write()?;
            let (mut accounts, mut slots) =
                (writing.open_table(ACCOUNTS)?, writing.open_table(SLOTS)?);
            for position in from..strangers.min(from + WRITE_BATCH) {
                let word: [u8; 32] = (step * U256::from(position)).to_be_bytes();
                let mut key = [0; 52];
                key[..32].copy_from_slice(&word);
                slots.insert(key, word)?;
                if position % SLOTS_PER_ACCOUNT == 0 {
                    let address = key.first_chunk().expect("a key is longer");
                    accounts.insert(address, account(&AccountInfo::from_balance(step)))?;
                }
            }
            drop((accounts, slots));
            writing.commit()?;
        }
        let writing = database.begin_write()?;
        let (mut accounts, mut slots, mut code) =
            (writing.open_table(ACCOUNTS)?, writing.open_table(SLOTS)?, writing.open_table(CODE)?);
        for (address, info, storage) in state.accounts() {
            accounts.insert(address.into_array(), account(info))?;
            if let Some(bytecode) = info.code.as_ref().filter(|code| !code.is_empty()) {
                code.insert(info.code_hash.0, bytecode.original_byte_slice())?;
            }
            for (key, value) in storage {
                slots.insert(slot(address, key), value.to_be_bytes())?;
            }
        }
        drop((accounts, slots, code));
        writing.commit()?;
        drop(database);
        File::open(disk.path())?.sync_all()?;
        Ok(disk)
    }

    /// Opens the database with nothing of it in memory.
    pub(crate) fn open_cold(&self) -> Result<OneByOne<DiskState>, redb::Error> {
        let file = File::open(self.path())?;
        fadvise(&file, 0, None, Advice::DontNeed).map_err(std::io::Error::from)?;
        let database = Builder::new().set_cache_size(Self::CACHE_BYTES).open(self.path())?;
        let reading = database.begin_read()?;
        Ok(OneByOne(DiskState {
            accounts: reading.open_table(ACCOUNTS)?,
            slots: reading.open_table(SLOTS)?,
            code: reading.open_table(CODE)?,
            _database: database,
        }))
    }

    /// The size of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.path().metadata().map_or(0, |metadata| metadata.len())
    }

    fn path(&self) -> PathBuf {
        let directory: &Path = self.directory.path();
        directory.join("state.redb")
    }
}

/// A state read from a database.
pub(crate) struct DiskState {
    accounts: ReadOnlyTable<[u8; 20], Account>,
    slots: ReadOnlyTable<Key, [u8; 32]>,
    code: ReadOnlyTable<[u8; 32], &'static [u8]>,
    _database: Database,
}

/// The database could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DiskError(String);

impl DBErrorMarker for DiskError {}

impl From<redb::StorageError> for DiskError {
    fn from(error: redb::StorageError) -> Self {
        Self(error.to_string())
    }
}

impl DatabaseRef for DiskState {
    type Error = DiskError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DiskError> {
        let found = self.accounts.get(address.into_array())?;
        Ok(found.map(|bytes| info(&bytes.value())))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, DiskError> {
        if code_hash == KECCAK_EMPTY {
            return Ok(Bytecode::default());
        }
        let found = self.code.get(code_hash.0)?;
        let bytes = found.ok_or_else(|| DiskError(format!("no code with hash {code_hash}")))?;
        Ok(Bytecode::new_raw(Bytes::copy_from_slice(bytes.value())))
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, DiskError> {
        let found = self.slots.get(slot(address, key))?;
        Ok(found.map(|bytes| U256::from_be_bytes(bytes.value())).unwrap_or_default())
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DiskError> {
        Err(DiskError(format!("no hash of block {number}")))
    }
}

fn slot(address: Address, key: StorageKey) -> Key {
    let mut bytes = [0; 52];
    bytes[..20].copy_from_slice(address.as_slice());
    bytes[20..].copy_from_slice(&key.to_be_bytes::<32>());
    bytes
}

fn account(info: &AccountInfo) -> Account {
    let mut bytes = [0; 72];
    bytes[..32].copy_from_slice(&info.balance.to_be_bytes::<32>());
    bytes[32..40].copy_from_slice(&info.nonce.to_be_bytes());
    bytes[40..].copy_from_slice(info.code_hash.as_slice());
    bytes
}

fn info(bytes: &Account) -> AccountInfo {
    let (balance, rest) = bytes.split_at(32);
    let (nonce, code_hash) = rest.split_at(8);
    AccountInfo {
        balance: U256::from_be_slice(balance),
        nonce: u64::from_be_bytes(nonce.try_into().expect("eight bytes")),
        code_hash: B256::from_slice(code_hash),
        code: None,
        ..AccountInfo::default()
    }
}
