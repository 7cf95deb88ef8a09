//! Runs the waves of a schedule on a thread pool, then takes the results in
//! block order.
//!
//! # Protocol
//!
//! Every thread of the pool runs [`work`]: wave after wave it claims chains by
//! a counter, runs each chain's transactions one after another on its own EVM,
//! and publishes their versions. It enters a wave only when the wave before
//! has no chain left unfinished, so what a transaction is predicted to read is
//! published before it runs. A chain counts as finished even if its thread
//! panics; the panic reaches the caller when all threads have returned.
//!
//! Results are taken in block order by the [`Ledger`]. A thread that has to wait
//! for the others in its wave takes what is there meanwhile, if no other thread
//! does; the calling thread takes the rest. That alone decides what counts: no
//! order in which versions become visible can make an outcome wrong.

use std::sync::{
    Mutex, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use forewave_analyzer::Block;
use forewave_scheduler::{Chain, ConflictGraph, Schedule};
use rayon::ThreadPool;
use revm::{Database, DatabaseRef, ExecuteEvm, context::TxEnv};

use crate::{
    BlockOutcome, ExecutionError, ExecutionStats,
    flat_state::FlatState,
    ledger::{Ledger, Taken, TxRun},
    system::{apply_post_block, apply_pre_block},
    tracking::{TrackingEvm, discard_record, take_record, tracking_evm},
    transfer::transfer,
    versions::{VersionedView, Versions},
};

/// Turns of a waiting thread before it yields its core.
const SPINS_BEFORE_YIELD: u32 = 64;

/// Executes the block in the waves of `schedule` on the threads of `pool`.
///
/// `graph` and `schedule` come from one prediction of this block. The outcome
/// equals that of [`sequential`](crate::sequential), statistics aside, however
/// wrong the prediction was. `state` is only read.
pub fn execute<DB>(
    block: &Block,
    state: &DB,
    graph: &ConflictGraph,
    schedule: &Schedule,
    pool: &ThreadPool,
) -> Result<BlockOutcome, ExecutionError<DB::Error>>
where
    DB: DatabaseRef + Sync,
{
    let transactions = block.transactions.len();
    let scheduled = schedule.waves().iter().flat_map(forewave_scheduler::Wave::chains);
    let scheduled: usize = scheduled.map(|chain| chain.transactions().len()).sum();
    if scheduled != transactions || graph.len() != transactions {
        return Err(ExecutionError::ScheduleMismatch { scheduled, transactions });
    }
    let mut base = FlatState::new(state);
    let mut notes = apply_pre_block(block, &mut base)?;
    let run = Run {
        block,
        versions: Versions::new(graph.accesses()),
        waves: schedule.waves().iter().map(|wave| SharedWave::new(wave.chains())).collect(),
        runs: core::iter::repeat_with(OnceLock::new).take(transactions).collect(),
        ledger: Mutex::new(Ledger::new(base.fork())),
        base: &base,
    };
    pool.broadcast(|_| work(&run));
    let ledger = run.ledger.into_inner().expect("a thread that panicked has panicked here too");
    let Taken { mut flat, receipts, reexecuted } = ledger.finish(block, run.runs)?;
    notes.extend(apply_post_block(block, &mut flat)?);
    let changes = flat.into_changes().map_err(ExecutionError::SystemState)?;
    let (threads, waves) = (pool.current_num_threads(), schedule.waves().len());
    let stats = ExecutionStats { threads, waves, reexecuted };
    Ok(BlockOutcome::new(receipts, changes, notes, stats))
}

/// What the threads share while the waves run.
#[derive(Debug)]
struct Run<'a, DB: DatabaseRef> {
    block: &'a Block,
    /// The state before the transactions.
    base: &'a FlatState<'a, DB>,
    versions: Versions<'a>,
    waves: Vec<SharedWave<'a>>,
    /// A transaction that could not be executed on the state it saw has no run.
    runs: Vec<OnceLock<TxRun>>,
    ledger: Mutex<Ledger<'a, DB>>,
}

/// The chains of one wave as the threads share them out.
#[derive(Debug)]
struct SharedWave<'a> {
    chains: &'a [Chain],
    claimed: AtomicUsize,
    unfinished: AtomicUsize,
}

impl<'a> SharedWave<'a> {
    fn new(chains: &'a [Chain]) -> Self {
        Self { chains, claimed: AtomicUsize::new(0), unfinished: AtomicUsize::new(chains.len()) }
    }

    /// The next chain nobody has claimed; it counts as finished when the
    /// returned guard is dropped.
    fn claim(&self) -> Option<(&'a Chain, Unfinished<'_>)> {
        let chain = self.chains.get(self.claimed.fetch_add(1, Ordering::Relaxed))?;
        Some((chain, Unfinished(&self.unfinished)))
    }

    /// Waits until no chain is left unfinished, doing what `meanwhile` does.
    fn wait(&self, mut meanwhile: impl FnMut()) {
        let mut spins = 0;
        while self.unfinished.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS_BEFORE_YIELD {
                core::hint::spin_loop();
            } else {
                meanwhile();
                std::thread::yield_now();
            }
        }
    }
}

/// Marks a chain finished when dropped, be it by a panic.
#[derive(Debug)]
struct Unfinished<'a>(&'a AtomicUsize);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// One thread's part in all waves.
fn work<DB: DatabaseRef>(run: &Run<'_, DB>) {
    let Run { block, base, versions, waves, runs, ledger } = run;
    let mut evm = tracking_evm(block, VersionedView::new(versions, base));
    for wave in waves {
        while let Some((chain, _unfinished)) = wave.claim() {
            for &tx in chain.transactions() {
                let env = &block.transactions[tx.index()];
                evm.ctx.journaled_state.database.inner.look_from(tx, env);
                if let Some(run) = run_transaction(&mut evm, env) {
                    versions.publish(tx, &run.record.transition);
                    runs[tx.index()].set(run).expect("a schedule holds each transaction once");
                }
            }
        }
        wave.wait(|| {
            if let Ok(mut ledger) = ledger.try_lock() {
                ledger.advance(block, runs);
            }
        });
    }
}

fn run_transaction<D: Database>(evm: &mut TrackingEvm<D>, env: &TxEnv) -> Option<TxRun> {
    if let Some((result, record)) = transfer(evm, env) {
        return Some(TxRun { result, record });
    }
    let Ok(run) = evm.transact(env.clone()) else {
        discard_record(evm);
        return None;
    };
    Some(TxRun { result: run.result, record: take_record(evm, env, &run.state) })
}
