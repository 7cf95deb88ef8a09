//! Takes the runs of transactions in block order: the one place that decides
//! whether a run counts.
//!
//! A run counts if everything it depended on has, after all lower transactions,
//! the value that it saw; then its transition is applied. By induction each
//! transaction ends as in a sequential run, whatever was predicted. Runs may be
//! taken while others are still under way; the first that does not count stops
//! this until [`Ledger::finish`], which runs it again.

use std::sync::OnceLock;

use forewave_analyzer::{Block, Location, TxIndex};
use revm::{
    Context, Database, DatabaseRef, ExecuteCommitEvm, MainBuilder, MainContext,
    context::result::ExecutionResult,
    primitives::{KECCAK_EMPTY, U256},
    state::AccountInfo,
};

use crate::{
    ExecutionError, Reexecution, ReexecutionReason, TxReceipt,
    flat_state::FlatState,
    looks::Looked,
    system::check_gas_limit,
    tracking::{AccountRead, Reads, Record, is_hoard},
};

/// One transaction's run in its wave.
#[derive(Debug)]
pub(crate) struct TxRun {
    pub(crate) result: ExecutionResult,
    pub(crate) record: Record,
}

/// The state after the transactions taken so far.
#[derive(Debug)]
pub(crate) struct Ledger<'a, DB: DatabaseRef> {
    flat: FlatState<'a, DB>,
    taken: usize,
    gas_used: u64,
    /// Where the run of the next transaction is stale.
    stale: Option<Location>,
    failed: Option<ExecutionError<DB::Error>>,
}

/// What is left when all transactions are taken.
#[derive(Debug)]
pub(crate) struct Taken<'a, DB> {
    pub(crate) flat: FlatState<'a, DB>,
    pub(crate) receipts: Vec<TxReceipt>,
    pub(crate) reexecuted: Vec<Reexecution>,
}

impl<'a, DB: DatabaseRef> Ledger<'a, DB> {
    /// A ledger that has taken nothing, over the state before the transactions.
    pub(crate) fn new(flat: FlatState<'a, DB>) -> Self {
        Self { flat, taken: 0, gas_used: 0, stale: None, failed: None }
    }

    /// Takes what is there and counts, up to the first that is not or does not.
    pub(crate) fn advance(&mut self, block: &Block, runs: &[OnceLock<TxRun>]) {
        while self.stale.is_none()
            && self.failed.is_none()
            && let Some(run) = runs.get(self.taken).and_then(OnceLock::get)
        {
            self.failed = self.take(block, run).err();
        }
    }

    /// Takes one run if it counts.
    fn take(&mut self, block: &Block, run: &TxRun) -> Result<(), ExecutionError<DB::Error>> {
        let tx = TxIndex::new(self.taken);
        let at = |source| ExecutionError::State { tx, source };
        check_gas_limit(block, tx, self.gas_used)?;
        self.stale = first_stale(&run.record.reads, &mut self.flat).map_err(at)?;
        if self.stale.is_none() {
            self.flat.apply(&run.record.transition).map_err(at)?;
            self.gas_used += run.result.tx_gas_used();
            self.taken += 1;
        }
        Ok(())
    }

    /// Takes the rest, running again what does not count, and gives a receipt
    /// for each transaction.
    pub(crate) fn finish(
        mut self,
        block: &Block,
        mut runs: Vec<OnceLock<TxRun>>,
    ) -> Result<Taken<'a, DB>, ExecutionError<DB::Error>> {
        let mut reexecuted = Vec::new();
        self.advance(block, &runs);
        while self.failed.is_none() && self.taken < runs.len() {
            let tx = TxIndex::new(self.taken);
            let reason = match self.stale.take() {
                Some(location) => ReexecutionReason::StaleRead { location },
                None => ReexecutionReason::NotExecutable,
            };
            reexecuted.push(Reexecution { tx, reason });
            let result = self.run_again(block, tx)?;
            runs[tx.index()] = OnceLock::from(TxRun { result, record: Record::default() });
            self.advance(block, &runs);
        }
        if let Some(error) = self.failed {
            return Err(error);
        }
        let receipts = receipts(block, runs);
        Ok(Taken { flat: self.flat, receipts, reexecuted })
    }

    /// The sequential fallback of one transaction.
    fn run_again(
        &mut self,
        block: &Block,
        tx: TxIndex,
    ) -> Result<ExecutionResult, ExecutionError<DB::Error>> {
        check_gas_limit(block, tx, self.gas_used)?;
        let result = Context::mainnet()
            .with_db(&mut self.flat)
            .with_block(block.env.clone())
            .with_cfg(block.cfg.clone())
            .build_mainnet()
            .transact_commit(block.transactions[tx.index()].clone())
            .map_err(|error| ExecutionError::at(tx, error))?;
        self.gas_used += result.tx_gas_used();
        self.taken += 1;
        Ok(result)
    }
}

fn receipts(block: &Block, runs: Vec<OnceLock<TxRun>>) -> Vec<TxReceipt> {
    let mut gas_used = 0;
    let runs = runs.into_iter().zip(&block.transactions);
    runs.map(|(run, tx)| {
        let run = run.into_inner().expect("every transaction was taken");
        let receipt = TxReceipt::new(tx.tx_type, gas_used, run.result);
        gas_used = receipt.cumulative_gas_used;
        receipt
    })
    .collect()
}

/// The first location that was read with another value than it has now.
fn first_stale<DB: DatabaseRef>(
    reads: &Reads,
    flat: &mut FlatState<'_, DB>,
) -> Result<Option<Location>, DB::Error> {
    for read in reads.accounts.iter().filter(|read| !read.looked.is_empty()) {
        if let Some(location) = stale_field(read, reads.cost, flat.account(read.address)?) {
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
fn stale_field(read: &AccountRead, cost: U256, now: Option<&AccountInfo>) -> Option<Location> {
    let then = read.info.as_ref();
    let balance = |info: Option<&AccountInfo>| info.map(|info| info.balance).unwrap_or_default();
    let nonce = |info: Option<&AccountInfo>| info.map_or(0, |info| info.nonce);
    let code = |info: Option<&AccountInfo>| info.map_or(KECCAK_EMPTY, |info| info.code_hash);
    let empty = |info: Option<&AccountInfo>| info.is_none_or(AccountInfo::is_empty);
    let differs = |part| match part {
        Looked::BALANCE => balance(then) != balance(now),
        Looked::COVER => balance(now) < cost && balance(then) >= cost,
        Looked::NONCE => nonce(then) != nonce(now),
        Looked::CODE => code(then) != code(now),
        Looked::EMPTINESS => empty(then) != empty(now),
        _ => then.is_some() != now.is_some() || empty(then) != empty(now),
    };
    if !read.looked.contains(Looked::BALANCE) && now.is_some_and(is_hoard) {
        return Some(Location::Balance(read.address));
    }
    let stale = read.looked.iter().find(|part| differs(*part))?;
    Some(match stale {
        Looked::NONCE => Location::Nonce(read.address),
        Looked::CODE => Location::Code(read.address),
        _ => Location::Balance(read.address),
    })
}
