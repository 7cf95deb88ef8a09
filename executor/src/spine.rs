//! The run loop: one way to run a block, on any number of threads.
//!
//! ```text
//! RunPlan ──order──> dispatch ──task──> worker ──run──> versions
//!                        └───next───> commit: validate by value, or run again at its turn
//! versions ──close──> net changes
//! ```
//!
//! A worker takes a ready transaction, runs it on the versions that earlier ones have
//! published, and publishes what it did. Commits go in block order. A plan decides what
//! runs when and what waits for what; no plan can make an outcome wrong.

mod close;
mod commit;
mod dispatch;
mod order;
mod plan;
mod shared;
mod versions;
mod view;
mod worker;

use std::sync::{Mutex, OnceLock};

use forewave_analyzer::{Block, PanickedError};
use revm::DatabaseRef;

use self::{close::transition_of, shared::Shared, versions::Versions};
use crate::{
    BlockOutcome, ExecutionError, ExecutionMode, ExecutionStats,
    choice::Way,
    flat_state::FlatState,
    needs::{Earlier, Needs},
    parallel::{Plan, receipts, run_planned},
    runs::TxRuns,
    system::apply_pre_block,
    transfer::TransferRules,
    workers::Workers,
};

pub use plan::{RunPlan, WaitPolicy};

/// Estimated work below which a block is over before a second thread is awake, in
/// nanoseconds.
const SHARED_NS_MIN: u64 = 150_000;

/// Executes the block as `plan` has it on the threads of a pool.
///
/// The outcome equals that of [`sequential`](crate::sequential), statistics aside,
/// whatever the plan is. `state` is only read; a panic of it, on whichever thread, is an
/// error, and the pool can be used on. The calling thread works as one of the pool's.
pub fn run_block<'w, DB>(
    block: &Block,
    state: &DB,
    plan: &RunPlan,
    workers: impl Into<Workers<'w>>,
) -> Result<BlockOutcome, ExecutionError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let (workers, transactions) = (workers.into(), block.transactions.len());
    let scheduled = plan.order.len();
    if scheduled != transactions {
        return Err(ExecutionError::ScheduleMismatch { scheduled, transactions });
    }
    let is_large = plan.is_shared || plan.order.work() >= SHARED_NS_MIN;
    let is_shared = workers.threads() > 1 && is_large;
    PanickedError::catch(|| {
        if is_shared {
            return run_shared(block, state, plan, workers);
        }
        let stats = ExecutionStats { mode: ExecutionMode::Serial, ..ExecutionStats::default() };
        let needs = Needs::Senders(Earlier::default());
        run_planned(block, state, Plan { way: Way::Serial, needs, stats }, workers, |_, _| {})
    })?
}

/// The same on several threads.
fn run_shared<DB>(
    block: &Block,
    state: &DB,
    plan: &RunPlan,
    workers: Workers<'_>,
) -> Result<BlockOutcome, ExecutionError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let mut flat = FlatState::for_block(state, block);
    let mut system = apply_pre_block(block, &mut flat)?;
    let before = flat.into_changes().map(transition_of).map_err(ExecutionError::SystemState)?;
    let after = OnceLock::new();
    let rules = TransferRules::new(block);
    let transactions = block.transactions.len();
    let runs: Vec<_> = core::iter::repeat_with(TxRuns::default).take(transactions).collect();
    let (changes, committer) = {
        let versions = Versions::new(state, block);
        versions.publish(0, &before).map_err(ExecutionError::SystemState)?;
        let (rules, failed, runs) = (rules.as_ref(), Mutex::default(), runs.as_slice());
        let shared = Shared { block, rules, runs, versions, deadline: workers.deadline, failed };
        let committer = shared.run(&plan.order, workers.pool)?;
        (shared.close(&after, &mut system)?, committer)
    };
    let stats = ExecutionStats {
        threads: workers.threads(),
        mode: ExecutionMode::Dataflow,
        predicted: plan.predicted,
        waves: plan.waves,
        reexecuted: committer.reexecuted,
        ..ExecutionStats::default()
    };
    BlockOutcome::new(block, receipts(block, runs), changes, system, stats)
}
