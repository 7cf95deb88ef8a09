//! What must hold of each run, in every order of its threads.

use core::sync::atomic::{AtomicUsize as Counter, Ordering::Relaxed};
use std::sync::Arc;

use forewave_analyzer::{AccessSetBuilder, Block, Location, PredictedAccess, StateExtent};
use forewave_scheduler::{ConflictGraph, schedule};
use loom::{
    sync::{Condvar, Mutex, atomic::AtomicBool},
    thread,
};
use revm::{
    context::{BlockEnv, CfgEnv, TxEnv},
    primitives::{Address, B256},
};

use crate::{
    cases::{Case, Event, Form},
    flow::{Claim, Flow, Settled},
    log::Log,
    ready::{ReadySet, Want, bits},
    sync::panic_from_here,
    tasks::Tasks,
};

/// Steps of one order, at most.
const STEPS_MAX: usize = 10_000;

/// What the threads of a run share.
struct Shared {
    case: &'static Case,
    flow: Flow<'static, Vec<usize>>,
    /// Published without synchronisation, so whoever sees what is there has been
    /// told by the flow.
    log: Log,
    /// Which tasks wait for what they need. As unsynchronised as the runs.
    published: Vec<AtomicBool>,
    begun: Mutex<usize>,
    both_begun: Condvar,
}

impl Case {
    /// Runs the case in every order; gives the number of them.
    pub(crate) fn check(&'static self) -> usize {
        let tasks: &'static Tasks = Box::leak(Box::new(self.tasks()));
        let is_published = matches!(self.form, Form::Published);
        check_all_orders(self.preemptions, move || {
            let shared = Arc::new(Shared {
                case: self,
                flow: Flow::new(tasks, Vec::new()),
                log: Log::new(self.gas.len(), self.changes),
                published: self.gas.iter().map(|_| AtomicBool::new(!is_published)).collect(),
                begun: Mutex::new(0),
                both_begun: Condvar::new(),
            });
            let others: Vec<_> = (1..self.threads)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || shared.work())
                })
                .collect();
            if is_published {
                shared.publish();
            }
            shared.work();
            for other in others {
                other.join().unwrap();
            }
            Arc::into_inner(shared).expect("the others are done").check_end();
        })
    }

    /// The tasks as the executor makes them.
    fn tasks(&self) -> Tasks {
        let block = Block {
            cfg: CfgEnv::default(),
            env: BlockEnv::default(),
            parent_hash: B256::ZERO,
            parent_beacon_block_root: None,
            deposit_contract: None,
            state_extent: StateExtent::Touched,
            transactions: self
                .gas
                .iter()
                .map(|&gas_limit| TxEnv { gas_limit, ..TxEnv::default() })
                .collect(),
            withdrawals: vec![],
            ommers: vec![],
            reward: forewave_analyzer::BlockReward::OfFork,
            is_dao_fork: false,
        };
        // What a task writes is named by its number.
        let place = |task: usize| Location::Nonce(Address::left_padding_from(&task.to_be_bytes()));
        let predictions = self.gas.iter().enumerate().map(|(task, gas)| {
            let mut set = AccessSetBuilder::new();
            set.write(place(task));
            for (earlier, _) in self.edges.iter().filter(|(_, later)| *later == task) {
                set.read(place(*earlier));
            }
            PredictedAccess::exact(set.build(), *gas)
        });
        let graph = ConflictGraph::new(&predictions.collect::<Vec<_>>());
        match self.form {
            Form::Dataflow => Tasks::dataflow(&block, &graph, self.threads),
            Form::Waves => Tasks::waves(&block, &graph, &schedule(&graph), self.threads),
            // The narrowest window there is to begin with.
            Form::BlockOrder => Tasks::block_order(&block, 1, |_| None),
            Form::Published => Tasks::published(&block, self.threads),
        }
    }
}

impl Shared {
    /// One thread's part, as a worker of the executor plays it.
    fn work(&self) {
        let _guard = self.flow.stop_on_panic();
        let settles_late = matches!(self.case.event, Event::TogetherSettlingLate(_));
        let mut claimed = Vec::new();
        loop {
            match self.flow.claim(&mut claimed) {
                Claim::Over => return,
                Claim::Idle if settles_late => {
                    self.flow.settle(|order, task| self.settle(order, task));
                    self.flow.wait();
                }
                Claim::Idle => self.flow.wait(),
                Claim::Some => {
                    for task in claimed.drain(..) {
                        if self.case.event == Event::Panics(task) {
                            return panic_from_here();
                        }
                        self.run(task);
                        self.flow.finish(task);
                    }
                }
            }
            if !settles_late {
                self.flow.settle(|order, task| self.settle(order, task));
            }
        }
    }

    /// Publishes what nobody has taken before it was.
    fn publish(&self) {
        for task in (0..self.case.gas.len()).filter(|&task| self.flow.reserve(task)) {
            self.published[task].store(true, Relaxed);
            self.flow.publish(task, self.needed(task));
        }
    }

    /// The tasks that a task needs.
    fn needed(&self, task: usize) -> impl Iterator<Item = usize> {
        let edges = self.case.edges.iter();
        edges.filter(move |(_, later)| *later == task).map(|&(earlier, _)| earlier)
    }

    fn run(&self, task: usize) {
        // A worker applies what is settled, and reads what it needs.
        self.log.check(0, self.flow.settled());
        // What is taken before it is published waits for nothing.
        for earlier in self.needed(task).filter(|_| self.published[task].load(Relaxed)) {
            assert!(self.log.has_run(earlier), "a task runs after what it needs");
        }
        if let Event::Together(first) | Event::TogetherSettlingLate(first) = self.case.event
            && (first..=first + 1).contains(&task)
        {
            self.meet();
        }
        let in_vain = matches!(self.case.event, Event::Misses(first) if task < first);
        self.log.publish(task, !in_vain);
    }

    fn settle(&self, order: &mut Vec<usize>, task: usize) -> Settled {
        if self.case.event == Event::Stops(task) {
            return Settled::Stop;
        }
        order.push(task);
        if self.log.take(task) { Settled::AsItWas } else { Settled::Again }
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
        assert!(self.flow.is_over());
        let settled = self.flow.settled();
        let order = self.flow.into_turn();
        assert_eq!(order, (0..settled).collect::<Vec<_>>(), "tasks are settled in order");
        match self.case.event {
            Event::Stops(task) => assert_eq!(settled, task),
            Event::Panics(task) => assert!(settled <= task),
            _ => assert_eq!(settled, self.case.gas.len(), "nothing is left"),
        }
    }
}

/// Ranks that threads put in and take out: each is given out once, and none is
/// left where nobody looks.
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
            let has = set.has(|_| Want::Yes);
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
    let taken = set.take(|_| Want::Yes);
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
        counted.fetch_add(1, Relaxed);
        run();
    });
    orders.load(Relaxed)
}
