//! One transaction after the other on the calling thread: what a block gets
//! that is too small, or hangs together too much, for several threads.
//!
//! Unlike the oracle [`sequential`](crate::sequential) it runs plain transfers
//! by their rules, and lets transactions share the room for what they load.

use forewave_analyzer::{Block, TxIndex};
use revm::{
    Context, DatabaseRef, ExecuteEvm, MainBuilder, MainContext, context::result::ExecutionResult,
};

use crate::{
    ExecutionError, TxReceipt,
    exact::{Evaluated, ExactCalls},
    flat_state::FlatState,
    system::check_gas_limit,
    transfer::TransferRules,
    workers::Workers,
};

/// The most accounts of a transaction for whose sake the room for them is kept.
const KEPT_ACCOUNTS_MAX: usize = 256;

/// What a run made ahead comes to, once it counts and its changes are applied.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub(crate) result: ExecutionResult,
    pub(crate) is_evaluated: bool,
}

/// Runs the block's transactions on `flat`, the state before them, except those of
/// which `ahead` has a run that counts on the state before it. Gives the receipts, and
/// of how many transactions the code was not run.
pub(crate) fn run_serially<'f, DB: DatabaseRef>(
    block: &Block,
    flat: &mut FlatState<'f, DB>,
    workers: Workers<'_>,
    mut ahead: impl FnMut(TxIndex, &mut FlatState<'f, DB>) -> Result<Option<Ahead>, DB::Error>,
) -> Result<(Vec<TxReceipt>, usize), ExecutionError<DB::Error>> {
    let rules = TransferRules::new(block);
    let Workers { paths, deadline, .. } = workers;
    let mut exact = paths.and_then(|paths| ExactCalls::new(block, paths));
    let mut receipts: Vec<TxReceipt> = Vec::with_capacity(block.transactions.len());
    let mut evm = Context::mainnet()
        .with_db(flat)
        .with_block(block.env.clone())
        .with_cfg(block.cfg.clone())
        .build_mainnet();
    let (mut gas_used, mut evaluated) = (0, 0);
    for (tx, env) in block.indexed() {
        deadline.check()?;
        check_gas_limit(block, tx, gas_used)?;
        let flat = &mut *evm.ctx.journaled_state.database;
        let at = |source| ExecutionError::State { tx, source };
        let receipt = if let Some(Ahead { result, is_evaluated }) = ahead(tx, flat).map_err(at)? {
            evaluated += usize::from(is_evaluated);
            TxReceipt::new(env.tx_type, gas_used, result)
        } else if let Some(transfer) =
            rules.as_ref().and_then(|rules| rules.transfer(&mut *flat, env))
        {
            for (address, change) in transfer.changes() {
                flat.apply_account(address, &change).map_err(at)?;
            }
            transfer.terms().receipt(env.tx_type, gas_used)
        } else if let Some(Evaluated { result, record }) = exact
            .as_mut()
            .zip(rules.as_ref())
            .and_then(|(exact, rules)| exact.run(rules, &mut *flat, env, false))
        {
            flat.apply(&record.transition).map_err(at)?;
            evaluated += 1;
            TxReceipt::new(env.tx_type, gas_used, result)
        } else {
            if let Some(exact) = &exact {
                exact.learn(&mut *flat, env);
            }
            let result = evm.transact_one(env.clone());
            let result = result.map_err(|error| ExecutionError::at(tx, error))?;
            let mut state = evm.finalize();
            for (address, account) in state.drain() {
                evm.ctx.journaled_state.database.commit_account(address, account);
            }
            // The next transaction finds the room that this one's accounts took.
            if state.capacity() <= KEPT_ACCOUNTS_MAX {
                evm.ctx.journaled_state.inner.state = state;
            }
            TxReceipt::new(env.tx_type, gas_used, result)
        };
        gas_used = receipt.cumulative_gas_used;
        receipts.push(receipt);
    }
    Ok((receipts, evaluated))
}
