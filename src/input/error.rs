//! What can be wrong with a block's input, each case with the file, the field
//! or the transaction it is about and what was expected there.
//!
//! A message is one line, whatever the file holds: names and values from files
//! are shown as [`Printable`], and those who make an error cut them to length.

use std::{io, path::PathBuf};

use alloy_primitives::{Address, B256};
use forewave_analyzer::TxIndex;

use super::{Chain, files::LOOKED_FOR};
use crate::Printable;

/// A block could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// Nothing is at the path.
    #[error("{} does not exist", Printable(path.display()))]
    NotFound {
        /// What was asked for.
        path: PathBuf,
    },
    /// Nothing is where a directory should be.
    #[error("{} does not exist; expected a directory that holds {looked_for}", Printable(path.display()))]
    NoDirectory {
        /// What was asked for.
        path: PathBuf,
        /// The files of such a directory.
        looked_for: &'static str,
    },
    /// The path is a file.
    #[error("{} is a file; expected a directory that holds {looked_for}", Printable(path.display()))]
    NotADirectory {
        /// What was asked for.
        path: PathBuf,
        /// The files of such a directory.
        looked_for: &'static str,
    },
    /// The directory holds a block, where conformance tests are expected.
    #[error(
        "{} is a block directory; `forewave test` takes files of BlockchainTests, `forewave run` \
         takes blocks",
        Printable(path.display())
    )]
    NotTests {
        /// The directory.
        path: PathBuf,
    },
    /// A file that every directory of its kind has is not there.
    #[error("{}: found neither {name} nor {name}.gz in it", Printable(path.display()))]
    MissingFile {
        /// The directory.
        path: PathBuf,
        /// The plain name of the file.
        name: &'static str,
    },
    /// A file is there twice, plain and compressed.
    #[error(
        "{} lies beside {}: keep the one that is meant",
        Printable(plain.display()),
        Printable(compressed.display())
    )]
    TwoFiles {
        /// The plain one.
        plain: PathBuf,
        /// The compressed one.
        compressed: PathBuf,
    },
    /// A file is a pipe, a device or a directory, which need not end.
    #[error("{} is not a regular file", Printable(path.display()))]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("{} could not be read: {source}", Printable(path.display()))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A gzip stream ends before its end.
    #[error("{} is truncated: its gzip stream ends early", Printable(path.display()))]
    TruncatedGzip {
        /// The file.
        path: PathBuf,
    },
    /// A gzip stream is damaged, or none at all.
    #[error("{} is not a valid gzip stream: {source}", Printable(path.display()))]
    BadGzip {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: io::Error,
    },
    /// A file that is named as a plain one is compressed.
    #[error("{0} is compressed by gzip: name it {0}.gz", Printable(path.display()))]
    UnnamedGzip {
        /// The file.
        path: PathBuf,
    },
    /// A file holds more than a block can need.
    #[error("{} holds more than {size_max} bytes", Printable(path.display()))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes after decompression.
        size_max: u64,
    },
    /// A file is not JSON, or a value in it is not what its place needs.
    #[error(
        "{}:{line}:{column}: {}, near `{}`",
        Printable(path.display()), Printable(message), Printable(near)
    )]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was expected and what was found.
        message: String,
        /// The text around the place.
        near: String,
    },
    /// A field is missing, or holds something else than it should.
    #[error(
        "{}: `{}`: expected {}, found {}",
        Printable(path.display()), Printable(field), Printable(expected), Printable(found)
    )]
    Field {
        /// The file.
        path: PathBuf,
        /// Path of the field from the root of the file.
        field: String,
        /// What its place needs.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The block holds other transactions or withdrawals than its header says.
    #[error(
        "{}: `{field}` is {stated}, but the {of} in the file have the root {found}: \
         they are not those of this block, or not all of them",
        Printable(path.display())
    )]
    RootMismatch {
        /// The file.
        path: PathBuf,
        /// The field of the header.
        field: &'static str,
        /// What the header says.
        stated: B256,
        /// What the root is of, in words.
        of: &'static str,
        /// The root of what the file holds.
        found: B256,
    },
    /// A transaction type that Ethereum does not have, such as an Optimism deposit.
    #[error(
        "{index} ({}) has type {}, {meaning}: only Ethereum's types 0x0 to 0x4 are supported",
        Printable(hash),
        Printable(tx_type)
    )]
    UnsupportedTransaction {
        /// The transaction.
        index: TxIndex,
        /// Its hash as the file states it.
        hash: String,
        /// Its type as the file states it.
        tx_type: String,
        /// What the type is on the chains that have it.
        meaning: &'static str,
    },
    /// A chain whose forks are not known here.
    #[error(
        "{named_by} names chain id {chain_id}, which is none of {}; if its blocks follow \
         Ethereum's rules, name their fork: --chain-id {chain_id} --fork FORK",
        Chain::NAMES
    )]
    UnknownChain {
        /// The chain id.
        chain_id: u64,
        /// Who named it.
        named_by: NamedBy,
    },
    /// Two places name different chains.
    #[error("{named_by} names chain id {found}, {earlier} names {expected}")]
    ChainMismatch {
        /// The second chain id.
        found: u64,
        /// Who named it.
        named_by: NamedBy,
        /// The first chain id.
        expected: u64,
        /// Who named it.
        earlier: NamedBy,
    },
    /// The header does not have the shape of its fork, so the chain is most likely another.
    #[error(
        "block {number} would be a {fork} block of {chain}, yet its header {contradiction}; \
         if it belongs to another chain, name it with --chain, if it follows another fork, \
         with --fork"
    )]
    ForkMismatch {
        /// Block number.
        number: u64,
        /// The chain that was assumed.
        chain: Chain,
        /// Its fork at that number and timestamp.
        fork: String,
        /// What in the header speaks against it.
        contradiction: &'static str,
    },
    /// A fork later than the last supported one.
    #[error(
        "block {number} of {chain} follows the rules of {fork}; the last supported fork is Amsterdam"
    )]
    UnsupportedFork {
        /// Block number.
        number: u64,
        /// The chain.
        chain: Chain,
        /// The fork.
        fork: String,
    },
    /// The stated sender did not sign the transaction.
    #[error("{index} ({hash}) states sender {stated}, but {recovered} signed it")]
    SenderMismatch {
        /// The transaction.
        index: TxIndex,
        /// Its hash.
        hash: B256,
        /// `from` in the file.
        stated: Address,
        /// Who the signature belongs to.
        recovered: Address,
    },
    /// A transaction's signature belongs to nobody.
    #[error("{index} ({hash}) states sender {stated}, but its signature is invalid")]
    InvalidSignature {
        /// The transaction.
        index: TxIndex,
        /// Its hash.
        hash: B256,
        /// `from` in the file.
        stated: Address,
    },
}

impl InputError {
    /// Whether the message already says which file it is about.
    pub const fn names_file(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::NoDirectory { .. }
                | Self::NotADirectory { .. }
                | Self::NotTests { .. }
                | Self::MissingFile { .. }
                | Self::NotAFile { .. }
                | Self::TwoFiles { .. }
                | Self::RootMismatch { .. }
                | Self::Read { .. }
                | Self::TruncatedGzip { .. }
                | Self::BadGzip { .. }
                | Self::TooLarge { .. }
                | Self::Json { .. }
                | Self::Field { .. }
        )
    }

    /// What a user can do about it, where that is not plain from the message.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::MissingFile { name: "alloc.json" | "env.json" | "txs.json", .. } => Some(
                "a transition's directory holds alloc.json, env.json, and txs.json or txs.rlp, \
                 as geth's `evm t8n` takes them, each plain or .gz",
            ),
            Self::MissingFile { name: "block.json" | "pre_state.json", .. }
            | Self::NoDirectory { looked_for: LOOKED_FOR, .. }
            | Self::NotADirectory { looked_for: LOOKED_FOR, .. } => Some(
                "a BLOCK is a directory with block.json (the answer to eth_getBlockByNumber with \
                 full transactions), pre_state.json (prestateTracer's accounts before the block) \
                 and, where BLOCKHASH is used, block_hashes.json, each plain or .gz",
            ),
            Self::SenderMismatch { .. } | Self::InvalidSignature { .. } => {
                Some("without --check-senders the sender is taken from the file")
            }
            _ => None,
        }
    }
}

/// The place that names a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// `--chain` or `--chain-id`, or the caller of the library.
    Caller,
    /// The block's own `chainId` field.
    Block,
    /// A transaction.
    Transaction(TxIndex, B256),
}

impl core::fmt::Display for NamedBy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Caller => f.write_str("--chain"),
            Self::Block => f.write_str("the block's `chainId`"),
            Self::Transaction(index, hash) => write!(f, "{index} ({hash})"),
        }
    }
}
