//! What a user calls a block of a node: a number, a tag, a range of them.

use core::{fmt, str::FromStr};

/// One block of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockId {
    /// By its number.
    Number(u64),
    /// The newest one.
    Latest,
    /// The newest one that is likely to stay.
    Safe,
    /// The newest one that stays.
    Finalized,
    /// The one that the node would build now.
    Pending,
}

/// Blocks of a node: one, or all from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockRange {
    /// One block.
    One(BlockId),
    /// From the first to the last.
    FromTo(BlockId, BlockId),
}

/// Text that names no block of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockRangeError {
    /// Neither a number nor a tag.
    #[error(
        "`{0}` names no block of a node: expected a number (19000000 or 0x121eac0), latest, safe, \
         finalized or pending, or a range of them, FIRST..LAST"
    )]
    NoBlock(String),
    /// A range that ends before it begins.
    #[error("`{0}` ends before it begins")]
    Backwards(String),
    /// A range with a block that is not part of the chain yet.
    #[error("`{0}`: the pending block is in no range")]
    PendingInRange(String),
}

impl BlockId {
    /// How a node is asked for it.
    pub(super) fn parameter(self) -> String {
        match self {
            Self::Number(number) => format!("{number:#x}"),
            tag => tag.to_string(),
        }
    }
}

impl BlockRange {
    /// Whether it may be more than one block.
    pub fn is_several(&self) -> bool {
        matches!(self, Self::FromTo(first, last) if first != last)
    }

    /// How many blocks it is, where that is known without asking a node; otherwise one.
    pub fn count_known(&self) -> u64 {
        match self {
            Self::FromTo(BlockId::Number(first), BlockId::Number(last)) => {
                (last - first).saturating_add(1)
            }
            _ => 1,
        }
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Latest => f.write_str("latest"),
            Self::Safe => f.write_str("safe"),
            Self::Finalized => f.write_str("finalized"),
            Self::Pending => f.write_str("pending"),
        }
    }
}

impl FromStr for BlockId {
    type Err = BlockRangeError;

    fn from_str(text: &str) -> Result<Self, BlockRangeError> {
        let number = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.replace([',', '_'], "").parse().ok(),
        };
        match (text, number) {
            ("latest", _) => Ok(Self::Latest),
            ("safe", _) => Ok(Self::Safe),
            ("finalized", _) => Ok(Self::Finalized),
            ("pending", _) => Ok(Self::Pending),
            (_, Some(number)) => Ok(Self::Number(number)),
            _ => Err(BlockRangeError::NoBlock(text.to_owned())),
        }
    }
}

impl FromStr for BlockRange {
    type Err = BlockRangeError;

    fn from_str(text: &str) -> Result<Self, BlockRangeError> {
        let Some((first, last)) = text.split_once("..") else {
            return text.parse().map(Self::One);
        };
        let (first, last) = (first.parse()?, last.parse()?);
        match (first, last) {
            (BlockId::Pending, _) | (_, BlockId::Pending) => {
                Err(BlockRangeError::PendingInRange(text.to_owned()))
            }
            (BlockId::Number(first), BlockId::Number(last)) if last < first => {
                Err(BlockRangeError::Backwards(text.to_owned()))
            }
            _ => Ok(Self::FromTo(first, last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_tags_and_ranges_name_blocks() {
        use BlockId::{Finalized, Latest, Number, Pending};
        let cases = [
            ("19000000", BlockRange::One(Number(19_000_000))),
            ("19_000_000", BlockRange::One(Number(19_000_000))),
            ("0x121eac0", BlockRange::One(Number(19_000_000))),
            ("latest", BlockRange::One(Latest)),
            ("pending", BlockRange::One(Pending)),
            ("0x1..3", BlockRange::FromTo(Number(1), Number(3))),
            ("7..finalized", BlockRange::FromTo(Number(7), Finalized)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_names_no_block_is_refused_with_what_would() {
        let cases = [
            ("newest", "expected a number"),
            ("", "names no block"),
            ("-1", "names no block"),
            ("0x", "names no block"),
            ("1..", "`` names no block"),
            ("3..1", "ends before it begins"),
            ("1..pending", "in no range"),
        ];
        for (text, part) in cases {
            let error = text.parse::<BlockRange>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
