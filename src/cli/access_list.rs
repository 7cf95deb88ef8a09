//! `forewave access-list`: the access list (EIP-2930) that saves each transaction most gas.

use core::cmp::Ordering;
use std::io::{self, BufWriter, Write};

use forewave::{
    BlockError, Declaration, declarations,
    input::BlockInput,
    report::{BlockHeading, DeclarationReport},
};

use super::{
    Verdict,
    args::AccessListArgs,
    diagnostic::Failure,
    for_each_block,
    text::{Paint, counted, grouped},
};

/// Says it of every block.
pub(super) fn access_list(args: &AccessListArgs) -> io::Result<Verdict> {
    let paint = Paint::of_stdout();
    let mut out = BufWriter::new(io::stdout().lock());
    for_each_block(&args.blocks, |heading, input| {
        let declared = wanted(args, input)?;
        if args.blocks.json {
            for it in &declared {
                serde_json::to_writer(&mut out, &report(&heading, input, it))
                    .map_err(io::Error::from)?;
                writeln!(out)?;
            }
        } else {
            write_text(&mut out, paint, args, &heading, &declared)?;
        }
        out.flush()?;
        Ok(Verdict::Fine)
    })
}

/// The declarations of the transactions that were asked for.
fn wanted(args: &AccessListArgs, input: &BlockInput) -> Result<Vec<Declaration>, Failure> {
    let transactions = input.block.transactions.len();
    if let Some(tx) = args.tx.filter(|tx| *tx >= transactions) {
        return Err(Failure::NoTransaction { tx, transactions });
    }
    let mut declared = declarations(&input.block, &input.state).map_err(BlockError::from)?;
    declared.retain(|it| args.tx.is_none_or(|tx| it.tx.index() == tx));
    Ok(declared)
}

fn report<'a>(
    heading: &'a BlockHeading,
    input: &BlockInput,
    declared: &'a Declaration,
) -> DeclarationReport<'a> {
    let Declaration { tx, gas_used, gas_without, ref list, gas_with, unused } = *declared;
    let hash = input.tx_hashes[tx.index()];
    let block = &heading.block;
    DeclarationReport {
        block,
        tx,
        hash,
        gas_used,
        gas_without,
        gas_with,
        unused,
        access_list: list,
    }
}

fn write_text(
    out: &mut impl Write,
    paint: Paint,
    args: &AccessListArgs,
    heading: &BlockHeading,
    declared: &[Declaration],
) -> io::Result<()> {
    let BlockHeading { block, chain, number, fork, .. } = heading;
    writeln!(out, "{} · {chain} {number} · {fork}", paint.bold(block))?;
    let is_whole = args.tx.is_some();
    let (mut saved, mut silent) = (0, 0);
    for it in declared {
        let cheapest = it.gas_with.min(it.gas_used);
        saved += it.gas_used - cheapest;
        if !is_whole && it.gas_used == cheapest && it.unused == 0 {
            silent += 1;
            continue;
        }
        writeln!(out, "{}", line(it))?;
        if is_whole {
            for item in &it.list.0 {
                writeln!(out, "  {}", item.address)?;
                for key in &item.storage_keys {
                    writeln!(out, "    {key}")?;
                }
            }
        }
    }
    if silent > 0 {
        writeln!(out, "{}: no list would save anything", counted(silent, "other transaction"))?;
    }
    let total = format!("{} gas could be saved", grouped(saved));
    writeln!(out, "{}", paint.accent(&total))
}

/// One transaction in a line.
fn line(declared: &Declaration) -> String {
    let Declaration { tx, gas_used, gas_without, list, gas_with, unused } = declared;
    let mut parts = vec![format!("{tx}: {} gas", grouped(*gas_used))];
    match gas_used.cmp(gas_without) {
        Ordering::Less => {
            parts.push(format!("its list saves {}", grouped(gas_without - gas_used)));
        }
        Ordering::Greater => {
            parts.push(format!("its list costs {}", grouped(gas_used - gas_without)));
        }
        Ordering::Equal => {}
    }
    if *unused > 0 {
        parts.push(format!("{unused} of what it names is not touched"));
    }
    if gas_with < gas_used {
        let slots: usize = list.0.iter().map(|item| item.storage_keys.len()).sum();
        let best = if list.0.is_empty() {
            "none at all".to_owned()
        } else {
            format!("{} and {}", counted(list.0.len(), "account"), counted(slots, "slot"))
        };
        parts.push(format!("{best} would save {}", grouped(gas_used - gas_with)));
    }
    parts.join("; ")
}
