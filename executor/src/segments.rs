//! A block in segments: the calling thread runs it from its beginning, the others
//! run later segments ahead, on the state before the block and what they have run
//! themselves.
//!
//! Threads share nothing while they run, so a transaction costs hardly more than in
//! a serial run. Where the calling thread comes to a transaction that another has
//! run, it takes that run if it saw what is now settled ([`first_stale`]), and else
//! runs the transaction as it would have. So nothing that others do can make an
//! outcome wrong, and hardly anything can cost it time. They take the last part of
//! what nobody has run yet, and another one when they are through, or overtaken.
//! Where most of it is in vain they stop, and try again later, on the state as it is
//! then.

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

/// One of so many transactions is run ahead that would else be the calling thread's.
const MORE: usize = 32;

/// Transactions of a block from which on a few are run ahead first, to see whether
/// that is of any use.
const PROBED_MIN: usize = 512;

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
    let Workers { pool, paths } = workers;
    let rules = TransferRules::new(block);
    let shared = Shared::new(block, rules.as_ref(), paths, pool.current_num_threads());
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
        let (mut reexecuted, mut spent) = (Vec::new(), Vec::new());
        let mut trials = Trials::default();
        if start == Start::Last && trials.begin_at(0) {
            send_ahead(flat, 0);
            shared.wait();
        }
        let (receipts, evaluated) = run_serially(block, flat, paths, |tx, flat| {
            if trials.begin_at(tx.index()) {
                send_ahead(flat, tx.index());
            }
            let Some(run) = shared.take(tx) else { return Ok(None) };
            let judged = judge(run, flat)?;
            if trials.note(tx.index(), judged.is_err()) {
                shared.stop();
            }
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
    /// Whether a few are to be run ahead first, to see whether that is of any use.
    is_probed: bool,
    ranges: Vec<Range<usize>>,
}

impl Left {
    /// Takes a part to run ahead: the last of the longest range after `front`.
    fn part(&mut self, front: usize, threads: usize) -> Option<Range<usize>> {
        for range in &mut self.ranges {
            range.start = range.start.max(front + 2);
        }
        if core::mem::take(&mut self.is_probed)
            && let Some(range) = self.ranges.pop()
        {
            let start = range.end.min(range.start + PROBE);
            let end = range.end.min(start + PROBE);
            self.ranges.extend([range.start..start, end..range.end]);
            return Some(start..end);
        }
        self.ranges.retain(|range| range.len() >= SEGMENT_MIN);
        let longest = self.ranges.iter_mut().max_by_key(|range| range.end - range.start)?;
        // Whoever takes what others have run has more to do in the end.
        let more = longest.len() / MORE;
        let start = longest.end - longest.len().div_ceil(threads) - more;
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
    deadline: Deadline,
    /// The transaction that the calling thread has come to.
    front: AtomicUsize,
    /// Whoever runs ahead in another round stops.
    round: AtomicUsize,
    /// How many run ahead, or are about to.
    ahead: AtomicUsize,
    slots: Vec<Slot>,
    left: Mutex<Left>,
}

impl<'a> Shared<'a> {
    fn new(
        block: &'a Block,
        rules: Option<&'a TransferRules<'a>>,
        paths: Option<&'a ExactPaths>,
        threads: usize,
    ) -> Self {
        let slots = iter::repeat_with(Mutex::default).take(block.transactions.len());
        Self {
            block,
            rules,
            paths,
            threads,
            deadline: Deadline::current(),
            front: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            ahead: AtomicUsize::new(0),
            slots: slots.collect(),
            left: Mutex::default(),
        }
    }

    /// Begins a round in which all from a transaction on is left.
    fn begin(&self, from: usize) -> usize {
        let transactions = self.slots.len();
        let is_probed = transactions - from >= PROBED_MIN;
        *lock(&self.left) = Left { is_probed, ranges: iter::once(from..transactions).collect() };
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

    /// Runs ahead whatever is left to be.
    fn run_ahead<DB: DatabaseRef>(&self, flat: FlatState<'_, DB>, round: usize) {
        let _guard = LeaveOnDrop(self);
        let needs = Needs::Senders(Earlier::default());
        let view = View::new(flat, &[], &needs);
        let mut worker = Worker::with_view(self.block, self.rules, self.paths, view);
        loop {
            let part = lock(&self.left).part(self.front.load(Ordering::Relaxed), self.threads);
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

    #[test]
    fn the_last_part_of_the_longest_range_is_taken_behind_the_front() {
        let mut left = Left { is_probed: false, ranges: vec![8..100, 200..260] };
        assert_eq!(left.part(0, 2), Some(52..100));
        assert_eq!(left.part(0, 2), Some(229..260));
        assert_eq!(left.part(48, 2), Some(214..229));
        assert_eq!(left.ranges, [50..52, 200..214]);
        assert_eq!(left.part(300, 2), None);
    }

    #[test]
    fn a_few_are_run_ahead_first_wherever_the_front_is_by_then() {
        let mut left = Left { is_probed: true, ranges: iter::once(0..1000).collect() };
        assert_eq!(left.part(10, 2), Some(44..76));
        assert_eq!(left.ranges, [12..44, 76..1000]);
        let mut left = Left { is_probed: true, ranges: iter::once(0..1000).collect() };
        assert_eq!(left.part(990, 2), Some(1000..1000));
    }

    #[test]
    fn every_part_is_taken_once() {
        for threads in 2..=5 {
            let mut left = Left { is_probed: false, ranges: iter::once(0..1000).collect() };
            let mut taken = vec![0; 1000];
            while let Some(part) = left.part(0, threads) {
                part.for_each(|tx| taken[tx] += 1);
            }
            assert!(taken.iter().all(|times| *times <= 1));
            // The calling thread runs the first ones before anybody can.
            assert!(taken[2 * SEGMENT_MIN..].iter().all(|times| *times == 1), "{taken:?}");
        }
    }
}
