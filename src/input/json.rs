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

use super::{InputError, SourceFile, limits::QUOTED_CHARS_MAX};

/// Bytes shown on either side of the place an error is about.
const NEAR_BYTES: usize = 24;

/// Parses a whole file.
pub(crate) fn parse<T: DeserializeOwned>(file: &SourceFile) -> Result<T, InputError> {
    serde_json::from_slice(&file.bytes).map_err(|error| json_error(file, &error))
}

/// Parses a whole file of at most `values_max` values.
pub(crate) fn parse_document(file: &SourceFile, values_max: usize) -> Result<Value, InputError> {
    let left = Cell::new(values_max);
    let mut deserializer = serde_json::Deserializer::from_slice(&file.bytes);
    StrictValue { values_max, left: &left }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| json_error(file, &error))
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

/// A field that is missing or wrong.
pub(crate) fn field_error(
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
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn json_error(file: &SourceFile, error: &serde_json::Error) -> InputError {
    let (line, column) = (error.line(), error.column());
    // serde_json ends its message with the place, which the message here begins with.
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(said, _)| said);
    let message = shorten(message);
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
