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

mod below;
mod close;
mod commit;
mod dispatch;
mod entries;
mod listed;
mod order;
mod plan;
mod results;
mod shared;
mod slots;
mod versions;
mod view;
mod worker;

use std::{
    sync::{OnceLock, PoisonError},
    time::Instant,
};

use forewave_analyzer::{Block, PanickedError, TxIndex};
use revm::{
    DatabaseRef,
    primitives::{AddressMap, U256},
};

use self::{
    close::{Closing, add_later, transition_of},
    commit::Committer,
    dispatch::Dispatch,
    listed::ByList,
    shared::Shared,
    slots::TxSlot,
    view::At,
    worker::Worker,
};
use crate::{
    BlockOutcome, ExecutionError, ExecutionStats, StateChanges,
    access_list::BlockTouched,
    at_work::AtWork,
    committed::Committed,
    fill::FillLoop,
    flat_state::FlatState,
    instrument::{self, Step, count_run},
    outcome::ns_since,
    serial::run_serially,
    system::{SystemOutput, apply_post_block, apply_pre_block},
    touched::Touched,
    tracking::is_recorded,
    transfer::TransferRules,
    transition::Transition,
    workers::Workers,
};

pub use plan::RunPlan;
pub use results::execute_transactions;

/// Executes the block as `plan` has it, on the threads of a pool where that pays.
///
/// The outcome equals that of [`sequential`](crate::sequential), statistics aside,
/// whatever the plan is. `state` is only read; a panic of it, on whichever thread, is an
/// error, and the pool can be used on. The calling thread works as one of the pool's.
pub fn execute<'w, DB>(
    block: &Block,
    state: &DB,
    plan: &RunPlan,
    workers: impl Into<Workers<'w>>,
) -> Result<BlockOutcome, ExecutionError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let (workers, transactions) = (workers.into(), block.transactions.len());
    let planned = plan.order.len();
    if planned != transactions {
        return Err(ExecutionError::PlanMismatch { planned, transactions });
    }
    let _span = instrument::span(Step::Run, block);
    let start = Instant::now();
    let mut outcome = PanickedError::catch(|| {
        if is_recorded(block) && plan.pays_on(workers.threads()) {
            run_shared(block, state, plan, workers)
        } else {
            run_alone(block, state, plan, workers)
        }
    })??;
    outcome.stats.run_ns = ns_since(start);
    count_run(transactions, &outcome.stats);
    Ok(outcome)
}

/// Runs the block on the calling thread.
fn run_alone<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    plan: &RunPlan,
    workers: Workers<'_>,
) -> Result<BlockOutcome, ExecutionError<DB::Error>> {
    if let Some(cache) = workers.reuse.filter(|_| is_recorded(block)) {
        let mut fill = FillLoop::new(block, state, cache)?;
        block.indexed().try_for_each(|(tx, _)| fill.push_valid(tx, workers.deadline))?;
        let mut outcome = fill.seal()?;
        outcome.stats = ExecutionStats { reused: outcome.stats.reused, ..plan.stats_alone() };
        return Ok(outcome);
    }
    let mut flat = FlatState::for_block(state, block);
    let mut system = apply_pre_block(block, &mut flat)?;
    let mut committed = Committed::none_of(block);
    run_serially(block, &mut committed, &mut flat, workers.deadline)?;
    apply_post_block(block, &mut flat, &mut system)?;
    let changes = flat.changes().map_err(ExecutionError::SystemState)?;
    let list =
        |touched: &BlockTouched| touched.access_list(|address| flat.original_balance(address));
    BlockOutcome::new(block, committed, changes, system, plan.stats_alone(), list)
}

/// Runs it on all threads.
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
    let known = workers.reuse.map(|reuse| reuse.of(block));
    let slots: Vec<_> =
        core::iter::repeat_with(TxSlot::default).take(block.transactions.len()).collect();
    let (given, rules) = ((state, plan), rules.as_ref());
    let shared = Shared::new(block, given, workers, rules, known.as_deref(), &slots);
    let dispatch = Dispatch::new(&plan.order, Committer::new(block));
    let closing = Closing::new(slots.len(), workers.threads());
    let mut worker = Worker::new(&shared);
    let begun = workers.pool.in_place_scope(|scope| {
        for _ in 1..workers.threads() {
            scope.spawn(|_| help(&shared, &dispatch, &closing));
        }
        let _at_work = AtWork::of_caller();
        let _guard = dispatch.stop_on_panic();
        let begun = begin(&shared, &mut worker, &before);
        if !matches!(begun, Ok(Some(_))) {
            dispatch.stop();
            return begun;
        }
        dispatch.open();
        worker.work(&shared, &dispatch);
        if dispatch.committed() == slots.len() {
            closing.work(worker.view());
        }
        begun
    });
    if let Some(error) = shared.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    let Some(mut system) = begun? else {
        return run_shared(block, state, &plan.without_list(block), workers);
    };
    let Committer { mut committed, reexecuted, .. } = dispatch.into_committer();
    let (changes, later) = close(&shared, &mut worker, &closing, &mut committed, &mut system)?;
    let proven = shared.versions.by_list().and_then(ByList::proven);
    let reused = committed.reused;
    let stats = ExecutionStats { reused, reexecuted, ..plan.stats(workers.threads()) };
    let original = |address| {
        let later = || later.get(&address).copied().unwrap_or_default();
        shared.versions.original_balance(address).unwrap_or_else(later)
    };
    let list = |touched: &BlockTouched| {
        proven.unwrap_or_else(|| touched.access_list_on(workers.pool, original))
    };
    BlockOutcome::new(block, committed, changes, system, stats, list)
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
    let mut worker = Worker::new(shared);
    worker.work(shared, dispatch);
    if dispatch.committed() == shared.slots.len() {
        closing.work(worker.view());
    }
}

/// What comes before the transactions; none if the access list that the block is run by says
/// something else of it.
fn begin<'r, DB: DatabaseRef>(
    shared: &Shared<'r, DB>,
    worker: &mut Worker<'_, 'r, DB>,
    before: &'r OnceLock<Transition>,
) -> Result<Option<SystemOutput>, ExecutionError<DB::Error>> {
    let mut flat = FlatState::with_room(shared.state, 0);
    let system = apply_pre_block(shared.block, &mut flat)?;
    let changes = flat.changes().map_err(ExecutionError::SystemState)?;
    if let Some(by_list) = shared.versions.by_list() {
        let touched = BlockTouched { before: system.before.clone(), ..BlockTouched::default() };
        let made = touched.access_list(|address| flat.original_balance(address));
        return Ok(by_list.says_of_end(0, &made).then_some(system));
    }
    let before = before.get_or_init(|| transition_of(changes));
    worker.view().publish(0, before).map_err(ExecutionError::SystemState)?;
    Ok(Some(system))
}

/// What comes after the transactions with receipts: the others, one after the other, if the
/// run has fallen back, and what the protocol does then. Gives the net changes of the block,
/// and what the accounts that were touched so late had, for the access list.
fn close<'r, DB: DatabaseRef>(
    shared: &Shared<'r, DB>,
    worker: &mut Worker<'_, 'r, DB>,
    closing: &Closing<DB::Error>,
    committed: &mut Committed,
    system: &mut SystemOutput,
) -> Result<(StateChanges, AddressMap<U256>), ExecutionError<DB::Error>> {
    let in_system = ExecutionError::SystemState;
    let Shared { block, slots, .. } = *shared;
    let _span = instrument::span(Step::Close, block);
    let left = committed.receipts.len()..slots.len();
    match shared.versions.by_list() {
        Some(by_list) => by_list.end_at(narrow(left.start)),
        None => left.clone().map(TxIndex::new).for_each(|tx| shared.withdraw(tx)),
    }
    let state = At::new(worker.view(), narrow(left.start));
    let mut flat = FlatState::with_room(&state, 2 * left.len() + block.withdrawals.len());
    run_serially(block, committed, &mut flat, shared.deadline)?;
    apply_post_block(block, &mut flat, system)?;
    let later = flat.changes().map_err(in_system)?;
    let mut originals =
        if block.makes_access_list { flat.original_balances() } else { AddressMap::default() };
    drop(flat);
    if let Some(by_list) = shared.versions.by_list() {
        let touched = BlockTouched::after_transactions(slots.len(), &system.after);
        let made = touched.access_list(|_| U256::ZERO);
        if !left.is_empty() || !by_list.says_of_end(slots.len() + 1, &made) {
            by_list.disprove();
        }
        if !by_list.is_proven() {
            // Nothing was published that the list could be made from.
            let touched = system.before.iter().chain(&committed.touched);
            for address in touched.flat_map(Touched::paid) {
                let before = worker.view().original(address).map_err(in_system)?;
                originals.insert(address, before.map_or(U256::ZERO, |info| info.balance));
            }
        }
    }
    closing.work(worker.view());
    let mut changes = closing.collect().map_err(in_system)?;
    add_later(&mut changes, later, worker.view()).map_err(in_system)?;
    Ok((changes, originals))
}

/// A transaction's number, or how many there are.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a block has fewer than 2^32 transactions")
}
