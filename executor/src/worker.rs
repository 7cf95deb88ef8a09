//! One thread's part in a run: an EVM that is used again and again over the
//! thread's own view of the state.

use forewave_analyzer::{Block, ExactPaths, TxIndex};
use revm::{DatabaseRef, ExecuteEvm, context::result::EVMError};

use crate::{
    ExecutionError,
    exact::{Evaluated, ExactCalls},
    flat_state::FlatState,
    flow::{self, Claim, Flow},
    history::Settled,
    ledger::Ledger,
    parallel::Run,
    runs::{Basis, TxRun},
    tracking::{Recording, TrackingEvm, discard_record, take_record, tracking_evm},
    transfer::TransferRules,
    view::View,
};

/// The most accounts of a transaction for whose sake the room for them is kept.
const KEPT_ACCOUNTS_MAX: usize = 256;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Worker<'a, DB: DatabaseRef> {
    block: &'a Block,
    rules: Option<&'a TransferRules<'a>>,
    exact: Option<ExactCalls<'a>>,
    evm: TrackingEvm<View<'a, DB>>,
}

impl<'a, DB: DatabaseRef> Worker<'a, DB> {
    /// `base` is the state before the transactions.
    pub(crate) fn new(run: &'a Run<'a, DB>, base: &FlatState<'a, DB>) -> Self {
        let settled = Settled { runs: &run.runs, history: &run.history };
        let view = View::new(base.under(settled), &run.runs, &run.needs);
        Self::with_view(run.block, run.rules.as_ref(), run.paths, view)
    }

    /// A worker that shares no state with others.
    pub(crate) fn with_view(
        block: &'a Block,
        rules: Option<&'a TransferRules<'a>>,
        paths: Option<&'a ExactPaths>,
        view: View<'a, DB>,
    ) -> Self {
        let exact = paths.and_then(|paths| ExactCalls::new(block, paths));
        Self { block, rules, exact, evm: tracking_evm(block, view) }
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
                        if let Err(error) = run.deadline.check() {
                            return run.fail(error, flow);
                        }
                        let first = self.run_ahead(TxIndex::new(task), flow.settled());
                        run.runs[task].first.set(first).expect("a task is claimed once");
                        flow.finish(task);
                    }
                }
            }
            flow.settle(|ledger, next| {
                let tx = TxIndex::new(next);
                match ledger.take(run.block, self, tx, &run.runs[next], &run.history) {
                    Ok(true) => flow::Settled::AsItWas,
                    Ok(false) => flow::Settled::Again,
                    Err(error) => {
                        run.keep(error);
                        flow::Settled::Stop
                    }
                }
            });
        }
    }

    /// The state after all transactions, of which there are `settled`.
    pub(crate) fn into_state(self, settled: usize) -> FlatState<'a, DB> {
        let mut flat = self.evm.ctx.journaled_state.database.inner.flat;
        flat.turn_to(settled);
        flat
    }

    pub(crate) fn view(&mut self) -> &mut View<'a, DB> {
        &mut self.recording().inner
    }

    fn recording(&mut self) -> &mut Recording<View<'a, DB>> {
        &mut self.evm.ctx.journaled_state.database
    }

    /// Runs a transaction before it is its turn, if that can be done.
    fn run_ahead(&mut self, tx: TxIndex, settled: usize) -> Option<TxRun> {
        let env = &self.block.transactions[tx.index()];
        let basis = self.view().turn_to(tx, env, settled);
        self.run(tx, basis).ok()
    }

    /// Runs a transaction on the state after all lower ones, which are settled.
    pub(crate) fn run_settled(&mut self, tx: TxIndex) -> Result<TxRun, ExecutionError<DB::Error>> {
        let env = &self.block.transactions[tx.index()];
        let basis = self.view().turn_to(tx, env, tx.index());
        self.run(tx, basis).map_err(|error| ExecutionError::at(tx, error))
    }

    /// Runs a transaction on what this worker has run before, and on nothing else.
    pub(crate) fn run_on_own(&mut self, tx: TxIndex) -> Option<TxRun> {
        let env = &self.block.transactions[tx.index()];
        self.view().turn_to_own(env);
        let mut run = self.run(tx, Basis::Ahead).ok()?;
        if !run.names_nonce {
            self.view().flat.note_base(&mut run.record.reads);
        }
        self.view().flat.apply(&run.record.transition).ok()?;
        Some(run)
    }

    fn run(&mut self, tx: TxIndex, basis: Basis) -> Result<TxRun, EVMError<DB::Error>> {
        let env = &self.block.transactions[tx.index()];
        if let Some(rules) = self.rules
            && let Some(transfer) = rules.transfer(self.view(), env)
        {
            let names_nonce = self.view().names_nonce();
            let (result, record) = (transfer.result(), transfer.record());
            return Ok(TxRun { result, record, basis, names_nonce, is_evaluated: false });
        }
        if let Some((exact, rules)) = self.exact.as_mut().zip(self.rules) {
            let view = &mut self.evm.ctx.journaled_state.database.inner;
            if let Some(evaluated) = exact.run(rules, view, env, basis != Basis::Settled) {
                let names_nonce = view.names_nonce();
                let Evaluated { result, record } = evaluated;
                let is_evaluated = true;
                return Ok(TxRun { result, record, basis, names_nonce, is_evaluated });
            }
            exact.learn(view, env);
        }
        self.recording().set_enabled(basis != Basis::Settled);
        let result = self.evm.transact_one(env.clone());
        let mut state = self.evm.finalize();
        let run = match result {
            Ok(result) => {
                let record = take_record(&mut self.evm, env, &state);
                let names_nonce = self.view().names_nonce();
                Ok(TxRun { result, record, basis, names_nonce, is_evaluated: false })
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
