//! One transaction after the other on the calling thread: what a block gets
//! that is too small, or hangs together too much, for several threads.
//!
//! Unlike the oracle [`sequential`](crate::sequential) it runs plain transfers
//! by their rules, and lets transactions share the room for what they load. With results that
//! are kept, a [`FillLoop`](crate::FillLoop) takes its place.

use forewave_analyzer::Block;
use revm::{DatabaseRef, ExecuteEvm};

use crate::{
    ExecutionError,
    cancel::Deadline,
    committed::Committed,
    flat_state::FlatState,
    touched::Touched,
    tracking::{keep_room, plain_evm},
    transfer::TransferRules,
};

/// Runs the transactions of a block that are not committed yet on `flat`, the state before
/// them, and adds them.
pub(crate) fn run_serially<DB: DatabaseRef>(
    block: &Block,
    committed: &mut Committed,
    flat: &mut FlatState<'_, DB>,
    deadline: Deadline<'_>,
) -> Result<(), ExecutionError<DB::Error>> {
    let rules = TransferRules::new(block);
    let mut evm = plain_evm(block, flat);
    let lists = block.makes_access_list;
    for (tx, env) in block.indexed().skip(committed.receipts.len()) {
        deadline.check()?;
        committed.check(block, tx)?;
        let flat = &mut *evm.ctx.journaled_state.database.inner;
        let at = |source| ExecutionError::State { tx, source };
        let transfer = rules.as_ref().and_then(|rules| rules.transfer(&mut *flat, env));
        let (result, touched) = if let Some(transfer) = transfer {
            for (address, change) in transfer.changes() {
                flat.apply_account(address, &change).map_err(at)?;
            }
            (transfer.result(), lists.then(|| transfer.touched()))
        } else {
            let result = evm.transact_one(env.clone());
            let result = result.map_err(|error| ExecutionError::at(tx, error))?;
            let mut state = evm.finalize();
            let touched = lists.then(|| Touched::at_turn(&state));
            for (address, account) in state.drain() {
                evm.ctx.journaled_state.database.inner.commit_account(address, account);
            }
            keep_room(&mut evm, state);
            (result, touched)
        };
        committed.add(env.tx_type, result, touched);
    }
    Ok(())
}
