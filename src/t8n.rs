//! A state transition as test fillers state it: accounts, an environment and
//! signed transactions in, the state root and the receipts out. The files are
//! those of geth's `evm t8n`: `alloc.json`, `env.json`, and `txs.json` or `txs.rlp`.
//!
//! A transaction that does not belong in the block is left out and named, as
//! `t8n` does, where a block with it would be invalid. Before the Merge the
//! beneficiary is rewarded as on mainnet (`--state.reward` of that fork).

mod env_json;
mod result;
mod txs;

use std::path::Path;

use alloy_consensus::TxEnvelope;
use alloy_evm::FromRecoveredTx;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::Address;
use forewave_analyzer::{Block, MemoryState, Predictor, StateError, TxIndex};
use forewave_executor::ExecutionError;
use rayon::ThreadPool;
use revm::context::TxEnv;

pub use self::result::{Rejected, Transition, TransitionReceipt};
use crate::{
    BlockError, execute_block,
    input::{
        InputError, SourceFile,
        files::{read_file, refuse_other_than_directory},
        json,
        limits::{BLOCK_BYTES_MAX, PRE_STATE_BYTES_MAX},
        state_json::StatedState,
    },
};

/// The files of a transition, for messages.
const LOOKED_FOR: &str = "alloc.json, env.json, and txs.json or txs.rlp, plain or .gz";

/// The files of one transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionFiles {
    /// The accounts before the block.
    pub alloc: SourceFile,
    /// What a header would say.
    pub env: SourceFile,
    /// The transactions.
    pub txs: TxsFile,
}

/// The transactions' file, by its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxsFile {
    /// An array of transaction objects: signed, or with the `secretKey` to sign with.
    Json(SourceFile),
    /// The RLP of the list of signed transactions, as a string of hex.
    Rlp(SourceFile),
}

impl TransitionFiles {
    /// Reads the files of `directory`.
    pub fn read(directory: &Path) -> Result<Self, InputError> {
        refuse_other_than_directory(directory, LOOKED_FOR)?;
        let missing = |name| InputError::MissingFile { path: directory.to_owned(), name };
        let required =
            |name, size_max| read_file(directory, name, size_max)?.ok_or_else(|| missing(name));
        let alloc = required("alloc.json", PRE_STATE_BYTES_MAX)?;
        let env = required("env.json", BLOCK_BYTES_MAX)?;
        let txs = match read_file(directory, "txs.rlp", BLOCK_BYTES_MAX)? {
            Some(file) => TxsFile::Rlp(file),
            None => TxsFile::Json(required("txs.json", BLOCK_BYTES_MAX)?),
        };
        Ok(Self { alloc, env, txs })
    }
}

/// A transition that can be run.
#[derive(Clone, Debug)]
pub struct TransitionInput {
    /// The block, with every transaction that is to be tried.
    pub block: Block,
    /// The whole state before it.
    pub state: MemoryState,
    /// The transactions as they are hashed.
    pub envelopes: Vec<TxEnvelope>,
}

impl TransitionInput {
    /// Makes sense of a transition's files, by the rules of `fork`.
    pub fn parse(
        files: &TransitionFiles,
        fork: EthereumHardfork,
        chain_id: u64,
    ) -> Result<Self, InputError> {
        let StatedState(mut state) = json::parse(&files.alloc)?;
        let mut block = env_json::parse(&files.env, fork, chain_id, &mut state)?;
        let signed = match &files.txs {
            TxsFile::Json(file) => txs::parse_json(file, fork, chain_id)?,
            TxsFile::Rlp(file) => txs::parse_rlp(file, fork)?,
        };
        let as_env = |(envelope, signer): &(TxEnvelope, Address)| {
            TxEnv::from_recovered_tx(envelope, *signer)
        };
        block.transactions = signed.iter().map(as_env).collect();
        Ok(Self { block, state, envelopes: signed.into_iter().map(|(tx, _)| tx).collect() })
    }
}

/// Executes the transactions that belong in the block, in parallel.
///
/// Every one that does not costs another attempt at the block.
pub fn transition(
    input: &TransitionInput,
    predictor: &impl Predictor<MemoryState>,
    pool: &ThreadPool,
) -> Result<Transition, BlockError<StateError>> {
    let mut block = input.block.clone();
    let mut kept: Vec<usize> = (0..block.transactions.len()).collect();
    let mut rejected = Vec::new();
    let outcome = loop {
        let error = match execute_block(&block, &input.state, predictor, pool) {
            Ok(outcome) => break outcome,
            Err(error) => error,
        };
        let Some((tx, why)) = refused(&error) else { return Err(error) };
        block.transactions.remove(tx.index());
        rejected.push(Rejected { index: kept.remove(tx.index()), error: why });
    };
    let envelopes = kept.iter().map(|&at| &input.envelopes[at]).collect::<Vec<_>>();
    Ok(Transition::new(&input.state, &block, &envelopes, outcome, rejected))
}

/// The transaction that does not belong in the block, and why, if that is the error.
fn refused(error: &BlockError<StateError>) -> Option<(TxIndex, String)> {
    match error {
        BlockError::Execute(ExecutionError::InvalidTransaction { tx, error }) => {
            Some((*tx, error.to_string()))
        }
        BlockError::Execute(ExecutionError::GasLimitExceeded { tx, limit, available }) => Some((
            *tx,
            format!("its gas limit is {limit}, but the block has only {available} left"),
        )),
        _ => None,
    }
}
