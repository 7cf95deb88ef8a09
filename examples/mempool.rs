//! From a mempool to a sealed block: transactions predicted as they arrive, the best of them
//! assembled into a block that is quick to execute, executed in parallel, sealed with its
//! access list (EIP-7928).
//!
//! `cargo run --example mempool`

use std::{error::Error, path::Path};

use forewave::{
    Block, BlockOutcome, MemoryState, PredictedAccess, Predictor, StaticPredictor,
    assembly::{Assembly, Constraints, OrderIndex, assemble, block_of, candidates, limits},
    commute_payments, execute_block,
    input::{BlockInput, LoadOptions},
    sequential,
};
use rayon::{ThreadPool, ThreadPoolBuilder};
use revm::{context::TxEnv, primitives::hardfork::SpecId};

/// The most gas that may have to run one after the other.
const SPAN_MAX: u64 = 600_000;

fn main() -> Result<(), Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks/mixed-defi");
    let BlockInput { block, state, .. } = BlockInput::load(&path, &LoadOptions::default())?;
    let (arriving, next) = amsterdam(block);

    let mut mempool = Mempool::new(next);
    for tx in arriving {
        mempool.arrive(tx, &state)?;
    }
    let arrived = mempool.pool.transactions.len();
    println!("{arrived} transactions have arrived");

    let (block, assembly) = mempool.assemble(&state)?;
    println!(
        "{} in the block, worth {} gwei: work {}, span {}, parallelism {:.2}",
        block.transactions.len(),
        assembly.value / 1_000_000_000,
        assembly.work,
        assembly.span,
        assembly.parallelism(),
    );
    for (order, why) in &assembly.left_out {
        println!("{order} is left out: {why}");
    }

    let threads = ThreadPoolBuilder::new().num_threads(2).build()?;
    let outcome = seal(&block, &state, &mempool.predictor, &threads)?;
    let list = outcome.access_list.as_ref().ok_or("the access list was not made")?;
    let hash = outcome.access_list_hash().ok_or("the access list was not made")?;
    println!("{} gas, access list of {} accounts, hash {hash}", outcome.gas_used, list.len());
    Ok(())
}

/// The block's transactions, as they will arrive, and the environment of a block under
/// Amsterdam. The sample is from before: gas limits are raised for what state costs since.
fn amsterdam(mut block: Block) -> (Vec<TxEnv>, Block) {
    let mut arriving = core::mem::take(&mut block.transactions);
    for tx in &mut arriving {
        tx.gas_limit *= 4;
    }
    let cfg = block.cfg.with_spec_and_mainnet_gas_params(SpecId::AMSTERDAM);
    (arriving, Block { cfg, makes_access_list: true, ..block })
}

/// What has arrived for the next block.
struct Mempool {
    /// Its environment, with all that has arrived.
    pool: Block,
    predictor: StaticPredictor,
    predictions: Vec<PredictedAccess>,
}

impl Mempool {
    fn new(pool: Block) -> Self {
        Self { pool, predictor: StaticPredictor::default(), predictions: Vec::new() }
    }

    /// Predicts a transaction, which takes microseconds once its code is known.
    fn arrive(&mut self, tx: TxEnv, state: &MemoryState) -> Result<(), Box<dyn Error>> {
        let at = self.pool.transactions.len();
        self.pool.transactions.push(tx);
        let prediction = self.predictor.predict_range(&self.pool, state, at..at + 1)?;
        self.predictions.extend(prediction);
        Ok(())
    }

    /// The block that is worth most within the gas limit and the bound on its span; the
    /// first to arrive must be in it.
    fn assemble(&self, state: &MemoryState) -> Result<(Block, Assembly), Box<dyn Error>> {
        let mut predictions = self.predictions.clone();
        commute_payments(&self.pool, state, &mut predictions)?;
        let constraints =
            Constraints { required: vec![OrderIndex::new(0)], ..Constraints::default() };
        let candidates = candidates(&self.pool, state, &predictions, constraints)?;
        let assembly = assemble(&candidates, &limits(&self.pool).with_span(SPAN_MAX))?;
        Ok((block_of(&self.pool, &assembly), assembly))
    }
}

/// Executes the block; its outcome has what the header commits to.
fn seal(
    block: &Block,
    state: &MemoryState,
    predictor: &StaticPredictor,
    threads: &ThreadPool,
) -> Result<BlockOutcome, Box<dyn Error>> {
    let outcome = execute_block(block, state, predictor, threads)?;
    // A builder need not do this: it is what this library promises.
    match outcome.first_difference(&sequential(block, state)?) {
        None => Ok(outcome),
        Some(part) => Err(format!("the {part} are not those of sequential execution").into()),
    }
}
