//! The template cache of a command: loaded from a file, used, saved again.

use std::{
    fs::{self, File},
    io::{BufReader, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use forewave::{
    Limits, MemoryState, Predictor, PredictorKind, Printable, StaticPredictor, TemplateCache,
    TemplateError,
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
    /// The templates in the file that was named, if one was. A file that is not there
    /// yet, or empty, holds none; templates that cannot be used are reported, and replaced
    /// later. A file that holds something else, or could not be written later, is
    /// reported, and nothing is to be done.
    pub(super) fn open(args: &CacheArgs) -> Result<Option<Self>, Verdict> {
        let Some(file) = args.cache.clone() else { return Ok(None) };
        let refused = |source| {
            report(&Failure::File { file: file.clone(), what: "templates", source }, None);
            Verdict::Failed
        };
        whole_file::check(&file, |_| true).map_err(refused)?;
        let cache = match load(&file) {
            Ok(cache) => cache,
            Err(TemplateError::NotTemplates) => return Err(refused(whole_file::not_ours())),
            Err(TemplateError::Read(source)) => return Err(refused(source)),
            Err(error) => {
                let name = Printable(file.display());
                eprintln!("warning: {name}: {error}; starting without templates");
                TemplateCache::new()
            }
        };
        let cache = Arc::new(cache);
        let predictor = StaticPredictor::sharing(Limits::default(), Arc::clone(&cache));
        Ok(Some(Self { file, cache, predictor }))
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
    match fs::metadata(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(TemplateCache::new()),
        Ok(metadata) if metadata.len() == 0 => Ok(TemplateCache::new()),
        _ => TemplateCache::load(BufReader::new(File::open(file)?), FILE_BYTES_MAX),
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
