//! The fields of a transaction object to values of their width, with what is wrong
//! parted in two: what cannot be read, and what can but belongs in no block.

use alloy_primitives::{Bytes, U256};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::input::json::shorten;

/// What is wrong with a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is no transaction: the file is to be mended.
    Malformed(String),
    /// It is one that belongs in no block.
    Refused(String),
}

/// The fields of one object; those that are null are as absent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// The first of these fields that is there.
    pub(super) fn get(self, names: &[&str]) -> Option<(&'a str, &'a Value)> {
        let mut present = names.iter().filter_map(|name| self.0.get_key_value(*name));
        let (name, value) = present.find(|(_, value)| !value.is_null())?;
        Some((name, value))
    }

    /// Whether one of these fields is there, and not an empty list.
    pub(super) fn states(self, name: &str) -> bool {
        let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        self.get(&[name]).is_some_and(|(_, value)| !empty(value))
    }

    /// A number of at most 256 bits, by the first of these names that is there.
    pub(super) fn number(self, names: &[&str]) -> Result<Option<U256>, Problem> {
        self.get(names).map(|(name, value)| number(name, value)).transpose()
    }

    /// A number that fits `T`, or `absent`.
    pub(super) fn uint_or<T: TryFrom<U256>>(self, names: &[&str], absent: T) -> Result<T, Problem> {
        let Some((name, value)) = self.get(names) else { return Ok(absent) };
        let number = number(name, value)?;
        let bits = 8 * size_of::<T>();
        let wide = || Problem::Refused(format!("`{name}` is {number}, more than {bits} bits hold"));
        T::try_from(number).map_err(|_| wide())
    }

    /// A number that fits `T`, which must be there.
    pub(super) fn uint<T: TryFrom<U256> + Default>(self, names: &[&str]) -> Result<T, Problem> {
        self.require(names)?;
        self.uint_or(names, T::default())
    }

    /// Any other value, or that of its type that is nothing.
    pub(super) fn value<T: DeserializeOwned + Default>(self, names: &[&str]) -> Result<T, Problem> {
        let Some((name, value)) = self.get(names) else { return Ok(T::default()) };
        T::deserialize(value).map_err(|error| {
            Problem::Malformed(format!("`{name}`: {}", shorten(&error.to_string())))
        })
    }

    /// The call data: `input`, or `data` as it was once called.
    pub(super) fn input(self) -> Result<Bytes, Problem> {
        self.value(&["input", "data"])
    }

    fn require(self, names: &[&str]) -> Result<(), Problem> {
        match self.get(names) {
            Some(_) => Ok(()),
            None => Err(Problem::Malformed(format!("`{}` is missing", names[0]))),
        }
    }
}

fn number(name: &str, value: &Value) -> Result<U256, Problem> {
    let malformed = || {
        let found = shorten(&value.to_string());
        Problem::Malformed(format!("`{name}`: expected a number, hex or decimal, found {found}"))
    };
    match value {
        Value::Number(number) => number.as_u64().map(U256::from).ok_or_else(malformed),
        Value::String(text) => {
            let (digits, radix) = match text.strip_prefix("0x") {
                Some(digits) => (digits, 16),
                None => (text.as_str(), 10),
            };
            let is_number = !text.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
            if !is_number {
                return Err(malformed());
            }
            U256::from_str_radix(digits, radix.into()).map_err(|_| {
                Problem::Refused(format!("`{name}` is {}, more than 256 bits hold", shorten(text)))
            })
        }
        _ => Err(malformed()),
    }
}
