//! A state transition as test fillers state it: accounts, an environment and
//! signed transactions in, the state root and the receipts out. The files are
//! those of geth's `evm t8n`: `alloc.json`, `env.json`, and `txs.json` or `txs.rlp`.
//!
//! ```text
//! txs ──> candidates ──sequentially──> those that belong, and the rejected
//!                                        │
//!                                        └──in parallel──> outcome ──> roots
//! ```
//!
//! A transaction that does not belong in the block is left out and named, as
//! `t8n` does, where a block with it would be invalid. Whether it belongs depends
//! on those before it, so the block is run once sequentially to find out, however
//! many are rejected. What is left is run in parallel, and must come to the same.

mod difficulty;
mod env_json;
mod fields;
mod files;
mod result;
mod txs;

use alloy_consensus::TxEnvelope;
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_evm::FromRecoveredTx;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::B256;
use forewave_analyzer::{Block, BlockReward, MemoryState, Predictor, StateError, TxIndex};
use forewave_executor::{BlockOutcome, ExecutionError, SequentialRun};
use rayon::ThreadPool;
use revm::{context::TxEnv, primitives::hardfork::SpecId};

pub use self::{
    files::{FilePlaces, Place, TransitionFiles},
    result::{Rejected, Transition, TransitionReceipt},
};
use crate::{
    BlockError, apply_changes,
    conformance::network::UpTo,
    execute_block,
    input::{InputError, chain::blob_params, json, state_json::StatedState},
    state_root,
};

/// By which rules a transition is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransitionRules {
    /// The fork.
    pub fork: EthereumHardfork,
    /// The chain id (EIP-155).
    pub chain_id: u64,
    /// What the beneficiary is paid before the Merge.
    pub reward: BlockReward,
}

/// A transition that can be run.
#[derive(Clone, Debug)]
pub struct TransitionInput {
    /// The block, with every transaction that is to be tried.
    pub block: Block,
    /// The whole state before it.
    pub state: MemoryState,
    /// Each transaction of the file in its order: as it is hashed, where the block
    /// has it, or why it belongs in no block.
    pub candidates: Vec<Result<TxEnvelope, String>>,
    /// The rules that the files were read by.
    pub rules: TransitionRules,
}

/// A transition could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// The block is invalid whatever its transactions, or the state failed it.
    #[error(transparent)]
    Block(#[from] BlockError<StateError>),
    /// Parallel execution did not give what sequential execution gives.
    #[error("parallel execution differs from sequential execution in {0}: please report this")]
    Diverged(&'static str),
}

impl From<ExecutionError<StateError>> for TransitionError {
    fn from(error: ExecutionError<StateError>) -> Self {
        Self::Block(error.into())
    }
}

impl TransitionInput {
    /// Makes sense of a transition's files, on the threads of the pool that this is
    /// called in (rayon's own, if in none): most of the time goes to signatures.
    pub fn parse(files: &TransitionFiles, rules: TransitionRules) -> Result<Self, InputError> {
        let StatedState(mut state) = json::parse(&files.alloc)?;
        let mut block = env_json::parse(&files.env, &rules, &mut state)?;
        let candidates = txs::parse(&files.txs, &rules)?;
        let signed = candidates.iter().filter_map(|candidate| candidate.as_ref().ok());
        block.transactions =
            signed.map(|(tx, signer)| TxEnv::from_recovered_tx(tx, *signer)).collect();
        let candidates = candidates.into_iter().map(|candidate| candidate.map(|(tx, _)| tx));
        Ok(Self { block, state, candidates: candidates.collect(), rules })
    }
}

/// Executes the transactions that belong in the block, in parallel.
pub fn transition(
    input: &TransitionInput,
    predictor: &(impl Predictor<MemoryState> + Sync),
    pool: &ThreadPool,
) -> Result<Transition, TransitionError> {
    let selection = select(input)?;
    let kept = selection.kept.iter().map(|(tx, _)| input.block.transactions[tx.index()].clone());
    let block = Block { transactions: kept.collect(), ..input.block.clone() };
    let outcome = execute_block(&block, &input.state, predictor, pool)?;
    match outcome.first_difference(&selection.outcome) {
        Some(part) => Err(TransitionError::Diverged(part)),
        None => Ok(Transition::new(input, &block, selection, outcome)),
    }
}

/// Which transactions belong in the block.
#[derive(Debug)]
struct Selection<'a> {
    kept: Vec<(TxIndex, &'a TxEnvelope)>,
    rejected: Vec<Rejected>,
    /// Roots of the state after each, where receipts hold them: before Byzantium.
    roots: Vec<B256>,
    blob_gas_used: u64,
    outcome: BlockOutcome,
}

/// Tries each transaction after those that belong before it.
fn select(input: &TransitionInput) -> Result<Selection<'_>, TransitionError> {
    let holds_roots = !input.block.spec().is_enabled_in(SpecId::BYZANTIUM);
    let blob_gas_max = blob_gas_max(input);
    let mut run = SequentialRun::new(&input.block, &input.state)?;
    let (mut kept, mut rejected, mut roots) = (Vec::new(), Vec::new(), Vec::new());
    let (mut blob_gas_used, mut parsed) = (0, 0);
    for (index, candidate) in input.candidates.iter().enumerate() {
        let mut reject = |error| rejected.push(Rejected { index, error });
        let envelope = match candidate {
            Ok(envelope) => envelope,
            Err(why) => {
                reject(why.clone());
                continue;
            }
        };
        let tx = TxIndex::new(parsed);
        parsed += 1;
        let blobs = input.block.transactions[tx.index()].blob_hashes.len() as u64;
        let blob_gas = blobs * DATA_GAS_PER_BLOB;
        if blob_gas > blob_gas_max - blob_gas_used {
            let left = blob_gas_max - blob_gas_used;
            reject(format!("its blob gas is {blob_gas}, but the block has only {left} left"));
            continue;
        }
        if let Err(error) = run.step(tx) {
            reject(refusal(error)?);
            continue;
        }
        blob_gas_used += blob_gas;
        kept.push((tx, envelope));
        if holds_roots {
            let mut state = input.state.clone();
            apply_changes(&mut state, &run.changes()?);
            roots.push(state_root(&state));
        }
    }
    Ok(Selection { kept, rejected, roots, blob_gas_used, outcome: run.finish()? })
}

/// The blob gas of a block's transactions, at most (EIP-4844). Before Cancun the EVM
/// refuses blobs itself.
fn blob_gas_max(input: &TransitionInput) -> u64 {
    let timestamp = input.block.env.timestamp.saturating_to();
    let params = blob_params(&UpTo(input.rules.fork), timestamp);
    params.map_or(u64::MAX, |params| params.max_blob_count * DATA_GAS_PER_BLOB)
}

/// Why a transaction does not belong in the block, if that is the error.
fn refusal(error: ExecutionError<StateError>) -> Result<String, ExecutionError<StateError>> {
    match error {
        ExecutionError::InvalidTransaction { error, .. } => Ok(error.to_string()),
        ExecutionError::GasLimitExceeded { limit, available, .. } => {
            Ok(format!("its gas limit is {limit}, but the block has only {available} left"))
        }
        error => Err(error),
    }
}
