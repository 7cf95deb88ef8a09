//! What stands in the place of `src/sync.rs`: the model checker's primitives.
//!
//! One step of the protocol can be left out, by its name: what passes without it
//! does not test it.

use core::{cell::Cell, fmt, panic::Location};
use std::{
    collections::BTreeSet,
    sync::{Mutex as Lock, OnceLock as Once},
};

pub(crate) use loom::sync::{Condvar, Mutex};

/// A thread that waits sleeps at once: a look more makes no other order, only more of them.
pub(crate) const SPINS_BEFORE_SLEEP: u32 = 0;

/// A step of the protocol that can be left out: what, in which file and line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Step(&'static str, &'static str, u32);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, file, line) = self;
        write!(f, "{what} at {}:{line}", file.rsplit('/').next().unwrap_or(file))
    }
}

/// All steps that were taken.
pub(crate) static STEPS: Lock<BTreeSet<Step>> = Lock::new(BTreeSet::new());

/// The step that is left out, as it is displayed.
pub(crate) static LEFT_OUT: Once<String> = Once::new();

/// Whether a step is taken, and not left out.
fn takes_at(what: &'static str, location: &Location<'static>) -> bool {
    let step = Step(what, location.file(), location.line());
    if let Some(left_out) = LEFT_OUT.get() {
        return *left_out != step.to_string();
    }
    STEPS.lock().unwrap().insert(step);
    true
}

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

/// Atomics and fences, some of which can be left out.
pub(crate) mod atomic {
    use core::panic::Location;

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

    use super::takes_at;

    loom::lazy_static! {
        /// Loom lets others go first before an access of an atomic, never before a
        /// fence alone. So each fence comes with an access, which orders nothing.
        static ref BEFORE_FENCES: AtomicUsize = AtomicUsize::new(0);
    }

    #[track_caller]
    pub(crate) fn fence(order: Ordering) {
        BEFORE_FENCES.fetch_add(0, Ordering::Relaxed);
        if takes_at("the fence", Location::caller()) {
            loom::sync::atomic::fence(order);
        }
    }

    /// An atomic of which each access can be made one that orders nothing.
    #[derive(Debug, Default)]
    pub(crate) struct AtomicU32(loom::sync::atomic::AtomicU32);

    impl AtomicU32 {
        pub(crate) fn new(value: u32) -> Self {
            Self(loom::sync::atomic::AtomicU32::new(value))
        }

        #[track_caller]
        pub(crate) fn fetch_sub(&self, value: u32, order: Ordering) -> u32 {
            self.0.fetch_sub(value, weakened(order, Location::caller()))
        }
    }

    fn weakened(order: Ordering, location: &Location<'static>) -> Ordering {
        let orders = order != Ordering::Relaxed && takes_at("the order", location);
        if orders { order } else { Ordering::Relaxed }
    }
}
