//! Paths to test files: a file, a directory with everything below it, or an
//! archive as releases of ethereum/tests come.
//!
//! Files come one at a time, in an order that depends on their names alone
//! (within an archive, on its own), so that no archive is ever held as a whole.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use crate::input::{InputError, SourceFile, limits::CASES_BYTES_MAX};

/// Directories inside directories, at most.
const DEPTH_MAX: usize = 32;

/// The base-two logarithm of the memory that a `.zst` archive may ask for.
const ZSTD_WINDOW_LOG_MAX: u32 = 28;

/// Calls `visit` with each `.json` file at `path`. A path that was named is read
/// whatever its name; below it, names that begin with a dot are left out.
pub fn for_each_file<E: From<InputError>>(
    path: &Path,
    visit: &mut impl FnMut(SourceFile) -> Result<(), E>,
) -> Result<(), E> {
    walk(path, 0, visit)
}

fn walk<E: From<InputError>>(
    path: &Path,
    depth: usize,
    visit: &mut impl FnMut(SourceFile) -> Result<(), E>,
) -> Result<(), E> {
    let unreadable = |source| InputError::Read { path: path.to_owned(), source };
    let metadata = match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(InputError::NotFound { path: path.to_owned() }.into());
        }
        metadata => metadata.map_err(unreadable)?,
    };
    if metadata.is_dir() {
        if depth == DEPTH_MAX {
            let error = io::Error::other("directories are nested too deeply");
            return Err(unreadable(error).into());
        }
        for child in children(path).map_err(unreadable)? {
            walk(&child, depth + 1, visit)?;
        }
        return Ok(());
    }
    let file = File::open(path).map_err(unreadable)?;
    match format(path) {
        Format::Json => visit(read_json(path, file)?),
        Format::Tar => walk_archive(path, file, visit),
        Format::TarGz => walk_archive(path, MultiGzDecoder::new(file), visit),
        Format::TarZst => {
            let mut decoder = zstd::Decoder::new(file).map_err(unreadable)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(unreadable)?;
            walk_archive(path, decoder, visit)
        }
        Format::Other if depth == 0 => visit(read_json(path, file)?),
        Format::Other => Ok(()),
    }
}

/// What a name says that a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Tar,
    TarGz,
    TarZst,
    Other,
}

fn format(path: &Path) -> Format {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let suffixes = [
        (".json", Format::Json),
        (".tar", Format::Tar),
        (".tar.gz", Format::TarGz),
        (".tgz", Format::TarGz),
        (".tar.zst", Format::TarZst),
    ];
    let by_suffix = suffixes.into_iter().find(|(suffix, _)| name.ends_with(suffix));
    by_suffix.map_or(Format::Other, |(_, format)| format)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// What a directory holds, sorted. Links are not followed: they could lead back.
fn children(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut children = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_type()?.is_symlink() && !is_hidden(&entry.path()) {
            children.push(entry.path());
        }
    }
    children.sort_unstable();
    Ok(children)
}

/// Visits the `.json` files of an archive; nothing is unpacked.
fn walk_archive<E: From<InputError>>(
    path: &Path,
    reader: impl Read,
    visit: &mut impl FnMut(SourceFile) -> Result<(), E>,
) -> Result<(), E> {
    let unreadable = |source| InputError::Read { path: path.to_owned(), source };
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // For messages only: nothing is ever opened or written by this name.
        let inside = path.join(entry.path().map_err(unreadable)?);
        let is_file = entry.header().entry_type().is_file();
        if is_file && format(&inside) == Format::Json && !is_hidden(&inside) {
            visit(read_json(&inside, entry)?)?;
        }
    }
    Ok(())
}

fn read_json(path: &Path, reader: impl Read) -> Result<SourceFile, InputError> {
    let path = path.to_owned();
    let mut bytes = Vec::new();
    match reader.take(CASES_BYTES_MAX + 1).read_to_end(&mut bytes) {
        Err(source) => Err(InputError::Read { path, source }),
        Ok(_) if bytes.len() as u64 > CASES_BYTES_MAX => {
            Err(InputError::TooLarge { path, size_max: CASES_BYTES_MAX })
        }
        Ok(_) => Ok(SourceFile { path, bytes }),
    }
}
