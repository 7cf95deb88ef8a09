//! The oracle: plain revm, one transaction after another, in block order.
//!
//! Nothing here is shared with the parallel path but the flat state that both
//! end in and the system operations.

use forewave_analyzer::Block;
use revm::{Context, DatabaseRef, ExecuteCommitEvm, MainBuilder, MainContext};

use crate::{
    BlockOutcome, CancelToken, ExecutionError, ExecutionMode, ExecutionStats, TxReceipt,
    cancel::Deadline,
    flat_state::FlatState,
    system::{apply_post_block, apply_pre_block, check_gas_limit},
};

/// Executes the block sequentially on `state`, which is only read.
pub fn sequential<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
) -> Result<BlockOutcome, ExecutionError<DB::Error>> {
    run(block, state, Deadline::default())
}

/// As [`sequential`], but once `token` is set the run ends before its next transaction.
pub fn sequential_until<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    token: &CancelToken,
) -> Result<BlockOutcome, ExecutionError<DB::Error>> {
    run(block, state, Deadline::new(Some(token)))
}

fn run<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    deadline: Deadline<'_>,
) -> Result<BlockOutcome, ExecutionError<DB::Error>> {
    let mut flat = FlatState::for_block(state, block);
    let mut system = apply_pre_block(block, &mut flat)?;
    let mut receipts: Vec<TxReceipt> = Vec::with_capacity(block.transactions.len());
    let mut evm = Context::mainnet()
        .with_db(&mut flat)
        .with_block(block.env.clone())
        .with_cfg(block.cfg.clone())
        .build_mainnet();
    let mut gas_used = 0;
    for (tx, env) in block.indexed() {
        deadline.check()?;
        check_gas_limit(block, tx, gas_used)?;
        let result =
            evm.transact_commit(env.clone()).map_err(|error| ExecutionError::at(tx, error))?;
        let receipt = TxReceipt::new(env.tx_type, gas_used, result);
        gas_used = receipt.cumulative_gas_used;
        receipts.push(receipt);
    }
    drop(evm);
    apply_post_block(block, &mut flat, &mut system)?;
    let changes = flat.into_changes().map_err(ExecutionError::SystemState)?;
    let stats =
        ExecutionStats { threads: 1, mode: ExecutionMode::Serial, ..ExecutionStats::default() };
    BlockOutcome::new(block, receipts, changes, system, stats)
}
