//! Threads that are at work on a block, so that none begins with another on top.
//!
//! A state may use rayon in a read. A thread of a pool that waits for rayon runs other
//! jobs of the pool meanwhile, among them the part of a thread in a run. Begun in the
//! middle of a read it would wait for others, and these for the transaction that waits
//! for the read: for ever. So a part of a run that finds its thread at work returns at
//! once, and the others do it.

use core::cell::Cell;

thread_local! {
    static IS_AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// The thread is at work until this is dropped.
#[derive(Debug)]
pub struct AtWork {
    was_at_work: bool,
}

impl AtWork {
    /// The calling thread of a run, which works whatever it is called from.
    pub fn of_caller() -> Self {
        Self { was_at_work: IS_AT_WORK.replace(true) }
    }

    /// A thread of the pool, if it is not at work.
    pub fn of_pool() -> Option<Self> {
        (!IS_AT_WORK.get()).then(Self::of_caller)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        IS_AT_WORK.set(self.was_at_work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_at_work_begins_nothing_else_until_it_is_done() {
        let caller = AtWork::of_caller();
        assert!(AtWork::of_pool().is_none());
        drop(AtWork::of_caller());
        assert!(AtWork::of_pool().is_none());
        drop(caller);
        assert!(AtWork::of_pool().is_some());
        assert!(AtWork::of_pool().is_some());
    }
}
