//! Bytes of a file of labels -> names of addresses: a JSON object, address -> name.

use core::fmt;
use std::collections::BTreeMap;

use alloy_primitives::Address;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use crate::is_printable;

/// Characters of a name.
const NAME_CHARS_MAX: usize = 40;

/// Names that the caller gives to addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<Address, String>);

/// Why a file holds no labels.
#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    /// It is no JSON object.
    #[error("it is not a JSON object of names by address: {0}")]
    Json(#[from] serde_json::Error),
    /// The key of an entry is no address.
    #[error("entry \"{entry}\": it is not an address, which is 0x and 40 hex digits")]
    Address {
        /// The key.
        entry: String,
    },
    /// The value of an entry is no name.
    #[error(
        "entry \"{entry}\": its name is {found}, expected text of 1 to {NAME_CHARS_MAX} characters \
         that can be printed"
    )]
    Name {
        /// The key.
        entry: String,
        /// The value.
        found: String,
    },
    /// Two entries name one address.
    #[error("entry \"{entry}\": an earlier entry names the same address")]
    Twice {
        /// The key of the second.
        entry: String,
    },
}

/// The entries of an object in the order of the file.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object such as {\"0x...\": \"name\"}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        from.deserialize_map(Each)
    }
}

impl Labels {
    /// The labels in a file of these bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, LabelsError> {
        let Entries(entries) = serde_json::from_slice(bytes)?;
        let mut labels = BTreeMap::new();
        for (entry, value) in entries {
            let is_whole = entry.len() == 42 && entry.starts_with("0x");
            let address = entry.parse::<Address>().ok().filter(|_| is_whole);
            let Some(address) = address else { return Err(LabelsError::Address { entry }) };
            let name = match &value {
                Value::String(name) => Some(name.trim()).filter(|name| is_name(name)),
                _ => None,
            };
            let Some(name) = name else {
                return Err(LabelsError::Name { entry, found: value.to_string() });
            };
            if labels.insert(address, name.to_owned()).is_some() {
                return Err(LabelsError::Twice { entry });
            }
        }
        Ok(Self(labels))
    }

    /// Address and name, by address.
    pub fn iter(&self) -> impl Iterator<Item = (&Address, &str)> {
        self.0.iter().map(|(address, name)| (address, name.as_str()))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= NAME_CHARS_MAX && is_printable(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0x00000000000000000000000000000000000000aa";

    #[test]
    fn a_file_that_names_nothing_or_names_wrongly_is_refused_by_its_entry() {
        let long = "x".repeat(NAME_CHARS_MAX + 1);
        let cases = [
            ("[]".to_owned(), "not a JSON object"),
            ("{".to_owned(), "not a JSON object"),
            (r#"{"0x12": "a"}"#.to_owned(), "entry \"0x12\": it is not an address"),
            (format!(r#"{{"{}": "a"}}"#, &A[2..]), "it is not an address"),
            (format!(r#"{{"{A}": 7}}"#), "its name is 7"),
            (format!(r#"{{"{A}": " "}}"#), "its name is \" \""),
            (format!(r#"{{"{A}": "{long}"}}"#), "text of 1 to 40 characters"),
            (format!(r#"{{"{A}": "a\u001b[2J"}}"#), "that can be printed"),
            (format!(r#"{{"{A}": "a", "0x{}": "b"}}"#, A[2..].to_uppercase()), "an earlier entry"),
        ];
        for (text, part) in cases {
            let error = Labels::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn names_are_taken_as_they_are() {
        let labels = Labels::parse(format!(r#"{{"{A}": "Börse <1>"}}"#).as_bytes()).unwrap();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [(&A.parse().unwrap(), "Börse <1>")]);
        assert_eq!(Labels::parse(b"{}").unwrap(), Labels::default());
    }
}
