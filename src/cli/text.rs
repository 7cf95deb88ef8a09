//! Pieces of text output: colours, numbers, transactions, locations, bars.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

pub(super) use forewave::report::grouped;
use forewave::{TxIndex, report::FailedBlock};

/// Eighths of a character cell, from one to eight.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// Colours, if standard output is a terminal and nobody asked for none
/// (<https://no-color.org>).
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(bool);

impl Paint {
    pub(super) fn of_stdout() -> Self {
        let unwanted = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(io::stdout().is_terminal() && !unwanted("NO_COLOR") && !dumb)
    }

    /// No colours at all, as in a file.
    pub(super) const fn none() -> Self {
        Self(false)
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(super) fn accent(self, text: &str) -> String {
        self.wrap("36", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// "1 wave", "2 waves".
pub(super) fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number as u64))
}

/// Transactions in ascending order, runs of three and more as ranges: `tx0 tx4-9`.
pub(super) fn tx_ranges(transactions: &[TxIndex]) -> Vec<String> {
    let follows = |a: &TxIndex, b: &TxIndex| a.index() + 1 == b.index();
    let mut ranges = Vec::new();
    for run in transactions.chunk_by(follows) {
        match run {
            [first, .., last] if run.len() > 2 => ranges.push(format!("{first}-{}", last.index())),
            _ => ranges.extend(run.iter().map(TxIndex::to_string)),
        }
    }
    ranges
}

/// A bar of up to `cells` characters for a share between 0 and 1, padded.
pub(super) fn bar(share: f64, cells: u8) -> String {
    let eighths = (share.clamp(0.0, 1.0) * f64::from(cells) * 8.0).ceil();
    let mut text = String::new();
    for cell in 0..cells {
        let filled = eighths - f64::from(cell) * 8.0;
        let level = (1..=8u8).rev().find(|&level| f64::from(level) <= filled);
        text.push(level.map_or(' ', |level| EIGHTHS[usize::from(level) - 1]));
    }
    text
}

/// One line that names the blocks a report leaves out, if there are any.
pub(super) fn write_failed(
    out: &mut impl Write,
    paint: Paint,
    failed: &[FailedBlock],
) -> io::Result<()> {
    if failed.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = failed.iter().map(|failed| failed.block.as_str()).collect();
    let line = format!("{} failed: {}", counted(failed.len(), "block"), names.join(" "));
    writeln!(out, "{}", paint.bad(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_in_threes() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn runs_of_three_and_more_are_ranges() {
        let txs: Vec<TxIndex> = [0, 1, 3, 4, 5, 9].map(TxIndex::new).to_vec();
        assert_eq!(tx_ranges(&txs), ["tx0", "tx1", "tx3-5", "tx9"]);
    }

    #[test]
    fn a_bar_is_empty_only_for_nothing_and_full_only_for_everything() {
        assert_eq!(
            [bar(0.0, 2), bar(0.001, 2), bar(0.5, 2), bar(1.0, 2)],
            ["  ", "▏ ", "█ ", "██"]
        );
    }
}
