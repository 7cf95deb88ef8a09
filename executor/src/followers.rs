//! Those that wait for one task, as long as it is not finished.
//!
//! # Protocol
//!
//! Whoever publishes a task adds it to the lists of those that it waits for;
//! whoever finishes a task closes its list and lets go those that are in it.
//! Both happen under the list's lock, so a task is either added before the list
//! is closed, and then let go, or is told that there is nothing to wait for.

use std::sync::PoisonError;

use crate::sync::Mutex;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Followers {
    /// `None` once it is closed.
    list: Mutex<Option<Vec<u32>>>,
}

impl Followers {
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        Self { list: Mutex::new(Some(Vec::new())) }
    }

    /// Adds a task, after `count` has counted what it waits for; unless the list
    /// is closed.
    pub(crate) fn add(&self, task: u32, count: impl FnOnce()) {
        if let Some(list) = &mut *self.list.lock().unwrap_or_else(PoisonError::into_inner) {
            count();
            list.push(task);
        }
    }

    /// Closes the list and gives those that are in it.
    pub(crate) fn close(&self) -> Vec<u32> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.take().unwrap_or_default()
    }
}
