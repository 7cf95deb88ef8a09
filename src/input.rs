//! Loads a block: files to bytes, bytes to stated values, stated values to a
//! [`Block`] with the state it starts from and the header it must reproduce.
//!
//! [`BlockFiles::read`] is the only step that touches the file system;
//! [`BlockInput::parse`] is a function of bytes. The lists in the file are those
//! that the header commits to; what else the chain guarantees about a header (its
//! hash, its parent) is not proved here.

pub(crate) mod access_list;
mod block_json;
mod body;
pub(crate) mod chain;
mod error;
pub(crate) mod files;
mod foreign;
pub(crate) mod json;
pub mod limits;
mod note;
mod shape;
pub(crate) mod state_json;
mod text;

use std::{path::Path, sync::Arc};

use alloy_consensus::{Transaction as _, transaction::SignerRecoverable};
use alloy_evm::FromRecoveredTx;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{B256, Bloom};
use alloy_rpc_types_eth::{Header as RpcHeader, Transaction as RpcTransaction};
use forewave_analyzer::{Block, BlockReward, MemoryState, Ommer, StateExtent, TxIndex};
use revm::{context::TxEnv, primitives::hardfork::SpecId};
use serde::{Deserialize, Serialize};

pub use self::{
    access_list::parse_access_list,
    chain::{Chain, ChainId, UnknownChainName},
    error::{InputError, NamedBy},
    files::{BlockFiles, SourceFile},
    note::InputNote,
};
use self::{
    block_json::{Absent, StatedBlock},
    chain::environment,
    state_json::Created,
};
use crate::{conformance::network::UpTo, fetch::Known};

/// Where the senders of transactions come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Senders {
    /// From the `from` field.
    #[default]
    AsStated,
    /// From the `from` field, and each compared with the signature.
    Recovered,
}

/// How a block is to be loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// The chain. Without it the block's transactions name the chain, then its
    /// own `chainId` field; a block that names none is taken for mainnet's, as
    /// every block before EIP-155 is.
    pub chain: Option<Chain>,
    /// The fork that the block follows. Without it, the one of its chain at its
    /// number and timestamp.
    pub fork: Option<EthereumHardfork>,
    /// Where senders come from.
    pub senders: Senders,
}

/// What the header says that executing the block gives. A block that has not run,
/// such as a pending one, says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedHeader {
    /// Hash of the block.
    pub hash: Option<B256>,
    /// Block number.
    pub number: u64,
    /// Gas used by all transactions.
    pub gas_used: Option<u64>,
    /// Union of the receipts' blooms.
    pub logs_bloom: Option<Bloom>,
    /// Root of the receipts. Before Byzantium (EIP-658) receipts hold a state
    /// root, which is not computed here, so it is not to be compared there.
    pub receipts_root: Option<B256>,
    /// Hash of the requests (EIP-7685), from Prague on.
    pub requests_hash: Option<B256>,
    /// Hash of the block's access list (EIP-7928), from Amsterdam on.
    pub access_list_hash: Option<B256>,
}

/// A block with all that is needed to execute it and to judge the outcome.
#[derive(Clone, Debug)]
pub struct BlockInput {
    /// The chain it belongs to.
    pub chain: Chain,
    /// The latest fork active in it, finer than [`Block::spec`]: the forks that
    /// change only the difficulty or the blob parameters have names too.
    pub fork: EthereumHardfork,
    /// The block.
    pub block: Block,
    /// The state before its first transaction and its system calls.
    pub state: MemoryState,
    /// What its header says about the outcome.
    pub header: ExpectedHeader,
    /// Hash of each transaction, in block order.
    pub tx_hashes: Vec<B256>,
    /// What the files leave open, so that the outcome may not be the chain's.
    pub notes: Vec<InputNote>,
}

impl BlockInput {
    /// Loads the block directory at `path`.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, InputError> {
        Self::parse(&BlockFiles::read(path)?, options)
    }

    /// Makes sense of a block directory's files.
    pub fn parse(files: &BlockFiles, options: &LoadOptions) -> Result<Self, InputError> {
        let stated = block_json::parse_block_json(&files.block)?;
        let chain = find_chain(&stated, options)?;
        let fork = check_fork(chain, &stated, options)?;
        body::check_body(&files.block.path, &stated)?;
        let StatedBlock { rpc, absent, .. } = stated;
        let alloy_rpc_types_eth::Block { header, transactions, withdrawals, uncles } = rpc;
        let (cfg, env) = environment(&header.inner, &UpTo(fork), chain.id());
        let transactions: Vec<RpcTransaction> = transactions.into_transactions().collect();
        if options.senders == Senders::Recovered {
            check_senders(&transactions, cfg.spec)?;
        }
        let access_list = files.access_list.as_ref().map(parse_access_list).transpose()?;
        let block = Block {
            cfg,
            env,
            parent_hash: header.parent_hash,
            parent_beacon_block_root: header.parent_beacon_block_root,
            deposit_contract: chain::deposit_contract(chain.id()),
            state_extent: StateExtent::Touched,
            transactions: transactions.iter().map(tx_env).collect(),
            withdrawals: withdrawals.unwrap_or_default().into_inner(),
            ommers: uncles.into_iter().map(Ommer::Hash).collect(),
            // What another chain pays for a block is its own rule.
            reward: if chain.is_ethereum() { BlockReward::OfFork } else { BlockReward::Unpaid },
            is_dao_fork: chain.is_dao_fork(header.number),
            // What comes with a list is held against it.
            makes_access_list: fork >= EthereumHardfork::Amsterdam || access_list.is_some(),
            access_list: access_list.map(Arc::new),
        };
        let hashes = files.block_hashes.as_ref();
        let state = state_json::parse_state(&files.pre_state, hashes, &created(&block))?;
        Ok(Self {
            chain,
            fork,
            header: expected_header(&header, &absent),
            tx_hashes: transactions.iter().map(|tx| *tx.inner.tx_hash()).collect(),
            notes: note::notes(&block, &state, &absent),
            block,
            state,
        })
    }
}

/// Loads the state before the block at `path`, without the block.
pub fn load_state(path: &Path) -> Result<MemoryState, InputError> {
    let files = BlockFiles::read(path)?;
    state_json::parse_state(&files.pre_state, files.block_hashes.as_ref(), &Created::new())
}

/// What a tracer's answer tells of the state before the block.
pub(crate) fn parse_known(answer: &SourceFile, block: &Block) -> Result<Known, InputError> {
    state_json::parse_known(answer, &created(block))
}

fn expected_header(header: &RpcHeader, absent: &Absent) -> ExpectedHeader {
    ExpectedHeader {
        hash: absent.unless("hash", header.hash),
        number: header.number,
        gas_used: absent.unless("gasUsed", header.gas_used),
        logs_bloom: absent.unless("logsBloom", header.logs_bloom),
        receipts_root: absent.unless("receiptsRoot", header.receipts_root),
        requests_hash: header.requests_hash,
        access_list_hash: header.block_access_list_hash,
    }
}

/// The accounts that the block's transactions create, each as its whole purpose.
fn created(block: &Block) -> Created {
    let creations = block.indexed().filter(|(_, tx)| tx.kind.is_create());
    creations.map(|(index, tx)| (tx.caller.create(tx.nonce), index)).collect()
}

fn tx_env(tx: &RpcTransaction) -> TxEnv {
    TxEnv::from_recovered_tx(tx.inner.inner(), tx.inner.signer())
}

/// The one chain that every place which names a chain agrees on.
fn find_chain(stated: &StatedBlock, options: &LoadOptions) -> Result<Chain, InputError> {
    let transactions = stated.rpc.transactions.txns().enumerate().filter_map(|(position, tx)| {
        let named_by = NamedBy::Transaction(TxIndex::new(position), *tx.inner.tx_hash());
        Some((tx.chain_id()?, named_by))
    });
    let named = transactions
        .chain(stated.chain_id.map(|id| (id, NamedBy::Block)))
        .chain(options.chain.map(|chain| (chain.id(), NamedBy::Caller)));
    let mut first: Option<(Chain, NamedBy)> = None;
    for (chain_id, named_by) in named {
        match first {
            None => {
                let chain = Chain::from_id(chain_id);
                if matches!(chain, Chain::Other(_)) && options.fork.is_none() {
                    return Err(InputError::UnknownChain { chain_id, named_by });
                }
                first = Some((chain, named_by));
            }
            Some((chain, _)) if chain.id() == chain_id => {}
            Some((chain, earlier)) => {
                let expected = chain.id();
                return Err(InputError::ChainMismatch {
                    found: chain_id,
                    named_by,
                    expected,
                    earlier,
                });
            }
        }
    }
    Ok(first.map_or(Chain::Mainnet, |(chain, _)| chain))
}

/// The fork of the block, which its header must have the shape of.
fn check_fork(
    chain: Chain,
    stated: &StatedBlock,
    options: &LoadOptions,
) -> Result<EthereumHardfork, InputError> {
    let header = &stated.rpc.header;
    let number = header.number;
    let known = options.fork.or_else(|| chain.fork_of(&header.inner));
    let fork = known.expect("the fork of a chain without name is in the options");
    if fork > EthereumHardfork::Amsterdam {
        return Err(InputError::UnsupportedFork { number, chain, fork: fork.to_string() });
    }
    // What no execution needs may be unknown yet, or not be part of another chain.
    let is_dispensable = stated.absent.contains("hash") || matches!(chain, Chain::Other(_));
    // What each of these forks added to the header: EIP-1559, EIP-4895, EIP-4788,
    // EIP-4844, EIP-7685, EIP-7928, EIP-7843.
    let additions = [
        (
            EthereumHardfork::London,
            header.base_fee_per_gas.is_some(),
            "has a base fee",
            "has no base fee",
        ),
        (
            EthereumHardfork::Shanghai,
            header.withdrawals_root.is_some(),
            "has a withdrawals root",
            "has no withdrawals root",
        ),
        (
            EthereumHardfork::Cancun,
            header.parent_beacon_block_root.is_some(),
            "has a parent beacon block root",
            "has no parent beacon block root",
        ),
        (
            EthereumHardfork::Cancun,
            header.excess_blob_gas.is_some(),
            "has an excess blob gas",
            "has no excess blob gas",
        ),
        (
            EthereumHardfork::Prague,
            header.requests_hash.is_some(),
            "has a requests hash",
            "has no requests hash",
        ),
        (
            EthereumHardfork::Amsterdam,
            header.block_access_list_hash.is_some(),
            "has a block access list hash",
            "has no block access list hash",
        ),
        (
            EthereumHardfork::Amsterdam,
            header.slot_number.is_some(),
            "has a slot number",
            "has no slot number",
        ),
    ];
    for (since, present, when_present, when_absent) in additions {
        let needs = matches!(since, EthereumHardfork::London | EthereumHardfork::Cancun);
        if (fork >= since) != present && (present || needs || !is_dispensable) {
            let contradiction = if present { when_present } else { when_absent };
            return Err(InputError::ForkMismatch {
                number,
                chain,
                fork: fork.to_string(),
                contradiction,
            });
        }
    }
    Ok(fork)
}

/// Compares every stated sender with the signature's. Signatures with a high `s`
/// were valid in Frontier (EIP-2).
fn check_senders(transactions: &[RpcTransaction], spec: SpecId) -> Result<(), InputError> {
    for (position, tx) in transactions.iter().enumerate() {
        let (envelope, stated) = (tx.inner.inner(), tx.inner.signer());
        let (index, hash) = (TxIndex::new(position), *envelope.tx_hash());
        let recovered = if spec.is_enabled_in(SpecId::HOMESTEAD) {
            envelope.recover_signer()
        } else {
            envelope.recover_signer_unchecked()
        };
        match recovered {
            Ok(recovered) if recovered == stated => {}
            Ok(recovered) => {
                return Err(InputError::SenderMismatch { index, hash, stated, recovered });
            }
            Err(_) => return Err(InputError::InvalidSignature { index, hash, stated }),
        }
    }
    Ok(())
}
