//! Output files that are whole or not there: written under another name, then renamed.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
    process::id,
};

/// Writes what `write` gives to `file`.
pub(super) fn write(
    file: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", id()));
    let unfinished = file.with_file_name(name);
    let written = File::create(&unfinished).and_then(|created| {
        let mut to = BufWriter::new(created);
        write(&mut to)?;
        to.flush()?;
        fs::rename(&unfinished, file)
    });
    if written.is_err() {
        // It may not even have been created.
        drop(fs::remove_file(&unfinished));
    }
    written
}
