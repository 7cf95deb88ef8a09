//! Block directories as alloy's own types: header, signed transactions, the state before.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_consensus::{Header, TxEnvelope, transaction::Recovered};
use alloy_eips::eip4895::Withdrawal;
use alloy_evm::{EvmEnv, eth::spec::EthSpec};
use forewave::{
    MemoryState,
    input::{BlockFiles, BlockInput, Chain, LoadOptions},
};

/// A block, and the state before it.
pub(crate) struct Loaded {
    pub(crate) header: Header,
    pub(crate) transactions: Vec<Recovered<TxEnvelope>>,
    pub(crate) withdrawals: Vec<Withdrawal>,
    pub(crate) env: EvmEnv,
    pub(crate) spec: EthSpec,
    pub(crate) state: Arc<MemoryState>,
}

impl Loaded {
    /// The block in a directory, if it is one of Ethereum mainnet or Sepolia.
    pub(crate) fn read(directory: &Path) -> Option<Self> {
        let files = BlockFiles::read(directory).unwrap();
        let input = BlockInput::parse(&files, &LoadOptions::default()).ok()?;
        let spec = match input.chain {
            Chain::Mainnet => EthSpec::mainnet(),
            Chain::Sepolia => EthSpec::sepolia(),
            _ => return None,
        };
        let rpc: alloy_rpc_types_eth::Block = serde_json::from_slice(&files.block.bytes).ok()?;
        let transactions = rpc.transactions.into_transactions();
        Some(Self {
            header: rpc.header.inner,
            transactions: transactions.map(|tx| tx.inner).collect(),
            withdrawals: rpc.withdrawals.unwrap_or_default().into_inner(),
            env: EvmEnv::new(input.block.cfg, input.block.env),
            spec,
            state: Arc::new(input.state),
        })
    }
}

fn directories(under: &str) -> Vec<PathBuf> {
    let blocks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(under);
    let entries = fs::read_dir(&blocks).into_iter().flatten();
    let mut directories: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    directories
}

/// The blocks of this repository.
pub(crate) fn sample_blocks() -> Vec<PathBuf> {
    directories("fixtures/blocks")
}

/// The real blocks, where they are present beside the project.
pub(crate) fn real_blocks() -> Vec<PathBuf> {
    directories("../shared/blocks")
}
