//! Who runs a block, and until when.

use rayon::ThreadPool;

use crate::{CancelToken, cancel::Deadline};

/// The threads that run a block, and what may end the run. A pool alone runs it to its end.
///
/// The state is read on these threads and on the calling one. A read may use rayon; one
/// that hands work to this very pool from outside (`ThreadPool::install`) may find all
/// its threads waiting for the read, and must not.
#[derive(Clone, Copy, Debug)]
pub struct Workers<'a> {
    pub(crate) pool: &'a ThreadPool,
    pub(crate) deadline: Deadline<'a>,
}

impl<'a> Workers<'a> {
    /// The threads of `pool`.
    pub const fn new(pool: &'a ThreadPool) -> Self {
        Self { pool, deadline: Deadline::new(None) }
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
