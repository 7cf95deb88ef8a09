//! Finds what a transaction reads by running it alone on the state before the
//! block. Results are thrown away; what counts is what the cache then holds.
//!
//! A transaction that would need what an earlier one does may end early or take
//! another path, and the rest of its reads is left to those who execute it.

use core::sync::atomic::{AtomicU64, Ordering};

use forewave_analyzer::{Block, TxIndex};
use revm::{
    Context, DatabaseRef, ExecuteEvm, Journal, MainBuilder, MainContext, MainnetEvm,
    context::{BlockEnv, CfgEnv, TxEnv},
    database_interface::WrapDatabaseRef,
};

use super::state::Ahead;
use crate::{
    flat_state::FlatState,
    system::{apply_post_block, apply_pre_block},
};

/// How many times the block's gas limit all scouts together may burn. Alone, a
/// transaction may run on where in its place in the block it would be stopped.
/// Each that is begun below the bound runs to its end.
const GAS_FACTOR: u64 = 2;

type ScoutEvm<D> = MainnetEvm<Context<BlockEnv, TxEnv, CfgEnv, D, Journal<D>>>;

/// One fetcher's EVM. `gas_spent` is that of all fetchers.
pub(super) struct Scout<'r, 'p, 's, DB: DatabaseRef> {
    block: &'r Block,
    evm: ScoutEvm<WrapDatabaseRef<Ahead<'p, 's, DB>>>,
    gas_spent: &'r AtomicU64,
}

impl<'r, 'p, 's, DB: DatabaseRef> Scout<'r, 'p, 's, DB> {
    pub(super) fn new(
        block: &'r Block,
        state: Ahead<'p, 's, DB>,
        gas_spent: &'r AtomicU64,
    ) -> Self {
        let mut cfg = block.cfg.clone();
        // An earlier transaction of the block may have to raise it first.
        cfg.disable_nonce_check = true;
        let evm = Context::mainnet()
            .with_db(WrapDatabaseRef(state))
            .with_block(block.env.clone())
            .with_cfg(cfg)
            .build_mainnet();
        Self { block, evm, gas_spent }
    }

    /// Reads what a transaction reads.
    pub(super) fn transaction(&mut self, tx: TxIndex) {
        let gas_max = self.block.env.gas_limit.saturating_mul(GAS_FACTOR);
        if self.gas_spent.load(Ordering::Relaxed) >= gas_max {
            return;
        }
        // One that cannot be executed has read what there is to read.
        if let Ok(run) = self.evm.transact(self.block.transactions[tx.index()].clone()) {
            self.gas_spent.fetch_add(run.result.tx_gas_used(), Ordering::Relaxed);
        } else {
            drop(self.evm.finalize());
        }
    }

    /// Reads what the protocol reads at the two ends of the block.
    pub(super) fn system(&self) {
        let state = &self.evm.ctx.journaled_state.database.0;
        let mut flat = FlatState::for_block(state, self.block);
        // What fails here fails again where it counts.
        drop(apply_pre_block(self.block, &mut flat));
        drop(apply_post_block(self.block, &mut flat));
    }
}
