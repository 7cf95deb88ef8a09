//! What a block is run with: threads, results that are known, a deadline.

use rayon::ThreadPool;

use crate::{CancelToken, ReuseCache, cancel::Deadline};

/// The threads that run a block, results that are known, and what may end the run. A pool
/// alone runs everything, to the end.
///
/// The state is read on these threads and on the calling one. A read may use rayon; one
/// that hands work to this very pool from outside (`ThreadPool::install`) may find all
/// its threads waiting for the read, and must not.
#[derive(Clone, Copy, Debug)]
pub struct Workers<'a> {
    pub(crate) pool: &'a ThreadPool,
    pub(crate) reuse: Option<&'a ReuseCache>,
    pub(crate) deadline: Deadline<'a>,
}

impl<'a> Workers<'a> {
    /// The threads of `pool`.
    pub const fn new(pool: &'a ThreadPool) -> Self {
        Self { pool, reuse: None, deadline: Deadline::new(None) }
    }

    /// The same with results of earlier runs, to which those of this one are added. The
    /// outcome is the same.
    #[must_use]
    pub const fn reusing(self, results: &'a ReuseCache) -> Self {
        Self { reuse: Some(results), ..self }
    }

    /// The same, but once `token` is set the run ends before its next transaction.
    #[must_use]
    pub const fn until(self, token: &'a CancelToken) -> Self {
        Self { deadline: Deadline::new(Some(token)), ..self }
    }

    /// The pool.
    pub const fn pool(self) -> &'a ThreadPool {
        self.pool
    }

    /// How many threads.
    pub fn threads(self) -> usize {
        self.pool.current_num_threads()
    }
}

impl<'a> From<&'a ThreadPool> for Workers<'a> {
    fn from(pool: &'a ThreadPool) -> Self {
        Self::new(pool)
    }
}
