//! A loaded block -> predicted, planned and named, as `graph`, `predict` and `explain` look at it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use forewave::{
    PredictorKind, TxIndex,
    explain::{Explained, Observed},
    input::BlockInput,
    names::{Labels, LabelsError},
    predict_on_threads,
};

use super::{
    args::{NameArgs, cores},
    diagnostic::Failure,
    summaries::{Summaries, predictor_by},
    thread_pool_of,
};

/// Largest file of labels.
const LABELS_BYTES_MAX: u64 = 16 << 20;

/// A file of labels that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LabelsFailure {
    /// It cannot be read.
    #[error("{}: the labels could not be read: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is too large.
    #[error("{} is larger than {LABELS_BYTES_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    /// It holds something else.
    #[error("{}: {source}", file.display())]
    Wrong {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: LabelsError,
    },
}

/// A transaction that the block does not have.
#[derive(Debug, thiserror::Error)]
#[error("there is no {tx}: the block has {count} transactions, tx0 to tx{}", count.saturating_sub(1))]
pub(super) struct NoSuchTx {
    tx: TxIndex,
    count: usize,
}

impl NoSuchTx {
    /// Refuses a transaction that the block does not have.
    pub(super) fn check(input: &BlockInput, tx: TxIndex) -> Result<(), Self> {
        let count = input.block.transactions.len();
        if tx.index() < count { Ok(()) } else { Err(Self { tx, count }) }
    }
}

/// The names that the caller gives.
pub(super) fn labels(args: &NameArgs) -> Result<Labels, LabelsFailure> {
    let Some(file) = &args.labels else { return Ok(Labels::default()) };
    let bytes =
        read(file).map_err(|source| LabelsFailure::Unreadable { file: file.clone(), source })?;
    if bytes.len() as u64 > LABELS_BYTES_MAX {
        return Err(LabelsFailure::TooLarge(file.clone()));
    }
    Labels::parse(&bytes).map_err(|source| LabelsFailure::Wrong { file: file.clone(), source })
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(LABELS_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Predicts and plans a block, on the threads of a pool, and names what is in it.
pub(super) fn explained<'a>(
    input: &'a BlockInput,
    kind: PredictorKind,
    summaries: Option<&Summaries>,
    labels: &Labels,
) -> Result<Explained<'a>, Failure> {
    let shared = summaries.map(Summaries::predictor);
    let predictor = predictor_by(kind, shared);
    let pool = thread_pool_of(cores())?;
    // A predictor that looks at the block as a whole predicts on this thread.
    let predictions = if predictor.is_by_transaction() {
        predict_on_threads(&input.block, &input.state, &*predictor, &pool)?
    } else {
        predictor.predict(&input.block, &input.state)?
    };
    let summaries = shared.cloned().unwrap_or_else(PredictorKind::shared_static);
    Ok(Explained::new(input, kind, predictions, &summaries, labels)?)
}

/// The same with what execution touched.
pub(super) fn checked(explained: Explained<'_>) -> Result<Explained<'_>, Failure> {
    let BlockInput { block, state, .. } = explained.input;
    let observed = Observed::new(block, state)?;
    Ok(explained.with_observed(Some(observed)))
}
