//! Locations and access sets: what a transaction touches, predicted or observed.
//!
//! An [`AccessSet`] is three sorted sets of [`Location`]s and is built only by
//! [`AccessSetBuilder`], so that two equal sets compare and print equal. A
//! prediction and an observation are different types and never interchangeable.

mod prediction;

use core::fmt;

use revm::primitives::{Address, StorageKey};
use serde::{Deserialize, Serialize};

pub use self::prediction::{
    Confidence, KeyOrigin, PredictedAccess, Scope, WidenedAccess, WideningCause,
};

/// Position of a transaction in its block, counted from 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TxIndex(u32);

impl TxIndex {
    /// The index at `position`.
    ///
    /// # Panics
    ///
    /// If `position` does not fit 32 bits; a block cannot hold that many transactions.
    pub fn new(position: usize) -> Self {
        Self(u32::try_from(position).expect("a block has fewer than 2^32 transactions"))
    }

    /// The position, for indexing.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for TxIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tx{}", self.0)
    }
}

/// One piece of state that transactions can meet at. Lossless: two different
/// pieces of state are two different locations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "at", rename_all = "snake_case")]
pub enum Location {
    /// The balance of an account, in wei.
    Balance(Address),
    /// The nonce of an account.
    Nonce(Address),
    /// The code of an account, delegation designators (EIP-7702) included.
    Code(Address),
    /// One storage slot of an account.
    Storage(Address, StorageKey),
}

impl Location {
    /// The account that the location belongs to.
    pub const fn address(&self) -> Address {
        match self {
            Self::Balance(address)
            | Self::Nonce(address)
            | Self::Code(address)
            | Self::Storage(address, _) => *address,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balance(address) => write!(f, "balance({address})"),
            Self::Nonce(address) => write!(f, "nonce({address})"),
            Self::Code(address) => write!(f, "code({address})"),
            Self::Storage(address, key) => write!(f, "storage({address}, {key:#x})"),
        }
    }
}

/// How a transaction uses a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessKind {
    /// Its outcome may depend on the value.
    Read,
    /// It replaces the value.
    Write,
    /// It adds to the value without having looked at it: deltas commute.
    Delta,
}

/// What one transaction reads, writes and credits: three sorted sets.
///
/// A location that is both written and credited is in `writes` only. A slot
/// that is stored to is in `reads` as well, since the gas of an `SSTORE`
/// depends on the old value (EIP-2200).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Lists", into = "Lists")]
pub struct AccessSet {
    /// Reads, then writes, then deltas: one allocation for a prediction that lives as
    /// long as its block.
    locations: Vec<Location>,
    /// Where the writes begin.
    writes_at: usize,
    /// Where the deltas begin.
    deltas_at: usize,
}

/// The three sets, as they are built and saved.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename = "AccessSet")]
struct Lists {
    reads: Vec<Location>,
    writes: Vec<Location>,
    deltas: Vec<Location>,
}

impl From<Lists> for AccessSet {
    fn from(Lists { reads, writes, deltas }: Lists) -> Self {
        Self::joined(&reads, &writes, &deltas)
    }
}

impl From<AccessSet> for Lists {
    fn from(set: AccessSet) -> Self {
        Self { reads: set.reads().into(), writes: set.writes().into(), deltas: set.deltas().into() }
    }
}

impl AccessSet {
    fn joined(reads: &[Location], writes: &[Location], deltas: &[Location]) -> Self {
        let writes_at = reads.len();
        let deltas_at = writes_at + writes.len();
        Self { locations: [reads, writes, deltas].concat(), writes_at, deltas_at }
    }

    /// The set of three sections that are sorted already, each without repetitions.
    pub(crate) fn from_sections(
        locations: Vec<Location>,
        writes_at: usize,
        deltas_at: usize,
    ) -> Self {
        let set = Self { locations, writes_at, deltas_at };
        debug_assert!(
            [set.reads(), set.writes(), set.deltas()]
                .iter()
                .all(|section| section.is_sorted_by(|a, b| a < b))
        );
        set
    }

    /// The locations whose value the outcome may depend on, sorted.
    pub fn reads(&self) -> &[Location] {
        &self.locations[..self.writes_at]
    }

    /// The locations whose value is replaced, sorted.
    pub fn writes(&self) -> &[Location] {
        &self.locations[self.writes_at..self.deltas_at]
    }

    /// The locations that are credited unseen, sorted.
    pub fn deltas(&self) -> &[Location] {
        &self.locations[self.deltas_at..]
    }

    /// Whether nothing is touched at all.
    pub const fn is_empty(&self) -> bool {
        self.locations.is_empty()
    }

    /// Whether `location` is in the set for this use.
    pub fn contains(&self, location: &Location, kind: AccessKind) -> bool {
        let set = match kind {
            AccessKind::Read => self.reads(),
            AccessKind::Write => self.writes(),
            AccessKind::Delta => self.deltas(),
        };
        set.binary_search(location).is_ok()
    }

    /// Every touched location once, sorted.
    pub fn locations(&self) -> Vec<Location> {
        let mut all = self.locations.clone();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Turns what `sender` pays, and the bump of its nonce, into deltas.
    fn commute_payment(&mut self, sender: Address) {
        for location in [Location::Balance(sender), Location::Nonce(sender)] {
            if let Ok(at) = self.reads().binary_search(&location) {
                self.locations.remove(at);
                self.writes_at -= 1;
                self.deltas_at -= 1;
            }
            if let Ok(at) = self.writes().binary_search(&location) {
                self.locations.remove(self.writes_at + at);
                self.deltas_at -= 1;
                if let Err(at) = self.deltas().binary_search(&location) {
                    self.locations.insert(self.deltas_at + at, location);
                }
            }
        }
    }

    /// Every access, in the order reads, writes, deltas, each sorted.
    pub fn iter(&self) -> impl Iterator<Item = (AccessKind, &Location)> {
        let tag = |kind| move |location| (kind, location);
        self.reads()
            .iter()
            .map(tag(AccessKind::Read))
            .chain(self.writes().iter().map(tag(AccessKind::Write)))
            .chain(self.deltas().iter().map(tag(AccessKind::Delta)))
    }
}

/// Collects accesses in any order and with repetitions.
#[derive(Clone, Debug, Default)]
pub struct AccessSetBuilder {
    lists: Lists,
}

impl AccessSetBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a read.
    pub fn read(&mut self, location: Location) -> &mut Self {
        self.lists.reads.push(location);
        self
    }

    /// Adds a write.
    pub fn write(&mut self, location: Location) -> &mut Self {
        self.lists.writes.push(location);
        self
    }

    /// Adds a delta.
    pub fn delta(&mut self, location: Location) -> &mut Self {
        self.lists.deltas.push(location);
        self
    }

    /// Adds one access of the given kind.
    pub fn add(&mut self, kind: AccessKind, location: Location) -> &mut Self {
        match kind {
            AccessKind::Read => self.read(location),
            AccessKind::Write => self.write(location),
            AccessKind::Delta => self.delta(location),
        }
    }

    /// The set: sorted, without repetitions, writes before deltas.
    pub fn build(self) -> AccessSet {
        let Lists { mut reads, mut writes, mut deltas } = self.lists;
        for set in [&mut reads, &mut writes, &mut deltas] {
            set.sort_unstable();
            set.dedup();
        }
        deltas.retain(|location| writes.binary_search(location).is_err());
        AccessSet::joined(&reads, &writes, &deltas)
    }
}

/// What a transaction did touch when it was executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObservedAccess(pub AccessSet);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_set_is_sorted_unique_and_keeps_a_credit_out_of_its_writes() {
        let [a, b] = [1u8, 2].map(Address::repeat_byte);
        let mut builder = AccessSetBuilder::new();
        builder
            .delta(Location::Balance(a))
            .delta(Location::Balance(b))
            .write(Location::Balance(a))
            .read(Location::Nonce(b))
            .read(Location::Balance(a))
            .read(Location::Nonce(b));
        let set = builder.build();
        assert_eq!(set.reads(), [Location::Balance(a), Location::Nonce(b)]);
        assert_eq!(set.writes(), [Location::Balance(a)]);
        assert_eq!(set.deltas(), [Location::Balance(b)]);
        assert_eq!(set.locations().len(), 3);
    }
}
