//! A block of signed envelopes, executed by alloy-evm's block executor: sequentially by its own,
//! then in parallel by the same factory inside ours. A node would do the second line.
//!
//! `cargo run --release --example alloy_evm -- fixtures/blocks/mixed-defi`

use std::{
    borrow::Cow,
    env,
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_consensus::{Block, BlockBody, Header, TxEnvelope, transaction::Recovered};
use alloy_evm::{
    EthEvmFactory, EvmEnv, EvmFactory,
    block::{BlockExecutionResult, BlockExecutor, BlockExecutorFactory},
    eth::{
        EthBlockExecutionCtx, EthBlockExecutorFactory, receipt_builder::AlloyReceiptBuilder,
        spec::EthSpec,
    },
};
use forewave::{
    MemoryState, Plan, StaticPredictor,
    alloy_evm::ParallelExecutorFactory,
    block_from_consensus,
    input::{BlockFiles, BlockInput, LoadOptions},
    predict,
};
use rayon::ThreadPoolBuilder;
use revm::{
    context::{BlockEnv, TxEnv},
    database::{BundleState, State, states::bundle_state::BundleRetention},
    primitives::hardfork::SpecId,
};

type Result<T> = core::result::Result<T, Box<dyn Error>>;
/// How often a block is executed each way.
const RUNS: u32 = 5;

type Outcome = (BlockExecutionResult<alloy_consensus::ReceiptEnvelope>, BundleState);

fn main() -> Result<()> {
    let directory =
        env::args_os().nth(1).map_or("fixtures/blocks/mixed-defi".into(), PathBuf::from);
    let (block, state) = signed_block(&directory)?;

    // What forewave needs of it: for predictions, for a graph, for a schedule.
    let seen = block_from_consensus(&block, &EthSpec::mainnet(), 1);
    let plan = Plan::new(predict(&seen, &state, &StaticPredictor::default())?);
    let message = plan.to_bytes(&seen);
    println!("{} transactions, a plan of {} bytes", seen.transactions.len(), message.len());
    assert_eq!(Plan::from_bytes(&message, &seen)?.schedule(), plan.schedule());

    // alloy-evm's own factory.
    let (spec, state) = (EthSpec::mainnet(), Arc::new(state));
    let receipts = AlloyReceiptBuilder::default();
    let own = EthBlockExecutorFactory::new(receipts, spec.clone(), EthEvmFactory::default());

    // The same with the transactions on all threads. A node opens the state of `ctx.parent_hash`.
    let pool = Arc::new(ThreadPoolBuilder::new().num_threads(2).build()?);
    let before = Arc::clone(&state);
    let parallel = ParallelExecutorFactory::ethereum(spec, pool, move |_ctx| Some(before.clone()));

    let sequential = fastest(&own, &block, &state, "sequential")?;
    let parallel = fastest(&parallel.on_all_threads(), &block, &state, "parallel")?;
    assert!(sequential == parallel, "they differ");
    println!("the same receipts, requests and bundle");
    Ok(())
}

/// The signed block in a directory, and the state before it.
fn signed_block(
    directory: &std::path::Path,
) -> Result<(Block<Recovered<TxEnvelope>>, MemoryState)> {
    let files = BlockFiles::read(directory)?;
    let rpc: alloy_rpc_types_eth::Block = serde_json::from_slice(&files.block.bytes)?;
    let state = BlockInput::parse(&files, &LoadOptions::default())?.state;
    let transactions = rpc.transactions.into_transactions().map(|tx| tx.inner).collect();
    let body =
        BlockBody { transactions, ommers: Vec::<Header>::new(), withdrawals: rpc.withdrawals };
    Ok((Block::new(rpc.header.inner, body), state))
}

/// Executes the block a few times, and says how long the fastest took.
fn fastest<F>(
    factory: &F,
    block: &Block<Recovered<TxEnvelope>>,
    state: &Arc<MemoryState>,
    name: &str,
) -> Result<Outcome>
where
    F: EthereumFactory,
    F::EvmFactory: EvmFactory<Tx = TxEnv, Spec = SpecId, BlockEnv = BlockEnv>,
{
    let (mut outcome, mut took) = execute(factory, block, state)?;
    for _ in 1..RUNS {
        let (again, time) = execute(factory, block, state)?;
        (outcome, took) = (again, took.min(time));
    }
    println!("{name}: {} gas in {took:?}, the fastest of {RUNS}", outcome.0.gas_used);
    Ok(outcome)
}

/// What both factories are.
trait EthereumFactory:
    for<'c> BlockExecutorFactory<
        ExecutionCtx<'c> = EthBlockExecutionCtx<'c>,
        Transaction = TxEnvelope,
        Receipt = alloy_consensus::ReceiptEnvelope,
    >
{
}

impl<F> EthereumFactory for F where
    F: for<'c> BlockExecutorFactory<
            ExecutionCtx<'c> = EthBlockExecutionCtx<'c>,
            Transaction = TxEnvelope,
            Receipt = alloy_consensus::ReceiptEnvelope,
        >
{
}

/// Executes the block by a factory, as a node does.
fn execute<F>(
    factory: &F,
    block: &Block<Recovered<TxEnvelope>>,
    state: &Arc<MemoryState>,
) -> Result<(Outcome, Duration)>
where
    F: EthereumFactory,
    F::EvmFactory: EvmFactory<Tx = TxEnv, Spec = SpecId, BlockEnv = BlockEnv>,
{
    let start = Instant::now();
    let mut db = State::builder().with_database_ref(state).with_bundle_update().build();
    let forewave::Block { cfg, env, .. } = block_from_consensus(block, &EthSpec::mainnet(), 1);
    let evm = factory.evm_factory().create_evm(&mut db, EvmEnv::new(cfg, env));
    let ctx = EthBlockExecutionCtx {
        parent_hash: block.header.parent_hash,
        parent_beacon_block_root: block.header.parent_beacon_block_root,
        ommers: &block.body.ommers,
        withdrawals: block.body.withdrawals.as_deref().map(|list| Cow::Borrowed(&**list)),
        extra_data: block.header.extra_data.clone(),
        tx_count_hint: Some(block.body.transactions.len()),
        slot_number: None,
    };
    let executor = factory.create_executor(evm, ctx);
    let result = executor.execute_block(block.body.transactions.iter())?;
    db.merge_transitions(BundleRetention::PlainState);
    Ok(((result, db.take_bundle()), start.elapsed()))
}
