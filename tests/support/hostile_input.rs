//! What must hold of a block directory's files, whatever is in them: they are
//! refused with a message that can be shown to a person, or they make a block,
//! whose execution from a prediction is the sequential one, errors included.

use std::path::Path;

use forewave::{
    Plan, StaticPredictor,
    input::{BlockFiles, BlockInput, InputError, LoadOptions, Senders, SourceFile, limits},
    is_printable, predict, sequential,
};
use rayon::ThreadPool;

/// Gas of all transactions up to which a block is executed.
const EXECUTED_GAS_MAX: u64 = 60_000_000;

/// The most characters of a message.
const MESSAGE_CHARS_MAX: usize = 1000;

/// What became of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// They make no block.
    Refused,
    /// They make a block that is not valid.
    Invalid,
    /// They make a block of more gas than is executed here.
    TooDear,
    /// They make a block.
    Executed,
}

/// A file as it lies in its directory: its name says whether it is compressed.
pub(crate) fn source(name: &str, bytes: &[u8], size_max: u64) -> Result<SourceFile, InputError> {
    if Path::new(name).extension() == Some("gz".as_ref()) {
        SourceFile::decompress(name.into(), bytes, size_max)
    } else {
        SourceFile::read(name.into(), bytes, size_max)
    }
}

/// Block, pre-state and hashes, each with its name.
pub(crate) fn load(files: [(&str, &[u8]); 3]) -> Result<BlockInput, InputError> {
    let [block, pre_state, block_hashes] = files;
    let files = BlockFiles {
        block: source(block.0, block.1, limits::BLOCK_BYTES_MAX)?,
        pre_state: source(pre_state.0, pre_state.1, limits::PRE_STATE_BYTES_MAX)?,
        block_hashes: Some(source(block_hashes.0, block_hashes.1, limits::BLOCK_HASHES_BYTES_MAX)?),
        access_list: None,
    };
    // What is changed has lost its signature, and is to be executed all the same.
    let recovered = LoadOptions { senders: Senders::Recovered, ..LoadOptions::default() };
    if let Err(error) = BlockInput::parse(&files, &recovered) {
        check_message(&error.to_string());
    }
    BlockInput::parse(&files, &LoadOptions::default())
}

/// Checks one case.
#[track_caller]
pub(crate) fn check(files: [(&str, &[u8]); 3], pool: &ThreadPool) -> Fate {
    let input = match load(files) {
        Ok(input) => input,
        Err(error) => {
            check_message(&error.to_string());
            return Fate::Refused;
        }
    };
    let gas = input.block.transactions.iter().map(|tx| tx.gas_limit);
    if gas.fold(0, u64::saturating_add) > EXECUTED_GAS_MAX {
        return Fate::TooDear;
    }
    let predictions = predict(&input.block, &input.state, &StaticPredictor::default());
    let plan = predictions.map(Plan::new);
    let truth = sequential(&input.block, &input.state);
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            // Only what the state cannot know fails a prediction.
            check_message(&error.to_string());
            return Fate::Invalid;
        }
    };
    match (plan.execute(&input.block, &input.state, pool), truth) {
        (Ok(outcome), Ok(truth)) => {
            assert_eq!(outcome.first_difference(&truth), None);
            Fate::Executed
        }
        (Err(error), Err(truth)) => {
            assert_eq!(error, truth);
            check_message(&error.to_string());
            Fate::Invalid
        }
        (outcome, truth) => panic!(
            "in parallel {:?}, sequentially {:?}",
            outcome.map(|outcome| outcome.gas_used),
            truth.map(|truth| truth.gas_used)
        ),
    }
}

/// A message says something, on one line, of a length that can be read.
#[track_caller]
pub(crate) fn check_message(message: &str) {
    assert!(!message.is_empty() && is_printable(message), "{message:?}");
    assert!(message.chars().count() <= MESSAGE_CHARS_MAX, "{message}");
}
