//! The synchronising core of a parallel run: who runs what when, and whose turn
//! it is to settle. Knows tasks by number and nothing of the EVM.
//!
//! # Protocol
//!
//! *Claim.* A task is ready when everything it waits for is finished. Ready
//! tasks are taken by rank from a [`ReadySet`]; one that lies more than the
//! window ahead of the first unsettled task is left there.
//!
//! *Finish.* Whoever has run a task marks it finished and counts down those
//! that wait for it; the one who counts a task down to zero makes it ready.
//!
//! *Publish.* Where what waits for what becomes known while tasks run, one thread
//! publishes them in the order of their numbers. Until then each waits for that
//! alone. It is added to the [`Followers`] of each unfinished task that it needs,
//! which counts it up, and then counted down for having been published: so it is
//! ready once, whether the others finish before, meanwhile or afterwards. A thread
//! that finds nothing ready may take the first task that is not published, if it
//! is close to what is settled. Both publisher and taker first move the boundary
//! of what is published beyond the task, so only one of them gets it.
//!
//! *Settle.* Tasks are settled in the order of their numbers, by one thread at
//! a time: whoever gets the turn settles all finished tasks from the first
//! unsettled one on. A thread that does not get the turn leaves at once. Nothing
//! is forgotten: a task is marked finished before the turn is tried for, and
//! whoever gives the turn back looks again for a finished task; of the two, one
//! sees the other (both pass a sequentially consistent fence in between).
//!
//! *Sleep.* A thread that finds nothing to take spins for a while, then counts
//! itself as a sleeper, looks once more, and sleeps. Whoever takes a task, or has
//! published one, looks for a sleeper and for a task that is left, and wakes one up
//! for the other.
//! Settling comes before the next claim, so a window that has moved is noticed
//! as well. Again a fence lies between the two steps on each side.
//!
//! *End.* The run is over when all tasks are settled, or when it is stopped: by
//! an error, or by a thread that panics.
//!
//! The first unsettled task is never blocked: what it waits for has a lower
//! number, so it is settled; it fits every window; if it is not published, it can
//! be taken, or somebody is at it. (In waves it may wait for a higher one, so there
//! the window stays wide open.) So while nobody runs a task
//! and nobody holds the turn, there is always one to take or to settle.

use core::ops::Range;
use std::sync::PoisonError;

use crate::{
    followers::Followers,
    pace::{Pace, WINDOW_MAX},
    ready::ReadySet,
    sync::{
        Condvar, Mutex, SPINS_BEFORE_SLEEP,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence},
        panicking,
    },
    tasks::{Tasks, Unlock},
    window,
};

/// See the module's documentation. `T` is what the thread whose turn it is works on.
#[derive(Debug)]
pub(crate) struct Flow<'a, T> {
    tasks: &'a Tasks,
    waiting: Vec<AtomicU32>,
    /// Per wave, the tasks of it that are not finished.
    unfinished: Vec<AtomicUsize>,
    /// Per task, who waits for it, where that is published.
    followers: Vec<Followers>,
    /// The first task that is neither published nor taken before it was.
    unpublished: AtomicUsize,
    ready: ReadySet,
    finished: Vec<AtomicBool>,
    settled: AtomicUsize,
    turn: Mutex<Turn<T>>,
    /// How far ahead of the first unsettled task others are taken.
    window: AtomicUsize,
    stopped: AtomicBool,
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    alarm: Condvar,
}

/// What belongs to the thread whose turn it is.
#[derive(Debug)]
struct Turn<T> {
    work: T,
    /// `None` where the window stays as it is.
    pace: Option<Pace>,
}

/// What a thread that asks for work gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Tasks, in the order of their ranks.
    Some,
    /// None for now.
    Idle,
    /// None any more.
    Over,
}

/// What the thread whose turn it is made of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Took it as it was.
    AsItWas,
    /// Had to do it again.
    Again,
    /// Found that the run cannot go on.
    Stop,
}

impl<'a, T> Flow<'a, T> {
    pub(crate) fn new(tasks: &'a Tasks, work: T) -> Self {
        let len = tasks.len();
        let window = tasks.window().min(WINDOW_MAX);
        let pace = tasks.window_after_miss().map(|after_miss| Pace::new(window, after_miss));
        let published = if tasks.are_published() { 0 } else { len };
        let flow = Self {
            tasks,
            waiting: tasks.waiting().map(AtomicU32::new).collect(),
            unfinished: tasks.wave_sizes().map(AtomicUsize::new).collect(),
            followers: core::iter::repeat_with(Followers::new).take(len - published).collect(),
            unpublished: AtomicUsize::new(published),
            ready: ReadySet::new(len),
            finished: core::iter::repeat_with(AtomicBool::default).take(len).collect(),
            settled: AtomicUsize::new(0),
            turn: Mutex::new(Turn { work, pace }),
            window: AtomicUsize::new(window),
            stopped: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            bed: Mutex::new(()),
            alarm: Condvar::new(),
        };
        for task in tasks.first() {
            flow.ready.insert(tasks.rank(task));
        }
        flow
    }

    /// The number of settled tasks.
    pub(crate) fn settled(&self) -> usize {
        self.settled.load(Ordering::Acquire)
    }

    /// What the turns have left, once all threads have returned.
    pub(crate) fn into_turn(self) -> T {
        self.turn.into_inner().expect("a thread that panicked has panicked here too").work
    }

    /// Takes tasks into `claimed`, as many as make one portion of work.
    pub(crate) fn claim(&self, claimed: &mut Vec<usize>) -> Claim {
        if self.is_over() {
            return Claim::Over;
        }
        if !window::take(self.tasks, &self.ready, self.window(), claimed) {
            match self.first_unpublished().filter(|&task| self.reserve(task)) {
                Some(task) => claimed.push(task),
                None => return Claim::Idle,
            }
        }
        self.wake_for_work();
        Claim::Some
    }

    /// Marks a claimed task as finished.
    pub(crate) fn finish(&self, task: usize) {
        self.finished[task].store(true, Ordering::Release);
        match self.tasks.after(task) {
            Unlock::Successors(successors) => {
                for &next in successors {
                    self.count_down(next as usize);
                }
            }
            Unlock::Followers => {
                for next in self.followers[task].close() {
                    self.count_down(next as usize);
                }
            }
            Unlock::Next(next) => self.ready.insert(self.tasks.rank(next as usize)),
            Unlock::Wave { own, next } => {
                if self.unfinished[own].fetch_sub(1, Ordering::AcqRel) == 1 {
                    for &task in next {
                        self.ready.insert(self.tasks.rank(task as usize));
                    }
                }
            }
        }
    }

    /// Whether nobody has taken a task that is to be published; then nobody will.
    /// Tasks are published in the order of their numbers.
    pub(crate) fn reserve(&self, task: usize) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.unpublished.compare_exchange(task, task + 1, success, failure).is_ok()
    }

    /// Publishes a reserved task with those that it needs, all of them lower.
    pub(crate) fn publish(&self, task: usize, needed: impl Iterator<Item = usize>) {
        let number = u32::try_from(task).expect("a block has fewer than 2^32 transactions");
        for earlier in needed.filter(|&earlier| !self.is_finished(earlier)) {
            self.followers[earlier].add(number, || {
                self.waiting[task].fetch_add(1, Ordering::Relaxed);
            });
        }
        self.count_down(task);
        self.wake_for_work();
    }

    /// Settles what can be settled, if no other thread is at it.
    pub(crate) fn settle(&self, mut settle: impl FnMut(&mut T, usize) -> Settled) {
        loop {
            fence(Ordering::SeqCst);
            let Ok(mut turn) = self.turn.try_lock() else { return };
            let mut next = self.settled();
            while self.is_finished(next) && !self.stopped.load(Ordering::Relaxed) {
                let settled = settle(&mut turn.work, next);
                if settled == Settled::Stop {
                    return self.stop();
                }
                if let Some(pace) = &mut turn.pace {
                    let window = pace.settled(settled == Settled::Again);
                    self.window.store(window, Ordering::Relaxed);
                }
                next += 1;
                self.settled.store(next, Ordering::Release);
            }
            drop(turn);
            fence(Ordering::SeqCst);
            if self.is_over() {
                return self.wake();
            }
            if !self.is_finished(next) {
                return;
            }
        }
    }

    /// Waits until there may be something to take.
    pub(crate) fn wait(&self) {
        for _ in 0..SPINS_BEFORE_SLEEP {
            if self.is_over() || self.has_work() {
                return;
            }
            core::hint::spin_loop();
        }
        let bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !self.is_over() && !self.has_work() {
            // What wakes it up for nothing costs no more than a look.
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
    pub(crate) const fn stop_on_panic(&self) -> StopOnPanic<'_, 'a, T> {
        StopOnPanic(self)
    }

    /// Whether all tasks are settled, or the run was stopped.
    pub(crate) fn is_over(&self) -> bool {
        self.settled() == self.tasks.len() || self.stopped.load(Ordering::Acquire)
    }

    fn is_finished(&self, task: usize) -> bool {
        self.finished.get(task).is_some_and(|finished| finished.load(Ordering::Acquire))
    }

    /// The unsettled tasks that may be taken.
    fn window(&self) -> Range<usize> {
        let settled = self.settled();
        settled..settled.saturating_add(self.window.load(Ordering::Relaxed))
    }

    fn has_work(&self) -> bool {
        window::has(self.tasks, &self.ready, self.window()) || self.first_unpublished().is_some()
    }

    /// The first task that is not published, if it may be taken.
    fn first_unpublished(&self) -> Option<usize> {
        let first = self.unpublished.load(Ordering::Acquire);
        let end = self.tasks.len().min(self.settled().saturating_add(self.tasks.lead()));
        (first < end).then_some(first)
    }

    /// One less to wait for; with none left the task is ready.
    fn count_down(&self, task: usize) {
        if self.waiting[task].fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ready.insert(self.tasks.rank(task));
        }
    }

    /// Wakes sleepers up if there is something for them.
    fn wake_for_work(&self) {
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) > 0 && self.has_work() {
            self.wake();
        }
    }

    /// Wakes all sleepers. The lock keeps them from falling asleep between
    /// their last look and the alarm.
    fn wake(&self) {
        let bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.alarm.notify_all();
        drop(bed);
    }
}

/// See [`Flow::stop_on_panic`].
#[derive(Debug)]
pub(crate) struct StopOnPanic<'f, 'a, T>(&'f Flow<'a, T>);

impl<T> Drop for StopOnPanic<'_, '_, T> {
    fn drop(&mut self) {
        if panicking() {
            self.0.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the tasks on threads. Settles every `miss`th as done in vain. Gives
    /// the order in which tasks were settled.
    fn run(tasks: &Tasks, edges: &[(u32, u32)], threads: usize, miss: usize) -> Vec<usize> {
        let flow = Flow::new(tasks, Vec::new());
        let runs: Vec<AtomicUsize> = (0..tasks.len()).map(|_| AtomicUsize::new(0)).collect();
        let settle = |order: &mut Vec<usize>, task: usize| {
            assert_eq!(runs[task].load(Ordering::Relaxed), 1, "what is settled has run");
            order.push(task);
            if task % miss == miss - 1 { Settled::Again } else { Settled::AsItWas }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let _guard = flow.stop_on_panic();
                    let mut claimed = Vec::new();
                    loop {
                        match flow.claim(&mut claimed) {
                            Claim::Over => return,
                            Claim::Idle => flow.wait(),
                            Claim::Some => {}
                        }
                        for task in claimed.drain(..) {
                            for &(earlier, later) in edges {
                                let needed = &runs[earlier as usize];
                                assert!(
                                    later as usize != task || needed.load(Ordering::Relaxed) == 1
                                );
                            }
                            runs[task].fetch_add(1, Ordering::Relaxed);
                            flow.finish(task);
                        }
                        flow.settle(settle);
                    }
                });
            }
        });
        flow.into_turn()
    }

    #[test]
    fn every_task_runs_once_after_what_it_waits_for_and_is_settled_in_order() {
        let chains: Vec<_> = (3..200).map(|task| (task - 3, task)).collect();
        let joined: Vec<_> =
            (0..100).flat_map(|task| [(task, 150), (150 - task / 2, 160)]).collect();
        let joined: Vec<_> = joined.into_iter().filter(|(a, b)| a < b).collect();
        for edges in [&[][..], &chains, &joined] {
            let mut edges = edges.to_vec();
            edges.sort_unstable();
            edges.dedup();
            for (threads, miss) in [(1, 1), (2, 3), (2, 1_000), (8, 1), (8, 7), (8, 1_000)] {
                let tasks = Tasks::with_edges(200, &edges, threads);
                let order = run(&tasks, &edges, threads, miss);
                assert_eq!(order, (0..200).collect::<Vec<_>>(), "{threads} threads, miss {miss}");
            }
        }
    }

    #[test]
    fn no_tasks_are_over_at_once() {
        let tasks = Tasks::with_edges(0, &[], 2);
        assert!(run(&tasks, &[], 2, 1).is_empty());
    }

    #[test]
    fn a_run_that_is_stopped_lets_everybody_go() {
        let tasks = Tasks::with_edges(10, &[(0, 9)], 2);
        let flow = Flow::new(&tasks, ());
        let mut claimed = Vec::new();
        std::thread::scope(|scope| {
            assert_eq!(flow.claim(&mut claimed), Claim::Some);
            scope.spawn(|| {
                let mut claimed = Vec::new();
                loop {
                    match flow.claim(&mut claimed) {
                        Claim::Over => return,
                        Claim::Idle => flow.wait(),
                        Claim::Some => claimed.clear(),
                    }
                }
            });
            for task in claimed.drain(..) {
                flow.finish(task);
            }
            flow.settle(|(), _| Settled::Stop);
            flow.stop();
        });
        assert!(flow.is_over());
    }
}
