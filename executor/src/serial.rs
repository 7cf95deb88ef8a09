//! One transaction after the other on the calling thread: what a block gets
//! that is too small, or hangs together too much, for several threads.
//!
//! Unlike the oracle [`sequential`](crate::sequential) it runs plain transfers
//! by their rules, and lets transactions share the room for what they load.

use forewave_analyzer::Block;
use revm::{DatabaseRef, ExecuteEvm};

use crate::{
    ExecutionError,
    cancel::Deadline,
    committed::Committed,
    flat_state::FlatState,
    reuse::Results,
    touched::Touched,
    tracking::{keep_room, plain_evm, take_record, tracking_evm},
    transfer::TransferRules,
};

/// Runs the transactions of a block that are not committed yet on `flat`, the state before
/// them, and adds them.
pub(crate) fn run_serially<DB: DatabaseRef>(
    block: &Block,
    committed: &mut Committed,
    flat: &mut FlatState<'_, DB>,
    known: Option<&Results>,
    deadline: Deadline<'_>,
) -> Result<(), ExecutionError<DB::Error>> {
    let rules = TransferRules::new(block);
    let make_evm = if known.is_some() { tracking_evm } else { plain_evm };
    let mut evm = make_evm(block, flat);
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
        } else if let Some(known) = known.and_then(|known| known.find(&mut *flat, env)) {
            flat.apply(&known.record.transition).map_err(at)?;
            committed.reused += 1;
            (known.result.clone(), known.record.touched.clone())
        } else {
            let result = evm.transact_one(env.clone());
            let result = result.map_err(|error| ExecutionError::at(tx, error))?;
            let mut state = evm.finalize();
            let touched = lists.then(|| Touched::at_turn(&state));
            if let Some(known) = known {
                let record = take_record(&mut evm, env, &state);
                known.add(env, result.clone(), record);
            }
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
