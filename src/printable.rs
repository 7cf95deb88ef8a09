//! Text of foreign origin to text that is safe to print.
//!
//! A file's name, a field's name or a value from a block can hold terminal
//! escapes, line ends and characters that reverse or hide the text around them.
//! [`Printable`] shows all of these as escapes such as `\u{1b}`. What a format
//! such as JSON or DOT needs beyond that is left to its writer.

use core::fmt::{self, Display, Write};

/// Shows text with every character escaped that is not seen as itself: control
/// characters, line ends, characters without width, bidirectional overrides.
/// Quotes and backslashes stay as they are, so this is for people to read and not to be parsed.
#[derive(Clone, Copy, Debug)]
pub struct Printable<T>(pub T);

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Escapes what is written through it.
struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| match character {
            ' '..='~' => self.0.write_char(character),
            other => write!(self.0, "{}", other.escape_debug()),
        })
    }
}

/// Whether `text` is shown as it is.
pub fn is_printable(text: &str) -> bool {
    text.chars().all(|character| match character {
        ' '..='~' => true,
        other => other.escape_debug().eq([other]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_as_itself_is_escaped() {
        let cases = [
            ("tx3 (0xab), `mixed-defi`: \"a\\b\"", "tx3 (0xab), `mixed-defi`: \"a\\b\""),
            ("Blöcke/区块 · ▏", "Blöcke/区块 · ▏"),
            ("\x1b[2J\x1b]0;title\x07", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("one\r\ntwo\tthree\0", "one\\r\\ntwo\\tthree\\0"),
            ("gas\u{202e}001\u{2066}", "gas\\u{202e}001\\u{2066}"),
            ("a\u{200b}b\u{feff}c\u{2028}d\x7f", "a\\u{200b}b\\u{feff}c\\u{2028}d\\u{7f}"),
        ];
        for (text, shown) in cases {
            assert_eq!(Printable(text).to_string(), shown);
            assert_eq!(is_printable(text), text == shown, "{shown}");
            assert!(is_printable(shown), "{shown}");
        }
    }
}
