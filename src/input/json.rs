//! JSON text to typed values, with errors that say where: line and column with
//! the text around them, or the path of the field.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{InputError, SourceFile};

/// Bytes shown on either side of the place an error is about.
const NEAR_BYTES: usize = 24;

/// The most of a wrong value that a message repeats, in characters.
const FOUND_CHARS_MAX: usize = 80;

/// Parses a whole file.
pub(crate) fn parse<T: DeserializeOwned>(file: &SourceFile) -> Result<T, InputError> {
    serde_json::from_slice(&file.bytes).map_err(|error| json_error(file, &error))
}

/// A field that is missing or wrong.
pub(super) fn field_error(
    path: &Path,
    field: impl Into<String>,
    expected: impl Into<String>,
    found: Option<&Value>,
) -> InputError {
    let found = found.map_or_else(|| "nothing".to_owned(), |value| shorten(&value.to_string()));
    let (field, expected) = (field.into(), expected.into());
    InputError::Field { path: path.to_owned(), field, expected, found }
}

/// `text`, cut where it gets too long for a message.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(FOUND_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn json_error(file: &SourceFile, error: &serde_json::Error) -> InputError {
    let (line, column) = (error.line(), error.column());
    // serde_json ends its message with the place, which the message here begins with.
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    let near = near(&file.bytes, line, column);
    InputError::Json { path: file.path.clone(), line, column, message, near }
}

/// The text around a place, on its line.
fn near(bytes: &[u8], line: usize, column: usize) -> String {
    let text = bytes.split(|&byte| byte == b'\n').nth(line.saturating_sub(1)).unwrap_or_default();
    let start = column.saturating_sub(NEAR_BYTES).min(text.len());
    let end = (column + NEAR_BYTES).min(text.len());
    String::from_utf8_lossy(&text[start..end]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_error_names_its_line_its_column_and_the_text_there() {
        let file = SourceFile { path: "b.json".into(), bytes: b"{\n \"number\": 0x1,\n}".to_vec() };
        let error = parse::<Value>(&file).unwrap_err().to_string();
        assert_eq!(error, "b.json:2:13: expected `,` or `}`, near `\"number\": 0x1,`");
    }
}
