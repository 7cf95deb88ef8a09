//! Who runs a block, and what they know from earlier ones.

use forewave_analyzer::ExactPaths;
use rayon::ThreadPool;

/// The threads that run a block, and the exact paths that they share if there are
/// any. A pool alone is one without paths.
#[derive(Clone, Copy, Debug)]
pub struct Workers<'a> {
    pub(crate) pool: &'a ThreadPool,
    pub(crate) paths: Option<&'a ExactPaths>,
}

impl<'a> Workers<'a> {
    /// The threads of `pool`.
    pub const fn new(pool: &'a ThreadPool) -> Self {
        Self { pool, paths: None }
    }

    /// The same with exact paths: calls that one fits are not run, and others are
    /// learnt that are likely to come again. The outcome is the same.
    #[must_use]
    pub const fn with_paths(self, paths: &'a ExactPaths) -> Self {
        Self { paths: Some(paths), ..self }
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
