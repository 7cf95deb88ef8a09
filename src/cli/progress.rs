//! A bar on standard error for work that takes longer than one likes to wait without a sign.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is done sooner shows no bar.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often the bar is drawn though nothing is done.
const TICK: Duration = Duration::from_millis(250);

/// A bar that appears once the work has taken a while, if standard error is a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    /// Its end ends the thread that draws.
    _drawn: Sender<()>,
}

impl Progress {
    /// Nothing done of `len`; with a count, where there is one, of what a node has answered
    /// meanwhile.
    pub(super) fn new(len: usize, answered: Option<Arc<AtomicUsize>>) -> Self {
        let style = ProgressStyle::with_template("{bar:40} {pos} of {len}  {elapsed}  {msg}");
        let bar = ProgressBar::with_draw_target(Some(len as u64), ProgressDrawTarget::hidden());
        let bar = bar.with_style(style.expect("the template is well formed"));
        let (sender, ended) = channel();
        let drawn = bar.clone();
        thread::spawn(move || {
            let mut pause = PATIENCE;
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                if drawn.is_hidden() && pause == PATIENCE {
                    drawn.set_draw_target(ProgressDrawTarget::stderr());
                }
                if let Some(answered) = &answered {
                    drawn.set_message(format!("{} answers", answered.load(Ordering::Relaxed)));
                }
                drawn.tick();
                pause = TICK;
            }
        });
        Self { bar, _drawn: sender }
    }

    /// One more is done.
    pub(super) fn inc(&self) {
        self.bar.inc(1);
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
