//! What stands in the place of `src/sync.rs`: the model checker's primitives.
//!
//! One fence can be left out, by its line: what passes without it does not
//! test it.

use core::cell::Cell;
use std::sync::OnceLock;

pub(crate) use loom::sync::{Condvar, Mutex};

/// A thread that waits sleeps at once: a look more makes no other order, only more of them.
pub(crate) const SPINS_BEFORE_SLEEP: u32 = 0;

/// The line of the fence that is left out.
pub(crate) static LEFT_OUT: OnceLock<u32> = OnceLock::new();

loom::thread_local! {
    static PANICKING: Cell<bool> = Cell::new(false);
}

/// Makes the modelled thread one that panics. A real panic would end the model.
pub(crate) fn panic_from_here() {
    PANICKING.with(|panicking| panicking.set(true));
}

/// Whether the modelled thread panics.
pub(crate) fn panicking() -> bool {
    PANICKING.with(Cell::get)
}

/// Atomics, and fences of which the places are known.
pub(crate) mod atomic {
    use core::panic::Location;
    use std::{collections::BTreeSet, sync::Mutex};

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

    /// The lines of all fences that were passed.
    pub(crate) static FENCES: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

    loom::lazy_static! {
        /// Loom lets others go first before an access of an atomic, never before a
        /// fence alone. So each fence comes with an access, which orders nothing.
        static ref BEFORE_FENCES: AtomicUsize = AtomicUsize::new(0);
    }

    #[track_caller]
    pub(crate) fn fence(order: Ordering) {
        let line = Location::caller().line();
        FENCES.lock().unwrap().insert(line);
        BEFORE_FENCES.fetch_add(0, Ordering::Relaxed);
        if super::LEFT_OUT.get() != Some(&line) {
            loom::sync::atomic::fence(order);
        }
    }
}
