//! The template cache of a command: loaded from a file, used, saved again.

use std::{
    fs::File,
    io::{BufReader, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use forewave::{
    Limits, MemoryState, Predictor, PredictorKind, StaticPredictor, TemplateCache, TemplateError,
};

use super::{
    Verdict,
    args::CacheArgs,
    diagnostic::{Failure, report},
    whole_file,
};

/// Bytes of a file of templates at most. They take less room in memory.
const FILE_BYTES_MAX: usize = 1 << 30;

/// The templates that the predictor `static` shares between blocks, where a file was named.
#[derive(Debug)]
pub(super) struct Templates {
    file: PathBuf,
    cache: Arc<TemplateCache>,
    predictor: StaticPredictor,
}

impl Templates {
    /// The templates in the file that was named. A file that is not there yet
    /// holds none; one that cannot be used is reported, and ignored.
    pub(super) fn open(args: &CacheArgs) -> Option<Self> {
        let file = args.cache.clone()?;
        let cache = load(&file).unwrap_or_else(|error| {
            eprintln!("warning: {}: {error}; starting without templates", file.display());
            TemplateCache::new()
        });
        let cache = Arc::new(cache);
        let predictor = StaticPredictor::sharing(Limits::default(), Arc::clone(&cache));
        Some(Self { file, cache, predictor })
    }

    /// The predictor that shares them.
    pub(super) const fn predictor(&self) -> &StaticPredictor {
        &self.predictor
    }

    /// Writes the templates to their file, under another name until it is whole.
    pub(super) fn save(&self) -> Verdict {
        let written = whole_file::write(&self.file, |to| self.cache.save(to));
        let Err(source) = written else { return Verdict::Fine };
        report(&Failure::File { file: self.file.clone(), what: "templates", source }, None);
        Verdict::Failed
    }
}

fn load(file: &Path) -> Result<TemplateCache, TemplateError> {
    match File::open(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(TemplateCache::new()),
        opened => TemplateCache::load(BufReader::new(opened?), FILE_BYTES_MAX),
    }
}

/// The predictor of this kind: `static` with the templates, if there are any.
pub(super) fn predictor_by<'a>(
    kind: &'a PredictorKind,
    templates: Option<&'a StaticPredictor>,
) -> &'a dyn Predictor<MemoryState> {
    match templates {
        Some(templates) if *kind == PredictorKind::Static => templates,
        _ => kind,
    }
}
