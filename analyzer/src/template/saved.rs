//! Templates as bytes: a header, then the trees of every entry.
//!
//! The header names the format and its version and holds the length and the
//! Keccak-256 of what follows. What does not fit is refused as a whole, with the
//! reason; a tree that could not be evaluated is too.

use std::io::{self, Read, Write};

use revm::primitives::keccak256;

use super::{
    cache::{TemplateCache, TemplateKey},
    tree::{SavedTree, Tree},
};

/// What a file of templates begins with.
const MAGIC: [u8; 8] = *b"FWTMPL\r\n";

/// Version of the format. A change of what an operation means is one, too.
const VERSION: u32 = 2;

/// Bytes of the header: magic, version, length, checksum.
const HEADER_BYTES: usize = 8 + 4 + 8 + 32;

/// Why templates could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The bytes could not be read.
    #[error("the templates could not be read: {0}")]
    Read(#[from] io::Error),
    /// The bytes are something else.
    #[error("these are no templates: the first eight bytes are not those of a template file")]
    NotTemplates,
    /// Another version has written them.
    #[error("the templates are of version {found}, expected {VERSION}")]
    Version {
        /// The version that has.
        found: u32,
    },
    /// They are more than the cache may hold.
    #[error("the templates are {found} bytes long, more than the {bytes_max} allowed")]
    TooLong {
        /// How long they say they are.
        found: u64,
        /// How long they may be.
        bytes_max: usize,
    },
    /// They are not what was saved.
    #[error("the checksum of the templates is not that of their header")]
    Checksum,
    /// They cannot be understood, or evaluated.
    #[error("the templates are malformed: {0}")]
    Malformed(String),
}

impl TemplateCache {
    /// Writes every template to `to`. The same templates give the same bytes.
    pub fn save(&self, mut to: impl Write) -> io::Result<()> {
        let mut entries = self.entries();
        entries.sort_unstable_by_key(|(key, _)| *key);
        let trees = entries.iter().filter_map(|(key, entry)| Some((*key, entry.read()?)));
        let trees: Vec<_> = trees.collect();
        let saved: Vec<_> = trees.iter().map(|(key, tree)| (key, tree.saved())).collect();
        let mut bytes = Vec::new();
        ciborium::into_writer(&saved, &mut bytes).map_err(io::Error::other)?;
        to.write_all(&MAGIC)?;
        to.write_all(&VERSION.to_be_bytes())?;
        to.write_all(&(bytes.len() as u64).to_be_bytes())?;
        to.write_all(keccak256(&bytes).as_slice())?;
        to.write_all(&bytes)
    }

    /// Reads what [`save`](Self::save) wrote, at most `bytes_max` bytes of it.
    ///
    /// # Errors
    ///
    /// If it is something else, of another version, too long or damaged.
    pub fn load(mut from: impl Read, bytes_max: usize) -> Result<Self, TemplateError> {
        let mut header = [0; HEADER_BYTES];
        from.read_exact(&mut header).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => TemplateError::NotTemplates,
            _ => TemplateError::Read(error),
        })?;
        let (magic, rest) = header.split_at(8);
        let (version, rest) = rest.split_at(4);
        let (length, checksum) = rest.split_at(8);
        if magic != MAGIC {
            return Err(TemplateError::NotTemplates);
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let found = u32::try_from(number(version)).unwrap_or(u32::MAX);
        if found != VERSION {
            return Err(TemplateError::Version { found });
        }
        let found = number(length);
        if usize::try_from(found).map_or(true, |found| found > bytes_max) {
            return Err(TemplateError::TooLong { found, bytes_max });
        }
        let mut bytes = Vec::new();
        from.take(found).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != found || keccak256(&bytes) != checksum {
            return Err(TemplateError::Checksum);
        }
        let saved: Vec<(TemplateKey, SavedTree<_, _, _>)> = ciborium::from_reader(&*bytes)
            .map_err(|error| TemplateError::Malformed(error.to_string()))?;
        let cache = Self::new();
        for (at, (key, tree)) in saved.into_iter().enumerate() {
            let tree = Tree::restore(tree).ok_or_else(|| {
                TemplateError::Malformed(format!("entry {at} names what its paths do not have"))
            })?;
            cache.put(key, tree);
        }
        Ok(cache)
    }
}
