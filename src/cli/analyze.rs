//! `forewave analyze`: what a contract reads and writes, function by function.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::Path,
};

use alloy_json_abi::JsonAbi;
use alloy_primitives::{Address, Bytes, hex};
use forewave::{
    SummaryLimits,
    contract::{ContractReport, FunctionReport},
    input::load_state,
    selectors::Selectors,
    summarize, summarize_account,
};
use revm::bytecode::Bytecode;
use serde::Serialize;

use super::{
    Verdict,
    args::AnalyzeArgs,
    diagnostic::{Failure, report},
    text::{Paint, counted, grouped},
};

/// Columns that a line is wrapped to.
const COLUMNS: usize = 120;

/// Columns of a function's name; a longer one has a line of its own.
const NAME_COLUMNS_MAX: usize = 48;

/// Largest file of code or ABI that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// `forewave analyze --json`.
#[derive(Debug, Serialize)]
struct AnalyzeReport {
    /// The account's own code first, then the code that it delegates to.
    code: Vec<ContractReport>,
}

/// Why a contract cannot be analysed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodeError {
    /// Neither hex nor a file.
    #[error("`{0}` is neither hex nor a file")]
    NoSuchFile(String),
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

/// Analyses one contract.
pub(super) fn analyze(args: &AnalyzeArgs) -> io::Result<Verdict> {
    match contracts(args) {
        Ok(code) => {
            let mut out = BufWriter::new(io::stdout().lock());
            if args.json {
                serde_json::to_writer(&mut out, &AnalyzeReport { code })
                    .map_err(io::Error::from)?;
                writeln!(out)?;
            } else {
                write_contracts(&mut out, Paint::of_stdout(), &code)?;
            }
            out.flush()?;
            Ok(Verdict::Fine)
        }
        Err(failure) => {
            report(&failure, None);
            Ok(Verdict::Failed)
        }
    }
}

fn contracts(args: &AnalyzeArgs) -> Result<Vec<ContractReport>, Failure> {
    let mut selectors = Selectors::common();
    if let Some(path) = &args.abi {
        selectors.extend(&abi(path)?);
    }
    let limits = SummaryLimits::default();
    let Some(address) = args.address else {
        let summary = summarize(&code(&args.code)?, limits);
        return Ok(vec![ContractReport::new(&summary, &selectors)]);
    };
    let state = load_state(args.code.as_ref())?;
    let chain = summarize_account(&state, address, limits).map_err(Failure::State)?;
    if chain.is_empty() {
        let block = args.code.clone();
        return Err(CodeError::NoCode { address, block }.into());
    }
    Ok(ContractReport::of_account(&chain, &selectors))
}

fn abi(path: &Path) -> Result<JsonAbi, CodeError> {
    let file = path.display().to_string();
    let text = read(path)?;
    serde_json::from_str(&text).map_err(|source| CodeError::NotAbi { file, source })
}

/// Code from hex, or from a file with hex in it.
fn code(argument: &str) -> Result<Bytecode, CodeError> {
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (place, text) = if argument.starts_with("0x") || is_hex(argument) {
        ("the argument".to_owned(), argument.to_owned())
    } else {
        (argument.to_owned(), read(argument.as_ref())?)
    };
    let bytes = hex::decode(text.trim())
        .map_err(|source| CodeError::NotHex { place: place.clone(), source })?;
    if bytes.is_empty() {
        return Err(CodeError::Empty(place));
    }
    Bytecode::new_raw_checked(Bytes::from(bytes)).map_err(|_| CodeError::NotCode(place))
}

fn read(path: &Path) -> Result<String, CodeError> {
    let file = path.display().to_string();
    let unreadable = |source: io::Error| {
        if source.kind() == io::ErrorKind::NotFound {
            CodeError::NoSuchFile(file.clone())
        } else {
            CodeError::Unreadable { file: file.clone(), source }
        }
    };
    let mut text = String::new();
    let opened = File::open(path).map_err(unreadable)?;
    opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(CodeError::TooLarge(file));
    }
    Ok(text)
}

fn write_contracts(out: &mut impl Write, paint: Paint, code: &[ContractReport]) -> io::Result<()> {
    for (position, contract) in code.iter().enumerate() {
        if position > 0 {
            writeln!(out)?;
        }
        write_heading(out, paint, contract)?;
        write_functions(out, paint, &contract.functions)?;
    }
    Ok(())
}

fn write_heading(out: &mut impl Write, paint: Paint, contract: &ContractReport) -> io::Result<()> {
    let title = contract.address.map_or_else(|| "code".to_owned(), |it| it.to_string());
    let mut parts = vec![paint.bold(&title), counted(contract.functions.len(), "function")];
    for (word, said) in [
        ("complete", "complete"),
        ("delegated", "delegated"),
        ("widened", "widened"),
        ("given_up", "given up"),
    ] {
        let of = contract.functions.iter().filter(|function| function.completeness == word).count();
        if of > 0 {
            parts.push(format!("{} {said}", grouped(of as u64)));
        }
    }
    writeln!(out, "{}", parts.join(" · "))?;
    if let Some(target) = &contract.delegates_to {
        writeln!(out, "a proxy: delegates to {}", paint.accent(target))?;
    }
    Ok(())
}

fn write_functions(
    out: &mut impl Write,
    paint: Paint,
    functions: &[FunctionReport],
) -> io::Result<()> {
    if functions.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let name_of = |function: &FunctionReport| match (&function.selector, &function.signature) {
        (Some(selector), Some(signature)) => format!("{selector} {signature}"),
        (Some(selector), None) => selector.clone(),
        _ => function.entry.to_owned(),
    };
    let names: Vec<String> = functions.iter().map(name_of).collect();
    let widths = names.iter().map(|name| name.chars().count());
    let width = widths.filter(|width| *width <= NAME_COLUMNS_MAX).max().unwrap_or(0);
    for (function, name) in functions.iter().zip(&names) {
        let lines = lines(function, COLUMNS.saturating_sub(width + 2));
        let mut lines = lines.iter();
        let columns = name.chars().count();
        write!(out, "{}", paint.bold(name))?;
        let mut indent = width.saturating_sub(columns) + 2;
        if columns > width {
            writeln!(out)?;
            indent = width + 2;
        }
        // There is always a line.
        if let Some((verb, items)) = lines.next() {
            writeln!(out, "{:indent$}{} {items}", "", paint.accent(verb))?;
        }
        for (verb, items) in lines {
            writeln!(out, "{:indent$}{} {items}", "", paint.accent(verb), indent = width + 2)?;
        }
    }
    Ok(())
}

/// What a function does as lines, each a verb of the same width and its objects.
fn lines(function: &FunctionReport, columns: usize) -> Vec<(String, String)> {
    const VERB_COLUMNS: usize = 12;
    let groups = [
        ("reads+writes", &function.reads_and_writes),
        ("writes", &function.writes),
        ("reads", &function.reads),
        ("calls", &function.calls),
        ("delegates to", &function.delegates),
        ("sends", &function.sends),
        ("destroys to", &function.destroys_to),
    ];
    let mut lines = Vec::new();
    for (verb, items) in groups {
        let mut line = String::new();
        let mut verb = verb;
        for (position, item) in items.iter().enumerate() {
            let comma = if position + 1 < items.len() { "," } else { "" };
            let fits = line.chars().count() + item.chars().count() + VERB_COLUMNS + 2 < columns;
            if !line.is_empty() && !fits {
                lines.push((format!("{verb:<VERB_COLUMNS$}"), core::mem::take(&mut line)));
                verb = "";
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(item);
            line.push_str(comma);
        }
        if !line.is_empty() {
            lines.push((format!("{verb:<VERB_COLUMNS$}"), line));
        }
    }
    if function.creates {
        lines.push((format!("{:<VERB_COLUMNS$}", "creates"), "contracts".to_owned()));
    }
    if let Some(reason) = function.reason {
        let word = function.completeness.replace('_', " ");
        lines.push((format!("{word:<VERB_COLUMNS$}"), reason.to_owned()));
    }
    if lines.is_empty() {
        lines.push((format!("{:<VERB_COLUMNS$}", "touches"), "nothing".to_owned()));
    }
    lines
}
