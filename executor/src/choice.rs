//! Which way a block is run: what there is to choose from, and what is estimated to
//! pay.

use core::fmt;

use forewave_analyzer::{Block, ExactPaths};
use revm::DatabaseRef;
use serde::{Deserialize, Serialize};

use crate::{
    exact::may_be_evaluated,
    segments::Start,
    shares::shares_that_pay,
    tasks::{Tasks, calls},
};

/// Transactions per thread below which a block is not worth a second thread's waking.
const TRANSACTIONS_PER_THREAD_MIN: usize = 2;

/// What a run on several threads costs in any case, in nanoseconds.
const PARALLEL_NS: u64 = 30_000;

/// What an estimated nanosecond of work costs when it is shared out, in hundredths.
const PARALLEL_PERCENT: u64 = 115;

/// What each transaction costs besides, in nanoseconds: recording, settling, and
/// bringing up to date what others have changed. Beyond a number of transactions
/// that does not fit the caches.
const SETTLING_NS: u64 = 500;
const SETTLING_OUT_OF_CACHE_NS: u64 = 2_500;
const TRANSACTIONS_IN_CACHE_MAX: usize = 2_048;

/// Threads up to which those that run ahead are left to themselves. Beyond, the one
/// that takes what they have run would be too slow for them.
pub(crate) const SEGMENT_THREADS_MAX: usize = 2;

/// Transactions that call or create, below which a block is over before a second
/// thread is awake.
const CALLS_MIN: usize = 24;

/// Transfers below which it costs more to find that some go to contracts than
/// shares gain.
const BY_SHARES_MIN: usize = 512;

/// Calls by exact paths that take as long as one whose code is run.
const EVALUATED_PER_CALL: usize = 4;

/// Transactions for each that calls or creates, above which handing them out costs
/// more than running them.
const TRANSACTIONS_PER_CALL_MAX: usize = 20;

/// The same, above which looking at them costs more.
const PREDICTED_PER_CALL_MAX: usize = 5;

/// How a block is run. The outcome is the same each time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionMode {
    /// As dataflow, or serially where that is estimated to be as fast.
    #[default]
    Auto,
    /// A transaction starts when those that it needs are done, the one with the
    /// heaviest path after it first.
    Dataflow,
    /// As dataflow, begun before all is predicted ([`execute_predicted`]); of a
    /// plan that is ready, dataflow.
    ///
    /// [`execute_predicted`]: crate::execute_predicted
    Overlapped,
    /// The waves of the schedule, one after the other.
    Waves,
    /// In block order, a few at a time, whatever the prediction says.
    Optimistic,
    /// One after the other, on the calling thread alone.
    Serial,
    /// Each thread all that happens to the accounts in its share of the address
    /// space, where all transactions are plain transfers; else serially.
    Shares,
    /// The calling thread from the beginning, each other one a later segment ahead,
    /// on what it has run itself.
    Segments,
}

impl fmt::Display for ExecutionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Dataflow => "dataflow",
            Self::Overlapped => "overlapped",
            Self::Waves => "waves",
            Self::Optimistic => "optimistic",
            Self::Serial => "serial",
            Self::Shares => "shares",
            Self::Segments => "segments",
        })
    }
}

/// A way to run a block.
#[derive(Debug)]
pub(crate) enum Way {
    Tasks(Tasks),
    /// By so many shares if all transactions are plain transfers, else serially.
    Shares(usize),
    /// By segments, all but the first ahead.
    Segments(Start),
    Serial,
}

impl Way {
    /// What is left where tasks do not pay.
    pub(crate) fn without_tasks(block: &Block, threads: usize) -> Self {
        let is_small = block.transactions.len() < BY_SHARES_MIN;
        if is_small || block.transactions.iter().any(calls) {
            return Self::Serial;
        }
        Self::Shares(shares_that_pay(block.transactions.len(), threads))
    }
}

/// Whether looking at a block before it runs can be worth what it costs: there
/// must be some transactions that call or create, and not only one among many
/// transfers. A transfer runs in less time than it takes to predict it, or to hand
/// it to another thread.
pub fn is_worth_planning(block: &Block) -> bool {
    has_calls(block, PREDICTED_PER_CALL_MAX)
}

/// Whether enough transactions call or create to be worth handing out.
pub(crate) fn has_calls_to_share(block: &Block) -> bool {
    has_calls(block, TRANSACTIONS_PER_CALL_MAX)
}

/// Whether some transactions call or create: one in so many at least.
fn has_calls(block: &Block, transactions_per_call: usize) -> bool {
    let calls = block.transactions.iter().filter(|tx| calls(tx)).count();
    calls >= CALLS_MIN && calls.saturating_mul(transactions_per_call) >= block.transactions.len()
}

/// Whether there is enough to do besides what exact paths give.
pub(crate) fn has_code_to_run<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    paths: Option<&ExactPaths>,
) -> bool {
    let Some(paths) = paths.filter(|paths| !paths.is_empty()) else { return true };
    let mut work = 0;
    block.transactions.iter().filter(|tx| calls(tx)).any(|tx| {
        let is_evaluated = may_be_evaluated(block, state, paths, tx);
        work += if is_evaluated { 1 } else { EVALUATED_PER_CALL };
        work >= CALLS_MIN * EVALUATED_PER_CALL
    })
}

/// Whether a block can be worth several threads at all.
pub(crate) fn may_pay(block: &Block, threads: usize) -> bool {
    threads > 1 && block.transactions.len() >= threads * TRANSACTIONS_PER_THREAD_MIN
}

/// Whether dataflow is estimated to be faster than one thread.
pub(crate) fn pays(tasks: &Tasks, threads: usize) -> bool {
    let shared = (tasks.work() / threads as u64).max(tasks.span());
    let is_in_cache = tasks.len() <= TRANSACTIONS_IN_CACHE_MAX;
    let settling = if is_in_cache { SETTLING_NS } else { SETTLING_OUT_OF_CACHE_NS };
    let settling = settling.saturating_mul(tasks.len() as u64);
    let shared = shared.saturating_mul(PARALLEL_PERCENT) / 100;
    PARALLEL_NS.saturating_add(settling).saturating_add(shared) < tasks.work()
}
