//! The arguments of every command, and their help.

mod look;
mod t8n;
mod tools;

use std::{collections::BTreeSet, num::NonZeroUsize, path::PathBuf, thread::available_parallelism};

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::Address;
use clap::{
    ArgAction, Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use forewave::{
    PredictorKind,
    conformance::{UnknownFork, Ways, fork_by_name, fork_names},
    input::{Chain, LoadOptions, Senders},
};

pub(super) use self::{
    look::{ExplainArgs, GraphArgs, GraphFormat, NameArgs, PredictArgs},
    t8n::{Destination, Source, T8nArgs},
    tools::{
        CompletionsArgs, FetchArgs, LintArgs, NodeArgs, PartitionArgs, StatsArgs, block_range,
        misused, wrong_usage,
    },
};

/// The most threads that can be asked for.
const THREADS_MAX: i64 = 1024;

/// The most repetitions that can be asked for.
const REPEAT_MAX: i64 = 1_000_000;

/// Looks at an Ethereum block before it runs: predicts what each transaction
/// will read and write, draws the conflict graph, and runs it in parallel.
#[derive(Debug, Parser)]
#[command(name = "forewave", version, max_term_width = 100)]
pub(super) struct Cli {
    /// Say on standard error what the steps of each block took; twice, of each system call as well.
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Draw a block's conflict graph and its waves: text, a page to look at, SVG, DOT, Mermaid, JSON.
    Graph(GraphArgs),
    /// Say what transactions are predicted to read and write, and from what.
    Predict(PredictArgs),
    /// Say why two transactions are ordered or not, or everything about one.
    Explain(ExplainArgs),
    /// Execute blocks in parallel, and compare with sequential execution.
    Run(RunArgs),
    /// Make the access list of blocks (EIP-7928), and judge the ones they come with.
    Bal(BalArgs),
    /// Say which access list (EIP-2930) would save each transaction gas, and how much.
    AccessList(AccessListArgs),
    /// Measure what parallel execution gains on blocks, and predict it for more cores.
    Bench(BenchArgs),
    /// Score predictors against what the transactions did touch.
    Score(ScoreArgs),
    /// Say what a contract reads and writes, function by function.
    Analyze(AnalyzeArgs),
    /// Run the blocks of ethereum/tests in parallel, and compare with what they must give.
    Test(TestArgs),
    /// Execute a state transition as test fillers state it, and print its roots.
    T8n(T8nArgs),
    /// Fetch blocks from a node, each with all that running it needs, into block directories.
    Fetch(FetchArgs),
    /// Say what orders the transactions of many blocks, and what would if less did.
    Stats(StatsArgs),
    /// Say which functions of a contract can never run side by side, and at which slots.
    Lint(LintArgs),
    /// Divide the accounts of blocks among shards so that few transactions need two.
    Partition(PartitionArgs),
    /// Print the completions of a shell.
    Completions(CompletionsArgs),
    /// Print the manual page.
    Man,
}

/// Which blocks, and how they are loaded and reported.
#[derive(Debug, Args)]
pub(super) struct BlockArgs {
    /// Block directories: `block.json` (what `eth_getBlockByNumber` answers), `pre_state.json`
    /// (what `prestateTracer` gives) and, for BLOCKHASH, `block_hashes.json`; each plain or `.gz`.
    #[arg(value_name = "BLOCK", required = true)]
    pub(super) blocks: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) node: NodeArgs,
    /// Print JSON instead of text (docs/json.md describes the fields).
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    loading: LoadArgs,
}

impl BlockArgs {
    pub(super) fn load_options(&self) -> LoadOptions {
        self.loading.options()
    }
}

/// Which rules blocks follow, and whether their senders are checked.
#[derive(Clone, Debug, Args)]
pub(super) struct LoadArgs {
    /// The chain, by name or id: mainnet, sepolia, holesky, hoodi or linea. Without it,
    /// the one that the transactions name; mainnet if they name none.
    #[arg(long, value_name = "CHAIN")]
    chain: Option<Chain>,
    /// The id of any other chain whose blocks follow Ethereum's rules, with --fork. Without it, the
    /// one that the transactions name.
    #[arg(long, value_name = "ID", conflicts_with = "chain", requires = "fork")]
    chain_id: Option<u64>,
    /// The fork whose rules the block follows, such as Prague. Without it, the chain's at the
    /// block's number and time.
    #[arg(long, value_name = "FORK", value_parser = fork)]
    fork: Option<EthereumHardfork>,
    /// Recover each sender from its signature and compare with the one stated.
    #[arg(long)]
    check_senders: bool,
}

impl LoadArgs {
    pub(super) fn options(&self) -> LoadOptions {
        let senders = if self.check_senders { Senders::Recovered } else { Senders::AsStated };
        let chain = self.chain.or(self.chain_id.map(Chain::from_id));
        LoadOptions { chain, fork: self.fork, senders }
    }
}

/// `forewave access-list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  forewave access-list fixtures/blocks/mixed-defi       what a list would save each transaction
  forewave access-list --tx 7 BLOCK                     the list itself, for one transaction
  forewave access-list --json BLOCK | jq .access_list   as a wallet puts it into a transaction")]
pub(super) struct AccessListArgs {
    #[command(flatten)]
    pub(super) blocks: BlockArgs,
    /// Only this transaction of each block, from 0; its list is printed.
    #[arg(long, value_name = "I")]
    pub(super) tx: Option<usize>,
}

/// What `bal` prints of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ListFormat {
    /// Account by account, in words.
    Text,
    /// One object for each block (docs/json.md).
    Json,
    /// The RLP of the list, as hexadecimal.
    Rlp,
}

/// `forewave bal`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  forewave bal fixtures/blocks/mixed-defi               the list, in words
  forewave bal --format rlp BLOCK > list.rlp            as it is hashed
  forewave bal --check BLOCK                            judge BLOCK/block_access_list.json
  forewave bal --check --list list.json BLOCK           judge another list")]
pub(super) struct BalArgs {
    #[command(flatten)]
    pub(super) blocks: BlockArgs,
    /// What is printed of each list.
    #[arg(long, value_name = "FORMAT", default_value = "text", conflicts_with = "json")]
    format: ListFormat,
    /// Say only whether the list that a block comes with is the right one: its
    /// `block_access_list.json`, and the hash in its header.
    #[arg(long)]
    pub(super) check: bool,
    /// Judge the list in this file: what `eth_getBlockAccessList` answers, or its RLP as a
    /// `0x` string in quotes. For one block.
    #[arg(long, value_name = "FILE")]
    pub(super) list: Option<PathBuf>,
    #[command(flatten)]
    pub(super) threads: Threads,
}

impl BalArgs {
    /// What is printed.
    pub(super) const fn format(&self) -> ListFormat {
        if self.blocks.json { ListFormat::Json } else { self.format }
    }
}

/// How many threads.
#[derive(Debug, Args)]
pub(super) struct Threads {
    /// Threads that execute [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX))]
    threads: Option<u16>,
}

impl Threads {
    pub(super) fn count(&self) -> usize {
        self.threads.map_or_else(cores, usize::from)
    }
}

/// Where summaries are kept.
#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    /// Load the summaries of code that `static` evaluates from FILE, and save them there at the end;
    /// a file that holds anything else is refused.
    #[arg(long, value_name = "FILE")]
    pub(super) cache: Option<PathBuf>,
}

/// `forewave run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) blocks: BlockArgs,
    #[command(flatten)]
    pub(super) threads: Threads,
    /// The predictor that the run is planned by. With `none`, transactions are taken in block
    /// order.
    #[arg(long, value_name = "P", default_value = "none", value_parser = predictor())]
    pub(super) predictor: PredictorKind,
    #[command(flatten)]
    pub(super) cache: CacheArgs,
    /// Execute sequentially too, and check outcome and header.
    #[arg(long)]
    pub(super) compare: bool,
    /// Run each block K times and report the medians.
    #[arg(long, value_name = "K", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=REPEAT_MAX))]
    pub(super) repeat: u32,
}

/// `forewave bench`.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[command(flatten)]
    pub(super) blocks: BlockArgs,
    /// Threads to measure with, separated by commas [default: 1, 2, 4 and so on, up to one for
    /// each core]
    #[arg(long, value_name = "N,...", value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX))]
    threads: Vec<u16>,
    /// Run each block K times in each way and report medians and quartiles.
    #[arg(long, value_name = "K", default_value_t = 7,
          value_parser = clap::value_parser!(u32).range(1..=REPEAT_MAX))]
    pub(super) repeat: u32,
    /// The predictor that the run is planned by. With `none`, transactions are taken in block
    /// order.
    #[arg(long, value_name = "P", default_value = "none", value_parser = predictor())]
    pub(super) predictor: PredictorKind,
    /// Give each run the results of an earlier one, as a builder has them.
    #[arg(long)]
    pub(super) warm: bool,
    /// Draw the speed-up against threads in FILE.svg; of what is there, only an earlier plot is
    /// replaced.
    #[arg(long, value_name = "FILE.svg")]
    pub(super) plot: Option<PathBuf>,
}

impl BenchArgs {
    /// The numbers of threads to measure with, ascending.
    pub(super) fn measured(&self) -> Vec<usize> {
        if !self.threads.is_empty() {
            return ascending(self.threads.iter().copied().map(usize::from));
        }
        let cores = cores();
        let powers = core::iter::successors(Some(1), |count: &usize| count.checked_mul(2));
        ascending(powers.take_while(|&count| count < cores).chain([cores]))
    }
}

/// Each count once.
fn ascending(counts: impl Iterator<Item = usize>) -> Vec<usize> {
    counts.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Cores of the machine that the process may use.
pub(super) fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

/// What predictions are scored against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Truth {
    /// The access list that the block comes with (EIP-7928); nothing is executed.
    List,
    /// What executing the block touches.
    Execution,
}

/// `forewave score`.
#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    #[command(flatten)]
    pub(super) blocks: BlockArgs,
    #[command(flatten)]
    pub(super) threads: Threads,
    /// The predictors to score, separated by commas.
    #[arg(long, value_name = "P,...", value_delimiter = ',', value_parser = predictor(),
          default_value = "none,access-list,recon,static,static-late,hybrid,oracle")]
    pub(super) predictor: Vec<PredictorKind>,
    /// Time each prediction and each sequential run K times and take the medians.
    #[arg(long, value_name = "K", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=REPEAT_MAX))]
    pub(super) repeat: u32,
    /// What the predictions are scored against [default: the access list of a block that comes
    /// with one, else execution]
    #[arg(long, value_name = "TRUTH")]
    pub(super) truth: Option<Truth>,
    /// Learn from each block once it is scored, for the blocks after it. Blocks are taken in the
    /// order in which they are named.
    #[arg(long)]
    pub(super) learn: bool,
    #[command(flatten)]
    pub(super) cache: CacheArgs,
}

/// `forewave analyze`.
#[derive(Debug, Args)]
pub(super) struct AnalyzeArgs {
    /// Runtime code in hex, a file with such hex, a compiler's artifact (Foundry, Hardhat, solc),
    /// or, with ADDRESS, a block directory, or a block of a node.
    #[arg(value_name = "CODE")]
    pub(super) code: String,
    #[command(flatten)]
    pub(super) node: NodeArgs,
    /// An account in the state before that block; where it is a proxy, its implementation is read
    /// from the state and analysed too.
    #[arg(value_name = "ADDRESS")]
    pub(super) address: Option<Address>,
    /// The contract's ABI as JSON, or an artifact with it, to name its functions [default: that of
    /// the artifact]
    #[arg(long, value_name = "FILE")]
    pub(super) abi: Option<PathBuf>,
    /// Show what runs of these functions have taught, too, from a FILE that `score --learn --cache`
    /// has saved.
    #[arg(long, value_name = "FILE")]
    pub(super) cache: Option<PathBuf>,
    /// Print JSON (docs/json.md describes the fields).
    #[arg(long)]
    pub(super) json: bool,
}

/// `forewave test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Files of `BlockchainTests`, directories of them, or archives (.tar, .tar.gz, .tar.zst).
    #[arg(value_name = "PATH", required = true)]
    pub(super) paths: Vec<PathBuf>,
    /// The predictors that each block is executed with, separated by commas.
    #[arg(long, value_name = "P,...", value_delimiter = ',', value_parser = predictor(),
          default_value = "none,access-list,recon,static,hybrid,oracle")]
    predictor: Vec<PredictorKind>,
    /// On how many threads each block is executed, separated by commas.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,2,8",
          value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX))]
    threads: Vec<u16>,
    /// Execute each block sequentially and once in parallel, as `run` would with the predictor
    /// `static` on 2 threads.
    #[arg(long, conflicts_with_all = ["predictor", "threads"])]
    quick: bool,
    /// Run only the cases whose name contains TEXT.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Print a line for each case, with the root of the state that it ends in.
    #[arg(short, long, conflicts_with = "json")]
    pub(super) verbose: bool,
    /// Print JSON: one object for each case, then the total (docs/json.md describes the fields).
    #[arg(long)]
    pub(super) json: bool,
}

impl TestArgs {
    /// The predictors that each block is executed with.
    pub(super) fn predictors(&self) -> &[PredictorKind] {
        if self.quick { &[PredictorKind::Static] } else { &self.predictor }
    }

    /// On how many threads each block is executed.
    pub(super) fn threads(&self) -> &[u16] {
        if self.quick { &[2] } else { &self.threads }
    }

    /// In which ways each block is executed.
    pub(super) const fn ways(&self) -> Ways {
        if self.quick { Ways::Usual } else { Ways::All }
    }

    /// Whether a case of this name is asked for.
    pub(super) fn wants(&self, case: &str) -> bool {
        self.filter.as_ref().is_none_or(|text| case.contains(text))
    }
}

fn fork(name: &str) -> Result<EthereumHardfork, String> {
    fork_by_name(name).map_err(|unknown| match unknown {
        UnknownFork::Name(_) => format!("none of {}", fork_names().join(", ")),
        UnknownFork::NotFollowed { reason, .. } => reason.to_owned(),
    })
}

fn predictor() -> impl TypedValueParser<Value = PredictorKind> {
    PossibleValuesParser::new(PredictorKind::ALL.map(PredictorKind::name))
        .try_map(|name| name.parse::<PredictorKind>())
}
