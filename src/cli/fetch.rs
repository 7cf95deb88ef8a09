//! `forewave fetch`: blocks of a node to block directories, several at once, each whole or
//! not there.

mod directory;

use std::{
    borrow::Cow,
    io::{self, BufWriter, Write},
    path::Path,
};

use forewave::{
    compare::Unchecked,
    fetch::{BlockId, FetchedBlock, Fetcher, Way, directory_name},
};
use serde::Serialize;

use super::{
    Verdict,
    args::{FetchArgs, wrong_usage},
    diagnostic::{Failure, report},
    node::HttpNode,
    ordered::in_order,
    progress::Progress,
    source::fetcher_of,
    text::{Paint, counted, write_failed},
};

/// `forewave fetch --json`: one object for each block.
#[derive(Debug, Serialize)]
struct FetchReport {
    /// Name of the block's directory.
    block: String,
    /// `fetched`, or `present` where it was there before.
    outcome: &'static str,
    #[serde(flatten)]
    fetched: Option<Fetched>,
}

/// What was fetched.
#[derive(Debug, Serialize)]
struct Fetched {
    number: u64,
    txs: usize,
    /// Where the pre-state is from.
    way: Way,
    accounts: usize,
    slots: usize,
    block_hashes: usize,
    /// Whether its access list (EIP-7928) is there.
    access_list: bool,
    /// Why it is not, where the header commits to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_list: Option<String>,
    /// Whether running it gives what its header says.
    matches_header: bool,
    /// What of the header was not compared.
    unchecked: Vec<Unchecked>,
    /// Ways that were tried before.
    tried: Vec<Tried>,
}

/// A way that did not do.
#[derive(Debug, Serialize)]
struct Tried {
    way: Way,
    reason: String,
}

/// Fetches every block that is not there yet.
pub(super) fn fetch(args: &FetchArgs) -> io::Result<Verdict> {
    let opened = || -> Result<_, Failure> {
        let arguments = args.blocks.iter().map(|text| Cow::Borrowed(text.as_str()));
        let opened = fetcher_of(&args.node, args.loading.options(), arguments)?
            .unwrap_or_else(|| wrong_usage("fetch needs a node: --rpc-url URL"));
        directory::prepare(&args.output)?;
        Ok(opened)
    };
    let (fetcher, blocks) = match opened() {
        Ok(opened) => opened,
        Err(failure) => {
            report(&failure, None);
            return Ok(Verdict::Failed);
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let paint = Paint::of_stdout();
    let progress = Progress::new(blocks.len(), Some(fetcher.node().answered()));
    let mut told = [false; Way::TRACED.len()];
    let mut failed = Vec::new();
    in_order(
        blocks.len(),
        args.node.connections(),
        |at| {
            let done = fetch_block(&fetcher, blocks[at], &args.output);
            progress.inc();
            done
        },
        |at, done| match done {
            Ok(done) => progress.suspend(|| {
                explain(&done, &mut told);
                write_report(&mut out, paint, args, &done)?;
                out.flush()
            }),
            Err(failure) => progress.suspend(|| {
                let block = format!("block {}", blocks[at]);
                report(&failure, Some(Path::new(&block)));
                let error = failure.to_string();
                failed.push(forewave::report::FailedBlock { block, error });
                Ok(())
            }),
        },
    )?;
    drop(progress);
    if !args.json && blocks.len() > 1 {
        write_failed(&mut out, paint, &failed)?;
    }
    out.flush()?;
    Ok(if failed.is_empty() { Verdict::Fine } else { Verdict::Failed })
}

fn fetch_block(
    fetcher: &Fetcher<HttpNode>,
    id: BlockId,
    output: &Path,
) -> Result<FetchReport, Failure> {
    // A pending block is another one each time.
    if let BlockId::Number(number) = id {
        let block = directory_name(fetcher.chain(), number);
        if output.join(&block).is_dir() {
            return Ok(FetchReport { block, outcome: "present", fetched: None });
        }
    }
    let block = fetcher.fetch(id)?;
    let name = block.name();
    if !directory::write(output, &name, &block.files)? {
        return Ok(FetchReport { block: name, outcome: "present", fetched: None });
    }
    Ok(FetchReport { block: name, outcome: "fetched", fetched: Some(fetched(block)) })
}

fn fetched(block: FetchedBlock) -> Fetched {
    let tried = block.tried.into_iter().map(|(way, reason)| Tried { way, reason });
    Fetched {
        number: block.input.header.number,
        txs: block.input.block.transactions.len(),
        way: block.way,
        accounts: block.accounts,
        slots: block.slots,
        block_hashes: block.block_hashes,
        access_list: block.files.access_list.is_some(),
        no_list: block.no_list,
        matches_header: block.input.header.gas_used.is_some(),
        unchecked: block.unchecked,
        tried: tried.collect(),
    }
}

/// Says why there is no access list, and once for each way why it does not do.
fn explain(done: &FetchReport, told: &mut [bool]) {
    for Tried { way, reason } in done.fetched.iter().flat_map(|fetched| &fetched.tried) {
        if !core::mem::replace(&mut told[*way as usize], true) {
            let block = &done.block;
            eprintln!(
                "note: {block}: {way} does not do ({}); the next way is tried",
                forewave::Printable(reason)
            );
        }
    }
    if let Some(reason) = done.fetched.as_ref().and_then(|fetched| fetched.no_list.as_ref()) {
        eprintln!("note: {}: no access list ({})", done.block, forewave::Printable(reason));
    }
}

fn write_report(
    out: &mut impl Write,
    paint: Paint,
    args: &FetchArgs,
    done: &FetchReport,
) -> io::Result<()> {
    if args.json {
        serde_json::to_writer(&mut *out, done)?;
        return writeln!(out);
    }
    let FetchReport { block, fetched, .. } = done;
    let Some(fetched) = fetched else {
        return writeln!(out, "{block:<24} {}", paint.dim("is there already, skipped"));
    };
    let result = match (fetched.matches_header, fetched.unchecked.is_empty()) {
        (false, _) => paint.dim("has not run, no header to compare with"),
        (true, true) => paint.good("reproduces its header"),
        (true, false) => {
            let fields = fetched.unchecked.iter().map(|unchecked| unchecked.field);
            let fields = fields.collect::<Vec<_>>().join(", ");
            format!("{} ({fields} not compared)", paint.good("reproduces its header"))
        }
    };
    let mut parts = vec![
        counted(fetched.txs, "transaction"),
        counted(fetched.accounts, "account"),
        counted(fetched.slots, "slot"),
        format!("by {}", fetched.way),
    ];
    parts.extend(fetched.access_list.then(|| "with its access list".to_owned()));
    writeln!(out, "{block:<24} {} · {result}", parts.join(" · "))
}
