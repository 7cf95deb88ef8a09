//! The summaries of a command: loaded from a file, used, saved again.

use std::{
    fs::{self, File},
    io::{self, BufReader, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use forewave::{
    EvaluationLimits, HybridPredictor, LatePredictor, PredictorKind, Printable, StaticPredictor,
    SummaryCache, SummaryError,
};

use super::{
    Verdict,
    args::CacheArgs,
    diagnostic::{Failure, report},
    timing::AnyPredictor,
    whole_file,
};

/// Bytes of a file of summaries at most. They take less room in memory.
const FILE_BYTES_MAX: usize = 1 << 30;

/// The summaries that the predictor `static` shares between blocks, where a file was named.
#[derive(Debug)]
pub(super) struct Summaries {
    file: PathBuf,
    cache: Arc<SummaryCache>,
    predictor: StaticPredictor,
}

impl Summaries {
    /// The summaries in the file that was named, if one was. A file that is not there
    /// yet, or empty, holds none; summaries that cannot be used are reported, and replaced
    /// later. A file that holds something else, or could not be written later, is
    /// reported, and nothing is to be done.
    pub(super) fn open(args: &CacheArgs) -> Result<Option<Self>, Verdict> {
        let Some(file) = args.cache.clone() else { return Ok(None) };
        let refused = |source| {
            report(&Failure::File { file: file.clone(), what: "summaries", source }, None);
            Verdict::Failed
        };
        whole_file::check(&file, |_| true).map_err(refused)?;
        let cache = match load(&file) {
            Ok(cache) => cache,
            Err(SummaryError::NotSummaries) => return Err(refused(whole_file::not_ours())),
            Err(SummaryError::Read(source)) => return Err(refused(source)),
            Err(error) => {
                let name = Printable(file.display());
                eprintln!("warning: {name}: {error}; starting without summaries");
                SummaryCache::default()
            }
        };
        let cache = Arc::new(cache);
        let predictor = StaticPredictor::new(Arc::clone(&cache), EvaluationLimits::default());
        Ok(Some(Self { file, cache, predictor }))
    }

    /// The predictor that shares them.
    pub(super) const fn predictor(&self) -> &StaticPredictor {
        &self.predictor
    }

    /// Writes the summaries to their file, under another name until it is whole.
    pub(super) fn save(&self) -> Verdict {
        let written = whole_file::write(&self.file, |to| self.cache.save(to));
        let Err(source) = written else { return Verdict::Fine };
        report(&Failure::File { file: self.file.clone(), what: "summaries", source }, None);
        Verdict::Failed
    }
}

/// Reads the summaries of a file that must be there.
pub(super) fn read(file: &Path) -> Result<SummaryCache, Failure> {
    let loaded = File::open(file)
        .map_err(SummaryError::Read)
        .and_then(|opened| SummaryCache::load(BufReader::new(opened), FILE_BYTES_MAX));
    loaded.map_err(|error| {
        let source = match error {
            SummaryError::Read(source) => source,
            other => io::Error::new(ErrorKind::InvalidData, other),
        };
        Failure::File { file: file.to_owned(), what: "summaries", source }
    })
}

fn load(file: &Path) -> Result<SummaryCache, SummaryError> {
    match fs::metadata(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(SummaryCache::default()),
        Ok(metadata) if metadata.len() == 0 => Ok(SummaryCache::default()),
        _ => SummaryCache::load(BufReader::new(File::open(file)?), FILE_BYTES_MAX),
    }
}

/// The predictor of this kind, with the summaries of the file, if one was named.
pub(super) fn predictor_by(
    kind: PredictorKind,
    shared: Option<&StaticPredictor>,
) -> Box<AnyPredictor> {
    match (kind, shared.cloned()) {
        (PredictorKind::Static, Some(shared)) => Box::new(shared),
        (PredictorKind::StaticLate, Some(shared)) => Box::new(LatePredictor(shared)),
        (PredictorKind::Hybrid, Some(shared)) => Box::new(HybridPredictor(shared)),
        _ => Box::new(kind),
    }
}
