//! `forewave graph` as text that fits its terminal.

use std::io::{self, Write};

use forewave::{
    HotSpot, Plan, TxIndex, critical_path,
    explain::Explained,
    hot_spots,
    picture::{EdgeVerdict, Picture, Shown},
    report::BlockHeading,
};

use super::super::{
    columns::{cut, folded, wrapped},
    text::{Paint, bar, counted, grouped, tx_ranges},
};

/// Hot spots listed.
const HOT_SPOTS_SHOWN: usize = 10;

/// Edges listed that execution did not bear out, of each kind.
const WRONG_SHOWN: usize = 10;

/// Character cells of a wave's bar.
const BAR_CELLS: u8 = 8;

/// Lines of one wave, in a block of few waves and in one of many.
const WAVE_LINES: [usize; 2] = [4, 1];

/// Waves up to which a block has few.
const WAVES_FEW: usize = 24;

/// Transactions of a chain up to which it is shown whole, and those shown at each end of a longer one.
const CHAIN_SHOWN: usize = 8;
const CHAIN_ENDS: usize = 3;

/// What the picture means.
const LEGEND: [&str; 5] = [
    "a wave runs side by side once the one before it is done",
    "tx1>tx2 a chain: one after the other on one core",
    "RAW reads what an earlier one wrote, and waits for it",
    "WAR, WAW write what an earlier one read or wrote, and do not wait",
    "parallelism work / span: no number of cores gives more",
];

/// Writes one block.
pub(super) fn write(
    out: &mut impl Write,
    paint: Paint,
    columns: usize,
    heading: &BlockHeading,
    planned: &Explained<'_>,
    picture: &Picture,
) -> io::Result<()> {
    write_heading(out, paint, columns, heading, planned, picture)?;
    write_waves(out, paint, columns, picture)?;
    write_hot_spots(out, paint, columns, planned, picture)?;
    write_wrong(out, paint, columns, picture)?;
    writeln!(out)?;
    let legend: Vec<String> = LEGEND.map(str::to_owned).to_vec();
    for line in wrapped(&legend, " · ", columns) {
        writeln!(out, "{}", paint.dim(&line))?;
    }
    Ok(())
}

fn write_heading(
    out: &mut impl Write,
    paint: Paint,
    columns: usize,
    heading: &BlockHeading,
    planned: &Explained<'_>,
    picture: &Picture,
) -> io::Result<()> {
    let BlockHeading { block, number, chain, fork, txs, gas_used } = heading;
    let (plan, schedule) = (&planned.plan, planned.plan.schedule());
    let gas =
        gas_used.map_or_else(|| "not run yet".to_owned(), |gas| format!("{} gas", grouped(gas)));
    let title = [
        block.clone(),
        format!("{chain} {number}"),
        fork.clone(),
        counted(*txs, "transaction"),
        gas,
    ];
    for (position, line) in wrapped(&title, " · ", columns).into_iter().enumerate() {
        let name = if position == 0 { block.as_str() } else { "" };
        let rest = line.strip_prefix(name).unwrap_or(&line);
        writeln!(out, "{}{rest}", if name.is_empty() { String::new() } else { paint.bold(name) })?;
    }
    let parallelism = format!("parallelism {:.2}", schedule.parallelism());
    let figures = [
        format!("{} predicts {parallelism}", planned.predictor),
        format!("work {}", grouped(schedule.work())),
        format!("span {}", grouped(schedule.span())),
        counted(schedule.waves().len(), "wave"),
        format!("width {}", schedule.width()),
        counted(plan.graph().edge_count(), "direct conflict"),
    ];
    for line in wrapped(&figures, " · ", columns) {
        writeln!(out, "{}", line.replacen(&parallelism, &paint.accent(&parallelism), 1))?;
    }
    for caption in picture.captions.iter().skip(1) {
        let words: Vec<String> = caption.split(' ').map(str::to_owned).collect();
        for line in folded(&words, " ", columns, 3) {
            writeln!(out, "{line}")?;
        }
    }
    let widened: Vec<TxIndex> = of(picture, |node| !node.widened.is_empty());
    if !widened.is_empty() {
        let items = prefixed("widened:", tx_ranges(&widened));
        for line in folded(&items, " ", columns, 1) {
            writeln!(out, "{line}")?;
        }
    }
    write_critical(out, paint, columns, plan)
}

/// The heaviest path, where it is one of several transactions.
fn write_critical(
    out: &mut impl Write,
    paint: Paint,
    columns: usize,
    plan: &Plan,
) -> io::Result<()> {
    let path = critical_path(plan.graph());
    if path.len() < 2 {
        return Ok(());
    }
    let label = "critical path";
    let text = format!("{label} {}", chain(&path));
    writeln!(out, "{}", cut(&text, columns).replacen(label, &paint.accent(label), 1))
}

/// The transactions of a picture that are drawn and of which this holds.
fn of(picture: &Picture, holds: impl Fn(&forewave::picture::Node) -> bool) -> Vec<TxIndex> {
    let drawn = picture.nodes.iter().filter(|node| node.shown != Shown::Hidden);
    drawn.filter(|node| holds(node)).map(|node| node.tx.tx).collect()
}

fn prefixed(word: &str, items: Vec<String>) -> Vec<String> {
    core::iter::once(word.to_owned()).chain(items).collect()
}

/// A chain as `tx1>tx2`, a long one by its ends.
fn chain(txs: &[TxIndex]) -> String {
    let joined = |txs: &[TxIndex]| txs.iter().map(TxIndex::to_string).collect::<Vec<_>>().join(">");
    if txs.len() <= CHAIN_SHOWN {
        return joined(txs);
    }
    let (front, behind) = (&txs[..CHAIN_ENDS], &txs[txs.len() - CHAIN_ENDS..]);
    let more = txs.len() - 2 * CHAIN_ENDS;
    format!("{}>({more} more)>{}", joined(front), joined(behind))
}

/// A line or some for each wave: its number of transactions, its gas, its chains as
/// `tx1>tx2`, then the transactions that stand alone.
fn write_waves(
    out: &mut impl Write,
    paint: Paint,
    columns: usize,
    picture: &Picture,
) -> io::Result<()> {
    let shown = |tx: &TxIndex| picture.nodes[tx.index()].shown != Shown::Hidden;
    let drawn = |chains: &[Vec<TxIndex>]| -> Vec<Vec<TxIndex>> {
        let of_chain = |chain: &Vec<TxIndex>| chain.iter().copied().filter(shown).collect();
        chains.iter().map(of_chain).filter(|chain: &Vec<TxIndex>| !chain.is_empty()).collect()
    };
    let waves: Vec<_> = picture.waves.iter().map(|wave| (wave, drawn(&wave.chains))).collect();
    let waves: Vec<_> =
        waves.into_iter().enumerate().filter(|(_, (_, chains))| !chains.is_empty()).collect();
    let Some((last, _)) = waves.last() else { return Ok(()) };
    writeln!(out)?;
    let lines_max = WAVE_LINES[usize::from(waves.len() > WAVES_FEW)];
    let heaviest = picture.waves.iter().map(|wave| wave.gas).max().unwrap_or(0).max(1);
    let name_width = format!("wave{last}").len();
    let gas_width = grouped(heaviest).len();
    let count = |chains: &[Vec<TxIndex>]| chains.iter().map(Vec::len).sum::<usize>() as u64;
    let txs_width =
        waves.iter().map(|(_, (_, chains))| grouped(count(chains)).len()).max().unwrap_or(1);
    for (index, (wave, chains)) in &waves {
        let name = paint.bold(&format!("{:<name_width$}", format!("wave{index}")));
        let (txs, gas) = (grouped(count(chains)), grouped(wave.gas));
        let bar = paint.accent(&bar(wave.gas as f64 / heaviest as f64, BAR_CELLS));
        write!(out, "{name}  {txs:>txs_width$} tx  {gas:>gas_width$} gas  {bar}  ")?;
        let indent = name_width + txs_width + gas_width + usize::from(BAR_CELLS) + 15;
        let lines = folded(&items(chains), " ", columns.saturating_sub(indent).max(20), lines_max);
        for (position, line) in lines.iter().enumerate() {
            let indent = if position == 0 { 0 } else { indent };
            writeln!(out, "{:indent$}{line}", "")?;
        }
    }
    Ok(())
}

/// The chains of a wave, those of one transaction joined to ranges.
fn items(chains: &[Vec<TxIndex>]) -> Vec<String> {
    let (alone, several): (Vec<&Vec<TxIndex>>, Vec<&Vec<TxIndex>>) =
        chains.iter().partition(|chain| chain.len() == 1);
    let mut alone: Vec<TxIndex> = alone.into_iter().flatten().copied().collect();
    alone.sort_unstable();
    several.into_iter().map(|it| chain(it)).chain(tx_ranges(&alone)).collect()
}

/// The places where most transactions meet, in words, and who does.
fn write_hot_spots(
    out: &mut impl Write,
    paint: Paint,
    columns: usize,
    planned: &Explained<'_>,
    picture: &Picture,
) -> io::Result<()> {
    let graph = planned.plan.graph();
    let shown = |spot: &HotSpot| {
        let is_drawn = |tx: &&TxIndex| picture.nodes[tx.index()].shown != Shown::Hidden;
        spot.transactions.iter().filter(is_drawn).count() > 1
    };
    let spots: Vec<HotSpot> = hot_spots(graph).into_iter().filter(shown).collect();
    if spots.is_empty() {
        return Ok(());
    }
    let title = if spots.len() > HOT_SPOTS_SHOWN {
        format!("hottest {HOT_SPOTS_SHOWN} of {}", counted(spots.len(), "meeting place"))
    } else {
        counted(spots.len(), "meeting place")
    };
    writeln!(out, "\n{}", paint.bold(&title))?;
    let shown = &spots[..spots.len().min(HOT_SPOTS_SHOWN)];
    let digits = |number: usize| number.to_string().len();
    let widest = |of: &dyn Fn(&HotSpot) -> usize| shown.iter().map(of).max().unwrap_or(1);
    let txs_width = widest(&|spot| digits(spot.transactions.len()));
    let raw_width = widest(&|spot| digits(spot.hazards.raw));
    let war_width = widest(&|spot| digits(spot.hazards.war));
    let waw_width = widest(&|spot| digits(spot.hazards.waw));
    let names: Vec<String> = shown
        .iter()
        .map(|spot| cut(&planned.names.cause(graph, &spot.cause), columns * 2 / 5))
        .collect();
    let name_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let used = name_width + txs_width + raw_width + war_width + waw_width + 23;
    for (HotSpot { transactions, hazards, .. }, name) in shown.iter().zip(&names) {
        let counts = format!(
            "{:>raw_width$} RAW {:>war_width$} WAR {:>waw_width$} WAW",
            hazards.raw, hazards.war, hazards.waw
        );
        let who = folded(&tx_ranges(transactions), " ", columns.saturating_sub(used), 1);
        let line = format!(
            "{name:<name_width$}  {:>txs_width$} tx  {}  {}",
            transactions.len(),
            paint.dim(&counts),
            who.join(" ")
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// What execution says otherwise.
fn write_wrong(
    out: &mut impl Write,
    paint: Paint,
    columns: usize,
    picture: &Picture,
) -> io::Result<()> {
    for (verdict, title) in [
        (EdgeVerdict::Missed, "missed by the prediction"),
        (EdgeVerdict::Unseen, "predicted, and not met when the block ran"),
    ] {
        let edges: Vec<_> = picture.edges.iter().filter(|edge| edge.verdict == verdict).collect();
        if edges.is_empty() {
            continue;
        }
        writeln!(out, "\n{}", paint.bold(&format!("{title}: {}", counted(edges.len(), "edge"))))?;
        for edge in edges.iter().take(WRONG_SHOWN) {
            let words = picture.words(edge, 2).join(", ");
            writeln!(
                out,
                "{}",
                cut(&format!("{} after {}  {words}", edge.to, edge.from), columns)
            )?;
        }
        if edges.len() > WRONG_SHOWN {
            writeln!(out, "and {} more", edges.len() - WRONG_SHOWN)?;
        }
    }
    Ok(())
}
