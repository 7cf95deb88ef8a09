//! Numbers with a name: each index of this crate is a `u32` newtype whose
//! `Display` is how every text output calls it.

use core::fmt;

use serde::{Deserialize, Serialize};

macro_rules! index {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u32);

        impl $name {
            /// The index at `position`.
            ///
            /// # Panics
            ///
            /// If `position` does not fit 32 bits.
            pub fn new(position: usize) -> Self {
                Self(u32::try_from(position).expect("an index fits 32 bits"))
            }

            /// The position, for indexing.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

index! {
    /// An interned location, numbered in order of first appearance in the block.
    LocationId, "loc"
}

index! {
    /// Position of an order among the candidates for a block, counted from 0.
    OrderIndex, "order"
}

index! {
    /// Position of a wave in its schedule, counted from 0.
    WaveIndex, "wave"
}
