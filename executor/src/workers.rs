//! Who runs a block, and what they know from earlier ones.

use forewave_analyzer::ExactPaths;
use rayon::ThreadPool;

use crate::{CancelToken, cancel::Deadline};

/// The threads that run a block, and the exact paths that they share if there are
/// any. A pool alone is one without paths.
///
/// The state is read on these threads and on the calling one. A read may use rayon; one
/// that hands work to this very pool from outside (`ThreadPool::install`) may find all
/// its threads waiting for the read, and must not.
#[derive(Clone, Copy, Debug)]
pub struct Workers<'a> {
    pub(crate) pool: &'a ThreadPool,
    pub(crate) paths: Option<&'a ExactPaths>,
    pub(crate) deadline: Deadline<'a>,
}

impl<'a> Workers<'a> {
    /// The threads of `pool`.
    pub const fn new(pool: &'a ThreadPool) -> Self {
        Self { pool, paths: None, deadline: Deadline::new(None) }
    }

    /// The same with exact paths: calls that one fits are not run, and others are
    /// learnt that are likely to come again. The outcome is the same.
    #[must_use]
    pub const fn with_paths(self, paths: &'a ExactPaths) -> Self {
        Self { paths: Some(paths), ..self }
    }

    /// The same, but once `token` is set the run ends before its next transaction.
    #[must_use]
    pub const fn until(self, token: &'a CancelToken) -> Self {
        Self { deadline: Deadline::new(Some(token)), ..self }
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
