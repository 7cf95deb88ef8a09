//! `forewave explain`: why two transactions are ordered or not, or everything about one.

use std::io::{self, BufWriter, Write};

use forewave::{
    AccessKind, TxIndex,
    explain::{EdgeReport, HazardReport, PairExplanation, Relation, TxExplanation, UseReport},
    report::BlockHeading,
};

use super::{
    Verdict,
    args::ExplainArgs,
    diagnostic::report,
    explained::{NoSuchTx, checked, explained, labels},
    for_each_block,
    predict::write_prediction,
    summaries::Summaries,
    text::{Paint, counted, grouped},
    usage,
};

/// Edges of one transaction that text lists, on each side.
const EDGES_SHOWN: usize = 24;

/// Hazards of one edge that text lists.
const HAZARDS_SHOWN: usize = 8;

/// Explains one or two transactions of a block.
pub(super) fn explain(args: &ExplainArgs) -> io::Result<Verdict> {
    if args.other == Some(args.one) {
        usage("A and B are the same transaction; name one for everything about it");
    }
    let summaries = match Summaries::open(&args.cache) {
        Ok(summaries) => summaries,
        Err(verdict) => return Ok(verdict),
    };
    let labels = match labels(&args.names) {
        Ok(labels) => labels,
        Err(failure) => {
            report(&failure.into(), None);
            return Ok(Verdict::Failed);
        }
    };
    let paint = Paint::of_stdout();
    let mut out = BufWriter::new(io::stdout().lock());
    let verdict = for_each_block(&args.blocks(), |heading, input| {
        for tx in core::iter::once(args.one).chain(args.other) {
            NoSuchTx::check(input, tx)?;
        }
        let planned = explained(input, args.predictor, summaries.as_ref(), &labels)?;
        let planned = if args.no_check { planned } else { checked(planned)? };
        if let Some(other) = args.other {
            let explanation = planned.pair(&heading, args.one, other);
            if args.json {
                write_json(&mut out, &explanation)?;
            } else {
                write_pair(&mut out, paint, &explanation)?;
            }
        } else {
            let explanation = planned.transaction(&heading, args.one);
            if args.json {
                write_json(&mut out, &explanation)?;
            } else {
                write_transaction(&mut out, paint, &explanation)?;
            }
        }
        out.flush()?;
        Ok(Verdict::Fine)
    })?;
    Ok(verdict.and(summaries.map_or(Verdict::Fine, |summaries| summaries.save())))
}

fn write_json(out: &mut impl Write, explanation: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, explanation)?;
    writeln!(out)
}

fn write_pair(out: &mut impl Write, paint: Paint, pair: &PairExplanation) -> io::Result<()> {
    let (earlier, later) = (pair.earlier.tx, pair.later.tx);
    for tx in [&pair.earlier, &pair.later] {
        writeln!(out, "{:<6} {} · from {}", paint.bold(&tx.tx.to_string()), tx.name, tx.from)?;
    }
    let verdict = match pair.relation {
        Relation::Ordered if pair.path.len() == 1 => format!("{later} waits for {earlier}"),
        Relation::Ordered => {
            format!("{later} waits for {earlier}, through {} edges", pair.path.len())
        }
        Relation::Versions => {
            format!("{later} does not wait for {earlier}: they meet, and each sees its own version")
        }
        Relation::Independent => {
            format!("{later} does not wait for {earlier}: nothing leads there")
        }
    };
    writeln!(
        out,
        "\n{} {}",
        paint.accent(&verdict),
        paint.dim(&format!("(by {})", pair.predictor))
    )?;
    for edge in &pair.path {
        write_edge(out, paint, edge)?;
    }
    if !pair.shared.is_empty() {
        writeln!(out, "\nboth touch, without a conflict that leads from one to the other:")?;
        for shared in &pair.shared {
            let kinds = |kinds: &[AccessKind]| {
                kinds.iter().map(|kind| verb(*kind)).collect::<Vec<_>>().join(" and ")
            };
            let (first, second) = (kinds(&shared.earlier), kinds(&shared.later));
            writeln!(out, "  {}: {earlier} {first}, {later} {second}", shared.place.name)?;
        }
    }
    let Some(ordered) = pair.observed_ordered else { return Ok(()) };
    let said = match (pair.relation, ordered) {
        (Relation::Ordered, true) => paint.good("execution: the order is real"),
        (Relation::Ordered, false) => {
            paint.bad("execution: the order was not needed when the block ran")
        }
        (_, true) => paint.bad("execution: the later one did need what the earlier one did"),
        (_, false) => paint.good("execution: neither needed the other"),
    };
    writeln!(out, "\n{said}")?;
    for place in &pair.missed {
        writeln!(out, "  RAW {}", place.name)?;
    }
    Ok(())
}

fn write_edge(out: &mut impl Write, paint: Paint, edge: &EdgeReport) -> io::Result<()> {
    let mut notes = Vec::new();
    if !edge.orders {
        notes.push("does not wait");
    }
    if !edge.certain {
        notes.push("may");
    }
    notes.extend(edge.observed.map(|real| if real { "real" } else { "not met when it ran" }));
    let notes = paint.dim(&notes.join(", "));
    let title = paint.bold(&format!("{} after {}", edge.to, edge.from));
    writeln!(out, "  {}", format!("{title}  {notes}").trim_end())?;
    for hazard in edge.hazards.iter().take(HAZARDS_SHOWN) {
        write_hazard(out, paint, edge, hazard)?;
    }
    let more = edge.hazards.len().saturating_sub(HAZARDS_SHOWN);
    if more > 0 {
        writeln!(out, "    and {more} more")?;
    }
    Ok(())
}

fn write_hazard(
    out: &mut impl Write,
    paint: Paint,
    edge: &EdgeReport,
    hazard: &HazardReport,
) -> io::Result<()> {
    let said = |tx: TxIndex, done: Option<UseReport>| match done {
        Some(UseReport { access, must, source }) => {
            let may = if must { "" } else { "may " };
            format!("{tx} {may}{} ({source})", verb(access))
        }
        None => format!("{tx} stands for others"),
    };
    let how = format!("{}, {}", said(edge.from, hazard.earlier), said(edge.to, hazard.later));
    let met = match hazard.observed {
        Some(false) => paint.bad(" not met"),
        _ => String::new(),
    };
    let place = &hazard.place.name;
    writeln!(
        out,
        "    {} {place}  {}{met}",
        paint.accent(&hazard.hazard.to_string()),
        paint.dim(&how)
    )
}

const fn verb(kind: AccessKind) -> &'static str {
    match kind {
        AccessKind::Read => "reads",
        AccessKind::Write => "writes",
        AccessKind::Delta => "credits",
    }
}

fn write_transaction(out: &mut impl Write, paint: Paint, it: &TxExplanation) -> io::Result<()> {
    let BlockHeading { block, number, chain, fork, .. } = &it.prediction.block;
    let by = it.prediction.predictor;
    writeln!(out, "{} · {chain} {number} · {fork} · predicted by {by}", paint.bold(block))?;
    write_prediction(out, paint, &it.prediction)?;
    let critical = if it.critical { " · on the critical path" } else { "" };
    let after = grouped(it.remaining_gas);
    writeln!(
        out,
        "\n{} · {after} gas from here to the end of the heaviest path{critical}",
        it.wave
    )?;
    if it.chain.len() > 1 {
        let chain: Vec<String> = it.chain.iter().map(TxIndex::to_string).collect();
        writeln!(out, "chain {}", chain.join(">"))?;
    }
    let (waits, meets): (Vec<_>, Vec<_>) = it.before.iter().partition(|edge| edge.orders);
    let (awaited, met_by): (Vec<_>, Vec<_>) = it.after.iter().partition(|edge| edge.orders);
    for (title, edges) in [
        ("waits for", waits),
        ("is waited for by", awaited),
        ("meets earlier ones, without waiting", meets),
        ("is met by later ones, which do not wait", met_by),
    ] {
        if edges.is_empty() {
            continue;
        }
        writeln!(
            out,
            "\n{}",
            paint.bold(&format!("{title}: {}", counted(edges.len(), "transaction")))
        )?;
        for edge in edges.iter().take(EDGES_SHOWN) {
            write_edge(out, paint, edge)?;
        }
        if edges.len() > EDGES_SHOWN {
            writeln!(out, "  and {} more", edges.len() - EDGES_SHOWN)?;
        }
    }
    let Some(observed) = &it.observed else { return Ok(()) };
    writeln!(out, "\n{} {} gas used", paint.bold("execution:"), grouped(observed.gas_used))?;
    for (title, places) in [("missed", &observed.missed), ("untouched", &observed.untouched)] {
        for place in places {
            writeln!(out, "  {} {}", paint.bad(&format!("{title:<9}")), place.name)?;
        }
    }
    if observed.missed.is_empty() && observed.untouched.is_empty() {
        writeln!(out, "  {}", paint.good("touched what was predicted"))?;
    }
    Ok(())
}
