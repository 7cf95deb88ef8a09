//! A block in segments: the calling thread runs it from its beginning, the others
//! run later segments ahead, on the state before the block and what they have run
//! themselves.
//!
//! Threads share nothing while they run, so a transaction costs hardly more than in
//! a serial run. Where the calling thread comes to a transaction that another has
//! run, it takes that run if it saw what is now settled ([`first_stale`]), and else
//! runs the transaction as it would have. So nothing that others do can make an
//! outcome wrong, and hardly anything can cost it time. They take the last part of
//! what nobody has run yet, and another one when they are through, or overtaken; so
//! much that the calling thread, which in the end has to take or repeat what they
//! have run, ends when they do ([`Trials::burden`]). Where most of it is in vain they
//! stop, and try again later, on the state as it is then.

use core::{
    iter,
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use forewave_analyzer::{Block, ExactPaths, TxIndex};
use revm::DatabaseRef;

use crate::{
    ExecutionError, Reexecution, ReexecutionReason, TxReceipt,
    at_work::AtWork,
    cancel::Deadline,
    flat_state::FlatState,
    ledger::first_stale,
    needs::{Earlier, Needs},
    runs::TxRun,
    serial::{Ahead, run_serially},
    tracking::Record,
    transfer::TransferRules,
    trials::{PROBE, Trials},
    view::View,
    worker::Worker,
    workers::Workers,
};

/// The fewest transactions that are a segment.
const SEGMENT_MIN: usize = 2;

/// Transactions of a block from which on a few are run ahead first, to see of what
/// use that is.
const PROBED_MIN: usize = 512;

/// How often, each time further ahead. Once a thread is through with the last, the
/// calling thread has come to the first.
const PROBES: usize = 2;

/// What a run that is recorded takes, in percent of one that is not.
const RECORDED: usize = 103;

/// What the calling thread has left to do with a run made ahead, in percent of the
/// run itself: as long as that is not known, and at most.
const BURDEN_PRESUMED: usize = 9;
const BURDEN_MAX: usize = 75;

/// What came of the transactions.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) receipts: Vec<TxReceipt>,
    pub(crate) evaluated: usize,
    pub(crate) reexecuted: Vec<Reexecution>,
    /// What is needed no longer, to be dropped by whoever has time.
    pub(crate) spent: Vec<Record>,
}

/// When the calling thread begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At once.
    Now,
    /// Once the others have run all that they can, however small the block is.
    Last,
}

/// Runs the block's transactions on `flat`, the state before them.
pub(crate) fn run_in_segments<'f, DB>(
    block: &Block,
    flat: &mut FlatState<'f, DB>,
    workers: Workers<'_>,
    start: Start,
) -> Result<Ran, ExecutionError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let pool = workers.pool;
    let rules = TransferRules::new(block);
    let shared = Shared::new(block, rules.as_ref(), workers);
    pool.in_place_scope(|scope| {
        let send_ahead = |flat: &FlatState<'f, DB>, from: usize| {
            let round = shared.begin(from);
            for _ in 1..shared.threads {
                shared.ahead.fetch_add(1, Ordering::Relaxed);
                let share = (block.transactions.len() - from) / shared.threads;
                let (flat, shared) = (flat.fork(share), &shared);
                scope.spawn(move |_| shared.run_ahead(flat, round));
            }
        };
        let _guard = StopOnDrop(&shared);
        let _at_work = AtWork::of_caller();
        let (mut reexecuted, mut spent) = (Vec::new(), Vec::new());
        let mut trials = Trials::default();
        if start == Start::Last && trials.begin_at(0) {
            send_ahead(flat, 0);
            shared.wait();
        }
        let (receipts, evaluated) = run_serially(block, flat, workers, |tx, flat| {
            if trials.begin_at(tx.index()) {
                send_ahead(flat, tx.index());
            }
            let Some(run) = shared.take(tx) else { return Ok(None) };
            let cost = run.as_ref().map_or(0, TxRun::cost);
            let judged = judge(run, flat)?;
            if trials.note(tx.index(), cost, judged.is_err()) {
                shared.stop();
            }
            shared.weigh(&trials);
            Ok(match judged {
                Ok(TxRun { result, record, is_evaluated, .. }) => {
                    flat.apply(&record.transition)?;
                    spent.push(record);
                    Some(Ahead { result, is_evaluated })
                }
                Err(reason) => {
                    reexecuted.push(Reexecution { tx, reason });
                    None
                }
            })
        })?;
        Ok(Ran { receipts, evaluated, reexecuted, spent })
    })
}

/// The run, if it counts on this state.
fn judge<DB: DatabaseRef>(
    run: Option<TxRun>,
    flat: &mut FlatState<'_, DB>,
) -> Result<Result<TxRun, ReexecutionReason>, DB::Error> {
    let Some(run) = run else { return Ok(Err(ReexecutionReason::NotExecutable)) };
    flat.prime(&run.record.reads)?;
    let stale = first_stale(&run, flat)?;
    Ok(stale.map_or(Ok(run), |location| Err(ReexecutionReason::StaleRead { location })))
}

/// The run of a transaction ahead; nothing inside if it could not be executed.
type Slot = Mutex<Option<Box<Option<TxRun>>>>;

/// What nobody has run or is running ahead.
#[derive(Debug, Default)]
struct Left {
    /// How often a few are to be run ahead first, to see of what use that is.
    probes: usize,
    ranges: Vec<Range<usize>>,
}

/// What a thread that is to run ahead knows.
#[derive(Clone, Copy, Debug)]
struct Outlook {
    /// The transaction that the calling thread has come to.
    front: usize,
    /// All threads.
    threads: usize,
    /// Runs made ahead that the calling thread has not come to.
    waiting: usize,
    /// What they leave it to do, in percent of the runs.
    burden: usize,
}

impl Outlook {
    /// How many of `left` transactions to run ahead: as many as make the calling
    /// thread, which runs what nobody else does and comes to all that others have
    /// run, end together with them.
    fn share(self, left: usize) -> usize {
        let burden = self.burden.min(BURDEN_MAX);
        let of_others = (self.threads - 1) * (100 - burden);
        (100 * left + burden * self.waiting).div_ceil(RECORDED + of_others)
    }
}

impl Left {
    /// Takes a part to run ahead: the last of the longest range after the front.
    fn part(&mut self, outlook: Outlook) -> Option<Range<usize>> {
        for range in &mut self.ranges {
            range.start = range.start.max(outlook.front + 2);
        }
        self.ranges.retain(|range| range.len() >= SEGMENT_MIN);
        let left = self.ranges.iter().map(ExactSizeIterator::len).sum();
        let longest = self.ranges.iter_mut().max_by_key(|range| range.end - range.start)?;
        if self.probes > 0 {
            self.probes -= 1;
            let start = longest.end.min(longest.start + PROBE);
            let end = longest.end.min(start + PROBE);
            let rest = end..longest.end;
            longest.end = start;
            self.ranges.push(rest);
            return Some(start..end);
        }
        // What lies just before the calling thread would be overtaken.
        let most = longest.len() - longest.len() / 4;
        let start = longest.end - outlook.share(left).clamp(1, most);
        let part = start..longest.end;
        longest.end = start;
        Some(part)
    }
}

/// What the threads share.
#[derive(Debug)]
struct Shared<'a> {
    block: &'a Block,
    rules: Option<&'a TransferRules<'a>>,
    paths: Option<&'a ExactPaths>,
    threads: usize,
    deadline: Deadline<'a>,
    /// The transaction that the calling thread has come to.
    front: AtomicUsize,
    /// Whoever runs ahead in another round stops.
    round: AtomicUsize,
    /// How many run ahead, or are about to.
    ahead: AtomicUsize,
    /// Runs made ahead, and how many of them the calling thread has come to.
    made: AtomicUsize,
    judged: AtomicUsize,
    /// What those left it to do, in percent of the runs.
    burden: AtomicUsize,
    slots: Vec<Slot>,
    left: Mutex<Left>,
}

impl<'a> Shared<'a> {
    fn new(block: &'a Block, rules: Option<&'a TransferRules<'a>>, workers: Workers<'a>) -> Self {
        let (threads, Workers { paths, deadline, .. }) = (workers.threads(), workers);
        let slots = iter::repeat_with(Mutex::default).take(block.transactions.len());
        Self {
            block,
            rules,
            paths,
            threads,
            deadline,
            front: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            ahead: AtomicUsize::new(0),
            made: AtomicUsize::new(0),
            judged: AtomicUsize::new(0),
            burden: AtomicUsize::new(BURDEN_PRESUMED),
            slots: slots.collect(),
            left: Mutex::default(),
        }
    }

    /// Begins a round in which all from a transaction on is left.
    fn begin(&self, from: usize) -> usize {
        let transactions = self.slots.len();
        let probes = if transactions - from >= PROBED_MIN { PROBES } else { 0 };
        *lock(&self.left) = Left { probes, ranges: iter::once(from..transactions).collect() };
        self.round.load(Ordering::Relaxed)
    }

    /// Waits until nobody runs ahead.
    fn wait(&self) {
        while self.ahead.load(Ordering::Acquire) > 0 {
            rayon::yield_now();
            thread::yield_now();
        }
    }

    /// Ends the round.
    fn stop(&self) {
        self.round.fetch_add(1, Ordering::Relaxed);
    }

    /// The calling thread has come to `tx`: the run that another has made of it.
    #[allow(clippy::option_option, reason = "no run is not a run in vain")]
    fn take(&self, tx: TxIndex) -> Option<Option<TxRun>> {
        self.front.store(tx.index(), Ordering::Relaxed);
        lock(&self.slots[tx.index()]).take().map(|run| *run)
    }

    /// Tells the others what has come of their runs so far.
    fn weigh(&self, trials: &Trials) {
        self.judged.store(trials.runs(), Ordering::Relaxed);
        if let Some(burden) = trials.burden() {
            self.burden.store(burden, Ordering::Relaxed);
        }
    }

    fn outlook(&self) -> Outlook {
        let judged = self.judged.load(Ordering::Relaxed);
        Outlook {
            front: self.front.load(Ordering::Relaxed),
            threads: self.threads,
            waiting: self.made.load(Ordering::Relaxed).saturating_sub(judged),
            burden: self.burden.load(Ordering::Relaxed),
        }
    }

    /// Runs ahead whatever is left to be.
    fn run_ahead<DB: DatabaseRef>(&self, flat: FlatState<'_, DB>, round: usize) {
        let _guard = LeaveOnDrop(self);
        let Some(_at_work) = AtWork::of_pool() else { return };
        let needs = Needs::Senders(Earlier::default());
        let view = View::new(flat, &[], &needs);
        let mut worker = Worker::with_view(self.block, self.rules, self.paths, view);
        loop {
            let part = lock(&self.left).part(self.outlook());
            let Some(mut part) = part else { return };
            // Once the calling thread is at its heels, a thread leaves what is left.
            while !part.is_empty() && self.front.load(Ordering::Relaxed) + 1 < part.start {
                let is_over = self.round.load(Ordering::Relaxed) != round;
                if is_over || self.deadline.check::<DB::Error>().is_err() {
                    return;
                }
                let tx = part.start;
                let run = worker.run_on_own(TxIndex::new(tx));
                *lock(&self.slots[tx]) = Some(Box::new(run));
                self.made.fetch_add(1, Ordering::Relaxed);
                part.start += 1;
            }
            lock(&self.left).ranges.push(part);
        }
    }
}

/// Ends what is run ahead once the calling thread is through, or panics.
struct StopOnDrop<'s, 'a>(&'s Shared<'a>);

impl Drop for StopOnDrop<'_, '_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Notes that a thread runs ahead no longer.
struct LeaveOnDrop<'s, 'a>(&'s Shared<'a>);

impl Drop for LeaveOnDrop<'_, '_> {
    fn drop(&mut self) {
        self.0.ahead.fetch_sub(1, Ordering::Release);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlook(front: usize, threads: usize) -> Outlook {
        Outlook { front, threads, waiting: 0, burden: 0 }
    }

    #[test]
    fn the_last_part_of_the_longest_range_is_taken_behind_the_front() {
        let mut left = Left { probes: 0, ranges: vec![8..100, 200..230] };
        assert_eq!(left.part(outlook(0, 2)), Some(39..100));
        assert_eq!(left.part(outlook(0, 2)), Some(15..39));
        assert_eq!(left.part(outlook(48, 2)), Some(215..230));
        assert_eq!(left.ranges, iter::once(200..215).collect::<Vec<_>>());
        assert_eq!(left.part(outlook(300, 2)), None);
    }

    #[test]
    fn a_few_are_run_ahead_first_wherever_the_front_is_by_then() {
        let mut left = Left { probes: 2, ranges: iter::once(0..1000).collect() };
        assert_eq!(left.part(outlook(10, 2)), Some(44..76));
        assert_eq!(left.ranges, [12..44, 76..1000]);
        assert_eq!(left.part(outlook(20, 2)), Some(108..140));
        assert_eq!(left.ranges, [22..44, 76..108, 140..1000]);
        let mut left = Left { probes: 2, ranges: iter::once(0..1000).collect() };
        assert_eq!(left.part(outlook(990, 2)), Some(1000..1000));
    }

    #[test]
    fn every_part_is_taken_once() {
        for (threads, probes) in (2..=5).flat_map(|threads| [(threads, 0), (threads, PROBES)]) {
            let mut left = Left { probes, ranges: iter::once(0..1000).collect() };
            let mut taken = vec![0; 1000];
            while let Some(part) = left.part(outlook(0, threads)) {
                part.for_each(|tx| taken[tx] += 1);
            }
            assert!(taken.iter().all(|times| *times <= 1));
            // The calling thread runs the first ones before anybody can, and what is
            // left alone between others.
            let alone = taken[2 * SEGMENT_MIN..].iter().filter(|times| **times == 0).count();
            assert!(alone <= probes, "{taken:?}");
        }
    }

    #[test]
    fn all_end_together_whatever_runs_made_ahead_leave_to_do() {
        for (threads, waiting, burden) in [(2, 0, 0), (2, 100, 30), (3, 50, 20), (8, 1000, 10)] {
            let left = 10_000;
            let share = Outlook { front: 0, threads, waiting, burden }.share(left);
            let by_others = (threads - 1) * share;
            let last = 100 * (left - by_others) + burden * (by_others + waiting);
            assert!(last.abs_diff(share * RECORDED) <= 100 * threads, "{share} of {threads}");
        }
    }
}
