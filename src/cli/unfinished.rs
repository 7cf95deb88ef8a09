//! Reports over several blocks: each block is added when it is done, and the report is
//! finished once, after the last block or when the process is interrupted.

use std::{
    io,
    process::exit,
    sync::{Arc, Mutex, PoisonError},
};

/// Exit status after Ctrl-C, as shells state it.
const INTERRUPTED: i32 = 130;

/// A report that blocks are added to.
pub(super) trait Report: Send + 'static {
    /// Prints what is left to print: totals, or all of it.
    fn finish(&mut self) -> io::Result<()>;
}

/// A report that is finished at an interruption (Ctrl-C, `SIGTERM`) too.
#[derive(Debug)]
pub(super) struct Unfinished<R>(Arc<Mutex<Option<R>>>);

impl<R: Report> Unfinished<R> {
    /// The report, still without blocks. Once in a process.
    pub(super) fn new(report: R) -> io::Result<Self> {
        let shared = Arc::new(Mutex::new(Some(report)));
        let interrupted = Arc::clone(&shared);
        ctrlc::set_handler(move || {
            let mut report = interrupted.lock().unwrap_or_else(PoisonError::into_inner);
            // Whether or not its reader is still there, the process ends.
            drop(report.take().map(|mut report| report.finish()));
            exit(INTERRUPTED);
        })
        .map_err(io::Error::other)?;
        Ok(Self(shared))
    }

    /// Adds to the report.
    pub(super) fn with<T>(&self, add: impl FnOnce(&mut R) -> T) -> T {
        let mut report = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        add(report.as_mut().expect("finish takes it, and the unfinished with it"))
    }

    /// Finishes the report.
    pub(super) fn finish(self) -> io::Result<R> {
        let mut report = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut report = report.take().expect("an interruption takes it, and ends the process");
        report.finish()?;
        Ok(report)
    }
}
