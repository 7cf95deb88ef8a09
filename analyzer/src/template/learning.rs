//! When a transaction is worth recording.
//!
//! Recording and compiling cost several times what interpreting does, and are
//! paid back by later transactions on the same path. Two things speak for those:
//! the transaction itself was analysed before, so it will be again (a builder
//! tries orders and states); or its entry is seen often. Recordings that add no
//! path make an entry wait, each time twice as long.

use core::fmt;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use revm::context::TxEnv;

/// Transactions into an entry that are interpreted before one is recorded.
const PATIENCE: u32 = 4;

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
}

impl Learning {
    /// Notes that a transaction is interpreted; whether to record it.
    pub(super) fn wants(&self, was_seen: bool) -> bool {
        let futile = self.futile.load(Ordering::Relaxed);
        let idle = self.idle.load(Ordering::Relaxed);
        let wait = match (was_seen, futile) {
            (true, 0) => 0,
            (true, _) => 1 << futile.min(DOUBLINGS_MAX),
            (false, _) => PATIENCE << (futile + idle).min(DOUBLINGS_MAX),
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

    /// Notes that a path was of use.
    pub(super) fn used(&self) {
        if self.idle.load(Ordering::Relaxed) > 0 {
            self.idle.store(0, Ordering::Relaxed);
        }
    }
}

/// Transactions that were interpreted before, as far as they are remembered: a
/// table of fingerprints, in which a newer one takes the place of an older.
#[derive(Default)]
pub(super) struct Sightings(Mutex<Vec<u32>>);

impl Sightings {
    /// Notes a transaction; whether it was noted before.
    pub(super) fn note(&self, tx: &TxEnv) -> bool {
        let hash = fingerprint(tx);
        // Zero stands for none.
        let fingerprint = (hash >> 32) as u32 | 1;
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_empty() {
            seen.resize(SIGHTINGS_MAX, 0);
        }
        let place = usize::try_from(hash % SIGHTINGS_MAX as u64).unwrap_or_default();
        let place = &mut seen[place];
        core::mem::replace(place, fingerprint) == fingerprint
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
        assert!(seen.wants(true));
        let wanted: Vec<bool> = (0..=PATIENCE).map(|_| popular.wants(false)).collect();
        assert_eq!(wanted.iter().filter(|wants| **wants).count(), 1);
        assert!(wanted[PATIENCE as usize]);
    }

    #[test]
    fn an_entry_whose_recordings_are_in_vain_waits_twice_as_long_each_time() {
        let entry = Learning::default();
        let mut waits = Vec::new();
        let mut waited = 0;
        while waits.len() < 8 {
            if entry.wants(true) {
                entry.recorded(false);
                waits.push(waited);
                waited = 0;
            } else {
                waited += 1;
            }
        }
        assert_eq!(waits, [0, 2, 4, 8, 16, 32, 64, 128]);
    }

    #[test]
    fn a_transaction_is_seen_again_by_sender_and_nonce() {
        let sightings = Sightings::default();
        let tx = |nonce| TxEnv { nonce, ..TxEnv::default() };
        assert!((0..1000).all(|nonce| !sightings.note(&tx(nonce))));
        assert!((0..1000).filter(|nonce| sightings.note(&tx(*nonce))).count() > 950);
    }
}
