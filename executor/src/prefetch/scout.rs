//! Finds what a transaction reads by running it alone on the state before the
//! block. Results are thrown away; what counts is what the cache then holds.
//!
//! Where the state takes several reads in one request, transactions are scouted in
//! groups: all are run without waiting for anything, what they went without is
//! asked for together, and those that failed for want of it are run again.
//!
//! A transaction that would need what an earlier one does may end early or take
//! another path, and the rest of its reads is left to those who execute it.

use core::sync::atomic::{AtomicU64, Ordering};

use forewave_analyzer::{Block, TxIndex};
use revm::{
    Context, ExecuteEvm, Journal, MainBuilder, MainContext, MainnetEvm,
    context::{BlockEnv, CfgEnv, TxEnv},
    database_interface::WrapDatabaseRef,
};

use super::{ahead::Ahead, view::StateView};
use crate::{
    flat_state::FlatState,
    system::{apply_post_block, apply_pre_block},
};

/// How many times the block's gas limit all scouts together may burn. Alone, a
/// transaction may run on where in its place in the block it would be stopped.
/// Each that is begun below the bound runs to its end.
const GAS_FACTOR: u64 = 4;

/// Times that the transactions of a group are run without waiting. What they then
/// still go without, they read one by one.
const GATHERING_RUNS_MAX: usize = 8;

type ScoutEvm<D> = MainnetEvm<Context<BlockEnv, TxEnv, CfgEnv, D, Journal<D>>>;

/// One fetcher's EVM. `gas_spent` is that of all fetchers.
pub(super) struct Scout<'r, 'p, 's, DB: StateView> {
    block: &'r Block,
    evm: ScoutEvm<WrapDatabaseRef<Ahead<'p, 's, DB>>>,
    gas_spent: &'r AtomicU64,
}

impl<'r, 'p, 's, DB: StateView> Scout<'r, 'p, 's, DB> {
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

    /// Reads what these transactions read.
    pub(super) fn transactions(&mut self, txs: &[TxIndex]) {
        let mut open: Vec<_> = txs.iter().map(|&tx| (tx, None)).collect();
        let mut left = if txs.len() > 1 { GATHERING_RUNS_MAX } else { 0 };
        while left > 0 && !open.is_empty() && !self.state().is_stopped() {
            open.retain_mut(|(tx, lack)| {
                // What follows the same guess once more is no nearer to the truth.
                if lack.is_some_and(|lack| self.state().is_under_way(lack)) {
                    return true;
                }
                self.state().gather_run();
                let succeeds = self.run(*tx);
                *lack = self.state().first_lack();
                !succeeds && lack.is_some()
            });
            if self.state().fetch_gathered() > 0 {
                left -= 1;
            } else if !open.is_empty() && !self.state().read_known() {
                // Others read what is missing: wait with them, for one's sake.
                self.run(open.remove(0).0);
            }
        }
        for (tx, _) in open {
            self.run(tx);
        }
    }

    /// Whether the transaction succeeds.
    fn run(&mut self, tx: TxIndex) -> bool {
        let gas_max = self.block.env.gas_limit.saturating_mul(GAS_FACTOR);
        if self.gas_spent.load(Ordering::Relaxed) >= gas_max {
            return false;
        }
        // One that cannot be executed has read what there is to read.
        let Ok(run) = self.evm.transact(self.block.transactions[tx.index()].clone()) else {
            drop(self.evm.finalize());
            return false;
        };
        self.gas_spent.fetch_add(run.result.tx_gas_used(), Ordering::Relaxed);
        run.result.is_success()
    }

    /// Reads what the protocol reads at the two ends of the block.
    pub(super) fn system(&self) {
        let mut flat = FlatState::for_block(self.state(), self.block);
        // What fails here fails again where it counts.
        let mut output = apply_pre_block(self.block, &mut flat).unwrap_or_default();
        drop(apply_post_block(self.block, &mut flat, &mut output));
    }

    const fn state(&self) -> &Ahead<'p, 's, DB> {
        &self.evm.ctx.journaled_state.database.0
    }
}
