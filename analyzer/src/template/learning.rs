//! When a transaction is worth recording.
//!
//! Recording and compiling cost several times what interpreting does, and are
//! paid back by later transactions on the same path. Two things speak for those:
//! the transaction itself was analysed before, so it will be again (a builder
//! tries orders and states); or its entry is seen often. A transaction whose
//! recording added no path is not recorded again as long as it is remembered, and
//! such recordings make its entry wait for others, each time twice as long.

use core::fmt;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use revm::context::TxEnv;

/// Transactions into an entry that are interpreted before one is recorded.
const PATIENCE: u32 = 4;

/// The same for exact paths, whose transactions are run besides.
const EXACT_PATIENCE: u32 = 16;

/// Transactions in a row that no path fitted, after which every so many is tried.
const MISSES_MAX: u32 = 16;
const TRIED_EVERY: u32 = 8;

/// A wait is doubled this many times at most.
const DOUBLINGS_MAX: u32 = 16;

/// Fingerprints of transactions that are remembered.
const SIGHTINGS_MAX: usize = 1 << 16;

/// How often the transactions of an entry were interpreted, and recorded in vain.
#[derive(Debug, Default)]
pub(super) struct Learning {
    /// Interpreted since the last recording.
    interpreted: AtomicU32,
    /// Recordings that were worth their cost, and have not been used since.
    idle: AtomicU32,
    /// Recordings in a row that added no path.
    futile: AtomicU32,
    /// Transactions in a row that no path fitted.
    missed: AtomicU32,
}

/// What is learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lesson {
    /// Templates, for predictions.
    #[default]
    Template,
    /// Exact paths, for execution.
    Exact,
}

impl Lesson {
    const fn patience(self) -> u32 {
        match self {
            Self::Template => PATIENCE,
            Self::Exact => EXACT_PATIENCE,
        }
    }
}

impl Learning {
    /// Notes that a transaction is interpreted; whether to record it.
    pub(super) fn wants(&self, lesson: Lesson, sighting: Sighting) -> bool {
        let futile = self.futile.load(Ordering::Relaxed);
        let idle = self.idle.load(Ordering::Relaxed);
        let wait = match sighting {
            Sighting::First => lesson.patience() << (futile + idle).min(DOUBLINGS_MAX),
            Sighting::Again => 0,
            Sighting::Futile => return false,
        };
        let wants = self.interpreted.fetch_add(1, Ordering::Relaxed) >= wait;
        if wants {
            self.interpreted.store(0, Ordering::Relaxed);
        }
        wants
    }

    /// Notes what came of a recording.
    pub(super) fn recorded(&self, added: bool) {
        if added {
            self.futile.store(0, Ordering::Relaxed);
            self.idle.fetch_add(1, Ordering::Relaxed);
        } else {
            self.futile.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether to try if a path fits. One that does not is found out half-way at best,
    /// so where it is always in vain it is tried now and then.
    pub(super) fn is_worth_trying(&self) -> bool {
        let missed = self.missed.load(Ordering::Relaxed);
        if missed < MISSES_MAX {
            return true;
        }
        self.missed.store(missed.wrapping_add(1).max(MISSES_MAX), Ordering::Relaxed);
        missed.is_multiple_of(TRIED_EVERY)
    }

    /// Notes that no path fitted.
    pub(super) fn missed(&self) {
        let missed = self.missed.load(Ordering::Relaxed);
        if missed < MISSES_MAX {
            self.missed.store(missed + 1, Ordering::Relaxed);
        }
    }

    /// Notes that a path was of use.
    pub(super) fn used(&self) {
        if self.missed.load(Ordering::Relaxed) > 0 {
            self.missed.store(0, Ordering::Relaxed);
        }
        if self.idle.load(Ordering::Relaxed) > 0 {
            self.idle.store(0, Ordering::Relaxed);
        }
    }
}

/// Transactions that were interpreted before, as far as they are remembered: a
/// table of fingerprints, in which a newer one takes the place of an older.
#[derive(Default)]
pub(super) struct Sightings(Mutex<Vec<u32>>);

/// What is remembered of a transaction that is interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// Nothing.
    First,
    /// It was interpreted before.
    Again,
    /// It was recorded before, in vain.
    Futile,
}

impl Sightings {
    /// Set in a fingerprint of a transaction that was recorded in vain.
    const FUTILE: u32 = 2;

    /// Notes a transaction, and says what was noted before.
    pub(super) fn note(&self, tx: &TxEnv) -> Sighting {
        self.place(tx, |place, fingerprint| {
            if *place == fingerprint | Self::FUTILE {
                Sighting::Futile
            } else if core::mem::replace(place, fingerprint) == fingerprint {
                Sighting::Again
            } else {
                Sighting::First
            }
        })
    }

    /// Notes that a transaction was recorded in vain.
    pub(super) fn note_futile(&self, tx: &TxEnv) {
        self.place(tx, |place, fingerprint| *place = fingerprint | Self::FUTILE);
    }

    fn place<T>(&self, tx: &TxEnv, look: impl FnOnce(&mut u32, u32) -> T) -> T {
        let hash = fingerprint(tx);
        // Zero stands for none.
        let fingerprint = ((hash >> 32) as u32 | 1) & !Self::FUTILE;
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_empty() {
            seen.resize(SIGHTINGS_MAX, 0);
        }
        let place = usize::try_from(hash % SIGHTINGS_MAX as u64).unwrap_or_default();
        look(&mut seen[place], fingerprint)
    }
}

impl fmt::Debug for Sightings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sightings").finish_non_exhaustive()
    }
}

/// A number that hardly another transaction has: sender and nonce name one. The
/// same on every run, since what is learnt follows from what was analysed.
fn fingerprint(tx: &TxEnv) -> u64 {
    /// Odd, and without a pattern: the golden ratio.
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(29) ^ word).wrapping_mul(SPREAD);
    let sender = tx
        .caller
        .chunks(8)
        .map(|chunk| chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    let hash = sender.chain([tx.nonce, tx.data.len() as u64]).fold(0, mix);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_was_seen_is_recorded_and_others_once_their_entry_is_seen_often() {
        let (seen, popular) = (Learning::default(), Learning::default());
        assert!(seen.wants(Lesson::Template, Sighting::Again));
        let wanted: Vec<bool> =
            (0..=PATIENCE).map(|_| popular.wants(Lesson::Template, Sighting::First)).collect();
        assert_eq!(wanted.iter().filter(|wants| **wants).count(), 1);
        assert!(wanted[PATIENCE as usize]);
    }

    #[test]
    fn paths_that_never_fit_are_tried_now_and_then() {
        let entry = Learning::default();
        let mut tried = 0;
        for _ in 0..MISSES_MAX + 10 * TRIED_EVERY {
            if entry.is_worth_trying() {
                tried += 1;
                entry.missed();
            }
        }
        assert_eq!(tried, MISSES_MAX + 10);
        entry.used();
        assert!(entry.is_worth_trying());
    }

    #[test]
    fn an_entry_whose_recordings_are_in_vain_waits_twice_as_long_each_time() {
        let entry = Learning::default();
        let mut waits = Vec::new();
        let mut waited = 0;
        while waits.len() < 8 {
            if entry.wants(Lesson::Template, Sighting::First) {
                entry.recorded(false);
                waits.push(waited);
                waited = 0;
            } else {
                waited += 1;
            }
        }
        assert_eq!(waits, [4, 8, 16, 32, 64, 128, 256, 512]);
    }

    #[test]
    fn a_transaction_that_was_recorded_in_vain_is_not_recorded_again_and_others_are() {
        let (sightings, entry) = (Sightings::default(), Learning::default());
        let [vain, other] = [1, 2].map(|nonce| TxEnv { nonce, ..TxEnv::default() });
        let wants = |tx: &TxEnv| entry.wants(Lesson::Template, sightings.note(tx));
        assert!(!wants(&vain) && !wants(&other));
        assert!(wants(&vain));
        entry.recorded(false);
        sightings.note_futile(&vain);
        assert!((0..100).all(|_| !wants(&vain)));
        assert!(wants(&other));
    }

    #[test]
    fn a_transaction_is_seen_again_by_sender_and_nonce() {
        let sightings = Sightings::default();
        let tx = |nonce| TxEnv { nonce, ..TxEnv::default() };
        let is_first = |nonce: &u64| sightings.note(&tx(*nonce)) == Sighting::First;
        assert!((0..1000).all(|nonce| is_first(&nonce)));
        assert!((0..1000).filter(is_first).count() < 50);
    }
}
