//! A bar on standard error for work that takes longer than one likes to wait without a sign.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is done sooner shows no bar.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bar that appears once the work has taken a while, if standard error is a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    begun: Instant,
}

impl Progress {
    /// Nothing done of `len`.
    pub(super) fn new(len: usize) -> Self {
        let style = ProgressStyle::with_template("{bar:40} {pos} of {len}  {eta:>4} left  {msg}");
        let bar = ProgressBar::with_draw_target(Some(len as u64), ProgressDrawTarget::hidden());
        let bar = bar.with_style(style.expect("the template is well formed"));
        Self { bar, begun: Instant::now() }
    }

    /// One more is done.
    pub(super) fn inc(&self, what: &str) {
        self.bar.inc(1);
        self.bar.set_message(what.to_owned());
        if self.bar.is_hidden() && self.begun.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Prints without disturbing the bar.
    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
