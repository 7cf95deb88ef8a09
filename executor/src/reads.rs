//! What a run of a transaction has read, and whether that has changed.

use forewave_analyzer::Location;
use revm::{
    primitives::{Address, B256, KECCAK_EMPTY, StorageKey, StorageValue, U256},
    state::AccountInfo,
};

use crate::looks::Looked;

/// What a load said of an account. Holds no code: a clone of it would count
/// a reference that all threads share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) exists: bool,
    pub(crate) balance: U256,
    pub(crate) nonce: u64,
    pub(crate) code_hash: B256,
}

impl Seen {
    pub(crate) fn new(info: Option<&AccountInfo>) -> Self {
        let exists = info.is_some();
        let (balance, nonce, code_hash) = info.map_or((U256::ZERO, 0, KECCAK_EMPTY), |info| {
            (info.balance, info.nonce, info.code_hash)
        });
        Self { exists, balance, nonce, code_hash }
    }

    pub(crate) fn has_no_code_and_nonce(&self) -> bool {
        (self.code_hash == KECCAK_EMPTY || self.code_hash.is_zero()) && self.nonce == 0
    }

    /// Whether what is added to the balance may overflow.
    pub(crate) fn is_hoard(&self) -> bool {
        is_hoard(self.balance)
    }

    /// Empty in the sense of EIP-161.
    pub(crate) fn is_empty(&self) -> bool {
        self.has_no_code_and_nonce() && self.balance.is_zero()
    }
}

/// One account load, with what the outcome may depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccountRead {
    pub(crate) address: Address,
    pub(crate) looked: Looked,
    pub(crate) seen: Seen,
    /// The least balance that suffices, where only that was looked at.
    pub(crate) cover: U256,
}

impl AccountRead {
    /// Whether the same was looked at and must be as it is here.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let (one, two) = (&self.seen, &other.seen);
        let is_same = |part| match part {
            Looked::BALANCE => one.balance == two.balance,
            Looked::COVER => self.cover == other.cover,
            Looked::NONCE => one.nonce == two.nonce,
            Looked::CODE => one.code_hash == two.code_hash,
            Looked::EMPTINESS => one.is_empty() == two.is_empty(),
            _ => one.exists == two.exists && one.is_empty() == two.is_empty(),
        };
        self.looked == other.looked && self.looked.iter().all(is_same)
    }
}

/// One storage load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StorageRead {
    pub(crate) address: Address,
    pub(crate) key: StorageKey,
    pub(crate) value: StorageValue,
}

/// Everything one transaction loaded, each account and slot once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    pub(crate) accounts: Vec<AccountRead>,
    pub(crate) storage: Vec<StorageRead>,
    /// Who delegates to whom among the accounts that were loaded (EIP-7702).
    pub(crate) delegations: Vec<(Address, Address)>,
}

impl Reads {
    /// Takes what is there, in no more room than it needs. The room stays for the next.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            accounts: self.accounts.drain(..).collect(),
            storage: self.storage.drain(..).collect(),
            delegations: core::mem::take(&mut self.delegations),
        }
    }
}

/// Bits of a balance from which on sums may overflow: of smaller ones no transaction can
/// gather enough.
const HOARD_BITS: usize = 192;

/// Whether a balance is so large that what is added to it may overflow.
pub(crate) fn is_hoard(balance: U256) -> bool {
    balance.bit_len() > HOARD_BITS
}

/// The first field that was looked at and differs now.
pub(crate) fn stale_field(read: &AccountRead, now: &Seen) -> Option<Location> {
    let then = &read.seen;
    let differs = |part| match part {
        Looked::BALANCE => then.balance != now.balance,
        Looked::COVER => now.balance < read.cover,
        Looked::NONCE => then.nonce != now.nonce,
        Looked::CODE => then.code_hash != now.code_hash,
        Looked::EMPTINESS => then.is_empty() != now.is_empty(),
        _ => then.exists != now.exists || then.is_empty() != now.is_empty(),
    };
    if !read.looked.contains(Looked::BALANCE) && now.is_hoard() {
        return Some(Location::Balance(read.address));
    }
    let stale = read.looked.iter().find(|part| differs(*part))?;
    Some(match stale {
        Looked::NONCE => Location::Nonce(read.address),
        Looked::CODE => Location::Code(read.address),
        _ => Location::Balance(read.address),
    })
}
