//! What one transaction does at one place: a small set of flags.

use core::ops::{BitOr, BitOrAssign};

/// A set of uses. At a location a transaction reads, writes and credits; at a
/// scope it does so if its prediction is widened to the scope, and otherwise
/// only [glances](Self::GLANCE) and credits, as one of the many that the scope
/// covers and that do not conflict through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses(u8);

impl Uses {
    /// No use.
    pub(crate) const NONE: Self = Self(0);
    /// Depends on all that was there.
    pub(crate) const READ: Self = Self(1);
    /// Replaces all that was there.
    pub(crate) const WRITE: Self = Self(2);
    /// Changes something that commutes with other credits.
    pub(crate) const CREDIT: Self = Self(4);
    /// Depends on something that only a write can have changed.
    pub(crate) const GLANCE: Self = Self(8);

    /// Whether all of `other` is in the set.
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether some of `other` is in the set.
    pub(crate) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Uses {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Uses {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}
