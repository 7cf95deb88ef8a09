//! One thread's part in a run: an EVM that is used again and again over the
//! thread's own view of the state.

use forewave_analyzer::{Block, TxIndex};
use revm::{DatabaseRef, ExecuteEvm, context::result::EVMError};

use crate::{
    ExecutionError,
    flat_state::FlatState,
    flow::{Claim, Flow, Settled},
    ledger::Ledger,
    parallel::Run,
    tracking::{Recording, TrackingEvm, discard_record, take_record, tracking_evm},
    transfer::TransferRules,
    view::{Basis, TxRun, View},
};

/// The most accounts of a transaction for whose sake the room for them is kept.
const KEPT_ACCOUNTS_MAX: usize = 256;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Worker<'a, 's, DB: DatabaseRef> {
    block: &'a Block,
    rules: Option<&'a TransferRules<'a>>,
    evm: TrackingEvm<View<'a, 's, DB>>,
}

impl<'a, 's, DB: DatabaseRef> Worker<'a, 's, DB> {
    pub(crate) fn new(run: &'a Run<'a, DB>, base: FlatState<'s, DB>) -> Self {
        let evm = tracking_evm(run.block, View::new(base, &run.runs, &run.needs));
        Self { block: run.block, rules: run.rules.as_ref(), evm }
    }

    /// Claims, runs and settles until the run is over.
    pub(crate) fn work(&mut self, run: &Run<'_, DB>, flow: &Flow<'_, Ledger>) {
        let _guard = flow.stop_on_panic();
        let mut claimed = Vec::new();
        loop {
            match flow.claim(&mut claimed) {
                Claim::Over => return,
                Claim::Idle => flow.wait(),
                Claim::Some => {
                    for task in claimed.drain(..) {
                        let settled = flow.settled();
                        let in_time = run.deadline.check();
                        if let Err(error) = in_time.and_then(|()| self.view().catch_up(settled)) {
                            return run.fail(error, flow);
                        }
                        let first = self.run_ahead(TxIndex::new(task));
                        run.runs[task].first.set(first).expect("a task is claimed once");
                        flow.finish(task);
                    }
                }
            }
            flow.settle(|ledger, next| {
                let tx = TxIndex::new(next);
                match ledger.take(run.block, self, tx, &run.runs[next]) {
                    Ok(true) => Settled::AsItWas,
                    Ok(false) => Settled::Again,
                    Err(error) => {
                        run.keep(error);
                        Settled::Stop
                    }
                }
            });
        }
    }

    /// The state after `settled` transactions, which are all there are.
    pub(crate) fn into_state(
        mut self,
        settled: usize,
    ) -> Result<FlatState<'s, DB>, ExecutionError<DB::Error>> {
        self.view().catch_up(settled)?;
        Ok(self.evm.ctx.journaled_state.database.inner.flat)
    }

    pub(crate) fn view(&mut self) -> &mut View<'a, 's, DB> {
        &mut self.recording().inner
    }

    fn recording(&mut self) -> &mut Recording<View<'a, 's, DB>> {
        &mut self.evm.ctx.journaled_state.database
    }

    /// Runs a transaction before it is its turn, if that can be done.
    fn run_ahead(&mut self, tx: TxIndex) -> Option<TxRun> {
        let env = &self.block.transactions[tx.index()];
        let basis = self.view().turn_to(tx, env);
        self.run(tx, basis).ok()
    }

    /// Runs a transaction on the state after all lower ones, which is where the
    /// view must be.
    pub(crate) fn run_settled(&mut self, tx: TxIndex) -> Result<TxRun, ExecutionError<DB::Error>> {
        let env = &self.block.transactions[tx.index()];
        let basis = self.view().turn_to(tx, env);
        debug_assert_eq!(basis, Basis::Settled);
        self.run(tx, basis).map_err(|error| ExecutionError::at(tx, error))
    }

    fn run(&mut self, tx: TxIndex, basis: Basis) -> Result<TxRun, EVMError<DB::Error>> {
        let env = &self.block.transactions[tx.index()];
        if let Some(rules) = self.rules
            && let Some(transfer) = rules.transfer(self.view(), env)
        {
            let names_nonce = self.view().names_nonce();
            let (result, record) = (transfer.result(), transfer.record());
            return Ok(TxRun { result, record, basis, names_nonce });
        }
        self.recording().set_enabled(basis != Basis::Settled);
        let result = self.evm.transact_one(env.clone());
        let mut state = self.evm.finalize();
        let run = match result {
            Ok(result) => {
                let record = take_record(&mut self.evm, env, &state);
                let names_nonce = self.view().names_nonce();
                Ok(TxRun { result, record, basis, names_nonce })
            }
            Err(error) => {
                discard_record(&mut self.evm);
                Err(error)
            }
        };
        // The next transaction finds the room that this one's accounts took.
        state.clear();
        if state.capacity() <= KEPT_ACCOUNTS_MAX {
            self.evm.ctx.journaled_state.inner.state = state;
        }
        run
    }
}
