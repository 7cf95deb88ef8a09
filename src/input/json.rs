//! JSON text to typed values, with errors that say where: line and column with
//! the text around them, or the path of the field.
//!
//! Stricter than JSON: a field that an object gives twice is an error, since
//! two readers could take different ones. And bounded: a document is refused
//! as soon as it holds more than its limit of values or entries. Nesting is
//! bounded by `serde_json`, at 128.

use core::{cell::Cell, fmt, marker::PhantomData};
use std::path::Path;

use hashbrown::HashSet;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{InputError, SourceFile, limits::QUOTED_CHARS_MAX, text::json_text};

/// Bytes shown on either side of the place an error is about.
const NEAR_BYTES: usize = 24;

/// The most characters of an object or array that a message repeats.
const NESTED_CHARS_MAX: usize = 80;

/// Parses a whole file.
pub(crate) fn parse<T: DeserializeOwned>(file: &SourceFile) -> Result<T, InputError> {
    let text = json_text(&file.bytes);
    serde_json::from_slice(&text).map_err(|error| json_error(&file.path, &text, &error))
}

/// Reads a whole file into what `seed` holds.
pub(super) fn parse_seed<S>(file: &SourceFile, seed: S) -> Result<(), InputError>
where
    S: for<'de> DeserializeSeed<'de, Value = ()>,
{
    let text = json_text(&file.bytes);
    let mut deserializer = serde_json::Deserializer::from_slice(&text);
    seed.deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| json_error(&file.path, &text, &error))
}

/// Parses a whole file of at most `values_max` values.
pub(crate) fn parse_document(file: &SourceFile, values_max: usize) -> Result<Value, InputError> {
    let left = Cell::new(values_max);
    let text = json_text(&file.bytes);
    let mut deserializer = serde_json::Deserializer::from_slice(&text);
    StrictValue { values_max, left: &left }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| json_error(&file.path, &text, &error))
}

/// Any JSON value, counted.
#[derive(Clone, Copy)]
struct StrictValue<'a> {
    values_max: usize,
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for StrictValue<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(de::Error::custom(format!("more than {} values", self.values_max)));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if fields.contains_key(&name) {
                return Err(de::Error::custom(format!("duplicate field `{name}`")));
            }
            fields.insert(name, entries.next_value_seed(self)?);
        }
        Ok(Value::Object(fields))
    }
}

/// The entries of an object, as its file orders them: no key twice, however it
/// is written, and at most `MAX` of them.
#[derive(Debug)]
pub(crate) struct Entries<K, V, const MAX: usize>(pub(crate) Vec<(K, V)>);

impl<K, V, const MAX: usize> Default for Entries<K, V, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, K, V, const MAX: usize> Deserialize<'de> for Entries<K, V, MAX>
where
    K: Deserialize<'de> + Copy + Eq + core::hash::Hash + fmt::Display,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<K, V, const MAX: usize>(PhantomData<(K, V)>);

impl<'de, K, V, const MAX: usize> Visitor<'de> for EntriesVisitor<K, V, MAX>
where
    K: Deserialize<'de> + Copy + Eq + core::hash::Hash + fmt::Display,
    V: Deserialize<'de>,
{
    type Value = Entries<K, V, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut entries, mut keys) = (Vec::new(), HashSet::new());
        while let Some(key) = map.next_key::<K>()? {
            if !keys.insert(key) {
                return Err(de::Error::custom(format!("duplicate key {key}")));
            }
            if entries.len() == MAX {
                return Err(de::Error::custom(format!("more than {MAX} entries")));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(Entries(entries))
    }
}

/// What a node answered: `document` itself, or the `result` of its JSON-RPC envelope.
pub(crate) fn unwrap_answer(path: &Path, document: Value) -> Result<Value, InputError> {
    let Value::Object(mut fields) = document else { return Ok(document) };
    if !fields.contains_key("jsonrpc") && !fields.contains_key("result") {
        return Ok(Value::Object(fields));
    }
    let expected = "the node's answer";
    match (fields.remove("result"), fields.get("error")) {
        (Some(result), _) if !result.is_null() => Ok(result),
        (_, Some(error)) if !error.is_null() => {
            Err(field_error(path, "error", "no error of the node's", Some(error)))
        }
        (result, _) => Err(field_error(path, "result", expected, result.as_ref())),
    }
}

/// A field that is missing or wrong.
pub(crate) fn field_error(
    path: &Path,
    field: impl Into<String>,
    expected: impl Into<String>,
    found: Option<&Value>,
) -> InputError {
    let found = found.map_or_else(|| "nothing".to_owned(), describe);
    let (field, expected) = (field.into(), expected.into());
    InputError::Field { path: path.to_owned(), field, expected, found }
}

/// A value for a message: itself, or of a large object or array how large it is.
fn describe(value: &Value) -> String {
    let (what, size) = match value {
        Value::Object(fields) => ("an object of", counted(fields.len(), "field")),
        Value::Array(items) => ("an array of", counted(items.len(), "value")),
        _ => return shorten(&value.to_string()),
    };
    // A small one is shown whole.
    match value.to_string() {
        text if text.chars().count() <= NESTED_CHARS_MAX => text,
        _ => format!("{what} {size}"),
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// `text`, cut where it gets too long for a message.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn json_error(path: &Path, text: &[u8], error: &serde_json::Error) -> InputError {
    let (line, column) = (error.line(), error.column());
    // serde_json ends its message with the place, which the message here begins with.
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(said, _)| said);
    let message = match message.strip_prefix("EOF while parsing ") {
        Some(place) => format!("the file ends early, in {place}"),
        None => shorten(&without_type_names(message)),
    };
    InputError::Json {
        path: path.to_owned(),
        line,
        column,
        message,
        near: near(text, line, column),
    }
}

/// What a deserializer says, without the names that only its source code knows.
pub(super) fn without_type_names(message: &str) -> String {
    let mut plain = message.replace(", an array of u8, or raw bytes", "");
    for kind in ["struct ", "tuple struct ", "enum "] {
        let Some(start) = plain.find(&format!("expected {kind}")) else { continue };
        let start = start + "expected ".len();
        let end = plain[start + kind.len()..]
            .find([',', ' ', ')'])
            .map_or(plain.len(), |length| start + kind.len() + length);
        plain.replace_range(start..end, "an object");
    }
    if plain.contains("untagged enum") {
        return "none of the forms that this may have".to_owned();
    }
    plain
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

    #[test]
    fn a_file_that_is_cut_off_ends_early() {
        for (text, place) in
            [("", "a value"), ("[1,", "a value"), ("{\"a", "a string"), ("[1", "a list")]
        {
            let file = SourceFile { path: "b.json".into(), bytes: text.into() };
            let error = parse::<Value>(&file).unwrap_err().to_string();
            assert!(error.contains(&format!("the file ends early, in {place}")), "{error}");
        }
    }

    #[test]
    fn an_answer_is_taken_out_of_its_envelope_and_an_error_is_told() {
        let unwrap = |text: &str| {
            let document = serde_json::from_str(text).unwrap();
            unwrap_answer(Path::new("b.json"), document).map_err(|error| error.to_string())
        };
        assert_eq!(
            unwrap(r#"{"jsonrpc":"2.0","id":1,"result":{"a":1}}"#),
            Ok(serde_json::json!({"a": 1}))
        );
        assert_eq!(unwrap(r#"{"a":1}"#), Ok(serde_json::json!({"a": 1})));
        let error =
            unwrap(r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"header not found"}}"#);
        assert!(error.unwrap_err().contains("header not found"));
        let error = unwrap(r#"{"jsonrpc":"2.0","id":1,"result":null}"#).unwrap_err();
        assert!(error.contains("`result`: expected the node's answer, found null"), "{error}");
    }

    #[test]
    fn names_of_types_are_left_out_of_messages() {
        let cases = [
            ("invalid type: null, expected struct Foo", "invalid type: null, expected an object"),
            (
                "invalid type: null, expected struct Foo with 2 elements, x",
                "invalid type: null, expected an object with 2 elements, x",
            ),
            (
                "data did not match any variant of untagged enum Foo",
                "none of the forms that this may have",
            ),
            ("unknown field `a`", "unknown field `a`"),
        ];
        for (message, expected) in cases {
            assert_eq!(without_type_names(message), expected);
        }
    }
}
