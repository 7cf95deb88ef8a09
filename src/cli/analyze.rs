//! `forewave analyze`: what a contract reads and writes, function by function.

mod code;

pub(super) use self::code::{CodeError, Loaded as Contract, load, load_abi};

use std::{
    borrow::Cow,
    io::{self, BufWriter, Write},
};

use alloy_primitives::Address;
use forewave::{
    Implementation, LearntFunction, SummaryLimits,
    contract::{ContractReport, FunctionReport},
    fetch::{BlockId, Fetcher},
    input::{LoadOptions, load_state},
    selectors::Selectors,
    summarize, summarize_account,
};
use revm::{DatabaseRef, bytecode::Bytecode};
use serde::Serialize;

use super::{
    Verdict,
    args::{AnalyzeArgs, NodeArgs, wrong_usage},
    diagnostic::{Failure, report},
    node::HttpNode,
    source::fetcher_of,
    summaries,
    text::{Paint, counted, grouped},
};

/// Columns that a line is wrapped to.
const COLUMNS: usize = 120;

/// Columns of a function's name; a longer one has a line of its own.
const NAME_COLUMNS_MAX: usize = 48;

/// `forewave analyze --json`.
#[derive(Debug, Serialize)]
struct AnalyzeReport {
    /// The account's own code first, then the code that it delegates to.
    code: Vec<ContractReport>,
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
        selectors.extend(&load_abi(path)?);
    }
    let limits = SummaryLimits::default();
    let summaries = args.cache.as_deref().map(summaries::read).transpose()?;
    let learnt = |code: &Bytecode| {
        summaries.as_ref().map(|summaries| summaries.learnt().told(code)).unwrap_or_default()
    };
    let Some(address) = args.address else {
        if args.node.is_named() {
            wrong_usage("--rpc-url needs an ADDRESS after the block");
        }
        let Contract { code, abi } = load(&args.code)?;
        if let Some(abi) = abi.filter(|_| args.abi.is_none()) {
            selectors.extend(&abi);
        }
        let report = ContractReport::new(&summarize(&code, limits), &selectors);
        return Ok(vec![report.with_learnt(&learnt(&code), &selectors)]);
    };
    let reports = match state_of_node(&args.code, &args.node)? {
        Some((fetcher, id)) => of_account(&fetcher.state_before(id)?, address, &selectors, learnt)
            .map_err(|error| Failure::Fetch(error.into()))?,
        None => of_account(&load_state(args.code.as_ref())?, address, &selectors, learnt)?,
    };
    if reports.is_empty() {
        let block = args.code.clone();
        return Err(CodeError::NoCode { address, block }.into());
    }
    Ok(reports)
}

/// Where a node is named: what fetches from it, and the one block that is named.
pub(super) fn state_of_node(
    block: &str,
    node: &NodeArgs,
) -> Result<Option<(Fetcher<HttpNode>, BlockId)>, Failure> {
    let arguments = core::iter::once(Cow::Borrowed(block));
    let Some((fetcher, blocks)) = fetcher_of(node, LoadOptions::default(), arguments)? else {
        return Ok(None);
    };
    let [id] = blocks.as_slice() else { wrong_usage("an ADDRESS is looked at in one block") };
    let id = *id;
    Ok(Some((fetcher, id)))
}

/// The reports on an account and the code that it delegates to; none if it has no code.
fn of_account<DB: DatabaseRef>(
    state: &DB,
    address: Address,
    selectors: &Selectors,
    learnt: impl Fn(&Bytecode) -> Vec<LearntFunction>,
) -> Result<Vec<ContractReport>, DB::Error> {
    let chain = summarize_account(state, address, SummaryLimits::default())?;
    let reports = ContractReport::of_account(&chain, selectors).into_iter();
    let with_learnt = |(report, code): (ContractReport, &Implementation)| {
        let info = state.basic_ref(code.address)?.unwrap_or_default();
        let code = state.code_by_hash_ref(info.code_hash)?;
        Ok(report.with_learnt(&learnt(&code), selectors))
    };
    reports.zip(&chain).map(with_learnt).collect()
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
        return writeln!(out, "every call to it reverts");
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
    if let Some(learnt) = &function.learnt {
        let head = format!("{:<VERB_COLUMNS$}", "learnt");
        lines.push((head, format!("from {}", counted(learnt.runs as usize, "run"))));
        for line in &learnt.effects {
            let share = 100 * line.runs / learnt.runs.max(1);
            lines.push((format!("{:<VERB_COLUMNS$}", ""), format!("{share:>3} % {}", line.effect)));
        }
    }
    if lines.is_empty() {
        lines.push((format!("{:<VERB_COLUMNS$}", "touches"), "nothing".to_owned()));
    }
    lines
}
