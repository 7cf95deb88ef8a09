//! The arguments of `fetch`, `stats`, `lint`, `partition` and `completions`, and those by
//! which every command takes blocks from a node.

use std::{num::NonZeroUsize, path::PathBuf};

use alloy_primitives::Address;
use clap::{Args, CommandFactory, error::ErrorKind};
use clap_complete::Shell;
use forewave::fetch::BlockRange;

use super::{BlockArgs, Cli, LoadArgs, Threads};
use crate::cli::node::{HttpNode, NodeUrl};

/// The most requests that can be under way at once.
const CONNECTIONS_MAX: i64 = 256;

/// The most shards.
const SHARDS_MAX: u64 = 4096;

/// Ends the process as clap does where an argument is wrong.
pub(in crate::cli) fn wrong_usage(message: impl core::fmt::Display) -> ! {
    misused(ErrorKind::ValueValidation, message)
}

/// Ends the process as clap does, with the usage of the command that was called.
pub(in crate::cli) fn misused(kind: ErrorKind, message: impl core::fmt::Display) -> ! {
    let mut program = Cli::command();
    program.build();
    let mut called = std::env::args().skip(1);
    let name = called.find(|argument| program.find_subcommand(argument).is_some());
    let command = match name.as_deref().and_then(|name| program.find_subcommand_mut(name)) {
        Some(command) => command,
        None => &mut program,
    };
    command.error(kind, message).exit()
}

/// A node that has blocks.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct NodeArgs {
    /// Fetch the blocks from the node behind URL, in place of directories: each BLOCK is then a
    /// number, decimal or hex, latest, safe, finalized or pending, or a range of them,
    /// FIRST..LAST, both included. What may be a key in URL is not printed.
    #[arg(long, value_name = "URL")]
    rpc_url: Option<String>,
    /// Requests that are under way at the node at once, at most.
    #[arg(long, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=CONNECTIONS_MAX))]
    rpc_connections: u16,
}

impl NodeArgs {
    /// The node, if one is named. Ends the process where its URL is none.
    pub(in crate::cli) fn node(&self) -> Option<HttpNode> {
        let url = self.rpc_url.as_deref()?;
        Some(HttpNode::new(
            NodeUrl::parse(url).unwrap_or_else(|error| wrong_usage(error)),
            self.connections(),
        ))
    }

    /// Whether a node is named.
    pub(in crate::cli) const fn is_named(&self) -> bool {
        self.rpc_url.is_some()
    }

    pub(in crate::cli) fn connections(&self) -> usize {
        self.rpc_connections.into()
    }
}

/// The blocks of a node that arguments name. Ends the process where they name none.
pub(in crate::cli) fn block_range(argument: &str) -> BlockRange {
    argument.parse().unwrap_or_else(|error| wrong_usage(error))
}

impl BlockArgs {
    /// How many blocks are named, as far as that is known before a node is asked.
    pub(in crate::cli) fn count(&self) -> u64 {
        let count = |path: &PathBuf| block_range(&path.to_string_lossy()).count_known();
        if self.node.is_named() {
            self.blocks.iter().map(count).sum()
        } else {
            self.blocks.len() as u64
        }
    }

    /// Whether there may be more than one block.
    pub(in crate::cli) fn names_several(&self) -> bool {
        let is_range = |path: &PathBuf| block_range(&path.to_string_lossy()).is_several();
        self.blocks.len() > 1 || self.node.is_named() && self.blocks.iter().any(is_range)
    }
}

/// `forewave fetch`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  forewave fetch --rpc-url http://localhost:8545 19000000 -o blocks
  forewave fetch --rpc-url \"$ETH_RPC_URL\" 19000000..19000009 finalized -o blocks
  forewave run blocks/mainnet-19000000 --compare

The pre-state is traced (prestateTracer) where the node offers the debug API, and read account
by account where it does not; what tracing leaves out is read too. Each block is then run, and
written only if it reproduces its header. A block that is there is skipped, so a run that ended
early is continued by repeating it.")]
pub(in crate::cli) struct FetchArgs {
    /// Blocks: numbers, decimal or hex, latest, safe, finalized or pending, or ranges of them,
    /// FIRST..LAST, both included.
    #[arg(value_name = "BLOCK", required = true)]
    pub(in crate::cli) blocks: Vec<String>,
    /// The directory that gets a directory for each block, CHAIN-NUMBER.
    #[arg(short, long, value_name = "DIR")]
    pub(in crate::cli) output: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) node: NodeArgs,
    /// Print JSON: one object for each block (docs/json.md describes the fields).
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) loading: LoadArgs,
}

/// `forewave stats`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  forewave stats blocks/*
  forewave stats blocks/* --csv blocks.csv --plot blocks.svg
  forewave stats --rpc-url http://localhost:8545 19000000..19000099 --json")]
pub(in crate::cli) struct StatsArgs {
    #[command(flatten)]
    pub(in crate::cli) blocks: BlockArgs,
    #[command(flatten)]
    pub(in crate::cli) threads: Threads,
    /// How many contracts and slots the total names.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(in crate::cli) top: usize,
    /// Write one line for each block to FILE, as comma-separated values.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) csv: Option<PathBuf>,
    /// Draw the parallelism of the blocks in FILE.svg; of what is there, only an earlier plot is
    /// replaced.
    #[arg(long, value_name = "FILE.svg")]
    pub(in crate::cli) plot: Option<PathBuf>,
}

/// `forewave lint`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  forewave lint out/Token.sol/Token.json
  forewave lint blocks/mainnet-19000000 0xdAC17F958D2ee523a2206206994597C13D831ec7
  forewave lint --rpc-url http://localhost:8545 latest 0xdAC17F958D2ee523a2206206994597C13D831ec7")]
pub(in crate::cli) struct LintArgs {
    /// Runtime code in hex, a file with such hex, a compiler's artifact (Foundry, Hardhat, solc),
    /// or, with ADDRESS, a block directory.
    #[arg(value_name = "CODE")]
    pub(in crate::cli) code: String,
    /// An account in the state before that block; where it is a proxy, its implementation is read
    /// from the state too.
    #[arg(value_name = "ADDRESS")]
    pub(in crate::cli) address: Option<Address>,
    /// The contract's ABI as JSON, or an artifact with it, to name its functions [default: that of
    /// the artifact]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) abi: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) node: NodeArgs,
    /// Print JSON (docs/json.md describes the fields).
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// `forewave partition`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  forewave partition blocks/* --shards 4
  forewave partition blocks/* --shards 16 --json")]
pub(in crate::cli) struct PartitionArgs {
    #[command(flatten)]
    pub(in crate::cli) blocks: BlockArgs,
    #[command(flatten)]
    pub(in crate::cli) threads: Threads,
    /// The number of shards.
    #[arg(long, value_name = "K", value_parser = shards)]
    pub(in crate::cli) shards: NonZeroUsize,
    /// How much more gas than the mean a shard may get, in per cent.
    #[arg(long, value_name = "PERCENT", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(in crate::cli) imbalance: u16,
}

fn shards(text: &str) -> Result<NonZeroUsize, String> {
    let wanted = text.parse::<u64>().ok().filter(|count| (1..=SHARDS_MAX).contains(count));
    let count = wanted.and_then(|count| NonZeroUsize::new(usize::try_from(count).ok()?));
    count.ok_or_else(|| format!("expected a number from 1 to {SHARDS_MAX}"))
}

/// `forewave completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  forewave completions bash > ~/.local/share/bash-completion/completions/forewave
  forewave completions zsh > ~/.zfunc/_forewave
  forewave man > ~/.local/share/man/man1/forewave.1")]
pub(in crate::cli) struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL", value_enum)]
    pub(in crate::cli) shell: Shell,
}
