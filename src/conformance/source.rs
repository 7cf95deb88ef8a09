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

use crate::{
    Printable,
    input::{InputError, SourceFile, json::shorten, limits::CASES_BYTES_MAX},
};

/// Directories inside directories, at most.
const DEPTH_MAX: usize = 32;

/// Bytes of what an archive says of the name of one entry, at most.
const NAME_BYTES_MAX: u64 = 64 << 10;

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
        if ["block.json", "block.json.gz"].iter().any(|name| path.join(name).exists()) {
            return Err(InputError::NotTests { path: path.to_owned() }.into());
        }
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
    let unreadable = |source| InputError::Read { path: path.to_owned(), source: harmless(&source) };
    let mut archive = tar::Archive::new(reader);
    // The library would hold a long name of any length; so they are read here.
    let entries = archive.entries().map_err(unreadable)?.raw(true);
    let mut long_name = None;
    for entry in entries {
        let mut entry = entry.map_err(unreadable)?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
            let bytes = read_name(&mut entry).map_err(unreadable)?;
            let name = if kind.is_gnu_longname() { Some(bytes) } else { pax_name(&bytes) };
            long_name = name.or(long_name);
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        // For messages only: nothing is ever opened or written by this name.
        let name = String::from_utf8_lossy(&name);
        let inside = path.join(name.trim_end_matches('\0'));
        if kind.is_file() && format(&inside) == Format::Json && !is_hidden(&inside) {
            visit(read_json(&inside, entry)?)?;
        }
    }
    Ok(())
}

/// What an entry holds that says how the next one is called.
fn read_name(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(NAME_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > NAME_BYTES_MAX {
        return Err(io::Error::other("a name in it is too long"));
    }
    Ok(bytes)
}

/// The name among the extensions of an entry (POSIX).
fn pax_name(extensions: &[u8]) -> Option<Vec<u8>> {
    let mut extensions = tar::PaxExtensions::new(extensions).filter_map(Result::ok);
    let path = extensions.find(|extension| extension.key_bytes() == b"path")?;
    Some(path.value_bytes().to_vec())
}

/// The same error; what it repeats of an archive can be shown to a person.
fn harmless(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), Printable(shorten(&error.to_string())).to_string())
}

fn read_json(path: &Path, reader: impl Read) -> Result<SourceFile, InputError> {
    let path = path.to_owned();
    let mut bytes = Vec::new();
    match reader.take(CASES_BYTES_MAX + 1).read_to_end(&mut bytes) {
        Err(source) => Err(InputError::Read { path, source: harmless(&source) }),
        Ok(_) if bytes.len() as u64 > CASES_BYTES_MAX => {
            Err(InputError::TooLarge { path, size_max: CASES_BYTES_MAX })
        }
        Ok(_) => Ok(SourceFile { path, bytes }),
    }
}

#[cfg(test)]
mod tests {
    use tar::{Builder, EntryType, Header};

    use super::*;

    /// An archive of these entries, one after the other.
    fn archive(entries: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (kind, name, content) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, *content).unwrap();
        }
        archive.into_inner().unwrap()
    }

    /// The names of the files found in an archive.
    fn names(archive: &[u8]) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        let visited = walk_archive(Path::new("a.tar"), archive, &mut |file| {
            names.push(file.path.display().to_string());
            Ok::<_, InputError>(())
        });
        visited.map(|()| names).map_err(|error| error.to_string())
    }

    #[test]
    fn a_long_name_counts_for_the_next_entry_alone() {
        let long = format!("{}.json", "x".repeat(300));
        let extension = format!("{} path={long}\n", long.len() + 10);
        let found = names(&archive(&[
            (EntryType::GNULongName, "././@LongLink", format!("{long}\0").as_bytes()),
            (EntryType::Regular, "x", b"{}"),
            (EntryType::Regular, "short.json", b"{}"),
            (EntryType::Regular, "short.txt", b"{}"),
            (EntryType::XHeader, "extension", extension.as_bytes()),
            (EntryType::Regular, "x", b"{}"),
        ]));
        let long = format!("a.tar/{long}");
        assert_eq!(found, Ok(vec![long.clone(), "a.tar/short.json".to_owned(), long]));
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_before_it_is_held() {
        let name = vec![b'x'; usize::try_from(NAME_BYTES_MAX).unwrap() + 1];
        for kind in [EntryType::GNULongName, EntryType::XHeader] {
            let error = names(&archive(&[(kind, "x", &name)])).unwrap_err();
            assert_eq!(error, "a.tar could not be read: a name in it is too long");
        }
    }

    #[test]
    fn a_damaged_entry_is_refused_without_what_its_name_does_to_a_terminal() {
        let mut archive = archive(&[(EntryType::Regular, "\u{1b}[2J.json", b"{}")]);
        let checksum = 148..156;
        archive[checksum].fill(b'z');
        let error = names(&archive).unwrap_err();
        assert!(error.contains("\\u{1b}[2J") && !error.contains('\u{1b}'), "{error}");
    }
}
