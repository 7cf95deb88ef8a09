//! The chain's block executor, whose transactions run on all threads where they are all given.

use core::fmt;

use alloy_evm::{
    Evm, EvmEnv, EvmFactory, FromRecoveredTx, FromTxWithEncoded,
    block::{
        BlockExecutionError, BlockExecutionResult, BlockExecutor, BlockExecutorFactory,
        CommitChanges, ExecutableTx, ExecutableTxParts, GasOutput, StateDB,
    },
};
use revm::DatabaseRef;

use super::{
    ParallelExecutorFactory, Prepare, PreparedEvmFactory,
    accounts::{self, BlockAhead},
    changed::Changed,
    fields,
};

/// See the [module](super).
pub struct ParallelExecutor<'a, X, F: BlockExecutorFactory, S> {
    chain: X,
    /// What it takes to run ahead, if that is possible.
    ahead: Option<(&'a ParallelExecutorFactory<F, S>, F::ExecutionCtx<'a>)>,
}

impl<'a, X, F: BlockExecutorFactory, S> ParallelExecutor<'a, X, F, S> {
    pub(super) const fn new(
        chain: X,
        ahead: Option<(&'a ParallelExecutorFactory<F, S>, F::ExecutionCtx<'a>)>,
    ) -> Self {
        Self { chain, ahead }
    }

    /// The chain's own executor.
    pub const fn chain(&self) -> &X {
        &self.chain
    }

    /// The chain's own executor, to be changed.
    pub const fn chain_mut(&mut self) -> &mut X {
        &mut self.chain
    }
}

impl<X: BlockExecutor<Evm: Prepare>, F: BlockExecutorFactory, S> ParallelExecutor<'_, X, F, S> {
    /// Transactions come one by one: what a later one starts from is not the state that was
    /// opened, so nothing runs ahead any more.
    fn go_on_in_order(&mut self) {
        self.ahead = None;
        self.chain.evm_mut().drop_changes();
    }
}

impl<X, F: BlockExecutorFactory, S> fmt::Debug for ParallelExecutor<'_, X, F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let may_run_ahead = self.ahead.is_some();
        f.debug_struct("ParallelExecutor")
            .field("may_run_ahead", &may_run_ahead)
            .finish_non_exhaustive()
    }
}

impl<X, F, G, S> BlockExecutor for ParallelExecutor<'_, X, F, S>
where
    F: BlockExecutorFactory<EvmFactory = PreparedEvmFactory<G>>,
    G: EvmFactory + Sync + 'static,
    G::Tx: FromRecoveredTx<X::Transaction>
        + FromTxWithEncoded<X::Transaction>
        + Clone
        + Send
        + Sync
        + 'static,
    S: DatabaseRef<Error: core::error::Error + Send + Sync + 'static> + Send + Sync + 'static,
    X: BlockExecutor<
        Evm: Prepare<
            Tx = G::Tx,
            HaltReason = G::HaltReason,
            Spec = G::Spec,
            BlockEnv = G::BlockEnv,
            DB: StateDB,
        >,
    >,
{
    type Transaction = X::Transaction;
    type Receipt = X::Receipt;
    type Evm = X::Evm;
    type Result = X::Result;

    fn apply_pre_execution_changes(&mut self) -> Result<(), BlockExecutionError> {
        self.chain.apply_pre_execution_changes()
    }

    fn execute_transaction_with_commit_condition(
        &mut self,
        tx: impl ExecutableTx<Self>,
        f: impl FnOnce(&Self::Result) -> CommitChanges,
    ) -> Result<Option<GasOutput>, BlockExecutionError> {
        self.go_on_in_order();
        self.chain.execute_transaction_with_commit_condition(tx, f)
    }

    fn execute_transaction_without_commit(
        &mut self,
        tx: impl ExecutableTx<Self>,
    ) -> Result<Self::Result, BlockExecutionError> {
        self.go_on_in_order();
        self.chain.execute_transaction_without_commit(tx)
    }

    fn commit_transaction(&mut self, output: Self::Result) -> GasOutput {
        self.chain.commit_transaction(output)
    }

    fn finish(
        self,
    ) -> Result<(Self::Evm, BlockExecutionResult<Self::Receipt>), BlockExecutionError> {
        self.chain.finish()
    }

    fn apply_post_execution_changes(
        self,
    ) -> Result<BlockExecutionResult<Self::Receipt>, BlockExecutionError> {
        self.chain.apply_post_execution_changes()
    }

    fn evm_mut(&mut self) -> &mut Self::Evm {
        self.chain.evm_mut()
    }

    fn evm(&self) -> &Self::Evm {
        self.chain.evm()
    }

    fn receipts(&self) -> &[Self::Receipt] {
        self.chain.receipts()
    }

    fn execute_block(
        self,
        transactions: impl IntoIterator<Item = impl ExecutableTx<Self>>,
    ) -> Result<BlockExecutionResult<Self::Receipt>, BlockExecutionError> {
        let Self { mut chain, ahead } = self;
        chain.apply_pre_execution_changes()?;
        let txs = transactions.into_iter().map(ExecutableTxParts::into_parts);
        let state = ahead.and_then(|(factory, ctx)| Some((factory, (factory.states)(&ctx)?)));
        let Some((factory, state)) = state else {
            chain.evm_mut().drop_changes();
            txs.into_iter().try_for_each(|tx| chain.execute_transaction(tx).map(drop))?;
            return chain.apply_post_execution_changes();
        };
        let (envs, recovered): (Vec<_>, Vec<_>) = txs.unzip();
        let state = Changed::new(state, chain.evm_mut().take_changes());
        let evm = chain.evm();
        let env = EvmEnv::new(evm.cfg_env().clone(), evm.block().clone());
        if let Some(results) = fields::results::<G, _>(&env, &envs, &state, factory) {
            chain.evm_mut().drop_changes();
            let mut results = results.into_iter();
            for tx in envs.into_iter().zip(recovered) {
                if let Some(result) = results.next() {
                    chain.evm_mut().prepare(result);
                }
                chain.execute_transaction(tx)?;
            }
        } else {
            let (evms, fees) = (factory.chain.evm_factory().inner(), factory.fees);
            let block = BlockAhead { evms, env: &env, envs: &envs, state: &state, fees };
            accounts::execute(&mut chain, &block, recovered, &factory.pool)?;
        }
        chain.apply_post_execution_changes()
    }
}
