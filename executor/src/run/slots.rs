//! The runs of a block's transactions, as the threads publish them to each other.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use revm::context::result::ExecutionResult;

use crate::{reads::Reads, touched::Touched, transition::Transition};

/// What is known of a run until it is committed.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) result: ExecutionResult,
    pub(super) reads: Reads,
    /// What it touched, where the block's access list is made.
    pub(super) touched: Option<Touched>,
    /// Whether it did what the block's access list says, where it is run by one.
    pub(super) is_as_listed: bool,
    pub(super) basis: Basis,
    /// Whether the result was known.
    pub(super) is_reused: bool,
}

/// When a run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// So many transactions were committed.
    pub(super) committed: usize,
    /// What was published up to this time is seen.
    pub(super) time: u32,
}

/// A filter of what a run has read, by hash.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReadFilter([u64; FILTER_WORDS]);

/// Words of the filter of a run's reads: most runs read fewer than a hundred locations.
const FILTER_WORDS: usize = 16;

impl ReadFilter {
    pub(super) fn add(&mut self, hash: u64) {
        let (word, bit) = Self::place(hash);
        self.0[word] |= bit;
    }

    /// Whether a location of this hash may have been read.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let (word, bit) = Self::place(hash);
        self.0[word] & bit != 0
    }

    const fn place(hash: u64) -> (usize, u64) {
        let at = (hash >> 32) as usize;
        (at / 64 % FILTER_WORDS, 1 << (at % 64))
    }
}

/// The state that a transaction ran on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Basis {
    /// That after all earlier transactions: nothing it read can be stale.
    Committed,
    /// What the threads had published when it began, and some of what they did later.
    Published { start: Start, reads: ReadFilter },
    /// The same, and it saw what publications do not tell of: the nonce that it names,
    /// or the beneficiary's fees.
    Guessed,
}

/// The runs of one transaction. What they did stays until the end, because the versions
/// refer to it.
#[derive(Debug, Default)]
pub(super) struct TxSlot {
    /// `None` inside if it could not be executed on what it saw.
    pub(super) ahead: OnceLock<Option<Transition>>,
    /// What it did at its turn, if it did not run before or was stale.
    pub(super) at_turn: OnceLock<Transition>,
    /// The last run, until it is committed.
    pending: Mutex<Option<Box<Pending>>>,
}

impl TxSlot {
    /// What the runs did, the last one last.
    pub(super) fn transitions(&self) -> impl Iterator<Item = &Transition> + Clone {
        self.ahead.get().and_then(Option::as_ref).into_iter().chain(self.at_turn.get())
    }

    pub(super) fn put(&self, pending: Pending) {
        *self.pending() = Some(Box::new(pending));
    }

    /// The last run, if it is not committed yet.
    pub(super) fn take(&self) -> Option<Box<Pending>> {
        self.pending().take()
    }

    fn pending(&self) -> MutexGuard<'_, Option<Box<Pending>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
