//! The state before the block as fetchers read it: their reads are ahead, and end
//! when there is nobody left to read for.
//!
//! A fetcher that *gathers* neither reads nor waits. A slot that is not known is
//! noted, and guessed; an account that is not known is noted, and ends the run.
//! What was noted can then be asked for in few requests, and the run repeated.
//!
//! Instead of waiting for a read of another fetcher's, one reads what is known to
//! be needed later, as long as there is such.

use core::{
    cell::RefCell,
    hash::Hash,
    sync::atomic::{AtomicBool, Ordering},
};

use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::DBErrorMarker,
    primitives::{Address, B256, StorageKey, StorageValue, U256},
    state::AccountInfo,
};

use super::{
    cache::{Cache, Peek},
    state::Prefetched,
    steps::{Step, Steps},
    view::StateView,
};

/// What a slot that is not known yet is taken for: a balance or an allowance that
/// is enough, so that the run goes on.
const GUESS: StorageValue = U256::from_limbs([0, 0, 1, 0]);

/// Guesses after which a run ends: what is read because of them may be in vain.
const GUESSES_MAX: usize = 8;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Ahead<'p, 's, DB> {
    prefetched: &'p Prefetched<'s, DB>,
    steps: &'p Steps,
    stopped: &'p AtomicBool,
    /// `Some` while reads are gathered.
    missing: RefCell<Option<Missing>>,
}

/// A read that a run went without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    Account(Address),
    Slot((Address, StorageKey)),
}

/// What runs went without.
#[derive(Debug, Default)]
pub(super) struct Missing {
    accounts: Vec<Address>,
    slots: Vec<(Address, StorageKey)>,
    /// Of the run under way: the first read it went without, and how many in all,
    /// what others read included.
    first: Option<Lack>,
    in_run: usize,
}

impl Missing {
    /// Notes `lack` unless it is known, to be asked for if nobody reads it.
    fn note<V>(&mut self, lack: Lack, found: Peek<V>) -> Option<V> {
        match (found, lack) {
            (Peek::Known(value), _) => return Some(value),
            (Peek::UnderWay, _) => {}
            (Peek::Unread, Lack::Account(address)) => self.accounts.push(address),
            (Peek::Unread, Lack::Slot(slot)) => self.slots.push(slot),
        }
        self.first.get_or_insert(lack);
        self.in_run += 1;
        None
    }
}

/// A fetcher is to stop, or goes without a read, or met an error; whoever needs
/// the value meets it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing is read ahead any more")]
pub(super) struct Stopped;

impl DBErrorMarker for Stopped {}

impl<'p, 's, DB: DatabaseRef> Ahead<'p, 's, DB> {
    /// Reads that are made at once, until `stopped`.
    pub(super) const fn new(
        prefetched: &'p Prefetched<'s, DB>,
        steps: &'p Steps,
        stopped: &'p AtomicBool,
    ) -> Self {
        Self { prefetched, steps, stopped, missing: RefCell::new(None) }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Gathers reads from here on, those of a new run.
    pub(super) fn gather_run(&self) {
        let mut missing = self.missing.borrow_mut();
        let missing = missing.get_or_insert_default();
        (missing.first, missing.in_run) = (None, 0);
    }

    /// The first read that the run that gathered last went without.
    pub(super) fn first_lack(&self) -> Option<Lack> {
        self.missing.borrow().as_ref()?.first
    }

    /// Whether another fetcher is at this read.
    pub(super) fn is_under_way(&self, lack: Lack) -> bool {
        match lack {
            Lack::Account(address) => self.prefetched.accounts.peek(&address).is_under_way(),
            Lack::Slot(slot) => self.prefetched.slots.peek(&slot).is_under_way(),
        }
    }
}

impl<DB: StateView> Ahead<'_, '_, DB> {
    /// Reads what was gathered, and gathers no more. Gives how many reads were made.
    pub(super) fn fetch_gathered(&self) -> usize {
        let Missing { accounts, slots, .. } = self.missing.take().unwrap_or_default();
        self.prefetched.fetch_accounts(&accounts) + self.prefetched.fetch_slots(&slots)
    }

    /// Reads something that will be needed later. False if nothing is left of what
    /// is known.
    pub(super) fn read_known(&self) -> bool {
        match self.steps.next_known() {
            Some(Step::Accounts(addresses)) => drop(self.prefetched.fetch_accounts(addresses)),
            Some(Step::Slots(slots)) => drop(self.prefetched.fetch_slots(slots)),
            _ => return false,
        }
        true
    }

    fn read<K: Copy + Eq + Hash, V: Clone>(
        &self,
        cache: &Cache<K, V>,
        key: K,
        read: impl FnOnce(&DB) -> Result<V, DB::Error>,
    ) -> Result<V, Stopped> {
        while !self.is_stopped() && cache.peek(&key).is_under_way() && self.read_known() {}
        if self.is_stopped() {
            return Err(Stopped);
        }
        self.prefetched.read_ahead(cache, key, read).ok_or(Stopped)
    }
}

impl<DB: StateView> DatabaseRef for Ahead<'_, '_, DB> {
    type Error = Stopped;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Stopped> {
        if let Some(missing) = &mut *self.missing.borrow_mut() {
            let found = self.prefetched.accounts.peek(&address);
            return missing.note(Lack::Account(address), found).ok_or(Stopped);
        }
        self.read(&self.prefetched.accounts, address, |state| state.basic_ref(address))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Stopped> {
        self.read(&self.prefetched.code, code_hash, |state| state.code_by_hash_ref(code_hash))
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, Stopped> {
        let slot = (address, key);
        if let Some(missing) = &mut *self.missing.borrow_mut() {
            let found = self.prefetched.slots.peek(&slot);
            let value = missing.note(Lack::Slot(slot), found);
            return match value {
                None if missing.in_run > GUESSES_MAX => Err(Stopped),
                value => Ok(value.unwrap_or(GUESS)),
            };
        }
        self.read(&self.prefetched.slots, slot, |state| state.storage_ref(address, key))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Stopped> {
        self.read(&self.prefetched.block_hashes, number, |state| state.block_hash_ref(number))
    }
}
