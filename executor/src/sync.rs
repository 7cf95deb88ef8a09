//! What [`ready`](crate::ready) and the core of the run loop (`run/dispatch.rs`) stand on:
//! the primitives of the standard library.
//!
//! `tests/model/` compiles these files with a model checker's primitives in the
//! place of this file, and tries the orders in which threads can interleave and
//! what each may see of the others' memory. So what synchronises in them comes from here.

pub(crate) use std::{
    sync::{Condvar, Mutex, atomic},
    thread::panicking,
};

/// Looks of a thread that finds nothing to take, before it sleeps.
pub(crate) const SPINS_BEFORE_SLEEP: u32 = 256;
