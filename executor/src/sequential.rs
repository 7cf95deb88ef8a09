//! The oracle: plain revm, one transaction after another, in block order.
//!
//! Nothing here is shared with the parallel path but the flat state that both
//! end in and the system operations.

use forewave_analyzer::{Block, TxIndex};
use revm::{
    Context, DatabaseRef, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext,
    handler::{MainnetContext, MainnetEvm},
};

use crate::{
    BlockOutcome, CancelToken, ExecutionError, ExecutionStats, StateChanges, TxReceipt,
    cancel::Deadline,
    committed::Committed,
    flat_state::FlatState,
    system::{SystemOutput, apply_post_block, apply_pre_block},
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
    let mut run = SequentialRun::new(block, state)?;
    for (tx, _) in block.indexed() {
        deadline.check()?;
        run.step(tx)?;
    }
    run.finish()
}

/// A sequential execution, transaction by transaction: for those who leave out
/// what does not belong in the block, or look at the state in between.
#[derive(Debug)]
pub struct SequentialRun<'a, DB: DatabaseRef> {
    block: &'a Block,
    evm: MainnetEvm<MainnetContext<FlatState<'a, DB>>>,
    system: SystemOutput,
    committed: Committed,
}

impl<'a, DB: DatabaseRef> SequentialRun<'a, DB> {
    /// Begins the block: what the protocol does before its first transaction.
    pub fn new(block: &'a Block, state: &'a DB) -> Result<Self, ExecutionError<DB::Error>> {
        let mut flat = FlatState::for_block(state, block);
        let system = apply_pre_block(block, &mut flat)?;
        let evm = Context::mainnet()
            .with_db(flat)
            .with_block(block.env.clone())
            .with_cfg(block.cfg.clone())
            .build_mainnet();
        Ok(Self { block, evm, system, committed: Committed::none_of(block) })
    }

    /// Executes and commits a transaction of the block after those so far. One that
    /// does not belong there leaves nothing behind, and the run can go on.
    pub fn step(&mut self, tx: TxIndex) -> Result<&TxReceipt, ExecutionError<DB::Error>> {
        self.committed.check(self.block, tx)?;
        let env = &self.block.transactions[tx.index()];
        let result = self.evm.transact_commit(env.clone()).map_err(|error| {
            // What it has loaded must not be warm for the next one.
            drop(self.evm.finalize());
            ExecutionError::at(tx, error)
        })?;
        let touched = self.evm.ctx.journaled_state.database.take_touched().pop();
        self.committed.add(env.tx_type, result, touched);
        Ok(self.committed.receipts.last().expect("a receipt was pushed"))
    }

    /// The net changes so far.
    pub fn changes(&self) -> Result<StateChanges, ExecutionError<DB::Error>> {
        let flat = &self.evm.ctx.journaled_state.database;
        flat.changes().map_err(ExecutionError::SystemState)
    }

    /// Ends the block: what the protocol does after its last transaction.
    pub fn finish(self) -> Result<BlockOutcome, ExecutionError<DB::Error>> {
        let Self { block, evm, mut system, committed } = self;
        let mut flat = evm.ctx.journaled_state.database;
        apply_post_block(block, &mut flat, &mut system)?;
        let changes = flat.changes().map_err(ExecutionError::SystemState)?;
        let stats = ExecutionStats { threads: 1, ..ExecutionStats::default() };
        BlockOutcome::new(block, committed, changes, system, stats, |touched| {
            touched.access_list(|address| flat.original_balance(address))
        })
    }
}
