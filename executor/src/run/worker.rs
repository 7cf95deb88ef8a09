//! One thread of a run: takes transactions, runs them on the versions that others have
//! published, publishes what they did, and commits what can be committed.

use forewave_analyzer::TxIndex;
use revm::{
    DatabaseRef, ExecuteEvm,
    context::{
        TxEnv,
        result::{EVMError, ExecutionResult},
    },
};

use super::{
    commit::Committer,
    dispatch::{Dispatch, Take},
    shared::Shared,
    slots::{Basis, Pending, Start},
    versions::point_after,
    view::VersionedState,
};
use crate::{
    ExecutionError,
    reads::Reads,
    reuse::find,
    tracking::{Record, TrackingEvm, discard_record, keep_room, take_record, tracking_evm},
    transition::Transition,
};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Worker<'v, 'r, DB: DatabaseRef> {
    /// Used again and again, over the versions.
    evm: TrackingEvm<VersionedState<'v, 'r, DB>>,
}

impl<'v, 'r, DB: DatabaseRef> Worker<'v, 'r, DB> {
    pub(super) fn new(shared: &'v Shared<'r, DB>) -> Self {
        let view = VersionedState::new(&shared.versions, shared.state, shared.share);
        Self { evm: tracking_evm(shared.block, view) }
    }

    /// Works until the run is over.
    pub(super) fn work(&mut self, shared: &Shared<'r, DB>, dispatch: &Dispatch<'_, Committer>) {
        let _guard = dispatch.stop_on_panic();
        let mut taken = Vec::new();
        loop {
            match dispatch.take(&mut taken) {
                Take::Over => return,
                Take::Idle => dispatch.wait(),
                Take::Some => {
                    for task in taken.drain(..) {
                        let ran = self.run_ahead(shared, TxIndex::new(task), dispatch.committed());
                        if let Err(error) = ran {
                            shared.fail(error);
                            return dispatch.stop();
                        }
                        dispatch.finish(task);
                    }
                }
            }
            dispatch.commit(|committer, next| committer.commit(shared, self, TxIndex::new(next)));
        }
    }

    /// Runs and publishes a transaction, the first `committed` of those before which are
    /// committed. If it cannot be executed, that is found out again at its turn.
    fn run_ahead(
        &mut self,
        shared: &Shared<'r, DB>,
        tx: TxIndex,
        committed: usize,
    ) -> Result<(), ExecutionError<DB::Error>> {
        shared.deadline.check()?;
        let is_by_list = shared.versions.by_list().is_some();
        let is_ahead = committed < tx.index() || is_by_list;
        let done = self.run(shared, tx, is_ahead.then_some(committed)).ok();
        let ahead = shared.slots[tx.index()].ahead.get_or_init(|| done);
        match ahead {
            // What a list says of it is published.
            Some(transition) if !is_by_list => self.publish(tx, transition),
            _ => Ok(()),
        }
    }

    /// Runs and publishes a transaction at its turn.
    pub(super) fn run_at_turn(
        &mut self,
        shared: &Shared<'r, DB>,
        tx: TxIndex,
    ) -> Result<(), ExecutionError<DB::Error>> {
        shared.deadline.check()?;
        let done = self.run(shared, tx, None);
        let done = done.map_err(|error| ExecutionError::at(tx, error))?;
        let transition = shared.slots[tx.index()].at_turn.get_or_init(|| done);
        self.publish(tx, transition)
    }

    fn publish(
        &mut self,
        tx: TxIndex,
        transition: &'r Transition,
    ) -> Result<(), ExecutionError<DB::Error>> {
        let published = self.view().publish(point_after(tx), transition);
        published.map_err(|source| ExecutionError::State { tx, source })
    }

    /// The state as this thread sees it.
    pub(super) const fn view(&mut self) -> &mut VersionedState<'v, 'r, DB> {
        &mut self.evm.ctx.journaled_state.database.inner
    }

    /// Runs a transaction: at its turn, or when so many before it are committed.
    fn run(
        &mut self,
        shared: &Shared<'r, DB>,
        tx: TxIndex,
        committed: Option<usize>,
    ) -> Result<Transition, EVMError<DB::Error>> {
        let env = &shared.block.transactions[tx.index()];
        let database = &mut self.evm.ctx.journaled_state.database;
        let ahead = committed.map(|_| env).filter(|_| shared.versions.by_list().is_none());
        database.inner.turn_to(point_after(tx) - 1, ahead);
        let start = committed.map(|committed| database.inner.start(committed));
        let (known, view) = (shared.known, &mut database.inner);
        let of_tx = known.map(|known| known.of(env));
        let mut is_reused = false;
        let (result, Record { reads, transition, touched }) =
            if let Some(transfer) = shared.rules.and_then(|rules| rules.transfer(view, env)) {
                let lists = shared.block.makes_access_list;
                let touched = lists.then(|| transfer.touched());
                (transfer.result(), Record { touched, ..transfer.record() })
            } else if let Some(known) = find(known, of_tx.as_deref(), view) {
                is_reused = true;
                (known.result.clone(), known.record.clone())
            } else {
                let (result, record) = self.run_code(env, start.is_some() || known.is_some())?;
                if let (Some(known), Some(of_tx)) = (known, &of_tx) {
                    known.add(of_tx, result.clone(), record.clone());
                }
                (result, record)
            };
        let basis = self.basis(start, &reads);
        let is_as_listed = match (shared.versions.by_list(), &touched) {
            (Some(by_list), Some(touched)) => by_list
                .says(point_after(tx), touched, &transition, self.view())
                .map_err(EVMError::Database)?,
            _ => false,
        };
        let run = Pending { result, reads, touched, is_as_listed, basis, is_reused };
        shared.slots[tx.index()].put(run);
        Ok(transition)
    }

    /// Runs a transaction in the EVM.
    fn run_code(
        &mut self,
        env: &TxEnv,
        is_recorded: bool,
    ) -> Result<(ExecutionResult, Record), EVMError<DB::Error>> {
        self.evm.ctx.journaled_state.database.set_enabled(is_recorded);
        let result = self.evm.transact_one(env.clone());
        let state = self.evm.finalize();
        let run = match result {
            Ok(result) => Ok((result, take_record(&mut self.evm, env, &state))),
            Err(error) => {
                discard_record(&mut self.evm);
                Err(error)
            }
        };
        keep_room(&mut self.evm, state);
        run
    }

    /// What the run that just ended has seen.
    fn basis(&self, start: Option<Start>, reads: &Reads) -> Basis {
        let Some(start) = start else { return Basis::Committed };
        let view = &self.evm.ctx.journaled_state.database.inner;
        let late = view.versions().late_fees();
        let mut accounts = reads.accounts.iter();
        let sees_late = accounts.any(|read| Some(read.address) == late && !read.looked.is_empty());
        if view.names_nonce() || sees_late {
            return Basis::Guessed;
        }
        Basis::Published { start, reads: view.reads() }
    }
}
