//! The files of a transition: out of a directory, each by a path of its own, or
//! several as one document, which is how fillers hand them over a pipe.

use std::{
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::input::{
    InputError, SourceFile,
    files::{read_file, refuse_other_than_directory},
    json::{field_error, parse_document},
    limits::{BLOCK_BYTES_MAX, BLOCK_VALUES_MAX, PRE_STATE_BYTES_MAX},
};

/// The files of a transition, for messages.
const LOOKED_FOR: &str = "alloc.json, env.json, and txs.json or txs.rlp, plain or .gz";

/// Where the files of a transition are looked for, unless something else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePlaces {
    /// The directory of those that have no place of their own.
    pub directory: PathBuf,
    /// Where the accounts are.
    pub alloc: Place,
    /// Where the environment is.
    pub env: Place,
    /// Where the transactions are.
    pub txs: Place,
}

/// Where one file is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// In the directory, under its usual name.
    #[default]
    Directory,
    /// At this path; decompressed if it ends in `.gz`.
    File(PathBuf),
    /// The field of its name in the document that holds several.
    Document,
}

/// The files of one transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionFiles {
    /// The accounts before the block.
    pub alloc: SourceFile,
    /// What a header would say.
    pub env: SourceFile,
    /// The transactions: an array of objects, signed or with the `secretKey` to sign
    /// with; or the RLP of the list of signed ones, as a string of hex.
    pub txs: SourceFile,
}

impl TransitionFiles {
    /// Reads the files of `directory`.
    pub fn read(directory: &Path) -> Result<Self, InputError> {
        let directory = directory.to_owned();
        let [alloc, env, txs] = [Place::Directory, Place::Directory, Place::Directory];
        Self::read_from(&FilePlaces { directory, alloc, env, txs }, None)
    }

    /// Reads the files where they are. `document` holds those in [`Place::Document`].
    pub fn read_from(
        places: &FilePlaces,
        document: Option<&SourceFile>,
    ) -> Result<Self, InputError> {
        let FilePlaces { directory, alloc, env, txs } = places;
        if [alloc, env, txs].contains(&&Place::Directory) {
            refuse_other_than_directory(directory, LOOKED_FOR)?;
        }
        let document = document.map(Document::parse).transpose()?;
        let read = |place: &Place, field, usual: &[&'static str], size_max| match place {
            Place::Directory => in_directory(directory, usual, size_max),
            Place::File(path) => at_path(path, size_max),
            Place::Document => {
                let document = document.as_ref().ok_or_else(|| no_document(field))?;
                document.part(field)
            }
        };
        Ok(Self {
            alloc: read(alloc, "alloc", &["alloc.json"], PRE_STATE_BYTES_MAX)?,
            env: read(env, "env", &["env.json"], BLOCK_BYTES_MAX)?,
            txs: read(txs, "txs", &["txs.rlp", "txs.json"], BLOCK_BYTES_MAX)?,
        })
    }
}

/// The first file of these names that is there.
fn in_directory(
    directory: &Path,
    names: &[&'static str],
    size_max: u64,
) -> Result<SourceFile, InputError> {
    for name in names {
        if let Some(file) = read_file(directory, name, size_max)? {
            return Ok(file);
        }
    }
    let name = names.last().copied().unwrap_or_default();
    Err(InputError::MissingFile { path: directory.to_owned(), name })
}

fn at_path(path: &Path, size_max: u64) -> Result<SourceFile, InputError> {
    let path = path.to_owned();
    match File::open(&path) {
        Ok(file) if path.extension().is_some_and(|extension| extension == "gz") => {
            SourceFile::decompress(path, file, size_max)
        }
        Ok(file) => SourceFile::read(path, file, size_max),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(InputError::NotFound { path }),
        Err(source) => Err(InputError::Read { path, source }),
    }
}

fn no_document(field: &str) -> InputError {
    field_error(Path::new("the document"), field, "a document that holds it", None)
}

/// A document with some of the files as its fields.
struct Document<'a> {
    file: &'a SourceFile,
    fields: serde_json::Map<String, serde_json::Value>,
}

impl<'a> Document<'a> {
    fn parse(file: &'a SourceFile) -> Result<Self, InputError> {
        match parse_document(file, BLOCK_VALUES_MAX)? {
            serde_json::Value::Object(fields) => Ok(Self { file, fields }),
            other => {
                let expected = "an object with the fields alloc, env and txs";
                Err(field_error(&file.path, ".", expected, Some(&other)))
            }
        }
    }

    /// One of the files. RLP may be called `txsRlp`, as geth does.
    fn part(&self, field: &str) -> Result<SourceFile, InputError> {
        let rlp = (field == "txs").then(|| self.fields.get("txsRlp")).flatten();
        let rlp = rlp.filter(|rlp| rlp.as_str().is_some_and(|text| !text.is_empty()));
        let Some(part) = rlp.or_else(|| self.fields.get(field)) else {
            return Err(field_error(&self.file.path, field, "what this document is to hold", None));
        };
        let path = self.file.path.join(field);
        Ok(SourceFile { path, bytes: part.to_string().into_bytes() })
    }
}
