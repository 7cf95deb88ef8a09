//! Any EVM: transactions run ahead of their turn on all threads, and what each of them read of
//! accounts and slots is compared with the block's database when its turn has come.
//!
//! ```text
//! threads of the pool   take the first transaction that none has taken ── run on what is published
//! calling thread        in block order: same values? its result : the chain's executor runs it
//! ```
//!
//! The calling thread never waits for a transaction that no thread is running: it runs that one
//! itself. A transaction waits for the earlier ones of its sender, and for nothing else.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use alloy_evm::{
    Database, Evm, EvmEnv, EvmFactory, FromRecoveredTx, FromTxWithEncoded, RecoveredTx,
    block::{BlockExecutionError, BlockExecutor, StateDB},
};
use alloy_primitives::{Address, map::AddressMap};
use forewave_analyzer::PanickedError;
use forewave_executor::AtWork;
use rayon::ThreadPool;
use revm::{
    DatabaseRef,
    context::result::ResultAndState,
    state::{Account, AccountInfo, TransactionId},
};

use super::{
    Fees, Prepare,
    published::Published,
    view::{Frames, Reads, View},
};

/// Transactions by whose staleness it is judged whether to run ahead, and how many of them may
/// be stale: as in the run loop.
const JUDGED: u32 = 32;
const STALE_MAX: u32 = 20;

/// A block's transactions, and what they are run ahead with.
pub(super) struct BlockAhead<'b, G: EvmFactory, S> {
    pub(super) evms: &'b G,
    pub(super) env: &'b EvmEnv<G::Spec, G::BlockEnv>,
    pub(super) envs: &'b [G::Tx],
    pub(super) state: &'b S,
    pub(super) fees: Fees,
}

/// A run of a transaction ahead of its turn.
struct Run<H> {
    result: ResultAndState<H>,
    reads: Reads,
    /// Accounts that it paid fees to and did nothing else with.
    paid: Vec<(Address, Fee)>,
}

/// A fee as it was paid.
#[derive(Clone, Copy)]
struct Fee {
    wei: alloy_primitives::U256,
    touches: bool,
}

/// How far a transaction is.
enum Status<H> {
    Waiting,
    /// A thread is running it.
    Taken,
    /// It has run, `None` where it could not be executed on what it saw.
    Run(Option<Box<Run<H>>>),
    /// It has been committed, or is about to be.
    Committed,
}

/// Who runs what.
struct Board<H> {
    txs: Mutex<Txs<H>>,
    changed: Condvar,
    /// The transaction before each one of the same sender.
    after: Vec<Option<usize>>,
}

struct Txs<H> {
    statuses: Vec<Status<H>>,
    /// All before it are taken.
    first_waiting: usize,
    is_over: bool,
}

impl<H> Board<H> {
    fn new(senders: impl Iterator<Item = Address>) -> Self {
        let mut last = AddressMap::default();
        let after: Vec<_> =
            senders.enumerate().map(|(tx, sender)| last.insert(sender, tx)).collect();
        let statuses = after.iter().map(|_| Status::Waiting).collect();
        let txs = Txs { statuses, first_waiting: 0, is_over: false };
        Self { txs: Mutex::new(txs), changed: Condvar::new(), after }
    }

    fn txs(&self) -> MutexGuard<'_, Txs<H>> {
        self.txs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'t>(&self, txs: MutexGuard<'t, Txs<H>>) -> MutexGuard<'t, Txs<H>> {
        self.changed.wait(txs).unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the first transaction that may run, once there is one; none once all are taken.
    fn take(&self) -> Option<usize> {
        let mut txs = self.txs();
        loop {
            if txs.is_over {
                return None;
            }
            let is_waiting = |tx: &usize| matches!(txs.statuses[*tx], Status::Waiting);
            let from = txs.first_waiting..self.after.len();
            let first_waiting = from.clone().find(is_waiting)?;
            let may_run = |tx: &usize| {
                let earlier = self.after[*tx].map(|earlier| &txs.statuses[earlier]);
                earlier.is_none_or(|status| matches!(status, Status::Run(_) | Status::Committed))
            };
            let found = (first_waiting..from.end).find(|tx| is_waiting(tx) && may_run(tx));
            txs.first_waiting = first_waiting;
            if let Some(tx) = found {
                txs.statuses[tx] = Status::Taken;
                return Some(tx);
            }
            txs = self.wait(txs);
        }
    }

    /// Says that a taken transaction has run.
    fn put(&self, tx: usize, run: Option<Run<H>>) {
        self.txs().statuses[tx] = Status::Run(run.map(Box::new));
        self.changed.notify_all();
    }

    /// The run of a transaction whose turn it is, once it is done; none if there is none and it
    /// is the caller's to be run.
    fn claim(&self, tx: usize) -> Option<Box<Run<H>>> {
        let mut txs = self.txs();
        while matches!(txs.statuses[tx], Status::Taken) {
            txs = self.wait(txs);
        }
        match core::mem::replace(&mut txs.statuses[tx], Status::Taken) {
            Status::Run(run) => run,
            _ => None,
        }
    }

    /// Says that a transaction that was claimed is committed.
    fn commit(&self, tx: usize) {
        self.txs().statuses[tx] = Status::Committed;
        self.changed.notify_all();
    }

    /// Takes no more transactions.
    fn end(&self) {
        self.txs().is_over = true;
        self.changed.notify_all();
    }
}

/// Ends the work of the other threads, however the calling one ends.
struct EndOnDrop<'b, H>(&'b Board<H>);

impl<H> Drop for EndOnDrop<'_, H> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Executes the transactions of a block in `chain`, each by the run that was made of it ahead of
/// its turn, if it saw what it would see now.
pub(super) fn execute<X, G, S, T>(
    chain: &mut X,
    block: &BlockAhead<'_, G, S>,
    recovered: Vec<T>,
    pool: &ThreadPool,
) -> Result<(), BlockExecutionError>
where
    X: BlockExecutor<Evm: Prepare<Tx = G::Tx, HaltReason = G::HaltReason, DB: StateDB>>,
    G: EvmFactory<Tx: Clone + Send + Sync> + Sync,
    G::Tx: FromRecoveredTx<X::Transaction> + FromTxWithEncoded<X::Transaction>,
    S: DatabaseRef<Error: core::error::Error + Send + Sync + 'static> + Sync,
    T: RecoveredTx<X::Transaction>,
{
    let board = Board::new(recovered.iter().map(|tx| *tx.signer()));
    let published = Published::new();
    pool.in_place_scope(|scope| {
        for _ in 1..pool.current_num_threads() {
            scope.spawn(|_| {
                let Some(_at_work) = AtWork::of_pool() else { return };
                work(block, &board, &published);
            });
        }
        let _at_work = AtWork::of_caller();
        let _end = EndOnDrop(&board);
        let mut stale = 0_u64;
        for (tx, recovered) in recovered.into_iter().enumerate() {
            let run = board.claim(tx);
            let had_run = run.is_some();
            let fresh = run.and_then(|run| {
                let fresh = still_holds(chain.evm_mut().db_mut(), &run);
                if fresh.is_none() {
                    published.withdraw(tx, &run.result.state);
                }
                fresh.map(|paid| with_fees(*run, paid))
            });
            let is_stale = had_run && fresh.is_none();
            stale = (stale << 1 | u64::from(is_stale)) & ((1 << JUDGED) - 1);
            if let Some(fresh) = fresh {
                chain.evm_mut().prepare(fresh);
            }
            chain.execute_transaction((block.envs[tx].clone(), recovered))?;
            for state in chain.evm_mut().take_changes() {
                published.publish(tx, &state, |_| false);
            }
            board.commit(tx);
            if stale.count_ones() > STALE_MAX {
                board.end();
            }
        }
        Ok(())
    })
}

/// What a thread of the pool does.
fn work<G, S>(block: &BlockAhead<'_, G, S>, board: &Board<G::HaltReason>, published: &Published)
where
    G: EvmFactory<Tx: Clone>,
    S: DatabaseRef<Error: core::error::Error + Send + Sync + 'static>,
{
    while let Some(tx) = board.take() {
        // Whatever panics, the transaction is put back: others wait for it.
        let run = PanickedError::catch(|| run_ahead(block, published, tx));
        let has_panicked = run.is_err();
        board.put(tx, run.ok().flatten());
        if has_panicked {
            return;
        }
    }
}

/// Runs a transaction on what is published before it, and publishes what it did; none if it
/// cannot be executed.
fn run_ahead<G, S>(
    block: &BlockAhead<'_, G, S>,
    published: &Published,
    tx: usize,
) -> Option<Run<G::HaltReason>>
where
    G: EvmFactory<Tx: Clone>,
    S: DatabaseRef<Error: core::error::Error + Send + Sync + 'static>,
{
    // One for each transaction: what an EVM keeps between two is not among the reads.
    let frames = Frames::default();
    let view = View::new(block.state, published, tx, frames.clone());
    let mut evm = block.evms.create_evm_with_inspector(view, block.env.clone(), frames.clone());
    let result = evm.transact_raw(block.envs[tx].clone()).ok()?;
    let reads = evm.db_mut().take_reads();
    let run = run_of(result, reads, frames.ended(), block.fees);
    let is_paid = |address: &Address| run.paid.iter().any(|(paid, _)| paid == address);
    published.publish(tx, &run.result.state, is_paid);
    Some(run)
}

/// A run, and which of its late loads were to pay a fee.
fn run_of<H>(result: ResultAndState<H>, mut reads: Reads, ended: u32, fees: Fees) -> Run<H> {
    let mut paid = Vec::new();
    for (after, address, seen) in core::mem::take(&mut reads.late) {
        let fee = match fees {
            // What was loaded between two frames may matter to the second.
            Fees::AddedLast if after == ended => {
                result.state.get(&address).and_then(|account| fee(account, seen.as_ref()))
            }
            Fees::AddedLast | Fees::Unknown => None,
        };
        match fee {
            Some(fee) => paid.push((address, fee)),
            None => reads.accounts.push((address, seen)),
        }
    }
    Run { result, reads, paid }
}

/// What was added to the balance of an account, if nothing else was done to it.
fn fee(account: &Account, seen: Option<&AccountInfo>) -> Option<Fee> {
    let before = seen.cloned().unwrap_or_default();
    let AccountInfo { balance, nonce, code_hash, .. } = account.info;
    let is_as_before = nonce == before.nonce
        && code_hash == before.code_hash
        && account.storage.is_empty()
        && !account.is_created()
        && !account.is_selfdestructed();
    let wei = balance.checked_sub(before.balance).filter(|_| is_as_before)?;
    Some(Fee { wei, touches: account.is_touched() })
}

/// The accounts that fees are paid to, as the run leaves them now, if everything else that it
/// read is still as it saw it. A database that fails says no: the failure is met again.
fn still_holds<H>(db: &mut impl Database, run: &Run<H>) -> Option<Vec<(Address, Account)>> {
    for (address, seen) in &run.reads.accounts {
        (db.basic(*address).ok()? == *seen).then_some(())?;
    }
    for (address, key, seen) in &run.reads.slots {
        (db.storage(*address, *key).ok()? == *seen).then_some(())?;
    }
    for (number, seen) in &run.reads.block_hashes {
        (db.block_hash(*number).ok()? == *seen).then_some(())?;
    }
    let mut paid = Vec::with_capacity(run.paid.len());
    for (address, fee) in &run.paid {
        let mut account = match db.basic(*address).ok()? {
            Some(info) => Account::from(info),
            None => Account::new_not_existing(TransactionId::ZERO),
        };
        // A fee that overflows is the EVM's to deal with.
        account.info.balance = account.info.balance.checked_add(fee.wei)?;
        if fee.touches {
            account.mark_touch();
        }
        paid.push((*address, account));
    }
    Some(paid)
}

/// The result of a run with the fees paid to accounts as they are now.
fn with_fees<H>(run: Run<H>, paid: Vec<(Address, Account)>) -> ResultAndState<H> {
    let mut result = run.result;
    result.state.extend(paid);
    result
}
