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
//! Then, on the calling thread and in block order, each transaction's reads
//! are compared with the state as it is after all lower ones. If none is stale
//! its transition is applied; otherwise it runs again on that state. By
//! induction each transaction ends as in a sequential run, whatever was
//! predicted.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use forewave_analyzer::{Block, Location, TxIndex};
use forewave_scheduler::{Chain, ConflictGraph, Schedule};
use rayon::ThreadPool;
use revm::{
    Context, Database, DatabaseRef, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext,
    MainnetEvm, context::result::ExecutionResult, primitives::KECCAK_EMPTY, state::AccountInfo,
};

use crate::{
    BlockOutcome, ExecutionError, ExecutionStats, Reexecution, ReexecutionReason, TxReceipt,
    flat_state::FlatState,
    looks::Looked,
    system::{apply_post_block, apply_pre_block, check_gas_limit},
    tracking::{
        AccountRead, Reads, Record, TrackingEvm, discard_record, take_record, tracking_evm,
    },
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
    DB::Error: 'static,
{
    let transactions = block.transactions.len();
    let scheduled = schedule.waves().iter().flat_map(forewave_scheduler::Wave::chains);
    let scheduled: usize = scheduled.map(|chain| chain.transactions().len()).sum();
    if scheduled != transactions || graph.len() != transactions {
        return Err(ExecutionError::ScheduleMismatch { scheduled, transactions });
    }
    let mut flat = FlatState::new(state);
    let mut notes = apply_pre_block(block, &mut flat)?;
    let runs = run_waves(block, &flat, graph, schedule, pool);
    let threads = pool.current_num_threads();
    let mut stats = ExecutionStats { threads, waves: schedule.waves().len(), reexecuted: vec![] };
    let (mut flat, receipts) = take_in_order(block, flat, runs, &mut stats.reexecuted)?;
    notes.extend(apply_post_block(block, &mut flat)?);
    let changes = flat.into_changes().map_err(ExecutionError::SystemState)?;
    Ok(BlockOutcome::new(receipts, changes, notes, stats))
}

/// One transaction's run in its wave.
#[derive(Debug)]
struct TxRun {
    result: ExecutionResult,
    record: Record,
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

    fn wait(&self) {
        let mut spins = 0;
        while self.unfinished.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS_BEFORE_YIELD {
                core::hint::spin_loop();
            } else {
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

/// Runs every wave. A transaction that could not be executed on the state it
/// saw has no run.
fn run_waves<DB: DatabaseRef + Sync>(
    block: &Block,
    base: &FlatState<'_, DB>,
    graph: &ConflictGraph,
    schedule: &Schedule,
    pool: &ThreadPool,
) -> Vec<Option<TxRun>> {
    let versions = Versions::new(graph.accesses());
    let runs: Vec<OnceLock<TxRun>> =
        core::iter::repeat_with(OnceLock::new).take(block.transactions.len()).collect();
    let waves: Vec<_> = schedule.waves().iter().map(|w| SharedWave::new(w.chains())).collect();
    pool.broadcast(|_| work(block, base, &versions, &waves, &runs));
    runs.into_iter().map(OnceLock::into_inner).collect()
}

/// One thread's part in all waves.
fn work<DB: DatabaseRef>(
    block: &Block,
    base: &FlatState<'_, DB>,
    versions: &Versions<'_>,
    waves: &[SharedWave<'_>],
    runs: &[OnceLock<TxRun>],
) {
    let view = VersionedView { versions, base, tx: TxIndex::default() };
    let mut evm = tracking_evm(block, view);
    for wave in waves {
        while let Some((chain, _unfinished)) = wave.claim() {
            for &tx in chain.transactions() {
                evm.ctx.journaled_state.database.inner.tx = tx;
                if let Some(run) = run_transaction(&mut evm, block, tx) {
                    versions.publish(tx, &run.record.transition);
                    runs[tx.index()].set(run).expect("a schedule holds each transaction once");
                }
            }
        }
        wave.wait();
    }
}

fn run_transaction<D: Database>(
    evm: &mut TrackingEvm<D>,
    block: &Block,
    tx: TxIndex,
) -> Option<TxRun> {
    let env = &block.transactions[tx.index()];
    if let Some((result, record)) = transfer(evm, env) {
        return Some(TxRun { result, record });
    }
    let Ok(run) = evm.transact(env.clone()) else {
        discard_record(evm);
        return None;
    };
    Some(TxRun { result: run.result, record: take_record(evm, env, &run.state) })
}

/// Takes the runs in block order, running again what read something stale.
#[expect(clippy::type_complexity)]
fn take_in_order<'a, DB: DatabaseRef>(
    block: &Block,
    flat: FlatState<'a, DB>,
    runs: Vec<Option<TxRun>>,
    reexecuted: &mut Vec<Reexecution>,
) -> Result<(FlatState<'a, DB>, Vec<TxReceipt>), ExecutionError<DB::Error>>
where
    DB::Error: 'static,
{
    let mut evm = Context::mainnet()
        .with_db(flat)
        .with_block(block.env.clone())
        .with_cfg(block.cfg.clone())
        .build_mainnet();
    let mut receipts: Vec<TxReceipt> = Vec::with_capacity(runs.len());
    let mut gas_used = 0;
    for (tx, run) in runs.into_iter().enumerate() {
        let tx = TxIndex::new(tx);
        check_gas_limit(block, tx, gas_used)?;
        let flat = &mut evm.ctx.journaled_state.database;
        let at = |source| ExecutionError::State { tx, source };
        let stale =
            run.as_ref().map(|run| first_stale(&run.record.reads, flat)).transpose().map_err(at)?;
        let result = match (run, stale) {
            (Some(run), Some(None)) => {
                flat.apply(&run.record.transition).map_err(at)?;
                run.result
            }
            (_, stale) => {
                let reason = match stale.flatten() {
                    Some(location) => ReexecutionReason::StaleRead { location },
                    None => ReexecutionReason::NotExecutable,
                };
                reexecuted.push(Reexecution { tx, reason });
                run_again(&mut evm, block, tx)?
            }
        };
        let tx_type = block.transactions[tx.index()].tx_type;
        let receipt = TxReceipt::new(tx_type, gas_used, result);
        gas_used = receipt.cumulative_gas_used;
        receipts.push(receipt);
    }
    Ok((evm.ctx.journaled_state.database, receipts))
}

type CommittingEvm<'a, DB> = MainnetEvm<
    Context<
        revm::context::BlockEnv,
        revm::context::TxEnv,
        revm::context::CfgEnv,
        FlatState<'a, DB>,
    >,
>;

/// The sequential fallback of one transaction.
fn run_again<DB: DatabaseRef>(
    evm: &mut CommittingEvm<'_, DB>,
    block: &Block,
    tx: TxIndex,
) -> Result<ExecutionResult, ExecutionError<DB::Error>>
where
    DB::Error: 'static,
{
    let env = block.transactions[tx.index()].clone();
    evm.transact_commit(env).map_err(|error| ExecutionError::at(tx, error))
}

/// The first location that was read with another value than it has now.
fn first_stale<DB: DatabaseRef>(
    reads: &Reads,
    flat: &mut FlatState<'_, DB>,
) -> Result<Option<Location>, DB::Error> {
    for read in reads.accounts.iter().filter(|read| !read.looked.is_empty()) {
        if let Some(location) = stale_field(read, flat.account(read.address)?) {
            return Ok(Some(location));
        }
    }
    for read in &reads.storage {
        if flat.storage(read.address, read.key)? != read.value {
            return Ok(Some(Location::Storage(read.address, read.key)));
        }
    }
    Ok(None)
}

/// The first field that was looked at and differs now.
fn stale_field(read: &AccountRead, now: Option<&AccountInfo>) -> Option<Location> {
    let then = read.info.as_ref();
    let balance = |info: Option<&AccountInfo>| info.map(|info| info.balance).unwrap_or_default();
    let nonce = |info: Option<&AccountInfo>| info.map_or(0, |info| info.nonce);
    let code = |info: Option<&AccountInfo>| info.map_or(KECCAK_EMPTY, |info| info.code_hash);
    let empty = |info: Option<&AccountInfo>| info.is_none_or(AccountInfo::is_empty);
    let differs = |part| match part {
        Looked::BALANCE => balance(then) != balance(now),
        Looked::NONCE => nonce(then) != nonce(now),
        Looked::CODE => code(then) != code(now),
        Looked::EMPTINESS => empty(then) != empty(now),
        _ => then.is_some() != now.is_some(),
    };
    let stale = read.looked.iter().find(|part| differs(*part))?;
    Some(match stale {
        Looked::NONCE => Location::Nonce(read.address),
        Looked::CODE => Location::Code(read.address),
        _ => Location::Balance(read.address),
    })
}
