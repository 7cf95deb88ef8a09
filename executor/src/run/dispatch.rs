//! The synchronising core of a run: who runs what, and who commits. Knows tasks by
//! number and nothing of the EVM.
//!
//! # Protocol
//!
//! *Take.* A task is ready when everything it waits for is finished. Ready tasks are
//! taken by rank from a [`ReadySet`], each by one thread.
//!
//! *Begin.* Nothing is taken until the run is opened, once. Threads that come earlier wait
//! for that.
//!
//! *Finish.* A thread that has run a task marks it finished, then counts down the tasks
//! that wait for it. The thread that counts one down to zero makes it ready.
//!
//! *Commit.* Tasks are committed in the order of their numbers by one thread at a time:
//! the one that holds the lock commits all finished tasks from the first uncommitted one
//! on. A thread that does not get the lock goes on with other work. No task is forgotten:
//! it is marked finished before the lock is tried, and the holder looks again for a
//! finished task after it has let go. One of the two sees the other, because each passes
//! a sequentially consistent fence in between.
//!
//! *Sleep.* A thread that finds no ready task looks again for a while, then counts itself
//! as a sleeper, looks once more, and sleeps. A thread that takes a task wakes one
//! sleeper if more tasks are ready. Again each passes a fence in between: a thread that
//! has made tasks ready tries to commit before it takes again.
//!
//! *End.* The run is over when all tasks are committed, or when it is stopped: by an error,
//! by a thread that panics, or by a committer that finds running ahead of no use.
//!
//! What a task waits for has a lower number. So the first uncommitted task is ready,
//! taken or finished, and the run ends.

use std::sync::PoisonError;

use super::order::TaskOrder;
use crate::{
    ready::{ReadySet, bits},
    sync::{
        Condvar, Mutex, SPINS_BEFORE_SLEEP,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence},
        panicking,
    },
};

/// Looks of a thread that comes before the run is opened, which is a matter of
/// microseconds, before it sleeps.
const SPINS_BEFORE_OPEN: u32 = 16 * SPINS_BEFORE_SLEEP;

/// See the module's documentation. `C` is what the committing thread works on.
#[derive(Debug)]
pub(crate) struct Dispatch<'o, C> {
    order: &'o TaskOrder,
    waiting: Vec<AtomicU32>,
    ready: ReadySet,
    finished: Vec<AtomicBool>,
    committed: AtomicUsize,
    committer: Mutex<C>,
    is_open: AtomicBool,
    stopped: AtomicBool,
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    alarm: Condvar,
}

/// What a thread that asks for work gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// Tasks, in the order of their ranks.
    Some,
    /// None for now.
    Idle,
    /// None any more.
    Over,
}

/// What becomes of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The task is committed, and the run goes on.
    GoOn,
    /// The task is committed, and the run ends.
    StopAfter,
    /// The task is not committed, and the run ends.
    Stop,
}

impl<'o, C> Dispatch<'o, C> {
    /// Nothing is taken yet.
    pub(crate) fn new(order: &'o TaskOrder, committer: C) -> Self {
        let ready = ReadySet::new(order.len());
        for (task, _) in order.waiting().iter().enumerate().filter(|(_, waiting)| **waiting == 0) {
            ready.insert(order.rank(task));
        }
        Self {
            order,
            waiting: order.waiting().iter().copied().map(AtomicU32::new).collect(),
            ready,
            finished: order.waiting().iter().map(|_| AtomicBool::new(false)).collect(),
            committed: AtomicUsize::new(0),
            committer: Mutex::new(committer),
            is_open: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            bed: Mutex::new(()),
            alarm: Condvar::new(),
        }
    }

    /// The number of committed tasks.
    pub(crate) fn committed(&self) -> usize {
        self.committed.load(Ordering::Acquire)
    }

    /// What the committers have left, once all threads have returned.
    pub(crate) fn into_committer(self) -> C {
        self.committer.into_inner().expect("a thread that panicked has panicked here too")
    }

    /// Lets threads take tasks.
    pub(crate) fn open(&self) {
        self.is_open.store(true, Ordering::Release);
        self.wake();
    }

    /// Takes ready tasks, as many as make one portion of work.
    pub(crate) fn take(&self, taken: &mut Vec<usize>) -> Take {
        if self.is_over() {
            return Take::Over;
        }
        if !self.is_open.load(Ordering::Acquire) {
            return Take::Idle;
        }
        let mut portion = self.order.portion();
        let found = self.ready.take(&mut portion);
        let Some((first, found)) = found else { return Take::Idle };
        taken.extend(bits(found).map(|bit| self.order.at(first + bit)));
        self.wake_for_work();
        Take::Some
    }

    /// Marks a taken task as finished.
    pub(crate) fn finish(&self, task: usize) {
        self.finished[task].store(true, Ordering::Release);
        for &later in self.order.followers(task) {
            let later = later as usize;
            if self.waiting[later].fetch_sub(1, Ordering::AcqRel) == 1 {
                self.ready.insert(self.order.rank(later));
            }
        }
    }

    /// Commits what can be committed, if no other thread is at it. `commit` gets the
    /// number of a task that is finished.
    pub(crate) fn commit(&self, mut commit: impl FnMut(&mut C, usize) -> Next) {
        loop {
            fence(Ordering::SeqCst);
            let Ok(mut committer) = self.committer.try_lock() else { return };
            while !self.is_over() && self.has_next() {
                let next = commit(&mut committer, self.committed());
                if next != Next::Stop {
                    self.committed.fetch_add(1, Ordering::Release);
                }
                if next != Next::GoOn {
                    return self.stop();
                }
            }
            drop(committer);
            fence(Ordering::SeqCst);
            if self.is_over() {
                return self.wake();
            }
            if !self.has_next() {
                return;
            }
        }
    }

    /// Whether the first uncommitted task is finished. Other threads may have committed all
    /// tasks meanwhile.
    fn has_next(&self) -> bool {
        self.finished.get(self.committed()).is_some_and(|task| task.load(Ordering::Acquire))
    }

    /// Waits until there may be something to take.
    pub(crate) fn wait(&self) {
        let is_open = self.is_open.load(Ordering::Relaxed);
        let spins = if is_open { SPINS_BEFORE_SLEEP } else { SPINS_BEFORE_OPEN };
        for _ in 0..spins {
            if self.is_over() || self.has_work() {
                return;
            }
            core::hint::spin_loop();
        }
        let bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !self.is_over() && !self.has_work() {
            // A thread that is woken for nothing looks again.
            drop(self.alarm.wait(bed));
        }
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Ends the run before its time.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake();
    }

    /// A guard that ends the run if the thread that holds it panics.
    pub(crate) const fn stop_on_panic(&self) -> StopOnPanic<'_, 'o, C> {
        StopOnPanic(self)
    }

    /// Whether all tasks are committed, or the run was stopped.
    pub(crate) fn is_over(&self) -> bool {
        self.committed() == self.order.len() || self.stopped.load(Ordering::Acquire)
    }

    fn has_work(&self) -> bool {
        self.is_open.load(Ordering::Acquire) && !self.ready.is_empty()
    }

    /// Wakes a sleeper if there is something for it; it wakes the next one. A thread that
    /// has made tasks ready has passed the fence of [`commit`](Self::commit) since.
    fn wake_for_work(&self) {
        if self.sleepers.load(Ordering::Relaxed) > 0 && self.has_work() {
            let bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
            self.alarm.notify_one();
            drop(bed);
        }
    }

    /// Wakes all sleepers. The lock keeps them from falling asleep between their last
    /// look and the alarm.
    fn wake(&self) {
        let bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.alarm.notify_all();
        drop(bed);
    }
}

/// See [`Dispatch::stop_on_panic`].
#[derive(Debug)]
pub(crate) struct StopOnPanic<'d, 'o, C>(&'d Dispatch<'o, C>);

impl<C> Drop for StopOnPanic<'_, '_, C> {
    fn drop(&mut self) {
        if panicking() {
            self.0.stop();
        }
    }
}
