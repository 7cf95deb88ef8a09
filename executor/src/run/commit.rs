//! Commits the runs of transactions in block order: the one place that decides whether a
//! run counts.
//!
//! A run counts if everything that it looked at has, after all earlier transactions, the
//! value that it saw. One that does not is stale: its versions are withdrawn, and the
//! transaction runs again at once, on exactly that state. By induction each transaction
//! ends as in a sequential run, whatever was predicted and in whatever order the threads
//! ran.

use forewave_analyzer::{Block, Location, TxIndex};
use revm::{DatabaseRef, context::result::ResultAndState};

use super::{
    dispatch::Next,
    narrow,
    results::state_of,
    shared::Shared,
    slots::{Basis, Pending, ReadFilter, TxSlot},
    versions::point_after,
    view::VersionedState,
    worker::Worker,
};
use crate::{
    ExecutionError, Reexecution, ReexecutionReason,
    committed::Committed,
    reads::{AccountRead, Reads, StorageRead, stale_field},
    transition::{Lifecycle, Transition},
};

/// Transactions by whose staleness it is judged whether to run ahead, and how many of
/// them may be stale.
const JUDGED: u32 = 32;
const STALE_MAX: u32 = 20;

/// Gas of stale runs that may exceed the gas of all transactions so far: a bound on hostile
/// blocks, more than stale runs of any real block use.
const STALE_GAS_MIN: u64 = 10_000_000;

/// What it costs to look at a location that was read, and at one that was changed, in terms
/// of looking whether a transaction has published something: shards and their locks
/// against a filter against a counter. Set with `examples/workloads`, the large change set.
const STEPS_PER_READ: usize = 48;
const STEPS_PER_CHANGE: usize = 4;

/// After so many transactions each it is asked whether the gas that is left can pay for the
/// reads of an access list: as often as EIP-7928 suggests.
const AFFORDABLE_EVERY: usize = 8;

/// What the committing threads know.
#[derive(Debug, Default)]
pub(super) struct Committer {
    pub(super) committed: Committed,
    pub(super) reexecuted: Vec<Reexecution>,
    /// What each transaction gave and did, where that is asked for.
    pub(super) results: Option<Vec<ResultAndState>>,
    /// Gas of the runs that were stale.
    stale_gas: u64,
    /// Whether each of the last transactions was stale, one bit each.
    stale: u64,
}

impl Committer {
    /// Commits the next transaction; `worker` is of the thread that does.
    pub(super) fn commit<'r, DB: DatabaseRef>(
        &mut self,
        shared: &Shared<'r, DB>,
        worker: &mut Worker<'_, 'r, DB>,
        tx: TxIndex,
    ) -> Next {
        let committed = match shared.versions.by_list() {
            Some(_) => match self.try_commit_listed(shared, worker, tx) {
                Ok(true) => return Next::GoOn,
                // The others run sequentially, this one first.
                Ok(false) => return Next::Stop,
                Err(error) => Err(error),
            },
            None => self.try_commit(shared, worker, tx),
        };
        match committed {
            Ok(()) if self.is_of_no_use() => Next::StopAfter,
            Ok(()) => Next::GoOn,
            Err(error) => {
                shared.fail(error);
                Next::Stop
            }
        }
    }

    /// Nothing is committed yet of a block's transactions.
    pub(super) fn new(block: &Block) -> Self {
        Self { committed: Committed::none_of(block), ..Self::default() }
    }

    /// The same, and what each transaction gives and does is kept.
    pub(super) fn keeping_results(block: &Block) -> Self {
        let results = Vec::with_capacity(block.transactions.len());
        Self { results: Some(results), ..Self::new(block) }
    }

    /// Whether too much of what was run ahead was stale.
    fn is_of_no_use(&self) -> bool {
        self.stale.count_ones() > STALE_MAX
            || self.stale_gas > self.committed.gas.paid().saturating_add(STALE_GAS_MIN)
    }

    /// Commits a transaction if it did what the block's access list says of it.
    fn try_commit_listed<'r, DB: DatabaseRef>(
        &mut self,
        shared: &Shared<'r, DB>,
        worker: &mut Worker<'_, 'r, DB>,
        tx: TxIndex,
    ) -> Result<bool, ExecutionError<DB::Error>> {
        self.committed.check(shared.block, tx)?;
        if tx.index().is_multiple_of(AFFORDABLE_EVERY)
            && let Some(by_list) = shared.versions.by_list()
            && !by_list.is_affordable(self.committed.gas.regular_left(shared.block))
        {
            self.reexecuted.push(Reexecution { tx, reason: ReexecutionReason::ListUnaffordable });
            return Ok(false);
        }
        let slot = &shared.slots[tx.index()];
        let Some(run) = slot.take() else { return Ok(false) };
        let Pending { result, reads, touched, is_as_listed, is_reused, .. } = *run;
        let at = |source| ExecutionError::State { tx, source };
        let is_as_listed = is_as_listed && sees_clearing(tx, &reads, worker.view()).map_err(at)?;
        if !is_as_listed {
            let reason = ReexecutionReason::NotAsListed;
            self.reexecuted.push(Reexecution { tx, reason });
            return Ok(false);
        }
        // A list does not say that the storage of an account was cleared.
        let accounts = slot.transitions().last().map_or(&[][..], Transition::accounts);
        for (address, change) in accounts {
            if change.lifecycle != Lifecycle::Kept {
                shared.versions.clear(point_after(tx), *address);
            }
        }
        self.committed.reused += usize::from(is_reused);
        let env = &shared.block.transactions[tx.index()];
        self.committed.add(env.tx_type, result, touched);
        Ok(true)
    }

    fn try_commit<'r, DB: DatabaseRef>(
        &mut self,
        shared: &Shared<'r, DB>,
        worker: &mut Worker<'_, 'r, DB>,
        tx: TxIndex,
    ) -> Result<(), ExecutionError<DB::Error>> {
        self.committed.check(shared.block, tx)?;
        let slot = &shared.slots[tx.index()];
        let mut pending = slot.take();
        let reason = match &pending {
            Some(run) => stale(shared, worker.view(), tx, run)?,
            None => Some(ReexecutionReason::NotExecutable),
        };
        self.stale = (self.stale << 1 | u64::from(reason.is_some())) & ((1 << JUDGED) - 1);
        if let Some(reason) = reason {
            let gas = pending.map_or(0, |run| run.result.tx_gas_used());
            self.stale_gas = self.stale_gas.saturating_add(gas);
            self.reexecuted.push(Reexecution { tx, reason });
            shared.withdraw(tx);
            worker.run_at_turn(shared, tx)?;
            pending = slot.take();
        }
        let run = pending.expect("a transaction that ran is pending");
        let Pending { result, touched, is_reused, .. } = *run;
        let env = &shared.block.transactions[tx.index()];
        let transition = slot.transitions().last().expect("what is committed has been executed");
        if let Some(results) = &mut self.results {
            let state = state_of(worker.view(), tx, transition, touched.as_ref());
            let state = state.map_err(|source| ExecutionError::State { tx, source })?;
            results.push(ResultAndState::new(result.clone(), state));
        }
        self.committed.reused += usize::from(is_reused);
        self.committed.add(env.tx_type, result, touched);
        let committed = worker.view().commit(point_after(tx), transition);
        committed.map_err(|source| ExecutionError::State { tx, source })
    }
}

/// Whether what a run has read of accounts whose storage was cleared before it is what that
/// left.
fn sees_clearing<DB: DatabaseRef>(
    tx: TxIndex,
    reads: &Reads,
    view: &mut VersionedState<'_, '_, DB>,
) -> Result<bool, DB::Error> {
    for read in &reads.storage {
        if view.versions().may_be_cleared(read.address)
            && view.slot_at(read.address, read.key, narrow(tx.index()))? != read.value
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Why the run of a transaction whose turn it is does not count, if it does not.
fn stale<'r, DB: DatabaseRef>(
    shared: &Shared<'r, DB>,
    view: &mut VersionedState<'_, 'r, DB>,
    tx: TxIndex,
    run: &Pending,
) -> Result<Option<ReexecutionReason>, ExecutionError<DB::Error>> {
    let mut validation = Validation { slots: shared.slots, view, run, tx: tx.index() };
    let stale = validation.first_stale();
    let stale = stale.map_err(|source| ExecutionError::State { tx, source })?;
    Ok(stale.map(|location| ReexecutionReason::StaleRead { location }))
}

/// What looking at changes may still cost before it is cheaper to look at all reads.
struct Steps {
    left: usize,
    /// What a change costs that the filter does not rule out.
    per_hit: usize,
}

impl Steps {
    /// Takes so many, if there are as many.
    fn take(&mut self, steps: usize) -> bool {
        let left = self.left.checked_sub(steps);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

/// What was found of a run among the changes of one transaction.
enum Judged {
    Fresh,
    Stale(Location),
    /// It takes a look at all reads.
    TooMuch,
}

/// A run of a transaction whose turn it is.
struct Validation<'c, 'v, 'r, DB> {
    slots: &'r [TxSlot],
    view: &'c mut VersionedState<'v, 'r, DB>,
    run: &'c Pending,
    tx: usize,
}

impl<DB: DatabaseRef> Validation<'_, '_, '_, DB> {
    /// A location that was read with another value than it has now.
    ///
    /// What was published before the run began, it has seen. So only what earlier
    /// transactions have published since can make it stale. Where that is much, everything
    /// that was read is looked at instead.
    fn first_stale(&mut self) -> Result<Option<Location>, DB::Error> {
        let (start, filter) = match &self.run.basis {
            Basis::Committed => return Ok(None),
            Basis::Guessed => return self.first_stale_of_all(),
            Basis::Published { start, reads } => (*start, reads),
        };
        let reads = &self.run.reads;
        let reads = reads.accounts.len() + reads.storage.len();
        let mut steps = Steps { left: STEPS_PER_READ * reads, per_hit: reads };
        for (tx, slot) in self.slots.iter().enumerate().take(self.tx).skip(start.committed) {
            let is_later = self.view.versions().was_published_after(tx, start.time);
            let mut is_judged = steps.take(1);
            for transition in slot.transitions().filter(|_| is_later) {
                is_judged = is_judged && steps.take(STEPS_PER_CHANGE * transition.len());
                if !is_judged {
                    break;
                }
                match self.first_stale_by(transition, filter, &mut steps)? {
                    Judged::Fresh => {}
                    Judged::Stale(location) => return Ok(Some(location)),
                    Judged::TooMuch => is_judged = false,
                }
            }
            if !is_judged {
                return self.first_stale_of_all();
            }
        }
        Ok(None)
    }

    /// The same among what one transition changes.
    fn first_stale_by(
        &mut self,
        transition: &Transition,
        filter: &ReadFilter,
        steps: &mut Steps,
    ) -> Result<Judged, DB::Error> {
        let hashes = self.view.versions().hashes().clone();
        for (address, change) in transition.accounts() {
            if change.lifecycle != Lifecycle::Kept {
                return Ok(Judged::TooMuch);
            }
            if filter.may_hold(hashes.account(*address)) {
                if !steps.take(steps.per_hit) {
                    return Ok(Judged::TooMuch);
                }
                if let Some(location) = self.stale_accounts(|read| read.address == *address)? {
                    return Ok(Judged::Stale(location));
                }
            }
            for slot in change.slots() {
                if filter.may_hold(hashes.slot(*address, slot.key).1) {
                    if !steps.take(steps.per_hit) {
                        return Ok(Judged::TooMuch);
                    }
                    let is_it =
                        |read: &StorageRead| read.key == slot.key && read.address == *address;
                    if let Some(location) = self.stale_slots(is_it)? {
                        return Ok(Judged::Stale(location));
                    }
                }
            }
        }
        Ok(Judged::Fresh)
    }

    /// The same among everything that was read.
    fn first_stale_of_all(&mut self) -> Result<Option<Location>, DB::Error> {
        match self.stale_accounts(|_| true)? {
            Some(location) => Ok(Some(location)),
            None => self.stale_slots(|_| true),
        }
    }

    fn stale_accounts(
        &mut self,
        is_asked: impl Fn(&AccountRead) -> bool,
    ) -> Result<Option<Location>, DB::Error> {
        let reads = &self.run.reads;
        let looked_at = reads.accounts.iter().filter(|read| !read.looked.is_empty());
        for read in looked_at.filter(|read| is_asked(read)) {
            let now = self.view.seen_at(read.address, narrow(self.tx))?;
            if let Some(location) = stale_field(read, &now) {
                return Ok(Some(location));
            }
        }
        Ok(None)
    }

    fn stale_slots(
        &mut self,
        is_asked: impl Fn(&StorageRead) -> bool,
    ) -> Result<Option<Location>, DB::Error> {
        for read in self.run.reads.storage.iter().filter(|read| is_asked(read)) {
            let now = self.view.slot_at(read.address, read.key, narrow(self.tx))?;
            if now != read.value {
                return Ok(Some(Location::Storage(read.address, read.key)));
            }
        }
        Ok(None)
    }
}
