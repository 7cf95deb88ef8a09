//! Takes the runs of transactions in block order: the one place that decides
//! whether a run counts.
//!
//! A run counts if everything it depended on has, after all lower transactions,
//! the value that it saw; then its transition is part of the history. One that does not
//! count is run again at once, on exactly that state. By induction each
//! transaction ends as in a sequential run, whatever was predicted and in
//! whatever order runs came about.

use forewave_analyzer::{Block, Location, TxIndex};
use revm::{DatabaseRef, primitives::U256};

use crate::{
    ExecutionError, Reexecution, ReexecutionReason,
    flat_state::FlatState,
    history::History,
    looks::Looked,
    runs::{Basis, TxRun, TxRuns},
    system::check_gas_limit,
    tracking::{AccountRead, Reads, Seen},
    worker::Worker,
};

/// What is known of the transactions taken so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    gas_used: u64,
    pub(crate) reexecuted: Vec<Reexecution>,
}

impl Ledger {
    /// Takes the next transaction with what `worker` has at hand, and says
    /// whether its run counted.
    pub(crate) fn take<DB: DatabaseRef>(
        &mut self,
        block: &Block,
        worker: &mut Worker<'_, DB>,
        tx: TxIndex,
        runs: &TxRuns,
        history: &History,
    ) -> Result<bool, ExecutionError<DB::Error>> {
        let at = |source| ExecutionError::State { tx, source };
        worker.view().flat.turn_to(tx.index());
        check_gas_limit(block, tx, self.gas_used)?;
        let first = runs.first.get().and_then(Option::as_ref);
        let reason = match first {
            None => Some(ReexecutionReason::NotExecutable),
            Some(run) => first_stale(run, &mut worker.view().flat)
                .map_err(at)?
                .map(|location| ReexecutionReason::StaleRead { location }),
        };
        let counts = reason.is_none();
        if let Some(reason) = reason {
            self.reexecuted.push(Reexecution { tx, reason });
            let run = worker.run_settled(tx)?;
            runs.again.set(run).expect("a transaction is taken once");
        }
        let run = runs.settled();
        self.gas_used += run.result.tx_gas_used();
        history.add(tx.index(), &run.record.transition);
        Ok(counts)
    }
}

/// The first location that was read with another value than it has in `flat`,
/// the state after all lower transactions.
pub(crate) fn first_stale<DB: DatabaseRef>(
    run: &TxRun,
    flat: &mut FlatState<'_, DB>,
) -> Result<Option<Location>, DB::Error> {
    let Reads { accounts, storage, cost, .. } = &run.record.reads;
    // What was settled then and nobody has changed since is as it was; what others
    // did ahead need not be.
    let applied = match run.basis {
        Basis::Settled => return Ok(None),
        Basis::Behind { applied } => Some(applied),
        Basis::Ahead => None,
    };
    for read in accounts.iter().filter(|read| !read.looked.is_empty()) {
        let is_named = run.names_nonce && read.looked.contains(Looked::COVER);
        if let Some(applied) = applied
            && !is_named
            && !flat.may_have_changed_account(read.address, applied)
        {
            continue;
        }
        if let Some(location) = stale_field(read, *cost, &Seen::new(flat.account(read.address)?)) {
            return Ok(Some(location));
        }
    }
    for read in storage {
        if let Some(applied) = applied
            && !flat.may_have_changed_slot(read.address, read.key, applied)?
        {
            continue;
        }
        if flat.slot(read.address, read.key)? != read.value {
            return Ok(Some(Location::Storage(read.address, read.key)));
        }
    }
    Ok(None)
}

/// The first field that was looked at and differs now.
pub(crate) fn stale_field(read: &AccountRead, cost: U256, now: &Seen) -> Option<Location> {
    let then = &read.seen;
    let differs = |part| match part {
        Looked::BALANCE => then.balance != now.balance,
        Looked::COVER => now.balance < cost && then.balance >= cost,
        Looked::NONCE => then.nonce != now.nonce,
        Looked::CODE => then.code_hash != now.code_hash,
        Looked::EMPTINESS => then.is_empty() != now.is_empty(),
        _ => then.exists != now.exists || then.is_empty() != now.is_empty(),
    };
    if !read.looked.contains(Looked::BALANCE) && now.is_hoard() {
        return Some(Location::Balance(read.address));
    }
    let stale = read.looked.iter().find(|part| differs(*part))?;
    Some(match stale {
        Looked::NONCE => Location::Nonce(read.address),
        Looked::CODE => Location::Code(read.address),
        _ => Location::Balance(read.address),
    })
}
