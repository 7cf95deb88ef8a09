//! Failures as a person reads them, on standard error: whatever a file or its
//! name holds, nothing of it reaches the terminal as a command.

use core::fmt;
use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    analyze::CodeError,
    bench::PlotError,
    explained::{LabelsFailure, NoSuchTx},
};
use alloy_primitives::Address;
use forewave::{
    AnalyzeError, BlockError, ExecutionError, Printable, StateError, TxIndex,
    fetch::{FetchError, Refusal},
    input::{BlockInput, InputError},
    partition::PartitionError,
    t8n::TransitionError,
};
use miette::{Diagnostic, MietteHandlerOpts, ReportHandler};
use revm::{DatabaseRef, context::result::InvalidTransaction};

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A block could not be loaded.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A block could not be predicted or executed.
    #[error(transparent)]
    Block(#[from] BlockError<StateError>),
    /// A transaction is invalid since the state lacks its sender.
    #[error("the sender of {tx}, {sender}, is not in pre_state.json, so it is invalid: {error}")]
    SenderAbsent {
        /// The transaction.
        tx: TxIndex,
        /// Its sender.
        sender: Address,
        /// What is wrong with it on the state as it is.
        error: InvalidTransaction,
    },
    /// A block could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Accounts could not be divided among shards.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// A transition could not be made.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// The state does not hold what it was asked for.
    #[error(transparent)]
    State(#[from] StateError),
    /// A contract could not be found or read.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// A file of labels cannot be used.
    #[error(transparent)]
    Labels(#[from] LabelsFailure),
    /// A transaction that the block does not have was asked for.
    #[error(transparent)]
    NoSuchTx(#[from] NoSuchTx),
    /// A file could not be written.
    #[error("{}: the {what} could not be saved: {source}", file.display())]
    File {
        /// Where it was to go.
        file: PathBuf,
        /// What was to go there.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file could not be opened.
    #[error("{}: the file could not be read: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The block has no such transaction.
    #[error("there is no tx{tx}: the block has {transactions} transactions, from tx0")]
    NoTransaction {
        /// The transaction that was asked for.
        tx: usize,
        /// How many there are.
        transactions: usize,
    },
    /// There is no list to judge.
    #[error(
        "there is no access list to check: block_access_list.json is not beside the block, no \
         --list FILE is given, and its header has no blockAccessListHash"
    )]
    NoList,
    /// There is no list to score by.
    #[error(
        "there is no access list to score by: block_access_list.json is not beside the block; \
         --truth execution makes the truth by executing it"
    )]
    NoListToScoreBy,
    /// A plot could not be drawn or written.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// Standard output could not be written.
    #[error("the output could not be written: {0}")]
    Output(#[from] io::Error),
}

impl From<AnalyzeError<StateError>> for Failure {
    fn from(error: AnalyzeError<StateError>) -> Self {
        Self::Block(error.into())
    }
}

impl From<ExecutionError<StateError>> for Failure {
    fn from(error: ExecutionError<StateError>) -> Self {
        Self::Block(error.into())
    }
}

impl Failure {
    /// The same, said in words of the files where they are what is wrong.
    pub(super) fn explained_by(self, input: &BlockInput) -> Self {
        let Self::Block(BlockError::Execute(ExecutionError::InvalidTransaction { tx, ref error })) =
            self
        else {
            return self;
        };
        let is_of_sender = matches!(
            error,
            InvalidTransaction::NonceTooHigh { .. }
                | InvalidTransaction::LackOfFundForMaxFee { .. }
        );
        let sender = input.block.transactions[tx.index()].caller;
        match input.state.basic_ref(sender) {
            Ok(None) if is_of_sender => Self::SenderAbsent { tx, sender, error: error.clone() },
            _ => self,
        }
    }
}

/// What a user can do about a state that does not answer.
fn missing_from_files(error: &(dyn core::error::Error + 'static)) -> Option<String> {
    let mut causes = core::iter::successors(Some(error), |error| error.source());
    Some(match causes.find_map(|cause| cause.downcast_ref::<StateError>())? {
        StateError::MissingBlockHash(number) => format!(
            "block_hashes.json beside block.json gives the hashes that BLOCKHASH reads, such as \
             {{\"{number}\": \"0x...\"}}"
        ),
        StateError::MissingCode(hash) => {
            format!("pre_state.json gives an account this `codeHash` and no `code`: {hash}")
        }
    })
}

/// What a node that keeps no state of a block says of it, in the words of several nodes.
const STATE_GONE: [&str; 6] = [
    "missing trie node",
    "state not available",
    "state is not available",
    "historical state",
    "pruned",
    "archive",
];

/// What a user can do about a block that cannot be fetched.
fn help_to_fetch(error: &FetchError) -> Option<&'static str> {
    match error {
        FetchError::Input(error) => error.help(),
        FetchError::Node(error) => {
            let Refusal::Error(message) = &error.refusal else { return None };
            let message = message.to_lowercase();
            let is_gone = STATE_GONE.iter().any(|words| message.contains(words));
            is_gone.then_some(
                "the node does not keep state that old: ask an archive node, or fetch a newer block",
            )
        }
        FetchError::Differs { .. } | FetchError::NotExecutable { .. } => Some(
            "the chain may follow other rules than those assumed (--chain, --fork), or the node \
             may have replaced the block meanwhile",
        ),
        _ => None,
    }
}

/// A failure with the block that it is about.
#[derive(Debug)]
struct Located<'a> {
    failure: &'a Failure,
    block: Option<&'a Path>,
}

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names_file = matches!(self.failure, Failure::Input(error) if error.names_file());
        match self.block {
            Some(block) if !names_file => {
                write!(f, "{}: {}", Printable(block.display()), Printable(self.failure))
            }
            _ => Printable(self.failure).fmt(f),
        }
    }
}

impl core::error::Error for Located<'_> {}

impl Diagnostic for Located<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match self.failure {
            Failure::Input(error) => error.help().map(|help| Box::new(help) as _),
            Failure::Fetch(error) => help_to_fetch(error).map(|help| Box::new(help) as _),
            failure => missing_from_files(failure).map(|help| Box::new(help) as _),
        }
    }
}

/// Writes a failure to standard error, with the block that it is about.
pub(super) fn report(failure: &Failure, block: Option<&Path>) {
    eprintln!("{:?}", Rendered(Located { failure, block }));
}

struct Rendered<'a>(Located<'a>);

impl fmt::Debug for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Lines are left whole: paths and hashes are there to be copied.
        let handler = MietteHandlerOpts::new().wrap_lines(false).break_words(false).build();
        handler.debug(&self.0, f)
    }
}
