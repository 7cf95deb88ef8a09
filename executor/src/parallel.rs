//! Runs a block on the threads of a pool: planned, as dataflow or in waves;
//! predicted while it runs; or optimistically in block order. Where that does not
//! pay it is run serially, in [segments](run_in_segments), or by
//! [shares](run_by_shares) if it only pays. Which of these is for `choice.rs` to say.
//!
//! # Protocol
//!
//! Every thread is a [`Worker`] with an EVM and a map of the state of its own.
//! What to run next, and whose turn it is to settle, is the [`Flow`]'s; whether a
//! run counts is the [`Ledger`]'s alone. A run is published once, before it is
//! marked finished; a second run of the same transaction is published by the
//! thread that settles it, before it is settled. Whoever reads the number of
//! settled transactions may therefore read all their runs, and in the
//! [`History`] what they changed.
//!
//! No order in which runs come about can make an outcome wrong: predictions,
//! graph and schedule decide only what runs when and what it sees.

use std::sync::{Mutex, MutexGuard, PoisonError};

use forewave_analyzer::{Block, ExactPaths, PanickedError};
use forewave_scheduler::{ConflictGraph, Schedule, verify};
use rayon::ThreadPool;
use revm::DatabaseRef;

use crate::{
    BlockOutcome, ExecutionError, ExecutionStats, StateChanges, TxReceipt,
    at_work::AtWork,
    cancel::Deadline,
    choice::{
        ExecutionMode, SEGMENT_THREADS_MAX, Way, has_calls_to_share, has_code_to_run, may_pay, pays,
    },
    close::{SHARED_CLOSING_MIN, close},
    flat_state::FlatState,
    flow::Flow,
    history::History,
    ledger::Ledger,
    needs::{Earlier, Needs},
    runs::TxRuns,
    segments::{Start, run_in_segments},
    serial::run_serially,
    shares::run_by_shares,
    system::{SystemOutput, apply_post_block, apply_pre_block},
    tasks::Tasks,
    transfer::TransferRules,
    worker::Worker,
    workers::Workers,
};

/// Executes the block as `graph` and `schedule` have it on the threads of `pool`.
///
/// Both come from one prediction of this block; a schedule that is not the graph's is
/// refused before anything runs. The outcome equals that of
/// [`sequential`](crate::sequential), statistics aside, however wrong the
/// prediction was. `state` is only read; a panic of it, on whichever thread, is an
/// error, and the pool can be used on. The calling thread works as one of the
/// pool's.
pub fn execute<'w, DB>(
    block: &Block,
    state: &DB,
    graph: &ConflictGraph,
    schedule: &Schedule,
    workers: impl Into<Workers<'w>>,
) -> Result<BlockOutcome, ExecutionError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    execute_as(ExecutionMode::Auto, block, state, graph, schedule, workers)
}

/// The same as [`execute`], in a mode of the caller's choice.
pub fn execute_as<'w, DB>(
    mode: ExecutionMode,
    block: &Block,
    state: &DB,
    graph: &ConflictGraph,
    schedule: &Schedule,
    workers: impl Into<Workers<'w>>,
) -> Result<BlockOutcome, ExecutionError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let transactions = block.transactions.len();
    if graph.len() != transactions {
        let scheduled = graph.len();
        return Err(ExecutionError::ScheduleMismatch { scheduled, transactions });
    }
    verify(schedule, graph)?;
    let workers = workers.into();
    let threads = workers.threads();
    let dataflow = || Tasks::dataflow(block, graph, threads);
    let (mode, way) = match mode {
        ExecutionMode::Serial => (mode, Way::Serial),
        ExecutionMode::Shares => (mode, Way::Shares(threads)),
        ExecutionMode::Segments => (mode, Way::Segments(Start::Last)),
        ExecutionMode::Waves => (mode, Way::Tasks(Tasks::waves(block, graph, schedule, threads))),
        ExecutionMode::Optimistic => {
            (mode, Way::Tasks(Tasks::block_order(block, threads, |_| None)))
        }
        ExecutionMode::Dataflow | ExecutionMode::Overlapped => {
            (ExecutionMode::Dataflow, Way::Tasks(dataflow()))
        }
        ExecutionMode::Auto => {
            let paths = workers.paths;
            let may_pay = may_pay(block, threads)
                && PanickedError::catch(|| has_code_to_run(block, state, paths))?;
            let tasks = may_pay.then(dataflow);
            match tasks.filter(|tasks| pays(tasks, threads)) {
                Some(tasks) => (ExecutionMode::Dataflow, Way::Tasks(tasks)),
                None => (ExecutionMode::Serial, Way::without_tasks(block, threads)),
            }
        }
    };
    let is_planned = matches!(mode, ExecutionMode::Dataflow | ExecutionMode::Waves);
    let predicted = if is_planned { transactions } else { 0 };
    let waves = schedule.waves().len();
    let stats = ExecutionStats { waves, mode, predicted, ..ExecutionStats::default() };
    let plan = Plan { way, needs: Needs::Graph(graph), stats };
    PanickedError::catch(|| run_planned(block, state, plan, workers, |_, _| {}))?
}

/// Executes the block without any prediction: on two threads in segments, on more
/// optimistically in block order, or serially where that is estimated to be as fast.
/// What is promised of [`execute`] holds here too.
pub fn execute_unplanned<'w, DB>(
    block: &Block,
    state: &DB,
    workers: impl Into<Workers<'w>>,
) -> Result<BlockOutcome, ExecutionError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let workers = workers.into();
    let threads = workers.threads();
    let pays = may_pay(block, threads)
        && has_calls_to_share(block)
        && PanickedError::catch(|| has_code_to_run(block, state, workers.paths))?;
    let in_order = pays && threads > SEGMENT_THREADS_MAX;
    let earlier = if in_order { Earlier::new(block) } else { Earlier::default() };
    let (mode, way) = if in_order {
        let tasks = Tasks::block_order(block, threads, |tx| earlier.of(tx));
        (ExecutionMode::Optimistic, Way::Tasks(tasks))
    } else if pays {
        (ExecutionMode::Segments, Way::Segments(Start::Now))
    } else {
        (ExecutionMode::Serial, Way::without_tasks(block, threads))
    };
    let stats = ExecutionStats { mode, ..ExecutionStats::default() };
    let plan = Plan { way, needs: Needs::Senders(earlier), stats };
    PanickedError::catch(|| run_planned(block, state, plan, workers, |_, _| {}))?
}

/// How a block is to be run.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) way: Way,
    pub(crate) needs: Needs<'a>,
    /// What is known of the run before it.
    pub(crate) stats: ExecutionStats,
}

/// Runs a block as it is planned. Where that is on several threads, the calling
/// thread does `first` before it joins the others.
pub(crate) fn run_planned<'a, DB>(
    block: &'a Block,
    state: &'a DB,
    plan: Plan<'a>,
    workers: Workers<'a>,
    first: impl FnOnce(&Run<'_, DB>, &Flow<'_, Ledger>),
) -> Result<BlockOutcome, ExecutionError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let Plan { way, needs, stats } = plan;
    let Workers { pool, .. } = workers;
    let mut stats = ExecutionStats { threads: pool.current_num_threads(), ..stats };
    let mut base = FlatState::for_block(state, block);
    let mut system = apply_pre_block(block, &mut base)?;
    let transfers = match way {
        Way::Shares(parts) => run_by_shares(block, &mut base, parts, workers),
        Way::Tasks(_) | Way::Segments(_) | Way::Serial => None,
    };
    let (receipts, changes) = match (way, transfers) {
        (Way::Tasks(tasks), _) => {
            let run = Run::new(block, needs, workers);
            let (changes, ledger) = run.on_threads(&tasks, &base, &mut system, pool, first)?;
            stats.reexecuted = ledger.reexecuted;
            stats.evaluated = run.runs.iter().filter(|runs| runs.settled().is_evaluated).count();
            (receipts(block, run.runs), changes)
        }
        (_, Some(receipts)) => {
            stats.mode = ExecutionMode::Shares;
            apply_post_block(block, &mut base, &mut system)?;
            (receipts, base.into_all_changes().map_err(ExecutionError::SystemState)?)
        }
        (Way::Segments(start), _) => {
            let ran = run_in_segments(block, &mut base, workers, start)?;
            (stats.evaluated, stats.reexecuted) = (ran.evaluated, ran.reexecuted);
            let spent = ran.spent;
            let is_large = spent.len() >= SHARED_CLOSING_MIN;
            let close = || close(block, vec![base], &mut system, pool);
            let changes = if is_large { pool.join(close, || drop(spent)).0 } else { close() };
            (ran.receipts, changes?)
        }
        (_, None) => {
            stats.mode = ExecutionMode::Serial;
            let (receipts, evaluated) = run_serially(block, &mut base, workers, |_, _| Ok(None))?;
            stats.evaluated = evaluated;
            (receipts, close(block, vec![base], &mut system, pool)?)
        }
    };
    BlockOutcome::new(block, receipts, changes, system, stats)
}

/// What the threads share.
#[derive(Debug)]
pub(crate) struct Run<'a, DB: DatabaseRef> {
    pub(crate) block: &'a Block,
    pub(crate) rules: Option<TransferRules<'a>>,
    pub(crate) paths: Option<&'a ExactPaths>,
    pub(crate) needs: Needs<'a>,
    pub(crate) runs: Vec<TxRuns>,
    pub(crate) history: History,
    pub(crate) deadline: Deadline<'a>,
    failed: Mutex<Option<ExecutionError<DB::Error>>>,
}

impl<'a, DB: DatabaseRef> Run<'a, DB> {
    fn new(block: &'a Block, needs: Needs<'a>, workers: Workers<'a>) -> Self {
        let Workers { paths, deadline, .. } = workers;
        let runs = core::iter::repeat_with(TxRuns::default).take(block.transactions.len());
        let rules = TransferRules::new(block);
        let history = History::new(block.transactions.len());
        let runs = runs.collect();
        Self { block, rules, paths, needs, runs, history, deadline, failed: Mutex::new(None) }
    }

    /// Keeps the error that the run ends with: the first.
    pub(crate) fn keep(&self, error: ExecutionError<DB::Error>) {
        lock(&self.failed).get_or_insert(error);
    }

    /// Ends the run with an error.
    pub(crate) fn fail(&self, error: ExecutionError<DB::Error>, flow: &Flow<'_, Ledger>) {
        self.keep(error);
        flow.stop();
    }
}

impl<DB: DatabaseRef<Error: Send> + Sync> Run<'_, DB> {
    /// Runs all tasks and what the protocol does after them, and gives the net
    /// changes. The others let go of what they hold while the calling thread
    /// closes a small block.
    fn on_threads(
        &self,
        tasks: &Tasks,
        base: &FlatState<'_, DB>,
        system: &mut SystemOutput,
        pool: &ThreadPool,
        first: impl FnOnce(&Self, &Flow<'_, Ledger>),
    ) -> Result<(StateChanges, Ledger), ExecutionError<DB::Error>> {
        let flow = Flow::new(tasks, Ledger::default());
        let is_large = tasks.len() >= SHARED_CLOSING_MIN;
        let others = Mutex::new(Vec::new());
        let ended = pool.in_place_scope(|scope| {
            for _ in 1..pool.current_num_threads() {
                scope.spawn(|_| {
                    let at_work = AtWork::of_pool();
                    if at_work.is_some() && !flow.is_over() {
                        let mut worker = Worker::new(self, base);
                        worker.work(self, &flow);
                        if is_large {
                            lock(&others).push(worker.into_state(tasks.len()));
                        }
                    }
                });
            }
            let at_work = AtWork::of_caller();
            {
                let _guard = flow.stop_on_panic();
                first(self, &flow);
            }
            let mut worker = Worker::new(self, base);
            worker.work(self, &flow);
            drop(at_work);
            if let Some(error) = self.failure() {
                return Err(error);
            }
            // A thread that panics stops the run; the scope passes its panic on.
            if flow.settled() < tasks.len() {
                return Ok(None);
            }
            let own = worker.into_state(tasks.len());
            if is_large {
                return Ok(Some(Ended::Open(own)));
            }
            close(self.block, vec![own], system, pool).map(|changes| Some(Ended::Closed(changes)))
        });
        let changes = match ended?.expect("a run that did not fail has settled everything") {
            Ended::Closed(changes) => changes,
            Ended::Open(own) => {
                let others = others.into_inner().unwrap_or_else(PoisonError::into_inner);
                let states = core::iter::once(own).chain(others).collect();
                close(self.block, states, system, pool)?
            }
        };
        Ok((changes, flow.into_turn()))
    }

    /// The error that the run has ended with.
    fn failure(&self) -> Option<ExecutionError<DB::Error>> {
        lock(&self.failed).take()
    }
}

/// One receipt for each transaction, from the runs that count.
pub(crate) fn receipts(block: &Block, runs: Vec<TxRuns>) -> Vec<TxReceipt> {
    let mut gas_used = 0;
    let runs = runs.into_iter().zip(&block.transactions);
    runs.map(|(runs, tx)| {
        let receipt = TxReceipt::new(tx.tx_type, gas_used, runs.into_settled().result);
        gas_used = receipt.cumulative_gas_used;
        receipt
    })
    .collect()
}

/// A block whose transactions are done.
enum Ended<'a, DB> {
    Closed(StateChanges),
    /// The state after the transactions, as the calling thread has it.
    Open(FlatState<'a, DB>),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
