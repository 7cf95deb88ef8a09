//! alloy-evm's block executor, in parallel: what a node that executes blocks by
//! [`BlockExecutorFactory`] puts in place of its own.
//!
//! ```text
//! BlockExecutorFactory of the chain, over PreparedEvmFactory<its EvmFactory>
//!   └─ ParallelExecutorFactory ── execute_block: ─┐
//!          transactions on all threads ──> results, in block order
//!          the chain's own executor, whose EVM hands them out ──> receipts, gas, hooks, bundle
//! ```
//!
//! Nothing of the chain's rules is written anew. [`ParallelExecutorFactory`] wraps the chain's
//! own factory, and its executor does all that it does: system calls, checks of the block's gas,
//! receipts, requests, withdrawals, commits to the database. Only the EVM inside it, a
//! [`PreparedEvm`], answers with a result that was worked out before. So each transaction is
//! committed in block order with revm's own changes, hooks are called for it, and the bundle is
//! what sequential execution makes it.
//!
//! # What runs in parallel
//!
//! - [`BlockExecutor::execute_block`], which is given all transactions: reth's batch executor
//!   calls it. The methods for one transaction run it on the calling thread as the chain's
//!   executor does; so does all else, where no state can be opened or the inspector has state
//!   of its own.
//! - Over alloy's `EthEvmFactory`, the mainnet EVM of revm, the run loop of this crate is used:
//!   reads are recorded by field, payments and fees commute
//!   ([`execute_transactions`](crate::execution::execute_transactions)).
//! - Over any other EVM factory, with another transaction type, precompiles or opcodes, reads are
//!   recorded at the database: an account as a whole and each slot. Each is compared with the
//!   block's own database when the transaction's turn has come, and a transaction that saw
//!   something else runs again, there. This is the seam for the OP stack: see `docs/alloy-evm.md`.
//!
//! # What is asked of the caller
//!
//! - `states` opens, for the block of an execution context, the same state that the block's
//!   database stands on. Threads read it, because nothing says that the database may be read on
//!   several; one that may be read on one thread at a time can be opened for each
//!   ([`PerThread`](crate::PerThread)). The mainnet path takes its values as they are.
//! - Threads run EVMs made by the factory. What was changed on the given EVM later, such as its
//!   precompiles, they do not have: a cache in front of a precompile does no harm, another
//!   precompile belongs in the factory.
//! - [`Fees`] says how an EVM that is not mainnet's pays fees.

mod accounts;
mod changed;
mod evm;
mod executor;
mod fields;
mod published;
mod view;

use core::fmt;
use std::sync::Arc;

use alloy_evm::{
    EthEvmFactory, EvmFactory, FromRecoveredTx, FromTxWithEncoded,
    block::{BlockExecutorFactory, StateDB},
    eth::{EthBlockExecutorFactory, receipt_builder::AlloyReceiptBuilder, spec::EthSpec},
};
use rayon::ThreadPool;
use revm::{DatabaseRef, Inspector};

pub use self::{
    evm::{Prepare, PreparedEvm, PreparedEvmFactory},
    executor::ParallelExecutor,
};

#[doc(no_inline)]
pub use alloy_evm::block::BlockExecutor;

/// How an EVM pays fees to accounts that it need not know the balance of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fees {
    /// An account that is first loaded after the last frame of a transaction has ended is
    /// loaded to add to its balance, and nothing else depends on it. So it is in revm's own
    /// handler, which pays the beneficiary then. Such payments commute.
    AddedLast,
    /// Nothing is known: whatever is loaded may matter. Where all transactions pay one account,
    /// each of them is stale when its turn comes.
    Unknown,
}

/// Opens the state before the block of an execution context, if it can.
type Open<F, S> =
    dyn for<'c> Fn(&<F as BlockExecutorFactory>::ExecutionCtx<'c>) -> Option<S> + Send + Sync;

/// A chain's block executor factory whose executors run the transactions of a block on the
/// threads of a pool. See the [module](self).
pub struct ParallelExecutorFactory<F: BlockExecutorFactory, S> {
    chain: F,
    pool: Arc<ThreadPool>,
    states: Arc<Open<F, S>>,
    fees: Fees,
    sharing: Sharing,
}

/// When threads share a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// Where that is estimated to be faster; another EVM than mainnet's always.
    WherePays,
    /// Always.
    Always,
}

impl<F: BlockExecutorFactory, S> ParallelExecutorFactory<F, S> {
    /// Wraps a chain's own factory, made over a [`PreparedEvmFactory`].
    ///
    /// `states` opens the state before the block of an execution context; where it gives none,
    /// the block is executed sequentially.
    pub fn new(
        chain: F,
        pool: Arc<ThreadPool>,
        fees: Fees,
        states: impl for<'c> Fn(&F::ExecutionCtx<'c>) -> Option<S> + Send + Sync + 'static,
    ) -> Self {
        let sharing = Sharing::WherePays;
        Self { chain, pool, states: Arc::new(states), fees, sharing }
    }

    /// The same, but threads share every block, however small: for tests.
    #[must_use]
    pub fn on_all_threads(self) -> Self {
        Self { sharing: Sharing::Always, ..self }
    }

    /// The chain's own factory.
    pub const fn chain(&self) -> &F {
        &self.chain
    }
}

/// Ethereum's own factory, over revm's mainnet EVM.
pub type EthFactory =
    EthBlockExecutorFactory<AlloyReceiptBuilder, EthSpec, PreparedEvmFactory<EthEvmFactory>>;

impl<S> ParallelExecutorFactory<EthFactory, S> {
    /// For Ethereum: alloy's receipts, the forks of `spec`, revm's mainnet EVM.
    pub fn ethereum(
        spec: EthSpec,
        pool: Arc<ThreadPool>,
        states: impl for<'c> Fn(&<EthFactory as BlockExecutorFactory>::ExecutionCtx<'c>) -> Option<S>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let evms = PreparedEvmFactory::new(EthEvmFactory::default());
        let chain = EthBlockExecutorFactory::new(AlloyReceiptBuilder::default(), spec, evms);
        Self::new(chain, pool, Fees::AddedLast, states)
    }
}

impl<F: BlockExecutorFactory + Clone, S> Clone for ParallelExecutorFactory<F, S> {
    fn clone(&self) -> Self {
        let Self { chain, pool, states, fees, sharing } = self;
        let (pool, states) = (Arc::clone(pool), Arc::clone(states));
        Self { chain: chain.clone(), pool, states, fees: *fees, sharing: *sharing }
    }
}

impl<F: BlockExecutorFactory, S> fmt::Debug for ParallelExecutorFactory<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParallelExecutorFactory")
            .field("threads", &self.pool.current_num_threads())
            .field("fees", &self.fees)
            .field("sharing", &self.sharing)
            .finish_non_exhaustive()
    }
}

impl<F, G, S> BlockExecutorFactory for ParallelExecutorFactory<F, S>
where
    F: BlockExecutorFactory<EvmFactory = PreparedEvmFactory<G>>,
    G: EvmFactory + Sync + 'static,
    G::Tx: FromRecoveredTx<F::Transaction>
        + FromTxWithEncoded<F::Transaction>
        + Clone
        + Send
        + Sync
        + 'static,
    S: DatabaseRef<Error: core::error::Error + Send + Sync + 'static> + Send + Sync + 'static,
{
    type EvmFactory = PreparedEvmFactory<G>;
    type TxExecutionResult = F::TxExecutionResult;
    type ExecutionCtx<'a> = F::ExecutionCtx<'a>;
    type Transaction = F::Transaction;
    type Receipt = F::Receipt;
    type Executor<'a, DB: StateDB, I: Inspector<G::Context<DB>>> =
        ParallelExecutor<'a, F::Executor<'a, DB, I>, F, S>;

    fn evm_factory(&self) -> &Self::EvmFactory {
        self.chain.evm_factory()
    }

    fn create_executor<'a, DB, I>(
        &'a self,
        mut evm: PreparedEvm<G::Evm<DB, I>>,
        ctx: Self::ExecutionCtx<'a>,
    ) -> Self::Executor<'a, DB, I>
    where
        DB: StateDB,
        I: Inspector<G::Context<DB>>,
    {
        // From here on what is run is kept.
        evm.take_changes();
        let chain = self.chain.create_executor(evm, ctx.clone());
        // An inspector without data of its own has nothing to say of what it has seen.
        let is_inspected = size_of::<I>() > 0;
        ParallelExecutor::new(chain, (!is_inspected).then_some((self, ctx)))
    }
}
