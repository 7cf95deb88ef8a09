//! Why one transaction comes after another.

use core::fmt;

use forewave_analyzer::Scope;
use serde::{Deserialize, Serialize};

use crate::LocationId;

/// How two transactions meet, the one with the lower index first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hazard {
    /// Read after write: the later one needs what the earlier one wrote. The
    /// only hazard that orders execution.
    Raw,
    /// Write after read: the later one replaces what the earlier one read.
    War,
    /// Write after write: the later one's value is the one that stays.
    Waw,
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Raw => "RAW",
            Self::War => "WAR",
            Self::Waw => "WAW",
        })
    }
}

/// Where two transactions meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// At a location that both predictions name.
    Location(LocationId),
    /// In a scope that at least one of the predictions is widened to; where
    /// both are widened, the wider scope.
    Scope(Scope),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Location(id) => id.fmt(f),
            Self::Scope(scope) => scope.fmt(f),
        }
    }
}
