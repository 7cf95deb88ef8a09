//! Reads the files of a block directory: plain or gzip, each bounded in size.
//! What they mean is left to the parsers.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::InputError;

/// The most that one file may hold, in bytes after decompression. A block of a
/// gigagas with its whole pre-state stays well below.
pub const FILE_SIZE_MAX: u64 = 1 << 30;

/// The files of a block directory, for messages.
const LOOKED_FOR: &str = "block.json and pre_state.json, plain or .gz";

/// One file: where it came from, for messages, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it came from.
    pub path: PathBuf,
    /// Its content, decompressed.
    pub bytes: Vec<u8>,
}

/// The files of one block directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockFiles {
    /// The answer to `eth_getBlockByNumber(n, true)`.
    pub block: SourceFile,
    /// The accounts and slots that the block starts from.
    pub pre_state: SourceFile,
    /// Hashes of earlier blocks, for `BLOCKHASH`.
    pub block_hashes: Option<SourceFile>,
}

impl BlockFiles {
    /// Reads the files of `directory`.
    pub fn read(directory: &Path) -> Result<Self, InputError> {
        match directory.metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let path = directory.to_owned();
                return Err(InputError::NotADirectory { path, looked_for: LOOKED_FOR });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(InputError::NotFound { path: directory.to_owned() });
            }
            Err(source) => return Err(InputError::Read { path: directory.to_owned(), source }),
        }
        let required = |name| {
            let missing = || InputError::MissingFile { path: directory.to_owned(), name };
            read_file(directory, name)?.ok_or_else(missing)
        };
        Ok(Self {
            block: required("block.json")?,
            pre_state: required("pre_state.json")?,
            block_hashes: read_file(directory, "block_hashes.json")?,
        })
    }
}

/// `name` or `name.gz` in `directory`, the plain one first.
fn read_file(directory: &Path, name: &str) -> Result<Option<SourceFile>, InputError> {
    for (path, compressed) in
        [(directory.join(name), false), (directory.join(format!("{name}.gz")), true)]
    {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(InputError::Read { path, source }),
        };
        let content = if compressed {
            read_bounded(MultiGzDecoder::new(file), FILE_SIZE_MAX)
        } else {
            read_bounded(file, FILE_SIZE_MAX)
        };
        return match content {
            Ok(Some(bytes)) => Ok(Some(SourceFile { path, bytes })),
            Ok(None) => Err(InputError::TooLarge { path, size_max: FILE_SIZE_MAX }),
            Err(source) if !compressed => Err(InputError::Read { path, source }),
            Err(source) => Err(match source.kind() {
                io::ErrorKind::UnexpectedEof => InputError::TruncatedGzip { path },
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                    InputError::BadGzip { path, source }
                }
                _ => InputError::Read { path, source },
            }),
        };
    }
    Ok(None)
}

/// Everything that `reader` gives, or nothing if that is more than `size_max` bytes.
fn read_bounded(reader: impl Read, size_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(size_max + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= size_max).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn reading_stops_at_the_limit_however_well_the_file_was_compressed() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        let gzip = encoder.finish().unwrap();
        let read = |size_max| read_bounded(MultiGzDecoder::new(&gzip[..]), size_max).unwrap();
        assert_eq!(read((1 << 20) - 1), None);
        assert_eq!(read(1 << 20).map(|bytes| bytes.len()), Some(1 << 20));
    }
}
