//! One line for each block, as comma-separated values (RFC 4180).

use std::{
    io::{self, Write},
    path::Path,
};

use forewave::{
    measure::TxClass,
    stats::{BlockStatsReport, WhatIf},
};

use crate::cli::{diagnostic::Failure, whole_file};

/// The first line.
const HEADER: &str = "block,number,chain,fork,txs,gas_used,span,parallelism,width,waves,raw,war,\
     waw,plain_transfer_gas,token_transfer_gas,other_call_gas,create_gas,\
     parallelism_credits_ordered,parallelism_nonces_ignored,parallelism_payments_ignored,\
     parallelism_without_worst,worst_contract";

/// A block as the files have it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) parallelism: f64,
    pub(super) payments_ignored: f64,
    cells: Vec<String>,
}

impl Row {
    pub(super) fn new(found: &BlockStatsReport) -> Self {
        let BlockStatsReport { heading, width, waves, stats } = found;
        let what_if = |rule| {
            let row = stats.what_if.iter().find(|row| row.rule == rule);
            row.map_or(1.0, |row| row.parallelism)
        };
        let ratio = |value: f64| format!("{value:.4}");
        let mut cells = vec![
            heading.block.clone(),
            heading.number.to_string(),
            heading.chain.to_string(),
            heading.fork.clone(),
            stats.txs.to_string(),
            stats.work.to_string(),
            stats.span.to_string(),
            ratio(stats.parallelism),
            width.to_string(),
            waves.to_string(),
            stats.hazards.raw.to_string(),
            stats.hazards.war.to_string(),
            stats.hazards.waw.to_string(),
        ];
        let gas = |class| stats.classes.get(&class).map_or(0, |share| share.gas);
        cells.extend(TxClass::ALL.map(|class| gas(class).to_string()));
        cells.extend(
            [
                WhatIf::CreditsOrdered,
                WhatIf::NoncesIgnored,
                WhatIf::PaymentsIgnored,
                WhatIf::WithoutWorst,
            ]
            .map(|rule| ratio(what_if(rule))),
        );
        let worst = stats.path.iter().max_by_key(|contract| contract.saved);
        cells.push(worst.map(|contract| contract.address.to_string()).unwrap_or_default());
        let payments_ignored = what_if(WhatIf::PaymentsIgnored);
        Self { parallelism: stats.parallelism, payments_ignored, cells }
    }

    fn line(&self) -> String {
        self.cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",")
    }
}

/// A cell, quoted where its text could end it.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

/// Checks before the work that the file can be written: only an earlier one is replaced.
pub(super) fn check(path: &Path) -> Result<(), Failure> {
    let begin = &HEADER.as_bytes()[..32];
    whole_file::check(path, |bytes| bytes.starts_with(begin))
        .map_err(|source| unwritable(path, source))
}

/// Writes all blocks.
pub(super) fn write(path: &Path, rows: &[Row]) -> Result<(), Failure> {
    let write = |to: &mut io::BufWriter<std::fs::File>| {
        writeln!(to, "{HEADER}")?;
        rows.iter().try_for_each(|row| writeln!(to, "{}", row.line()))
    };
    whole_file::write(path, write).map_err(|source| unwritable(path, source))
}

fn unwritable(path: &Path, source: io::Error) -> Failure {
    Failure::File { file: path.to_owned(), what: "table", source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_could_end_itself_is_quoted() {
        let cases = [("plain", "plain"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\"")];
        for (cell, expected) in cases {
            assert_eq!(quoted(cell), expected);
        }
    }
}
