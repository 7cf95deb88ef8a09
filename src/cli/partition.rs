//! `forewave partition`: accounts to shards, with what that costs.

use std::io::{self, BufWriter, Write};

use forewave::{
    observe,
    partition::{PartitionReport, Quality, Traffic},
    report::BlockHeading,
};

use super::{
    Verdict,
    args::PartitionArgs,
    diagnostic::{Failure, report},
    ordered::in_order,
    progress::Progress,
    source::{Loaded, Source},
    text::{Paint, counted, grouped},
    warn_of_gas,
};

/// Divides the accounts of all blocks together.
pub(super) fn partition(args: &PartitionArgs) -> io::Result<Verdict> {
    match divide(args) {
        Ok((found, verdict)) => {
            let mut out = BufWriter::new(io::stdout().lock());
            if args.blocks.json {
                serde_json::to_writer(&mut out, &found).map_err(io::Error::from)?;
                writeln!(out)?;
            } else {
                write_report(&mut out, Paint::of_stdout(), &found)?;
            }
            out.flush()?;
            Ok(verdict)
        }
        Err(failure) => {
            report(&failure, None);
            Ok(Verdict::Failed)
        }
    }
}

fn divide(args: &PartitionArgs) -> Result<(PartitionReport, Verdict), Failure> {
    let source = Source::open(&args.blocks)?;
    let progress = Progress::new(source.len(), source.answered());
    let mut traffic = Traffic::default();
    let mut verdict = Verdict::Fine;
    in_order(
        source.len(),
        args.threads.count(),
        |at| {
            let observed = source.load(at).and_then(|Loaded { name, input }| {
                let observation = observe(&input.block, &input.state)
                    .map_err(|error| Failure::from(error).explained_by(&input))?;
                Ok((BlockHeading::new(&name, &input), input.block, observation))
            });
            progress.inc();
            observed
        },
        |at, observed| {
            match observed {
                Ok((heading, block, observation)) => {
                    warn_of_gas(&heading, "execution uses", observation.outcome.gas_used, 0.0);
                    let receipts = &observation.outcome.receipts;
                    let gas: Vec<u64> = receipts.iter().map(|receipt| receipt.gas_used).collect();
                    traffic.add(&block, &observation.accesses, &gas);
                }
                Err(failure) => {
                    progress.suspend(|| report(&failure, Some(&source.path(at))));
                    verdict = Verdict::Failed;
                }
            }
            Ok(())
        },
    )?;
    let found = traffic.partition(args.shards.get(), args.imbalance)?;
    Ok((found, verdict))
}

fn write_report(out: &mut impl Write, paint: Paint, found: &PartitionReport) -> io::Result<()> {
    let shards = counted(found.min_cut.shards.len(), "shard");
    writeln!(
        out,
        "{} · {} · {} gas · {}, {} only read and on every shard",
        paint.bold(&shards),
        counted(found.txs, "transaction"),
        grouped(found.gas),
        counted(found.accounts, "account"),
        grouped(found.everywhere as u64),
    )?;
    let columns = format!(
        "\n{:<18} {:>22} {:>18} {:>22} {:>15}",
        "", "cross-shard txs", "of their gas", "remote touches", "heaviest shard"
    );
    writeln!(out, "{}", paint.bold(&columns))?;
    write_quality(out, "minimum cut", found, &found.min_cut)?;
    write_quality(out, "hash of address", found, &found.by_hash)?;
    let columns = format!(
        "\n{:<8} {:>10} {:>8} {:>14}  {}",
        "shard", "accounts", "txs", "gas", "account that most of its transactions touch"
    );
    writeln!(out, "{}", paint.bold(&columns))?;
    for (number, shard) in found.min_cut.shards.iter().enumerate() {
        let hottest = shard.hottest.map(|account| account.to_string()).unwrap_or_default();
        writeln!(
            out,
            "{number:<8} {:>10} {:>8} {:>14}  {hottest}",
            grouped(shard.accounts as u64),
            grouped(shard.txs as u64),
            grouped(shard.gas),
        )?;
    }
    Ok(())
}

fn write_quality(
    out: &mut impl Write,
    name: &str,
    found: &PartitionReport,
    quality: &Quality,
) -> io::Result<()> {
    let share = |part: u64, of: u64| 100.0 * part as f64 / of.max(1) as f64;
    let with_share = |part: usize, of: usize| {
        let percent = share(part as u64, of as u64);
        format!("{} ({percent:.1} %)", grouped(part as u64))
    };
    writeln!(
        out,
        "{name:<18} {:>22} {:>16.1} % {:>22} {:>7.2} of mean",
        with_share(quality.cross_shard_txs, found.txs),
        share(quality.cross_shard_gas, found.gas),
        with_share(quality.cut, found.touches),
        quality.imbalance,
    )
}
