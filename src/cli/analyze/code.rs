//! From the argument of `analyze` to runtime code, and to the ABI where it comes along.
//!
//! Hex, a file of hex, or the artifact of a compiler: Foundry's, Hardhat's, Truffle's, an entry
//! of solc's JSON output, or one of this project's fixtures. What is no runtime code is refused
//! by what it is: an address, creation code, an interface, code with unlinked libraries.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use alloy_json_abi::JsonAbi;
use alloy_primitives::{Address, Bytes, hex};
use revm::bytecode::{Bytecode, opcode as op};
use serde::Deserialize as _;
use serde_json::Value;

/// Largest file of code or ABI that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Where artifacts hold runtime code, each as a path of fields.
const RUNTIME_FIELDS: [&str; 7] = [
    "/deployedBytecode/object",
    "/deployedBytecode",
    "/evm/deployedBytecode/object",
    "/runtime",
    "/runtimeBytecode",
    "/bin-runtime",
    "/bytecode_runtime",
];

/// Where artifacts hold creation code.
const CREATION_FIELDS: [&str; 5] =
    ["/bytecode/object", "/bytecode", "/evm/bytecode/object", "/bin", "/creationCode"];

/// Why a contract cannot be analysed.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum CodeError {
    /// Neither hex nor a file.
    #[error("`{0}` is neither hex nor a file")]
    NoSuchFile(String),
    /// A directory, and no account in it is named.
    #[error("{0} is a directory: name an account too, `forewave analyze {0} ADDRESS`")]
    Directory(String),
    /// A file that cannot be read.
    #[error("{file} could not be read: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// A file that is too large.
    #[error("{0} is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge(String),
    /// Text that is not hex.
    #[error("{place} is not hex: {source}")]
    NotHex {
        /// The argument or the file.
        place: String,
        /// Why not.
        source: hex::FromHexError,
    },
    /// An address in place of code.
    #[error(
        "{0} is an address, not code: name a block before which it has code, \
         `forewave analyze BLOCK {0}`"
    )]
    Address(Address),
    /// Code that makes a contract.
    #[error(
        "{0} is creation code, which runs once and returns the contract's code: give the \
         runtime code (`deployedBytecode` in an artifact, the answer of `eth_getCode`)"
    )]
    Creation(String),
    /// Code with holes where addresses of libraries belong.
    #[error("{0} is not linked: it has placeholders (`__...__`) where addresses of libraries go")]
    Unlinked(String),
    /// Text that begins as JSON and is none.
    #[error("{file} is not JSON: {source}")]
    NotJson {
        /// The file.
        file: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// JSON that is not an artifact.
    #[error("{file} is JSON, but no artifact: expected runtime code in one of {}", fields())]
    NotArtifact {
        /// The file.
        file: String,
    },
    /// The output of a compiler for many contracts.
    #[error("{0} holds many contracts (`contracts`): give the part that is one contract's")]
    ManyContracts(String),
    /// An artifact without runtime code.
    #[error("{0} holds no code: an interface or an abstract contract has none")]
    Abstract(String),
    /// A delegation (EIP-7702) that is malformed.
    #[error("{0} begins as a delegation (EIP-7702) but is none")]
    NotCode(String),
    /// No code.
    #[error("{0} holds no code")]
    Empty(String),
    /// An account without code.
    #[error("{address} has no code in {block}")]
    NoCode {
        /// The account.
        address: Address,
        /// The block directory.
        block: String,
    },
    /// No ABI.
    #[error("{file} is not a JSON ABI: {source}")]
    NotAbi {
        /// The file.
        file: String,
        /// Why not.
        source: serde_json::Error,
    },
}

fn fields() -> String {
    RUNTIME_FIELDS.map(|field| format!("`{}`", field[1..].replace('/', "."))).join(", ")
}

/// Runtime code, with the ABI of the artifact that it is from.
pub(in crate::cli) struct Loaded {
    pub(in crate::cli) code: Bytecode,
    pub(in crate::cli) abi: Option<JsonAbi>,
}

/// The code that an argument is, or that the file of its name holds.
pub(in crate::cli) fn load(argument: &str) -> Result<Loaded, CodeError> {
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if argument.starts_with("0x") || is_hex(argument) {
        if let Ok(address) = argument.parse() {
            return Err(CodeError::Address(address));
        }
        return Ok(Loaded { code: code("the argument", argument)?, abi: None });
    }
    let text = read(argument.as_ref())?;
    if !text.trim_start().starts_with(['{', '[', '"']) {
        return Ok(Loaded { code: code(argument, &text)?, abi: None });
    }
    let artifact: Value = serde_json::from_str(&text)
        .map_err(|source| CodeError::NotJson { file: argument.to_owned(), source })?;
    let code = code(argument, runtime(argument, &artifact)?)?;
    let abi = artifact.get("abi").map(|abi| parse_abi(argument, abi)).transpose()?;
    Ok(Loaded { code, abi })
}

/// The ABI that a file is, or that the artifact in it holds.
pub(in crate::cli) fn load_abi(path: &Path) -> Result<JsonAbi, CodeError> {
    let file = path.display().to_string();
    let value: Value = serde_json::from_str(&read(path)?)
        .map_err(|source| CodeError::NotAbi { file: file.clone(), source })?;
    parse_abi(&file, value.get("abi").unwrap_or(&value))
}

/// An ABI, as JSON or, as solc's combined output has it, as a text of JSON.
fn parse_abi(file: &str, abi: &Value) -> Result<JsonAbi, CodeError> {
    let parsed = match abi {
        Value::String(text) => serde_json::from_str(text),
        abi => JsonAbi::deserialize(abi),
    };
    parsed.map_err(|source| CodeError::NotAbi { file: file.to_owned(), source })
}

/// The runtime code in an artifact, as text: the artifact may be that text itself, or
/// what a node answers to `eth_getCode`.
fn runtime<'a>(file: &str, artifact: &'a Value) -> Result<&'a str, CodeError> {
    let text = |fields: &[&str]| {
        let mut found = fields.iter().filter_map(|field| artifact.pointer(field)?.as_str());
        found.next()
    };
    let answer = artifact.as_str().or_else(|| artifact.get("result")?.as_str());
    if let Some(code) = answer.or_else(|| text(&RUNTIME_FIELDS)) {
        let is_empty = code.trim_start_matches("0x").is_empty();
        return if is_empty { Err(CodeError::Abstract(file.to_owned())) } else { Ok(code) };
    }
    let file = file.to_owned();
    Err(if text(&CREATION_FIELDS).is_some_and(|code| code.len() > 2) {
        CodeError::Creation(file)
    } else if artifact.get("contracts").is_some() {
        CodeError::ManyContracts(file)
    } else {
        CodeError::NotArtifact { file }
    })
}

/// Runtime code from hex.
fn code(place: &str, text: &str) -> Result<Bytecode, CodeError> {
    let (place, text) = (place.to_owned(), text.trim());
    if text.contains("__") {
        return Err(CodeError::Unlinked(place));
    }
    let bytes =
        hex::decode(text).map_err(|source| CodeError::NotHex { place: place.clone(), source })?;
    if bytes.is_empty() {
        return Err(CodeError::Empty(place));
    }
    if is_creation(&bytes) {
        return Err(CodeError::Creation(place));
    }
    Bytecode::new_raw_checked(Bytes::from(bytes)).map_err(|_| CodeError::NotCode(place))
}

/// Whether code is a constructor's: it copies a part of itself and returns before it looks
/// at call data, which a transaction that creates a contract does not have.
fn is_creation(code: &[u8]) -> bool {
    let (mut pc, mut copies) = (0, false);
    while let Some(&opcode) = code.get(pc) {
        match opcode {
            op::CALLDATALOAD | op::CALLDATASIZE | op::CALLDATACOPY | op::STOP => return false,
            op::CODECOPY => copies = true,
            op::RETURN => return copies,
            _ => {}
        }
        let immediates = op::OpCode::info_by_op(opcode).map_or(0, |it| it.immediate_size());
        pc += 1 + usize::from(immediates);
    }
    false
}

fn read(path: &Path) -> Result<String, CodeError> {
    let file = path.display().to_string();
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => CodeError::NoSuchFile(file.clone()),
        io::ErrorKind::IsADirectory => CodeError::Directory(file.clone()),
        _ => CodeError::Unreadable { file: file.clone(), source },
    };
    let mut text = String::new();
    let opened = File::open(path).map_err(unreadable)?;
    opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(CodeError::TooLarge(file));
    }
    Ok(text)
}
