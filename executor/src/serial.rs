//! One transaction after the other on the calling thread: what a block gets
//! that is too small, or hangs together too much, for several threads.
//!
//! Unlike the oracle [`sequential`](crate::sequential) it runs plain transfers
//! by their rules, and lets transactions share the room for what they load.

use forewave_analyzer::Block;
use revm::{DatabaseRef, ExecuteEvm};

use crate::{
    ExecutionError, TxReceipt,
    cancel::Deadline,
    flat_state::FlatState,
    reuse::Results,
    system::check_gas_limit,
    tracking::{keep_room, plain_evm, take_record, tracking_evm},
    transfer::TransferRules,
};

/// Runs the transactions of a block that have no receipt yet on `flat`, the state before
/// them, and adds their receipts. Gives the number of those whose result was known.
pub(crate) fn run_serially<DB: DatabaseRef>(
    block: &Block,
    receipts: &mut Vec<TxReceipt>,
    flat: &mut FlatState<'_, DB>,
    known: Option<&Results>,
    deadline: Deadline<'_>,
) -> Result<usize, ExecutionError<DB::Error>> {
    let rules = TransferRules::new(block);
    receipts.reserve(block.transactions.len() - receipts.len());
    let make_evm = if known.is_some() { tracking_evm } else { plain_evm };
    let mut evm = make_evm(block, flat);
    let mut reused = 0;
    let mut gas_used = receipts.last().map_or(0, |last| last.cumulative_gas_used);
    for (tx, env) in block.indexed().skip(receipts.len()) {
        deadline.check()?;
        check_gas_limit(block, tx, gas_used)?;
        let flat = &mut *evm.ctx.journaled_state.database.inner;
        let at = |source| ExecutionError::State { tx, source };
        let transfer = rules.as_ref().and_then(|rules| rules.transfer(&mut *flat, env));
        let receipt = if let Some(transfer) = transfer {
            for (address, change) in transfer.changes() {
                flat.apply_account(address, &change).map_err(at)?;
            }
            TxReceipt::new(env.tx_type, gas_used, transfer.result())
        } else if let Some(known) = known.and_then(|known| known.find(&mut *flat, env)) {
            flat.apply(&known.record.transition).map_err(at)?;
            reused += 1;
            TxReceipt::new(env.tx_type, gas_used, known.result.clone())
        } else {
            let result = evm.transact_one(env.clone());
            let result = result.map_err(|error| ExecutionError::at(tx, error))?;
            let mut state = evm.finalize();
            if let Some(known) = known {
                let record = take_record(&mut evm, env, &state);
                known.add(env, result.clone(), record);
            }
            for (address, account) in state.drain() {
                evm.ctx.journaled_state.database.inner.commit_account(address, account);
            }
            keep_room(&mut evm, state);
            TxReceipt::new(env.tx_type, gas_used, result)
        };
        gas_used = receipt.cumulative_gas_used;
        receipts.push(receipt);
    }
    Ok(reused)
}
