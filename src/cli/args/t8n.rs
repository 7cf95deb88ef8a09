//! The arguments of `forewave t8n`: its own spelling, and that of geth and evmone.

use std::path::{Path, PathBuf};

use alloy_hardforks::EthereumHardfork;
use clap::Args;
use forewave::{BlockReward, t8n::TransitionRules};

use super::{Threads, fork};

/// `forewave t8n`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("rules").required(true))]
pub(in crate::cli) struct T8nArgs {
    /// The directory with `alloc.json`, `env.json`, and `txs.json` or `txs.rlp`, each plain or
    /// `.gz`: those that no option names [default: the current one]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The fork whose rules the block follows, such as Cancun. Before the Merge the beneficiary
    /// is paid what the fork pays, unless --state.reward says otherwise.
    #[arg(long, value_name = "FORK", value_parser = fork, group = "rules")]
    fork: Option<EthereumHardfork>,
    /// The same as geth spells it, with geth's default for --state.reward, which is 0.
    #[arg(long = "state.fork", value_name = "FORK", value_parser = fork, group = "rules")]
    state_fork: Option<EthereumHardfork>,
    /// The chain id.
    #[arg(long, visible_alias = "state.chainid", value_name = "ID", default_value_t = 1)]
    chain_id: u64,
    /// Wei that the beneficiary is paid before the Merge, ommers aside; -1: it is not even
    /// touched.
    #[arg(long = "state.reward", value_name = "WEI", allow_negative_numbers = true,
          value_parser = reward)]
    reward: Option<BlockReward>,
    /// The accounts before the block: a file, or `stdin` for a field of the object there.
    #[arg(long = "input.alloc", value_name = "FILE", value_parser = source)]
    input_alloc: Option<Source>,
    /// What a header would say: a file or `stdin`.
    #[arg(long = "input.env", value_name = "FILE", value_parser = source)]
    input_env: Option<Source>,
    /// The transactions, as JSON or as RLP in hex: a file or `stdin`.
    #[arg(long = "input.txs", value_name = "FILE", value_parser = source)]
    input_txs: Option<Source>,
    /// The directory for what is written [default: the current one]. With it, `alloc.json` and
    /// `result.json` are written there unless options name others.
    #[arg(long = "output.basedir", value_name = "DIR")]
    output_basedir: Option<PathBuf>,
    /// Write the accounts after the block, as an alloc: a file, `stdout` or `stderr`.
    #[arg(long = "output.alloc", visible_alias = "alloc", value_name = "FILE")]
    output_alloc: Option<String>,
    /// Write the result as JSON instead of printing it: a file, `stdout` or `stderr`.
    #[arg(long = "output.result", value_name = "FILE")]
    output_result: Option<String>,
    /// Write the RLP of the transactions that belong in the block, in hex: a file, `stdout` or
    /// `stderr`.
    #[arg(long = "output.body", value_name = "FILE")]
    output_body: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) threads: Threads,
    /// Print JSON, with the names and forms of `evm t8n`.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// Where something is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Source {
    /// A field of the object on standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// Where something is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Destination {
    /// A field of the object on standard output.
    Stdout,
    /// A field of the object on standard error.
    Stderr,
    /// A file.
    File(PathBuf),
}

impl T8nArgs {
    /// Where the files are that no option names.
    pub(in crate::cli) fn directory(&self) -> &Path {
        self.directory.as_deref().unwrap_or_else(|| Path::new("."))
    }

    /// By which rules.
    pub(in crate::cli) fn rules(&self) -> TransitionRules {
        let (fork, usual) = match (self.fork, self.state_fork) {
            (Some(fork), _) => (fork, BlockReward::OfFork),
            (None, Some(fork)) => (fork, BlockReward::Wei(0)),
            (None, None) => unreachable!("one of them is required"),
        };
        let reward = self.reward.unwrap_or(usual);
        TransitionRules { fork, chain_id: self.chain_id, reward }
    }

    /// Where accounts, environment and transactions are read from, if options say.
    pub(in crate::cli) const fn inputs(&self) -> [&Option<Source>; 3] {
        [&self.input_alloc, &self.input_env, &self.input_txs]
    }

    /// What is written, and where to. As with geth, an empty name is for what is not.
    pub(in crate::cli) fn outputs(&self) -> Vec<(&'static str, Destination)> {
        let usual = |name: &str| self.output_basedir.is_some().then(|| name.to_owned());
        let asked = [
            ("alloc", self.output_alloc.clone().or_else(|| usual("alloc.json"))),
            ("result", self.output_result.clone().or_else(|| usual("result.json"))),
            ("body", self.output_body.clone()),
        ];
        let asked = asked.into_iter().filter_map(|(what, name)| Some((what, name?)));
        let asked = asked.filter(|(_, name)| !name.is_empty());
        asked.map(|(what, name)| (what, self.destination(name))).collect()
    }

    fn destination(&self, name: String) -> Destination {
        match (name.as_str(), &self.output_basedir) {
            ("stdout", _) => Destination::Stdout,
            ("stderr", _) => Destination::Stderr,
            (_, Some(directory)) => Destination::File(directory.join(name)),
            (_, None) => Destination::File(name.into()),
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "clap takes parsers that can fail")]
fn source(name: &str) -> Result<Source, String> {
    Ok(if name == "stdin" { Source::Stdin } else { Source::File(name.into()) })
}

fn reward(wei: &str) -> Result<BlockReward, String> {
    match wei {
        "-1" => Ok(BlockReward::Unpaid),
        wei => {
            wei.parse().map(BlockReward::Wei).map_err(|_| "neither a number of wei nor -1".into())
        }
    }
}
