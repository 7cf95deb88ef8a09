//! The bytes of a JSON file as tools on every system write them, to the UTF-8
//! text that `serde_json` reads: without a byte order mark, out of UTF-16, and
//! with integers beyond 64 bits quoted, which would lose digits as numbers.

use std::borrow::Cow;

/// Digits of the largest integer of 64 bits. A longer number is quoted, and one
/// as long, since decimal strings are read wherever such numbers are.
const INTEGER_DIGITS: usize = 20;

/// The JSON text in `bytes`.
pub(super) fn json_text(bytes: &[u8]) -> Cow<'_, [u8]> {
    let text = match bytes {
        [0xff, 0xfe, text @ ..] => Cow::Owned(from_utf16(text, u16::from_le_bytes)),
        [0xfe, 0xff, text @ ..] => Cow::Owned(from_utf16(text, u16::from_be_bytes)),
        text => Cow::Borrowed(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)),
    };
    match quote_large_integers(&text) {
        Some(quoted) => Cow::Owned(quoted),
        None => text,
    }
}

/// UTF-8 out of UTF-16, with replacement characters where that is damaged.
fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Vec<u8> {
    let (units, _) = bytes.as_chunks::<2>();
    let characters = char::decode_utf16(units.iter().map(|&bytes| unit(bytes)));
    let text: String = characters.map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    text.into_bytes()
}

/// `text` with its integers of [`INTEGER_DIGITS`] or more as strings, if it has any.
fn quote_large_integers(text: &[u8]) -> Option<Vec<u8>> {
    let mut quoted = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = string_end(text, at),
            b'0'..=b'9' | b'-' => {
                let is_part =
                    |byte: &&u8| matches!(**byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let length = text[at..].iter().take_while(is_part).count();
                let number = &text[at..at + length];
                if length >= INTEGER_DIGITS && byte != b'0' && number.iter().all(u8::is_ascii_digit)
                {
                    quoted.extend_from_slice(&text[copied..at]);
                    quoted.push(b'"');
                    quoted.extend_from_slice(number);
                    quoted.push(b'"');
                    copied = at + length;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return None;
    }
    quoted.extend_from_slice(&text[copied..]);
    Some(quoted)
}

/// Where the string that begins at `start` ends, its closing quote included.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_wide_characters_are_taken_off() {
        let utf16 = |to_bytes: fn(u16) -> [u8; 2], mark: [u8; 2]| {
            let units = "{\"\u{e9}\u{1f600}\":1}".encode_utf16().flat_map(to_bytes);
            mark.into_iter().chain(units).collect::<Vec<u8>>()
        };
        let expected = "{\"\u{e9}\u{1f600}\":1}".as_bytes();
        assert_eq!(&*json_text(&[b"\xef\xbb\xbf", expected].concat()), expected);
        assert_eq!(&*json_text(&utf16(u16::to_le_bytes, [0xff, 0xfe])), expected);
        assert_eq!(&*json_text(&utf16(u16::to_be_bytes, [0xfe, 0xff])), expected);
    }

    #[test]
    fn only_integers_beyond_64_bits_are_quoted() {
        let cases = [
            ("{\"a\":1000000000000000000000000}", "{\"a\":\"1000000000000000000000000\"}"),
            ("[18446744073709551616,1]", "[\"18446744073709551616\",1]"),
            ("[1234567890123456789]", "[1234567890123456789]"),
            ("[\"a\\\"1000000000000000000000000\"]", "[\"a\\\"1000000000000000000000000\"]"),
            ("[-1000000000000000000000000]", "[-1000000000000000000000000]"),
            ("[1000000000000000000000000.5]", "[1000000000000000000000000.5]"),
            ("[1000000000000000000000e24]", "[1000000000000000000000e24]"),
            ("[00000000000000000000000001]", "[00000000000000000000000001]"),
            ("\"10000000000000000000000000\\", "\"10000000000000000000000000\\"),
        ];
        for (text, expected) in cases {
            assert_eq!(String::from_utf8_lossy(&json_text(text.as_bytes())), expected);
        }
    }
}
