//! The core of the run loop under the model checker: what must hold of each run, in every
//! order of its threads.

use core::sync::atomic::{AtomicUsize as Counter, Ordering::Relaxed as AnyOrder};
use std::sync::Arc;

use loom::{
    sync::{
        Condvar, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use crate::{
    dispatch::{Dispatch, Next, Take},
    order::TaskOrder,
    ready::{ReadySet, bits},
    sync::panic_from_here,
};

/// Steps of one order, at most.
const STEPS_MAX: usize = 10_000;

/// Nanoseconds of a task that is a portion of work of its own, and of one that is not.
const HEAVY: u64 = 1_000_000;
const LIGHT: u64 = 200;

/// What happens in a run apart from its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Nothing,
    /// The run ends once this task is committed.
    StopsAfter(usize),
    /// The run cannot go on when this task is to be committed.
    Stops(usize),
    /// The thread that runs this task panics.
    Panics(usize),
    /// This task and the next end only once both have begun, on two threads.
    Together(usize),
}

/// A run of few tasks on few threads.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    threads: usize,
    /// How often a thread may be interrupted where it could go on.
    preemptions: usize,
    costs: &'static [u64],
    /// Pairs of tasks of which the second waits for the first.
    waits: &'static [(u32, u32)],
    /// The order in which ready tasks are taken, if it is not that of their numbers.
    by_rank: &'static [u32],
    event: Event,
}

impl Case {
    const fn new(name: &'static str, preemptions: usize, costs: &'static [u64]) -> Self {
        let (threads, waits, by_rank, event) = (2, &[], &[], Event::Nothing);
        Self { name, threads, preemptions, costs, waits, by_rank, event }
    }

    const fn on(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    const fn waiting(self, waits: &'static [(u32, u32)]) -> Self {
        Self { waits, ..self }
    }

    const fn ranked(self, by_rank: &'static [u32]) -> Self {
        Self { by_rank, ..self }
    }

    const fn with(self, event: Event) -> Self {
        Self { event, ..self }
    }
}

/// All runs.
pub(crate) const CASES: &[Case] = &[
    Case::new("two tasks that wait for nothing", 2, &[HEAVY; 2]),
    Case::new("two tasks at the same time", 3, &[HEAVY; 2]).with(Event::Together(0)),
    Case::new("a task that waits for another", 2, &[HEAVY; 2]).waiting(&[(0, 1)]),
    Case::new("a task that waits for two others", 2, &[HEAVY; 3]).waiting(&[(0, 2), (1, 2)]),
    Case::new("two tasks at the same time once a third is done", 1, &[HEAVY; 3])
        .waiting(&[(0, 1), (0, 2)])
        .with(Event::Together(1)),
    Case::new("light tasks are taken together", 1, &[LIGHT; 3]).waiting(&[(0, 2)]),
    Case::new("the last task first", 1, &[HEAVY; 3]).ranked(&[2, 1, 0]),
    Case::new("a run that ends early", 1, &[HEAVY; 3]).with(Event::StopsAfter(0)),
    Case::new("a chain that ends early", 2, &[HEAVY; 3])
        .waiting(&[(0, 1), (1, 2)])
        .with(Event::StopsAfter(0)),
    Case::new("a run that ends while its last task runs", 2, &[HEAVY; 2])
        .ranked(&[1, 0])
        .with(Event::StopsAfter(0)),
    Case::new("a run that stops", 2, &[HEAVY; 3]).waiting(&[(0, 2)]).with(Event::Stops(1)),
    Case::new("a thread that panics", 2, &[HEAVY; 3]).waiting(&[(0, 2)]).with(Event::Panics(1)),
    Case::new("a thread that panics while others wait for it", 1, &[HEAVY; 2])
        .on(3)
        .waiting(&[(0, 1)])
        .with(Event::Panics(0)),
    Case::new("three threads", 0, &[HEAVY; 3]).on(3).waiting(&[(0, 1), (0, 2)]),
];

/// What the threads of a run share.
struct Shared {
    case: &'static Case,
    dispatch: Dispatch<'static, Vec<usize>>,
    /// How often each task ran. Written without synchronisation, so a thread that must
    /// see a run has been told by the dispatch.
    runs: Vec<AtomicUsize>,
    begun: Mutex<usize>,
    both_begun: Condvar,
}

impl Case {
    /// Runs the case in every order; gives the number of them.
    pub(crate) fn check(&'static self) -> usize {
        let order = TaskOrder::new(self.costs.to_vec(), self.waits);
        let order =
            if self.by_rank.is_empty() { order } else { order.ranked(self.by_rank.to_vec()) };
        let order: &'static TaskOrder = Box::leak(Box::new(order));
        check_all_orders(self.preemptions, move || {
            let shared = Arc::new(Shared {
                case: self,
                dispatch: Dispatch::new(order, Vec::new()),
                runs: self.costs.iter().map(|_| AtomicUsize::new(0)).collect(),
                begun: Mutex::new(0),
                both_begun: Condvar::new(),
            });
            let others: Vec<_> = (1..self.threads)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || shared.work())
                })
                .collect();
            shared.dispatch.open();
            shared.work();
            assert!(shared.dispatch.is_over());
            for other in others {
                other.join().unwrap();
            }
            Arc::into_inner(shared).expect("the others are done").check_end();
        })
    }
}

impl Shared {
    /// One thread's part, as a worker of the run loop plays it.
    fn work(&self) {
        let _guard = self.dispatch.stop_on_panic();
        let mut taken = Vec::new();
        loop {
            match self.dispatch.take(&mut taken) {
                Take::Over => return,
                Take::Idle => self.dispatch.wait(),
                Take::Some => {
                    for task in taken.drain(..) {
                        if self.case.event == Event::Panics(task) {
                            return panic_from_here();
                        }
                        self.run(task);
                        self.dispatch.finish(task);
                    }
                }
            }
            self.dispatch.commit(|committed, task| self.commit(committed, task));
        }
    }

    fn run(&self, task: usize) {
        for (earlier, later) in self.case.waits {
            let has_run = || self.runs[*earlier as usize].load(Relaxed) == 1;
            assert!(*later as usize != task || has_run(), "a task runs after what it waits for");
        }
        if let Event::Together(first) = self.case.event
            && (first..=first + 1).contains(&task)
        {
            self.meet();
        }
        self.runs[task].fetch_add(1, Relaxed);
    }

    fn commit(&self, committed: &mut Vec<usize>, task: usize) -> Next {
        if self.case.event == Event::Stops(task) {
            return Next::Stop;
        }
        assert_eq!(self.runs[task].load(Relaxed), 1, "what is committed has run, once");
        committed.push(task);
        if self.case.event == Event::StopsAfter(task) { Next::StopAfter } else { Next::GoOn }
    }

    /// Returns once both tasks that run together are here.
    fn meet(&self) {
        let mut begun = self.begun.lock().unwrap();
        *begun += 1;
        while *begun < 2 {
            begun = self.both_begun.wait(begun).unwrap();
        }
        self.both_begun.notify_all();
    }

    /// What must hold once all threads are done.
    fn check_end(self) {
        assert!(self.dispatch.is_over());
        let committed = self.dispatch.committed();
        let order = self.dispatch.into_committer();
        assert_eq!(order, (0..committed).collect::<Vec<_>>(), "tasks are committed in order");
        match self.case.event {
            Event::Stops(task) => assert_eq!(committed, task),
            Event::StopsAfter(task) => assert_eq!(committed, task + 1),
            Event::Panics(task) => assert!(committed <= task),
            _ => assert_eq!(committed, self.case.costs.len(), "nothing is left"),
        }
    }
}

/// Ranks that threads put in and take out: each is given out once, and none stays in the
/// set unseen.
pub(crate) fn check_ready_set() -> usize {
    check_all_orders(3, || {
        let set = Arc::new(ReadySet::new(130));
        // Ranks of one word, and of another.
        set.insert(0);
        let other = Arc::clone(&set);
        let other = thread::spawn(move || {
            other.insert(1);
            let taken = take(&other);
            other.insert(129);
            taken
        });
        let mut taken = take(&set);
        taken.extend(take(&set));
        taken.extend(other.join().unwrap());
        loop {
            let has = !set.is_empty();
            let rest = take(&set);
            assert_eq!(has, !rest.is_empty(), "what is there is found");
            if rest.is_empty() {
                break;
            }
            taken.extend(rest);
        }
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 129]);
    })
}

fn take(set: &ReadySet) -> Vec<usize> {
    let taken = set.take(|_| true);
    taken.map_or(vec![], |(first, taken)| bits(taken).map(|bit| first + bit).collect())
}

/// Runs `run` in every order with at most this many preemptions.
pub(crate) fn check_all_orders(
    preemptions: usize,
    run: impl Fn() + Send + Sync + 'static,
) -> usize {
    let orders = Arc::new(Counter::new(0));
    let counted = Arc::clone(&orders);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = STEPS_MAX;
    model.check(move || {
        counted.fetch_add(1, AnyOrder);
        run();
    });
    orders.load(AnyOrder)
}
