//! Files of a block to its directory, which appears under its name when it is whole.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::Path,
    process::id,
};

use flate2::{Compression, write::GzEncoder};
use forewave::input::BlockFiles;

use crate::cli::diagnostic::Failure;

/// Makes the directory that block directories go to.
pub(super) fn prepare(output: &Path) -> Result<(), Failure> {
    fs::create_dir_all(output).map_err(|source| unwritable(output, source))
}

/// Writes a block directory; says whether it was not there before.
pub(super) fn write(output: &Path, name: &str, files: &BlockFiles) -> Result<bool, Failure> {
    let (whole, unfinished) = (output.join(name), output.join(format!(".{name}.{}.tmp", id())));
    let written = write_files(&unfinished, files).and_then(|()| {
        if whole.is_dir() {
            return Ok(false);
        }
        fs::rename(&unfinished, &whole).map(|()| true)
    });
    if !matches!(written, Ok(true)) {
        // It may not even have been created.
        drop(fs::remove_dir_all(&unfinished));
    }
    written.map_err(|source| unwritable(&whole, source))
}

fn write_files(directory: &Path, files: &BlockFiles) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir(directory)?,
    }
    let BlockFiles { block, pre_state, block_hashes, access_list } = files;
    for file in [block, pre_state].into_iter().chain(block_hashes).chain(access_list) {
        let name = format!("{}.gz", file.path.display());
        let mut to = GzEncoder::new(File::create(directory.join(name))?, Compression::default());
        to.write_all(&file.bytes)?;
        to.finish()?.sync_all()?;
    }
    Ok(())
}

fn unwritable(path: &Path, source: io::Error) -> Failure {
    Failure::File { file: path.to_owned(), what: "block", source }
}
