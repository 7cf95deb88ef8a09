//! Output files: checked before the work, then whole or not there: written under
//! another name and renamed.

use std::{
    fs::{self, File},
    io::{self, BufWriter, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    process::id,
};

/// How many bytes of a file tell what it is.
const BEGIN_BYTES: u64 = 64;

/// Checks that `file` can be written later: its directory takes new files, and what is there
/// already is a regular file that is empty or whose first bytes `is_ours`.
pub(super) fn check(file: &Path, is_ours: impl FnOnce(&[u8]) -> bool) -> io::Result<()> {
    match fs::metadata(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.is_file() => {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(metadata) if metadata.permissions().readonly() => {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "it is read-only"));
        }
        Ok(_) => {
            let mut begin = Vec::new();
            File::open(file)?.take(BEGIN_BYTES).read_to_end(&mut begin)?;
            if !begin.is_empty() && !is_ours(&begin) {
                return Err(not_ours());
            }
        }
    }
    let unfinished = unfinished(file);
    File::create(&unfinished)?;
    fs::remove_file(&unfinished)
}

/// Why a file that holds something else is left as it is.
pub(super) fn not_ours() -> io::Error {
    let reason = "it exists and holds something else, which is kept; name a new file, or one \
                  that forewave wrote for this";
    io::Error::new(ErrorKind::AlreadyExists, reason)
}

/// Writes what `write` gives to `file`; where that is a link, to what it leads to.
pub(super) fn write(
    file: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let unfinished = unfinished(&file);
    let written = File::create(&unfinished).and_then(|created| {
        let mut to = BufWriter::new(created);
        write(&mut to)?;
        to.flush()?;
        fs::rename(&unfinished, &file)
    });
    if written.is_err() {
        // It may not even have been created.
        drop(fs::remove_file(&unfinished));
    }
    written
}

/// The name of a file until it is whole.
fn unfinished(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", id()));
    file.with_file_name(name)
}
