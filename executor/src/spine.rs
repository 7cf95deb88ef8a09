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
mod entries;
mod order;
mod plan;
mod shared;
mod slots;
mod versions;
mod view;
mod worker;

use std::sync::{Mutex, OnceLock, PoisonError};

use forewave_analyzer::{Block, PanickedError, TxIndex};
use revm::DatabaseRef;

use self::{
    close::{AfterTransactions, Closing, add_later, transition_of},
    commit::Committer,
    dispatch::Dispatch,
    shared::Shared,
    slots::TxSlot,
    versions::{Versions, point_after},
    worker::Worker,
};
use crate::{
    BlockOutcome, ExecutionError, ExecutionMode, ExecutionStats, StateChanges,
    at_work::AtWork,
    choice::Way,
    flat_state::FlatState,
    needs::{Earlier, Needs},
    parallel::{Plan, run_planned},
    system::{SystemOutput, apply_post_block, apply_pre_block},
    transfer::TransferRules,
    transition::Transition,
    workers::Workers,
};

pub use plan::{RunPlan, WaitPolicy};

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
    let is_shared = plan.pays_on(workers.threads());
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
    let (rules, before) = (TransferRules::new(block), OnceLock::new());
    let slots: Vec<_> =
        core::iter::repeat_with(TxSlot::default).take(block.transactions.len()).collect();
    let shared = Shared {
        block,
        rules: rules.as_ref(),
        slots: &slots,
        versions: Versions::new(state, block, workers.threads()),
        deadline: workers.deadline,
        failed: Mutex::default(),
    };
    let dispatch = Dispatch::new(&plan.order, Committer::new(slots.len()));
    let closing = Closing::new(slots.len(), workers.threads());
    let ended = workers.pool.in_place_scope(|scope| {
        for _ in 1..workers.threads() {
            scope.spawn(|_| help(&shared, &dispatch, &closing));
        }
        let _at_work = AtWork::of_caller();
        let _guard = dispatch.stop_on_panic();
        let begun = begin(&shared, &before, state);
        let Ok(mut system) = begun else {
            dispatch.stop();
            return begun.map(|system| (system, StateChanges::default()));
        };
        dispatch.open();
        Worker::new(&shared).work(&shared, &dispatch);
        dispatch.wait_for_end();
        // A run that was stopped has an error, or another thread panics.
        if dispatch.committed() < slots.len() {
            return Ok((system, StateChanges::default()));
        }
        let changes = close(&shared, &closing, &mut system)?;
        Ok((system, changes))
    });
    if let Some(error) = shared.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    let (system, changes) = ended?;
    let Committer { receipts, reexecuted, .. } = dispatch.into_committer();
    let stats = ExecutionStats {
        threads: workers.threads(),
        mode: ExecutionMode::Dataflow,
        predicted: plan.predicted,
        waves: plan.waves,
        reexecuted,
        ..ExecutionStats::default()
    };
    BlockOutcome::new(block, receipts, changes, system, stats)
}

/// What a thread of the pool does.
fn help<DB: DatabaseRef<Error: Send> + Sync>(
    shared: &Shared<'_, DB>,
    dispatch: &Dispatch<'_, Committer>,
    closing: &Closing<DB::Error>,
) {
    let at_work = AtWork::of_pool();
    if at_work.is_none() || dispatch.is_over() {
        return;
    }
    Worker::new(shared).work(shared, dispatch);
    if dispatch.committed() == shared.slots.len() {
        closing.work(&shared.versions);
    }
}

/// What comes before the transactions.
fn begin<'r, DB: DatabaseRef>(
    shared: &Shared<'r, DB>,
    before: &'r OnceLock<Transition>,
    state: &DB,
) -> Result<SystemOutput, ExecutionError<DB::Error>> {
    let mut flat = FlatState::for_block(state, shared.block);
    let system = apply_pre_block(shared.block, &mut flat)?;
    let changes = flat.into_changes().map_err(ExecutionError::SystemState)?;
    let before = before.get_or_init(|| transition_of(changes));
    shared.versions.publish(0, before).map_err(ExecutionError::SystemState)?;
    Ok(system)
}

/// What comes after them, and the net changes of the block.
fn close<DB: DatabaseRef>(
    shared: &Shared<'_, DB>,
    closing: &Closing<DB::Error>,
    system: &mut SystemOutput,
) -> Result<StateChanges, ExecutionError<DB::Error>> {
    let in_system = ExecutionError::SystemState;
    let Shared { block, versions, .. } = shared;
    let point = point_after(TxIndex::new(block.transactions.len())) - 1;
    let state = AfterTransactions { versions, point };
    let mut flat = FlatState::for_block(&state, block);
    let later = apply_post_block(block, &mut flat, system)
        .and_then(|()| flat.into_changes().map_err(in_system));
    closing.work(versions);
    let mut changes = closing.collect().map_err(in_system)?;
    add_later(&mut changes, later?, versions).map_err(in_system)?;
    Ok(changes)
}
