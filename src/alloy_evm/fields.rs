//! revm's mainnet EVM: the run loop of this crate, whose reads are recorded by field.

use core::any::{Any, TypeId};

use alloy_evm::{EthEvmFactory, EvmEnv, EvmFactory, block::BlockExecutorFactory};
use alloy_primitives::B256;
use forewave_analyzer::{Block, BlockReward, StateExtent};
use forewave_executor::{RunPlan, execute_transactions};
use revm::{
    DatabaseRef,
    context::{TxEnv, result::ResultAndState},
};

use super::{ParallelExecutorFactory, Sharing};

/// The results of a block's transactions, or of the first of them; `None` if its EVM is not
/// revm's mainnet EVM.
pub(super) fn results<G, S>(
    env: &EvmEnv<G::Spec, G::BlockEnv>,
    txs: &[G::Tx],
    state: &S,
    factory: &ParallelExecutorFactory<impl BlockExecutorFactory, impl Sized>,
) -> Option<Vec<ResultAndState<G::HaltReason>>>
where
    G: EvmFactory<Tx: Clone + 'static> + 'static,
    S: DatabaseRef<Error: Send> + Sync,
{
    if TypeId::of::<G>() != TypeId::of::<EthEvmFactory>() {
        return None;
    }
    let EvmEnv { cfg_env, block_env } = same::<_, EvmEnv>(env.clone())?;
    let transactions = same::<_, Vec<TxEnv>>(txs.to_vec())?;
    let block = Block {
        cfg: cfg_env,
        env: block_env,
        transactions,
        // What the protocol does around the transactions is left to the chain's executor.
        parent_hash: B256::ZERO,
        parent_beacon_block_root: None,
        deposit_contract: None,
        state_extent: StateExtent::Whole,
        withdrawals: Vec::new(),
        ommers: Vec::new(),
        reward: BlockReward::Unpaid,
        is_dao_fork: false,
        // So that what a transaction only loads is among its changes, as in revm's own.
        makes_access_list: true,
        access_list: None,
    };
    let plan = RunPlan::in_block_order(&block);
    let plan = match factory.sharing {
        Sharing::WherePays => plan,
        Sharing::Always => plan.on_all_threads(),
    };
    // What failed fails again in the chain's executor, which runs what has no result.
    let results = execute_transactions(&block, state, &plan, &*factory.pool).unwrap_or_default();
    same(results)
}

/// A value as what it is, where only its context does not know.
fn same<A: 'static, B: 'static>(value: A) -> Option<B> {
    let mut value = Some(value);
    (&mut value as &mut dyn Any).downcast_mut::<Option<B>>()?.take()
}
