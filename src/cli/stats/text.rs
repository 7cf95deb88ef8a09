//! Figures of blocks as a person reads them.

use std::io::{self, Write};

use alloy_primitives::Address;
use forewave::stats::{BlockStatsReport, HotContract, StatsReport, WhatIf};

use crate::cli::text::{Paint, counted, grouped};

/// Hex digits of a slot's key that are shown; of a longer one, the first and last.
const KEY_DIGITS_MAX: usize = 16;

/// What the columns are.
pub(super) fn write_columns(out: &mut impl Write, paint: Paint) -> io::Result<()> {
    let columns = format!(
        "{:<24} {:>5} {:>12} {:>11} {:>12} {:>6} {:>6} {:>6} {:>6}  {}",
        "block",
        "txs",
        "gas",
        "parallelism",
        "span",
        "width",
        "RAW",
        "WAR",
        "WAW",
        "waits most for"
    );
    writeln!(out, "{}", paint.bold(&columns))
}

/// One line for a block.
pub(super) fn write_block(out: &mut impl Write, found: &BlockStatsReport) -> io::Result<()> {
    let BlockStatsReport { heading, width, stats, .. } = found;
    let worst = match stats.path.first() {
        Some(contract) if contract.path_gas >= stats.path_gas_of_senders => shown(contract),
        _ if stats.path_gas_of_senders > 0 => "senders' own nonces and balances".to_owned(),
        _ => String::new(),
    };
    writeln!(
        out,
        "{:<24} {:>5} {:>12} {:>11.2} {:>12} {:>6} {:>6} {:>6} {:>6}  {worst}",
        heading.block,
        stats.txs,
        grouped(stats.work),
        stats.parallelism,
        grouped(stats.span),
        width,
        stats.hazards.raw,
        stats.hazards.war,
        stats.hazards.waw,
    )
}

/// All blocks together.
pub(super) fn write_total(
    out: &mut impl Write,
    paint: Paint,
    total: &StatsReport,
) -> io::Result<()> {
    let (blocks, txs) = (counted(total.blocks, "block"), counted(total.txs, "transaction"));
    let title = format!("{blocks} · {txs} · {} gas", grouped(total.work));
    writeln!(out, "\n{}", paint.bold(&title))?;
    writeln!(
        out,
        "parallelism {:.2} · span {} · hazards RAW {} WAR {} WAW {}",
        total.parallelism,
        grouped(total.span),
        grouped(total.hazards.raw as u64),
        grouped(total.hazards.war as u64),
        grouped(total.hazards.waw as u64),
    )?;
    let percent = |part: u64, of: u64| 100.0 * part as f64 / of.max(1) as f64;
    writeln!(out, "\n{}", paint.bold("class              txs      of gas"))?;
    for (class, share) in &total.classes {
        let gas = percent(share.gas, total.work);
        writeln!(out, "{class:<14} {:>7} {gas:>9.1} %", grouped(share.txs as u64))?;
    }
    writeln!(
        out,
        "\n{}",
        paint.bold("if                                    parallelism         span")
    )?;
    for row in &total.what_if {
        let words = what_if(row.rule);
        writeln!(out, "{words:<38} {:>10.2} {:>12}", row.parallelism, grouped(row.span))?;
    }
    if !total.contracts.is_empty() {
        let columns = format!(
            "\n{:<6} {:>6} {:>6} {:>11} {:>11}  {}",
            "RAW", "WAR", "WAW", "on spans", "saved", "hottest contracts"
        );
        writeln!(out, "{}", paint.bold(&columns))?;
    }
    for contract in &total.contracts {
        write_contract(out, total, contract)?;
    }
    if !total.path.is_empty() {
        let columns = format!(
            "\n{:<6} {:>6} {:>6} {:>11} {:>11}  {}",
            "RAW", "WAR", "WAW", "on spans", "saved", "what the heaviest paths wait for"
        );
        writeln!(out, "{}", paint.bold(&columns))?;
        let senders = percent(total.path_gas_of_senders, total.span);
        writeln!(out, "{:<20} {senders:>9.1} % {:>11}  senders' own nonces and balances", "", "")?;
    }
    for contract in &total.path {
        write_contract(out, total, contract)?;
    }
    if !total.slots.is_empty() {
        writeln!(out, "\n{}", paint.bold("RAW       WAR    WAW  hottest slots"))?;
    }
    for slot in &total.slots {
        let key = key(&slot.slot);
        let name = named(slot.address, slot.name.as_deref());
        let hazards = slot.hazards;
        writeln!(out, "{:<6} {:>6} {:>6}  {key} of {name}", hazards.raw, hazards.war, hazards.waw)?;
    }
    Ok(())
}

fn write_contract(
    out: &mut impl Write,
    total: &StatsReport,
    contract: &HotContract,
) -> io::Result<()> {
    let percent = |gas: u64| 100.0 * gas as f64 / total.span.max(1) as f64;
    writeln!(
        out,
        "{:<6} {:>6} {:>6} {:>9.1} % {:>9.1} %  {}",
        contract.hazards.raw,
        contract.hazards.war,
        contract.hazards.waw,
        percent(contract.path_gas),
        percent(contract.saved),
        shown(contract),
    )
}

fn shown(contract: &HotContract) -> String {
    named(contract.address, contract.name.as_deref())
}

fn named(address: Address, name: Option<&str>) -> String {
    name.map_or_else(|| address.to_string(), |name| format!("{address} ({name})"))
}

const fn what_if(rule: WhatIf) -> &'static str {
    match rule {
        WhatIf::CreditsOrdered => "credits are ordered too",
        WhatIf::AsItIs => "as it is",
        WhatIf::NoncesIgnored => "senders' nonces order nothing",
        WhatIf::PaymentsIgnored => "nor do payments that can be afforded",
        WhatIf::WithoutWorst => "as it is, without the worst contract",
    }
}

/// A key in hex, its middle left out if it is long.
fn key(key: &alloy_primitives::U256) -> String {
    let digits = format!("{key:x}");
    if digits.len() <= KEY_DIGITS_MAX {
        return format!("0x{digits}");
    }
    format!("0x{}…{}", &digits[..8], &digits[digits.len() - 6..])
}
