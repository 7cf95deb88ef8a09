//! `forewave graph`: the conflict graph and the waves of a block.

use std::io::{self, BufWriter, Write};

use forewave::{
    Chain, HotSpot, Plan, PredictedAccess, PredictorKind, TxIndex, Wave, dot, hot_spots,
    report::{BlockHeading, GraphReport},
};

use super::{
    Verdict,
    args::{GraphArgs, GraphFormat},
    for_each_block,
    summaries::{Summaries, predictor_by},
    text::{Paint, bar, counted, grouped, place, tx_ranges},
    warn_of_gas,
};

/// Share of the header's gas by which a prediction that runs transactions may miss it
/// without a warning.
const SIMULATED_GAS_TOLERANCE: f64 = 0.01;

/// The same for an estimate from summaries, which knows no refunds and no logs' sizes: 5 of
/// 143 real blocks are further off (`tests/real_blocks.rs`).
const ESTIMATED_GAS_TOLERANCE: f64 = 0.6;

/// Hot spots listed in text.
const HOT_SPOTS_SHOWN: usize = 10;

/// Transactions or ranges of them listed for one hot spot.
const MEETING_SHOWN: usize = 8;

/// Character cells of a wave's bar.
const BAR_CELLS: u8 = 8;

/// Draws every block.
pub(super) fn graph(args: &GraphArgs) -> io::Result<Verdict> {
    let format = if args.blocks.json { GraphFormat::Json } else { args.format };
    let paint = Paint::of_stdout();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut is_first = true;
    let summaries = match Summaries::open(&args.cache) {
        Ok(summaries) => summaries,
        Err(verdict) => return Ok(verdict),
    };
    let verdict = for_each_block(&args.blocks, |heading, input| {
        let shared = summaries.as_ref().map(Summaries::predictor);
        let predictor = predictor_by(args.predictor, shared);
        let predictions = predictor.predict(&input.block, &input.state)?;
        let plan = Plan::new(predictions);
        let tolerance = match args.predictor {
            PredictorKind::Recon | PredictorKind::Oracle => Some(SIMULATED_GAS_TOLERANCE),
            PredictorKind::Static | PredictorKind::StaticLate | PredictorKind::Hybrid => {
                Some(ESTIMATED_GAS_TOLERANCE)
            }
            // They do not look at code, and so do not know what it costs.
            PredictorKind::None | PredictorKind::AccessList | PredictorKind::Bal => None,
        };
        if let Some(tolerance) = tolerance {
            let words = format!("{} predicts", args.predictor);
            warn_of_gas(&heading, &words, plan.schedule().work(), tolerance);
        }
        match format {
            GraphFormat::Json => {
                let report = GraphReport::new(heading, args.predictor, &plan);
                serde_json::to_writer(&mut out, &report).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            GraphFormat::Dot => write!(out, "{}", dot(plan.graph(), plan.schedule()))?,
            GraphFormat::Text => {
                if !is_first {
                    writeln!(out)?;
                }
                is_first = false;
                write_heading(&mut out, paint, args, &heading, plan.predictions(), &plan)?;
                write_waves(&mut out, paint, &plan)?;
                write_hot_spots(&mut out, paint, &plan)?;
            }
        }
        out.flush()?;
        Ok(Verdict::Fine)
    })?;
    Ok(verdict.and(summaries.map_or(Verdict::Fine, |summaries| summaries.save())))
}

fn write_heading(
    out: &mut impl Write,
    paint: Paint,
    args: &GraphArgs,
    heading: &BlockHeading,
    predictions: &[PredictedAccess],
    plan: &Plan,
) -> io::Result<()> {
    let BlockHeading { block, number, chain, fork, txs, gas_used } = heading;
    let schedule = plan.schedule();
    let title = paint.bold(block);
    let txs = counted(*txs, "transaction");
    let gas =
        gas_used.map_or_else(|| "not run yet".to_owned(), |gas| format!("{} gas", grouped(gas)));
    writeln!(out, "{title} · {chain} {number} · {fork} · {txs} · {gas}")?;
    let parallelism = paint.accent(&format!("parallelism {:.2}", schedule.parallelism()));
    let waves = counted(schedule.waves().len(), "wave");
    let conflicts = counted(plan.graph().edge_count(), "direct conflict");
    writeln!(
        out,
        "{} predicts {parallelism} · work {} · span {} · {waves} · width {} · {conflicts}",
        args.predictor,
        grouped(schedule.work()),
        grouped(schedule.span()),
        schedule.width(),
    )?;
    let widened: Vec<TxIndex> = predictions
        .iter()
        .enumerate()
        .filter(|(_, prediction)| !prediction.widened().is_empty())
        .map(|(position, _)| TxIndex::new(position))
        .collect();
    if !widened.is_empty() {
        let count = counted(widened.len(), "prediction");
        writeln!(out, "{count} widened: {}", shorten(&tx_ranges(&widened)))?;
    }
    Ok(())
}

/// One line for each wave: its number of transactions, its gas, its chains as
/// `tx1>tx2`, then the transactions that stand alone.
fn write_waves(out: &mut impl Write, paint: Paint, plan: &Plan) -> io::Result<()> {
    let waves = plan.schedule().waves();
    if waves.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let heaviest = waves.iter().map(Wave::gas).max().unwrap_or(0).max(1);
    let name_width = format!("wave{}", waves.len() - 1).len();
    let gas_width = grouped(heaviest).len();
    let txs_width = waves.iter().map(|wave| grouped(wave.len() as u64).len()).max().unwrap_or(1);
    for (index, wave) in plan.schedule().indexed_waves() {
        let name = paint.bold(&format!("{:<name_width$}", index.to_string()));
        let (txs, gas) = (grouped(wave.len() as u64), grouped(wave.gas()));
        let bar = paint.accent(&bar(wave.gas() as f64 / heaviest as f64, BAR_CELLS));
        let items = wave_items(wave).join(" ");
        writeln!(out, "{name}  {txs:>txs_width$} tx  {gas:>gas_width$} gas  {bar}  {items}")?;
    }
    Ok(())
}

/// The chains of a wave as text, those of one transaction joined to ranges.
fn wave_items(wave: &Wave) -> Vec<String> {
    let (alone, chains): (Vec<&Chain>, Vec<&Chain>) =
        wave.chains().iter().partition(|chain| chain.transactions().len() == 1);
    let joined = |chain: &&Chain| {
        chain.transactions().iter().map(TxIndex::to_string).collect::<Vec<_>>().join(">")
    };
    let mut alone: Vec<TxIndex> =
        alone.iter().flat_map(|chain| chain.transactions()).copied().collect();
    alone.sort_unstable();
    chains.iter().map(joined).chain(tx_ranges(&alone)).collect()
}

/// The places where most transactions meet, and who does.
fn write_hot_spots(out: &mut impl Write, paint: Paint, plan: &Plan) -> io::Result<()> {
    let spots = hot_spots(plan.graph());
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
    let places: Vec<_> = shown.iter().map(|spot| place(plan.graph(), &spot.cause)).collect();
    let kind_width = places.iter().map(|(kind, _)| kind.len()).max().unwrap_or(0);
    let place_width = places.iter().map(|(_, at)| at.chars().count()).max().unwrap_or(0);
    let txs_width = shown.iter().map(|spot| digits(spot.transactions.len())).max().unwrap_or(1);
    let raw_width = shown.iter().map(|spot| digits(spot.hazards.raw)).max().unwrap_or(1);
    let war_width = shown.iter().map(|spot| digits(spot.hazards.war)).max().unwrap_or(1);
    let waw_width = shown.iter().map(|spot| digits(spot.hazards.waw)).max().unwrap_or(1);
    for (HotSpot { transactions, hazards, .. }, (kind, at)) in shown.iter().zip(&places) {
        let txs = transactions.len();
        let counts = format!(
            "{:>raw_width$} RAW {:>war_width$} WAR {:>waw_width$} WAW",
            hazards.raw, hazards.war, hazards.waw
        );
        writeln!(
            out,
            "{kind:<kind_width$} {at:<place_width$}  {txs:>txs_width$} tx  {}  {}",
            paint.dim(&counts),
            shorten(&tx_ranges(transactions)),
        )?;
    }
    Ok(())
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

/// The first items of a list, and how many more there are.
fn shorten(items: &[String]) -> String {
    match items.split_at_checked(MEETING_SHOWN) {
        Some((shown, rest)) if !rest.is_empty() => {
            format!("{} and {} more", shown.join(" "), rest.len())
        }
        _ => items.join(" "),
    }
}
