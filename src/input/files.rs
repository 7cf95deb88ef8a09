//! Reads the files of a block directory: plain or gzip, each bounded in size
//! ([`limits`](super::limits)) and a regular file, so that reading ends. What
//! they mean is left to the parsers.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::{
    InputError,
    limits::{ACCESS_LIST_BYTES_MAX, BLOCK_BYTES_MAX, BLOCK_HASHES_BYTES_MAX, PRE_STATE_BYTES_MAX},
};

/// The files of a block directory, for messages.
pub(super) const LOOKED_FOR: &str = "block.json and pre_state.json, plain or .gz";

/// What a gzip stream begins with (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// One file: where it came from, for messages, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it came from.
    pub path: PathBuf,
    /// Its content, decompressed.
    pub bytes: Vec<u8>,
}

impl SourceFile {
    /// A file that holds what `plain` gives, which may be at most `size_max` bytes.
    pub fn read(path: PathBuf, plain: impl Read, size_max: u64) -> Result<Self, InputError> {
        match read_bounded(plain, size_max) {
            Ok(Some(bytes)) if bytes.starts_with(&GZIP) => Err(InputError::UnnamedGzip { path }),
            Ok(Some(bytes)) => Ok(Self { path, bytes }),
            Ok(None) => Err(InputError::TooLarge { path, size_max }),
            Err(source) => Err(InputError::Read { path, source }),
        }
    }

    /// A file that holds what `gzip` decompresses to, which may be at most
    /// `size_max` bytes however well they were compressed.
    pub fn decompress(path: PathBuf, gzip: impl Read, size_max: u64) -> Result<Self, InputError> {
        match read_bounded(MultiGzDecoder::new(gzip), size_max) {
            Ok(Some(bytes)) => Ok(Self { path, bytes }),
            Ok(None) => Err(InputError::TooLarge { path, size_max }),
            Err(source) => Err(match source.kind() {
                io::ErrorKind::UnexpectedEof => InputError::TruncatedGzip { path },
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                    InputError::BadGzip { path, source }
                }
                _ => InputError::Read { path, source },
            }),
        }
    }
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
    /// The block's access list (EIP-7928).
    pub access_list: Option<SourceFile>,
}

impl BlockFiles {
    /// Reads the files of `directory`.
    pub fn read(directory: &Path) -> Result<Self, InputError> {
        refuse_other_than_directory(directory, LOOKED_FOR)?;
        let required = |name, size_max| {
            let missing = || InputError::MissingFile { path: directory.to_owned(), name };
            read_file(directory, name, size_max)?.ok_or_else(missing)
        };
        Ok(Self {
            block: required("block.json", BLOCK_BYTES_MAX)?,
            pre_state: required("pre_state.json", PRE_STATE_BYTES_MAX)?,
            block_hashes: read_file(directory, "block_hashes.json", BLOCK_HASHES_BYTES_MAX)?,
            access_list: read_file(directory, "block_access_list.json", ACCESS_LIST_BYTES_MAX)?,
        })
    }
}

/// A directory that holds what is `looked_for` is at the path.
pub(crate) fn refuse_other_than_directory(
    path: &Path,
    looked_for: &'static str,
) -> Result<(), InputError> {
    let path = || path.to_owned();
    match path().metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(InputError::NotADirectory { path: path(), looked_for }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(InputError::NoDirectory { path: path(), looked_for })
        }
        Err(source) => Err(InputError::Read { path: path(), source }),
    }
}

/// `name` or `name.gz` in `directory`. Both is an error: they may differ.
pub(crate) fn read_file(
    directory: &Path,
    name: &str,
    size_max: u64,
) -> Result<Option<SourceFile>, InputError> {
    let plain = directory.join(name);
    let compressed = directory.join(format!("{name}.gz"));
    match (open(&plain)?, open(&compressed)?) {
        (Some(_), Some(_)) => Err(InputError::TwoFiles { plain, compressed }),
        (Some(file), None) => SourceFile::read(plain, file, size_max).map(Some),
        (None, Some(file)) => SourceFile::decompress(compressed, file, size_max).map(Some),
        (None, None) => Ok(None),
    }
}

/// Opens a regular file, if there is one. What it is, is asked before it is
/// opened: opening a pipe waits for its other end.
fn open(path: &Path) -> Result<Option<File>, InputError> {
    let opened = match path.metadata() {
        Ok(metadata) if metadata.is_file() => File::open(path),
        Ok(_) => return Err(InputError::NotAFile { path: path.to_owned() }),
        Err(error) => Err(error),
    };
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(InputError::Read { path: path.to_owned(), source }),
    }
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
    fn what_is_compressed_under_another_name_is_told() {
        let read = SourceFile::read("block.json".into(), &[0x1f, 0x8b, 8][..], 9);
        let error = read.unwrap_err().to_string();
        assert_eq!(error, "block.json is compressed by gzip: name it block.json.gz");
    }

    #[test]
    fn reading_stops_at_the_limit_however_well_the_file_was_compressed() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        let gzip = encoder.finish().unwrap();
        let read = |size_max| SourceFile::decompress("a.gz".into(), &gzip[..], size_max);
        let error = read((1 << 20) - 1).unwrap_err().to_string();
        assert_eq!(error, "a.gz holds more than 1048575 bytes");
        assert_eq!(read(1 << 20).unwrap().bytes.len(), 1 << 20);
    }
}
