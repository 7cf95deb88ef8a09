//! `forewave lint`: which functions of a contract can never run side by side, in words.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufWriter, Write},
};

use alloy_primitives::Address;
use forewave::{
    Implementation, SummaryLimits,
    input::load_state,
    lint::{LintReport, PairReport, PlaceReport},
    selectors::Selectors,
    summarize, summarize_account,
};

use super::{
    Verdict,
    analyze::{CodeError, Contract, load, load_abi, state_of_node},
    args::{LintArgs, NodeArgs, wrong_usage},
    diagnostic::{Failure, report},
    text::{Paint, counted},
};

/// Columns that a list is wrapped to.
const COLUMNS: usize = 112;

/// Functions that wait for another up to which they are named.
const NAMED_READERS_MAX: usize = 4;

/// Examines one contract.
pub(super) fn lint(args: &LintArgs) -> io::Result<Verdict> {
    match examine(args) {
        Ok(found) => {
            let mut out = BufWriter::new(io::stdout().lock());
            if args.json {
                serde_json::to_writer(&mut out, &found).map_err(io::Error::from)?;
                writeln!(out)?;
            } else {
                write_report(&mut out, Paint::of_stdout(), &found)?;
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

fn examine(args: &LintArgs) -> Result<LintReport, Failure> {
    let mut selectors = Selectors::common();
    if let Some(path) = &args.abi {
        selectors.extend(&load_abi(path)?);
    }
    let Some(address) = args.address else {
        if args.node.is_named() {
            wrong_usage("--rpc-url needs an ADDRESS after the block");
        }
        let Contract { code, abi } = load(&args.code)?;
        if let Some(abi) = abi.filter(|_| args.abi.is_none()) {
            selectors.extend(&abi);
        }
        return Ok(LintReport::new(&summarize(&code, SummaryLimits::default()), &selectors));
    };
    let chain = account(&args.code, address, &args.node)?;
    Ok(LintReport::of_account(&chain, &selectors))
}

/// What an account can touch before a block, which a directory holds or a node has.
fn account(block: &str, address: Address, node: &NodeArgs) -> Result<Vec<Implementation>, Failure> {
    let limits = SummaryLimits::default();
    let chain = match state_of_node(block, node)? {
        Some((fetcher, id)) => summarize_account(&fetcher.state_before(id)?, address, limits)
            .map_err(|error| Failure::Fetch(error.into()))?,
        None => summarize_account(&load_state(block.as_ref())?, address, limits)?,
    };
    if chain.is_empty() {
        return Err(CodeError::NoCode { address, block: block.to_owned() }.into());
    }
    Ok(chain)
}

fn write_report(out: &mut impl Write, paint: Paint, found: &LintReport) -> io::Result<()> {
    let title = found.address.map_or_else(|| "code".to_owned(), |it| it.to_string());
    let functions = counted(found.functions, "function");
    let places = counted(found.places.len(), "place");
    writeln!(out, "{} · {functions} · {places} that every caller meets", paint.bold(&title))?;
    for place in &found.places {
        writeln!(out)?;
        write_place(out, paint, place)?;
    }
    for (when, title) in [
        ("always", "never side by side, for any caller and any arguments"),
        ("sometimes", "not always side by side"),
    ] {
        write_pairs(out, paint, found, when, title)?;
    }
    write_readers(out, paint, found)?;
    let rest = [
        ("side by side, unless caller or arguments lead to the same place", &found.free),
        ("not known in full, may meet more", &found.incomplete),
    ];
    for (title, names) in rest {
        if !names.is_empty() {
            writeln!(out, "\n{}", paint.bold(title))?;
            write_list(out, "  ", names)?;
        }
    }
    Ok(())
}

fn write_place(out: &mut impl Write, paint: Paint, place: &PlaceReport) -> io::Result<()> {
    let name = place.name.as_ref().map(|name| format!(" · {name}")).unwrap_or_default();
    writeln!(out, "{}{name}", paint.accent(&place.place))?;
    let ways = [
        ("always", "added", "is added to by"),
        ("sometimes", "added", "is sometimes added to by"),
        ("always", "set", "is written by"),
        ("sometimes", "set", "is sometimes written by"),
        ("always", "lock", "is a lock, at the end as it was, of"),
        ("sometimes", "lock", "is a lock, at the end as it was, of"),
    ];
    for (when, how, verb) in ways {
        let names: Vec<String> = place
            .writers
            .iter()
            .filter(|writer| (writer.when, writer.how) == (when, how))
            .map(|writer| writer.function.clone())
            .collect();
        if !names.is_empty() {
            write_list(out, &format!("  {verb} "), &names)?;
        }
    }
    if !place.readers.is_empty() {
        write_list(out, "  is read by ", &place.readers)?;
    }
    Ok(())
}

/// Pairs by their first function, those that meet at the same places together.
fn write_pairs(
    out: &mut impl Write,
    paint: Paint,
    found: &LintReport,
    when: &str,
    title: &str,
) -> io::Result<()> {
    let mut together: BTreeMap<(usize, &str, &[String]), Vec<String>> = BTreeMap::new();
    let is_told = |pair: &PairReport| pair.when == when && pair.how == "both_change";
    let pairs = found.pairs.iter().enumerate().filter(|(_, pair)| is_told(pair));
    let mut order = 0;
    let mut last = "";
    for (at, PairReport { functions: [first, second], at: places, .. }) in pairs {
        if first != last {
            (order, last) = (at, first);
        }
        together.entry((order, first, places)).or_default().push(second.clone());
    }
    if together.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", paint.bold(title))?;
    for ((_, first, places), others) in together {
        let others: Vec<String> = others
            .into_iter()
            .map(|other| if other == first { "itself".to_owned() } else { other })
            .collect();
        write_list(out, &format!("  {} with ", paint.accent(first)), &others)?;
        write_list(out, "    at ", places)?;
    }
    Ok(())
}

/// How many functions wait for what each function changes and they only read.
fn write_readers(out: &mut impl Write, paint: Paint, found: &LintReport) -> io::Result<()> {
    let mut counts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for pair in found.pairs.iter().filter(|pair| pair.how == "other_reads") {
        let [first, second] = [&pair.functions[0], &pair.functions[1]].map(String::as_str);
        for (writer, reader) in [(first, second), (second, first)] {
            let changes = |place: &&PlaceReport| {
                place.writers.iter().any(|it| it.function == writer && it.how != "lock")
                    && place.readers.iter().any(|it| it == reader)
            };
            if found.places.iter().any(|place| changes(&place)) {
                counts.entry(writer).or_default().insert(reader);
            }
        }
    }
    counts.retain(|_, others| !others.is_empty());
    if counts.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{}",
        paint.bold("change what others only read, which cannot run beside them")
    )?;
    for (writer, others) in counts {
        let others: Vec<String> = others.into_iter().map(str::to_owned).collect();
        if others.len() > NAMED_READERS_MAX {
            writeln!(
                out,
                "  {} stops {}",
                paint.accent(writer),
                counted(others.len(), "function")
            )?;
        } else {
            write_list(out, &format!("  {} stops ", paint.accent(writer)), &others)?;
        }
    }
    Ok(())
}

/// A list behind a beginning, wrapped, its further lines indented.
fn write_list(out: &mut impl Write, begin: &str, items: &[String]) -> io::Result<()> {
    let mut line = begin.to_owned();
    let mut is_first = true;
    for (position, item) in items.iter().enumerate() {
        let comma = if position + 1 < items.len() { "," } else { "" };
        if !is_first && line.chars().count() + item.chars().count() + 2 > COLUMNS {
            writeln!(out, "{line}")?;
            "    ".clone_into(&mut line);
            is_first = true;
        }
        if !is_first {
            line.push(' ');
        }
        line.push_str(item);
        line.push_str(comma);
        is_first = false;
    }
    writeln!(out, "{line}")
}
