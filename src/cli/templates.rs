//! The template cache of a command: loaded from a file, used, saved again.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, ErrorKind, Write},
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
        let Err(source) = self.write() else { return Verdict::Fine };
        report(&Failure::Templates { file: self.file.clone(), source }, None);
        Verdict::Failed
    }

    fn write(&self) -> std::io::Result<()> {
        let mut name = self.file.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let unfinished = self.file.with_file_name(name);
        let written = File::create(&unfinished).and_then(|file| {
            let mut to = BufWriter::new(file);
            self.cache.save(&mut to)?;
            to.flush()?;
            fs::rename(&unfinished, &self.file)
        });
        if written.is_err() {
            // It may not even have been created.
            drop(fs::remove_file(&unfinished));
        }
        written
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
