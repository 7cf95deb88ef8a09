//! Text in columns of a terminal: how wide it is, and where lines break.

use terminal_size::{Width, terminal_size};

/// Columns where output is no terminal.
const COLUMNS: usize = 120;

/// The columns that text may take: what was asked for, or the terminal's.
pub(super) fn columns(asked: Option<u16>) -> usize {
    let of_terminal = || terminal_size().map(|(Width(columns), _)| columns);
    asked.or_else(of_terminal).map_or(COLUMNS, usize::from)
}

/// Items with a separator between them, as lines of at most so many columns; an item that is longer
/// is cut.
pub(super) fn wrapped(items: &[String], separator: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut used = 0;
    for item in items {
        let item = cut(item, columns);
        let width = item.chars().count();
        let gap = separator.chars().count();
        match lines.last_mut() {
            Some(line) if used + gap + width <= columns => {
                line.push_str(separator);
                line.push_str(&item);
                used += gap + width;
            }
            _ => {
                used = width;
                lines.push(item);
            }
        }
    }
    lines
}

/// The same, and of what needs more lines than `lines_max` only how many items it is.
pub(super) fn folded(
    items: &[String],
    separator: &str,
    columns: usize,
    lines_max: usize,
) -> Vec<String> {
    let lines = wrapped(items, separator, columns);
    if lines.len() <= lines_max {
        return lines;
    }
    // As many items as leave room for the rest's number.
    for kept in (0..items.len()).rev() {
        let more = format!("and {} more", items.len() - kept);
        let some: Vec<String> = items[..kept].iter().cloned().chain([more]).collect();
        let lines = wrapped(&some, separator, columns);
        if lines.len() <= lines_max {
            return lines;
        }
    }
    Vec::new()
}

/// At most so many characters: what is longer loses its middle.
pub(super) fn cut(text: &str, columns: usize) -> String {
    let count = text.chars().count();
    if count <= columns || columns < 3 {
        return text.to_owned();
    }
    let behind = (columns - 1) / 2;
    let front = columns - 1 - behind;
    text.chars().take(front).chain(['…']).chain(text.chars().skip(count - behind)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn lines_break_between_items_and_fold_what_is_too_much() {
        let all = items("aa bb cc dd ee");
        assert_eq!(wrapped(&all, " ", 5), ["aa bb", "cc dd", "ee"]);
        assert_eq!(wrapped(&all, " · ", 7), ["aa · bb", "cc · dd", "ee"]);
        assert_eq!(folded(&all, " ", 14, 1), ["aa bb cc dd ee"]);
        assert_eq!(folded(&all, " ", 13, 1), ["aa and 4 more"]);
        let more = items("aa bb cc dd ee ff gg");
        assert_eq!(folded(&more, " ", 10, 2), ["aa bb cc", "and 4 more"]);
        assert_eq!(wrapped(&[], " ", 5), Vec::<String>::new());
    }

    #[test]
    fn what_is_cut_keeps_its_ends() {
        assert_eq!(cut("abcdefghij", 10), "abcdefghij");
        assert_eq!(cut("abcdefghij", 6), "abc…ij");
    }
}
