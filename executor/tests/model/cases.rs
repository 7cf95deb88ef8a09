//! The runs that are tried: few tasks on few threads, and what happens besides.

use crate::log::{Changes, LogCase};

/// Gas of a transaction that is a portion of work of its own, and of one that is not.
const HEAVY: u64 = 1_000_000;
const LIGHT: u64 = 21_000;

/// How tasks wait for each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Dataflow,
    Waves,
    BlockOrder,
    /// What waits for what becomes known while the tasks run.
    Published,
}

/// What happens in a run apart from its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Nothing,
    /// These many of the first tasks were done in vain.
    Misses(usize),
    /// The run cannot go on when this task is to be settled.
    Stops(usize),
    /// The thread that runs this task panics.
    Panics(usize),
    /// This task and the next end only once both have begun, on two threads.
    Together(usize),
    /// The same, on threads that settle only when they find nothing to take.
    TogetherSettlingLate(usize),
}

/// A run of few tasks on few threads.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) threads: usize,
    /// How often a thread may be interrupted where it could go on.
    pub(crate) preemptions: usize,
    pub(crate) form: Form,
    /// The gas of each task.
    pub(crate) gas: &'static [u64],
    /// Pairs of tasks of which the later needs the earlier.
    pub(crate) edges: &'static [(usize, usize)],
    /// The locations that each task changes.
    pub(crate) changes: Changes,
    pub(crate) event: Event,
}

/// What was changed, while others look.
pub(crate) const LOG_CASES: &[LogCase] = &[
    LogCase {
        name: "changes that share a bucket",
        readers: 1,
        looks: 1,
        preemptions: 12,
        changes: &[&[2], &[0, 2]],
        in_vain: &[],
    },
    LogCase {
        name: "changes that are looked at again",
        readers: 1,
        looks: 2,
        preemptions: 2,
        changes: &[&[0, 1, 2], &[2], &[1, 0, 2]],
        in_vain: &[],
    },
    LogCase {
        name: "changes of tasks that were done in vain",
        readers: 1,
        looks: 1,
        preemptions: 12,
        changes: &[&[0, 2], &[0, 2]],
        in_vain: &[0, 1],
    },
    LogCase {
        name: "changes that two threads look at",
        readers: 2,
        looks: 1,
        preemptions: 2,
        changes: &[&[2], &[0, 2]],
        in_vain: &[],
    },
];

/// All runs.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "two tasks at the same time",
        threads: 2,
        preemptions: 3,
        form: Form::Dataflow,
        gas: &[HEAVY; 2],
        edges: &[],
        changes: &[],
        event: Event::Together(0),
    },
    Case {
        name: "two tasks that need nothing",
        threads: 2,
        preemptions: 2,
        form: Form::Dataflow,
        gas: &[HEAVY; 2],
        edges: &[],
        changes: &[],
        event: Event::Nothing,
    },
    Case {
        name: "a task that needs another",
        threads: 2,
        preemptions: 2,
        form: Form::Dataflow,
        gas: &[HEAVY; 2],
        edges: &[(0, 1)],
        changes: &[],
        event: Event::Nothing,
    },
    Case {
        name: "a task that needs two others",
        threads: 2,
        preemptions: 1,
        form: Form::Dataflow,
        gas: &[HEAVY; 3],
        edges: &[(0, 2), (1, 2)],
        changes: &[],
        event: Event::Nothing,
    },
    Case {
        name: "two tasks at the same time once a third is done",
        threads: 2,
        preemptions: 1,
        form: Form::Dataflow,
        gas: &[HEAVY; 3],
        edges: &[(0, 1), (0, 2)],
        changes: &[],
        event: Event::Together(1),
    },
    Case {
        name: "two tasks at the same time on threads that settle late",
        threads: 2,
        preemptions: 1,
        form: Form::Dataflow,
        gas: &[HEAVY; 3],
        edges: &[(0, 1), (0, 2)],
        changes: &[],
        event: Event::TogetherSettlingLate(1),
    },
    Case {
        name: "light tasks are claimed together",
        threads: 2,
        preemptions: 1,
        form: Form::Dataflow,
        gas: &[LIGHT; 3],
        edges: &[(0, 2)],
        changes: &[],
        event: Event::Nothing,
    },
    Case {
        name: "two waves",
        threads: 2,
        preemptions: 2,
        form: Form::Waves,
        gas: &[HEAVY; 3],
        edges: &[(0, 2), (1, 2)],
        changes: &[],
        event: Event::Nothing,
    },
    Case {
        name: "a chain in a wave",
        threads: 2,
        preemptions: 2,
        form: Form::Waves,
        gas: &[HEAVY; 3],
        edges: &[(0, 1)],
        changes: &[],
        event: Event::Nothing,
    },
    Case {
        name: "block order behind a window that narrows",
        threads: 2,
        preemptions: 1,
        form: Form::BlockOrder,
        gas: &[HEAVY; 5],
        edges: &[],
        changes: &[],
        event: Event::Misses(3),
    },
    Case {
        name: "tasks that were done in vain",
        threads: 2,
        preemptions: 1,
        form: Form::Dataflow,
        gas: &[HEAVY; 3],
        edges: &[(0, 1)],
        changes: &[],
        event: Event::Misses(2),
    },
    Case {
        name: "a run that stops",
        threads: 2,
        preemptions: 2,
        form: Form::Dataflow,
        gas: &[HEAVY; 3],
        edges: &[(0, 2)],
        changes: &[],
        event: Event::Stops(1),
    },
    Case {
        name: "a thread that panics",
        threads: 2,
        preemptions: 2,
        form: Form::Dataflow,
        gas: &[HEAVY; 3],
        edges: &[(0, 2)],
        changes: &[],
        event: Event::Panics(1),
    },
    Case {
        name: "a thread that panics while others wait for it",
        threads: 3,
        preemptions: 1,
        form: Form::Dataflow,
        gas: &[HEAVY; 2],
        edges: &[(0, 1)],
        changes: &[],
        event: Event::Panics(0),
    },
    Case {
        name: "three threads",
        threads: 3,
        preemptions: 0,
        form: Form::Dataflow,
        gas: &[HEAVY; 3],
        edges: &[(0, 1), (0, 2)],
        changes: &[],
        event: Event::Nothing,
    },
    Case {
        name: "three threads in block order",
        threads: 3,
        preemptions: 0,
        form: Form::BlockOrder,
        gas: &[HEAVY; 3],
        edges: &[],
        changes: &[],
        event: Event::Misses(1),
    },
    Case {
        name: "tasks that are published while others run",
        threads: 2,
        preemptions: 2,
        form: Form::Published,
        gas: &[HEAVY; 2],
        edges: &[(0, 1)],
        changes: &[],
        event: Event::Nothing,
    },
    Case {
        name: "two tasks at the same time once they are published",
        threads: 2,
        preemptions: 2,
        form: Form::Published,
        gas: &[HEAVY; 2],
        edges: &[],
        changes: &[],
        event: Event::Together(0),
    },
    Case {
        name: "a task that is published with two others that it needs",
        threads: 2,
        preemptions: 1,
        form: Form::Published,
        gas: &[HEAVY; 3],
        edges: &[(0, 2), (1, 2)],
        changes: &[],
        event: Event::Nothing,
    },
    Case {
        name: "a thread that panics while others are published",
        threads: 2,
        preemptions: 1,
        form: Form::Published,
        gas: &[HEAVY; 3],
        edges: &[(0, 2)],
        changes: &[],
        event: Event::Panics(1),
    },
    Case {
        name: "three threads, one of which publishes",
        threads: 3,
        preemptions: 0,
        form: Form::Published,
        gas: &[HEAVY; 3],
        edges: &[(0, 2)],
        changes: &[],
        event: Event::Nothing,
    },
    Case {
        name: "published tasks that were done in vain",
        threads: 2,
        preemptions: 1,
        form: Form::Published,
        gas: &[HEAVY; 3],
        edges: &[(0, 1)],
        changes: &[],
        event: Event::Misses(2),
    },
    Case {
        name: "a run that stops while tasks are published",
        threads: 2,
        preemptions: 1,
        form: Form::Published,
        gas: &[HEAVY; 3],
        edges: &[(0, 2)],
        changes: &[],
        event: Event::Stops(1),
    },
    Case {
        name: "changes that are looked at while others are settled",
        threads: 2,
        preemptions: 1,
        form: Form::Dataflow,
        gas: &[HEAVY; 3],
        edges: &[],
        changes: &[&[2], &[0, 2], &[]],
        event: Event::Nothing,
    },
    Case {
        name: "changes of tasks that were done in vain while others run",
        threads: 2,
        preemptions: 1,
        form: Form::Dataflow,
        gas: &[HEAVY; 3],
        edges: &[],
        changes: &[&[2], &[0, 2], &[]],
        event: Event::Misses(2),
    },
];
