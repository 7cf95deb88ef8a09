//! The transactions of a block and nothing else: what each of them gave and did, in revm's own
//! form, for an executor that commits to a database of its own.
//!
//! The state changes are those of the run that counts, put on the values that its accounts have
//! at its turn: a fee that was credited without a look at the balance becomes the balance that
//! sequential execution leaves.

use core::iter::repeat_with;

use forewave_analyzer::{Block, PanickedError, TxIndex};
use revm::{
    DatabaseRef,
    context::result::ResultAndState,
    primitives::{Address, AddressMap, StorageValue},
    state::{Account, EvmState, EvmStorageSlot, TransactionId},
};

use super::{
    commit::Committer, dispatch::Dispatch, is_recorded, narrow, plan::RunPlan, shared::Shared,
    slots::TxSlot, view::VersionedState, worker::Worker,
};
use crate::{
    ExecutionError,
    at_work::AtWork,
    touched::{Touched, TouchedAccount},
    transfer::TransferRules,
    transition::{AccountTransition, Lifecycle, Transition},
    workers::Workers,
};

/// Runs the transactions of a block on the state before the first of them, without what the
/// protocol does around them, and gives what they did, in block order.
///
/// There may be fewer results than transactions, down to none: where several threads are not
/// estimated to pay, where most runs turned out stale, where the state failed or the deadline has
/// come, or from the first invalid transaction on. The caller runs the rest sequentially, and meets
/// there what is wrong.
///
/// The changes of a transaction name every account and slot that it changed; where the block
/// [makes its access list](Block::makes_access_list), also those that it only loaded.
pub fn execute_transactions<'w, DB>(
    block: &Block,
    state: &DB,
    plan: &RunPlan,
    workers: impl Into<Workers<'w>>,
) -> Result<Vec<ResultAndState>, ExecutionError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let (workers, transactions) = (workers.into(), block.transactions.len());
    let planned = plan.order.len();
    if planned != transactions {
        return Err(ExecutionError::PlanMismatch { planned, transactions });
    }
    if !is_recorded(block) || plan.listed.is_some() || !plan.pays_on(workers.threads()) {
        return Ok(Vec::new());
    }
    Ok(PanickedError::catch(|| run(block, state, plan, workers))?)
}

fn run<DB>(block: &Block, state: &DB, plan: &RunPlan, workers: Workers<'_>) -> Vec<ResultAndState>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let rules = TransferRules::new(block);
    let known = workers.reuse.map(|reuse| reuse.of(block));
    let slots: Vec<_> = repeat_with(TxSlot::default).take(block.transactions.len()).collect();
    let (given, rules) = ((state, plan), rules.as_ref());
    let shared = Shared::new(block, given, workers, rules, known.as_deref(), &slots);
    let dispatch = Dispatch::new(&plan.order, Committer::keeping_results(block));
    workers.pool.in_place_scope(|scope| {
        for _ in 1..workers.threads() {
            scope.spawn(|_| {
                let at_work = AtWork::of_pool();
                if at_work.is_some() && !dispatch.is_over() {
                    Worker::new(&shared).work(&shared, &dispatch);
                }
            });
        }
        let _at_work = AtWork::of_caller();
        let _guard = dispatch.stop_on_panic();
        dispatch.open();
        Worker::new(&shared).work(&shared, &dispatch);
    });
    dispatch.into_committer().results.unwrap_or_default()
}

/// The changes of a transaction whose turn it is, in revm's form.
pub(super) fn state_of<DB: DatabaseRef>(
    view: &mut VersionedState<'_, '_, DB>,
    tx: TxIndex,
    transition: &Transition,
    touched: Option<&Touched>,
) -> Result<EvmState, DB::Error> {
    let changes: AddressMap<&AccountTransition> =
        transition.accounts().iter().map(|(address, change)| (*address, change)).collect();
    let mut state = EvmState::default();
    for account in touched.map_or(&[][..], Touched::accounts) {
        let TouchedAccount { address, .. } = *account;
        let mut changed = changed_account(view, tx, address, changes.get(&address).copied())?;
        changed.storage.extend(account.slots.iter().map(|slot| {
            let values = (slot.before, slot.after);
            (slot.key, EvmStorageSlot::new_changed(values.0, values.1, TransactionId::ZERO))
        }));
        state.insert(address, changed);
    }
    // What a list names is all that there is.
    for (address, change) in transition.accounts().iter().filter(|_| touched.is_none()) {
        let mut changed = changed_account(view, tx, *address, Some(change))?;
        for slot in change.slots() {
            let before = match change.lifecycle {
                Lifecycle::Kept => view.slot_at(*address, slot.key, narrow(tx.index()))?,
                Lifecycle::Created | Lifecycle::Destroyed => StorageValue::ZERO,
            };
            let slot_change = EvmStorageSlot::new_changed(before, slot.value, TransactionId::ZERO);
            changed.storage.insert(slot.key, slot_change);
        }
        state.insert(*address, changed);
    }
    Ok(state)
}

/// An account as a transaction has left it, without its slots.
fn changed_account<DB: DatabaseRef>(
    view: &mut VersionedState<'_, '_, DB>,
    tx: TxIndex,
    address: Address,
    change: Option<&AccountTransition>,
) -> Result<Account, DB::Error> {
    let mut account = match view.account_at(address, narrow(tx.index()))? {
        Some(info) => Account::from(info),
        None => Account::new_not_existing(TransactionId::ZERO),
    };
    if account.info.is_empty_code_hash() {
        // As revm loads it: a bundle tells by it that an account is new.
        account.info.code.get_or_insert_default();
    }
    let Some(change) = change else { return Ok(account) };
    account.mark_touch();
    account.info.balance = change.balance.apply(account.info.balance);
    if let Some(nonce) = change.nonce {
        account.info.nonce = nonce;
    }
    if let Some(code) = &change.code {
        account.info.code_hash = code.hash;
        account.info.code.clone_from(&code.code);
    }
    match change.lifecycle {
        Lifecycle::Kept => {}
        Lifecycle::Created => account.mark_created(),
        Lifecycle::Destroyed => {
            account.selfdestruct();
            account.mark_selfdestruct();
        }
    }
    Ok(account)
}
