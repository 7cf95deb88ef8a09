//! What the threads of a run leave for each other: the runs of its tasks, and in
//! which buckets they changed something. And the same without the rest of a run:
//! one thread adds, others look meanwhile.

use core::iter;
use std::sync::Arc;

use loom::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    buckets::{Buckets, Link, link_in},
    check::check_all_orders,
    runs::TxRuns,
    sync::takes,
};

/// So a location shares its bucket with every other one after it.
const BUCKETS: usize = 2;

/// Locations that are looked at.
const LOCATIONS: usize = 3;

/// The rules that whoever settles keeps to.
const LINK_FIRST: &str = "the rule that all changes are linked before one is shown";
const PUBLISH_FIRST: &str = "the rule that a run is published before its changes are shown";
const SHOW_FIRST: &str = "the rule that changes are shown before their task counts as settled";

/// The locations that each task changes.
pub(crate) type Changes = &'static [&'static [usize]];

/// A run of a task.
#[derive(Debug)]
pub(crate) struct Run {
    counts: bool,
    locations: &'static [usize],
    links: Vec<Link>,
}

impl Run {
    fn new(locations: &'static [usize], counts: bool) -> Self {
        let links = iter::repeat_with(Link::default).take(locations.len()).collect();
        Self { counts, locations, links }
    }

    fn links(&self) -> impl Iterator<Item = (usize, &Link)> {
        self.locations.iter().map(|location| location % BUCKETS).zip(&self.links)
    }

    fn link(&self, location: usize) -> Option<&Link> {
        let at = self.locations.iter().position(|changed| *changed == location)?;
        Some(&self.links[at])
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Log {
    changes: Changes,
    runs: Vec<TxRuns<Run>>,
    buckets: Buckets,
}

impl Log {
    pub(crate) fn new(len: usize, changes: Changes) -> Self {
        let runs = iter::repeat_with(TxRuns::default).take(len).collect();
        Self { changes, runs, buckets: Buckets::new(BUCKETS) }
    }

    /// Publishes the first run of a task.
    pub(crate) fn publish(&self, task: usize, counts: bool) {
        let run = Some(Run::new(self.changes_of(task), counts));
        self.runs[task].first.set(run).expect("a task runs once");
    }

    /// Whether a task was run, as far as this thread knows.
    pub(crate) fn has_run(&self, task: usize) -> bool {
        self.runs[task].first.get().is_some()
    }

    /// Takes the next task: runs it again if its run does not count, and adds what
    /// it changes. Says whether its run counted.
    pub(crate) fn take(&self, task: usize) -> bool {
        let first = self.runs[task].first.get().and_then(Option::as_ref);
        let first = first.expect("what is settled has run");
        if first.counts {
            self.add(task, first);
            return true;
        }
        let again = Run::new(self.changes_of(task), true);
        if takes(PUBLISH_FIRST) {
            self.publish_again(task, again);
            self.add(task, self.runs[task].settled());
        } else {
            self.add(task, &again);
            self.publish_again(task, again);
        }
        false
    }

    /// What was settled, as a thread sees it that has been told how much that is.
    pub(crate) fn check(&self, since: usize, until: usize) {
        for task in since..until {
            assert!(self.runs[task].settled().counts, "what is settled is final");
        }
        if !self.changes.is_empty() {
            for location in 0..LOCATIONS {
                self.check_location(location, since, until);
            }
        }
    }

    /// Looks as the history does, and compares with the tasks one by one.
    fn check_location(&self, location: usize, since: usize, until: usize) {
        let bucket = location % BUCKETS;
        let mut found = Vec::new();
        self.buckets.walk(bucket, narrow(since), |task| {
            let run = self.runs[task as usize].settled();
            assert!(run.counts, "what is in a bucket is final");
            let link = run.link(location);
            if link.is_some() && (task as usize) < until {
                found.push(task as usize);
            }
            Some(link.unwrap_or_else(|| link_in(bucket, run.links())))
        });
        let changed = |task: &usize| self.changes_of(*task).contains(&location);
        let expected: Vec<_> = (since..until).rev().filter(changed).collect();
        assert_eq!(found, expected, "what changed {location} from {since} to {until}");
    }

    fn publish_again(&self, task: usize, run: Run) {
        self.runs[task].again.set(run).expect("a task is settled once");
    }

    fn add(&self, task: usize, run: &Run) {
        if takes(LINK_FIRST) {
            self.buckets.add(narrow(task), || run.links());
        } else {
            self.add_one_by_one(narrow(task), run);
        }
    }

    /// What only a look from another thread tells from the right way.
    fn add_one_by_one(&self, task: u32, run: &Run) {
        for (bucket, link) in run.links() {
            let last = self.buckets.last(bucket);
            let is_shown = last == task + 1;
            link.set(if is_shown { link_in(bucket, run.links()).get() } else { last });
            self.buckets.show(task, bucket);
        }
    }

    fn changes_of(&self, task: usize) -> &'static [usize] {
        self.changes.get(task).copied().unwrap_or_default()
    }
}

fn narrow(task: usize) -> u32 {
    u32::try_from(task).expect("there are few tasks")
}

/// One thread that adds, and others that look.
#[derive(Debug)]
pub(crate) struct LogCase {
    pub(crate) name: &'static str,
    /// Threads that look.
    pub(crate) readers: usize,
    /// How often each of them does.
    pub(crate) looks: usize,
    pub(crate) preemptions: usize,
    pub(crate) changes: Changes,
    /// Tasks whose first runs do not count.
    pub(crate) in_vain: &'static [usize],
}

impl LogCase {
    /// Runs the case in every order; gives the number of them.
    pub(crate) fn check(&'static self) -> usize {
        check_all_orders(self.preemptions, move || {
            let log = Log::new(self.changes.len(), self.changes);
            let shared = Arc::new((log, AtomicUsize::new(0)));
            let readers: Vec<_> = (0..self.readers)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || self.look(&shared.0, &shared.1))
                })
                .collect();
            self.settle(&shared.0, &shared.1);
            for reader in readers {
                reader.join().unwrap();
            }
        })
    }

    /// What the threads do whose turn it is, one after the other.
    fn settle(&self, log: &Log, settled: &AtomicUsize) {
        for task in 0..self.changes.len() {
            log.publish(task, !self.in_vain.contains(&task));
            if takes(SHOW_FIRST) {
                log.take(task);
                settled.store(task + 1, Ordering::Release);
            } else {
                settled.store(task + 1, Ordering::Release);
                log.take(task);
            }
        }
    }

    /// What a thread does that brings what it holds up to date, again and again.
    fn look(&self, log: &Log, settled: &AtomicUsize) {
        let mut since = 0;
        for _ in 0..self.looks {
            let until = settled.load(Ordering::Acquire);
            log.check(since, until);
            since = until;
        }
    }
}
