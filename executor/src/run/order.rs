//! Transactions as numbers: what waits for what, in which order ready ones are taken,
//! and how many at a time.
//!
//! Immutable. The counters of a run are in [`Dispatch`](super::dispatch::Dispatch).

use core::ops::Range;

/// The work that a thread takes at once, in nanoseconds: light transactions are taken
/// several at a time, because taking costs about a tenth of a microsecond.
const PORTION_NS: u64 = 4_000;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct TaskOrder {
    /// The task of each rank; empty if ranks are the tasks' own numbers.
    by_rank: Vec<u32>,
    rank: Vec<u32>,
    /// Estimated nanoseconds of each task.
    costs: Vec<u64>,
    /// For each task, how many others it waits for.
    waiting: Vec<u32>,
    /// Those that wait for each task, in one list.
    starts: Vec<u32>,
    followers: Vec<u32>,
}

impl TaskOrder {
    /// Tasks of these costs, ready ones taken in the order of their numbers. A pair says
    /// that the second task waits for the first, which has a lower number.
    pub(crate) fn new(costs: Vec<u64>, waits: &[(u32, u32)]) -> Self {
        let len = costs.len();
        let (mut waiting, mut starts) = (vec![0; len], vec![0; len + 1]);
        for &(earlier, later) in waits {
            debug_assert!(earlier < later);
            waiting[later as usize] += 1;
            starts[earlier as usize + 1] += 1;
        }
        for task in 0..len {
            starts[task + 1] += starts[task];
        }
        let mut free = starts.clone();
        let mut followers = vec![0; waits.len()];
        for &(earlier, later) in waits {
            let free = &mut free[earlier as usize];
            followers[*free as usize] = later;
            *free += 1;
        }
        Self { by_rank: Vec::new(), rank: Vec::new(), costs, waiting, starts, followers }
    }

    /// The same, with ready tasks taken in this order: every task once.
    pub(crate) fn ranked(self, by_rank: Vec<u32>) -> Self {
        let mut rank = vec![0; by_rank.len()];
        for (&task, position) in by_rank.iter().zip(0..) {
            rank[task as usize] = position;
        }
        Self { by_rank, rank, ..self }
    }

    /// The number of tasks.
    pub(crate) const fn len(&self) -> usize {
        self.costs.len()
    }

    /// The rank of a task.
    pub(crate) fn rank(&self, task: usize) -> usize {
        self.rank.get(task).map_or(task, |rank| *rank as usize)
    }

    /// The task of a rank.
    pub(crate) fn at(&self, rank: usize) -> usize {
        self.by_rank.get(rank).map_or(rank, |task| *task as usize)
    }

    /// For each task, how many others it waits for.
    pub(crate) fn waiting(&self) -> &[u32] {
        &self.waiting
    }

    /// Those that wait for a task.
    pub(crate) fn followers(&self, task: usize) -> &[u32] {
        let Range { start, end } = self.starts[task]..self.starts[task + 1];
        &self.followers[start as usize..end as usize]
    }

    /// Says of ranks, asked one after the other, whether they are in one portion of work.
    pub(crate) fn portion(&self) -> impl FnMut(usize) -> bool {
        let mut left = PORTION_NS;
        move |rank| {
            let is_in = left > 0;
            left = left.saturating_sub(self.costs[self.at(rank)]);
            is_in
        }
    }

    /// Estimated nanoseconds of all tasks together.
    pub(crate) fn work(&self) -> u64 {
        self.costs.iter().fold(0, |work, &cost| work.saturating_add(cost))
    }
}
