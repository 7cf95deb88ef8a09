//! Locations and access sets: what a transaction touches, predicted or observed.
//!
//! An [`AccessSet`] is three sorted sets of [`Location`]s and is built only by
//! [`AccessSetBuilder`], so that two equal sets compare and print equal. A
//! prediction and an observation are different types and never interchangeable.

use core::fmt;

use revm::primitives::{Address, StorageKey};
use serde::{Deserialize, Serialize};

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
pub struct AccessSet {
    reads: Vec<Location>,
    writes: Vec<Location>,
    deltas: Vec<Location>,
}

impl AccessSet {
    /// The set of what is sorted already, each without repetitions.
    pub(crate) fn from_sorted(
        reads: &[Location],
        writes: &[Location],
        deltas: &[Location],
    ) -> Self {
        debug_assert!([reads, writes, deltas].iter().all(|set| set.is_sorted_by(|a, b| a < b)));
        Self { reads: reads.to_vec(), writes: writes.to_vec(), deltas: deltas.to_vec() }
    }

    /// The locations whose value the outcome may depend on, sorted.
    pub fn reads(&self) -> &[Location] {
        &self.reads
    }

    /// The locations whose value is replaced, sorted.
    pub fn writes(&self) -> &[Location] {
        &self.writes
    }

    /// The locations that are credited unseen, sorted.
    pub fn deltas(&self) -> &[Location] {
        &self.deltas
    }

    /// Whether nothing is touched at all.
    pub const fn is_empty(&self) -> bool {
        self.reads.is_empty() && self.writes.is_empty() && self.deltas.is_empty()
    }

    /// Whether `location` is in the set for this use.
    pub fn contains(&self, location: &Location, kind: AccessKind) -> bool {
        let set = match kind {
            AccessKind::Read => &self.reads,
            AccessKind::Write => &self.writes,
            AccessKind::Delta => &self.deltas,
        };
        set.binary_search(location).is_ok()
    }

    /// Every touched location once, sorted.
    pub fn locations(&self) -> Vec<Location> {
        let mut all: Vec<Location> =
            self.reads.iter().chain(&self.writes).chain(&self.deltas).copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Turns what `sender` pays, and the bump of its nonce, into deltas.
    fn commute_payment(&mut self, sender: Address) {
        for location in [Location::Balance(sender), Location::Nonce(sender)] {
            if let Ok(at) = self.reads.binary_search(&location) {
                self.reads.remove(at);
            }
            if let Ok(at) = self.writes.binary_search(&location) {
                self.writes.remove(at);
                if let Err(at) = self.deltas.binary_search(&location) {
                    self.deltas.insert(at, location);
                }
            }
        }
    }

    /// Every access, in the order reads, writes, deltas, each sorted.
    pub fn iter(&self) -> impl Iterator<Item = (AccessKind, &Location)> {
        let tag = |kind| move |location| (kind, location);
        self.reads
            .iter()
            .map(tag(AccessKind::Read))
            .chain(self.writes.iter().map(tag(AccessKind::Write)))
            .chain(self.deltas.iter().map(tag(AccessKind::Delta)))
    }
}

/// Collects accesses in any order and with repetitions.
#[derive(Clone, Debug, Default)]
pub struct AccessSetBuilder {
    set: AccessSet,
}

impl AccessSetBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a read.
    pub fn read(&mut self, location: Location) -> &mut Self {
        self.set.reads.push(location);
        self
    }

    /// Adds a write.
    pub fn write(&mut self, location: Location) -> &mut Self {
        self.set.writes.push(location);
        self
    }

    /// Adds a delta.
    pub fn delta(&mut self, location: Location) -> &mut Self {
        self.set.deltas.push(location);
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
        let AccessSet { mut reads, mut writes, mut deltas } = self.set;
        for set in [&mut reads, &mut writes, &mut deltas] {
            set.sort_unstable();
            set.dedup();
        }
        deltas.retain(|location| writes.binary_search(location).is_err());
        AccessSet { reads, writes, deltas }
    }
}

/// What a transaction did touch when it was executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObservedAccess(pub AccessSet);

/// How a storage key came about, as far as the analyzer knows.
///
/// Keys of different origin cannot be equal (up to a Keccak-256 collision), so
/// the origin decides whether a widened mapping covers a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrigin {
    /// A number that no hash went into, such as the slot of a plain variable.
    Plain,
    /// An entry of the mapping or dynamic array whose declared slot this is;
    /// of a nested one, the slot of the outermost.
    Mapping(StorageKey),
}

/// What a prediction covers where it does not know the exact location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "snake_case")]
pub enum Scope {
    /// Every entry of the mapping at `slot` of one contract.
    Mapping {
        /// The contract.
        address: Address,
        /// The slot that the mapping is declared at.
        slot: StorageKey,
    },
    /// Every storage slot of one contract.
    Contract {
        /// The contract.
        address: Address,
    },
    /// Every location there is.
    Everything,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mapping { address, slot } => write!(f, "mapping({address}, {slot:#x})"),
            Self::Contract { address } => write!(f, "contract({address})"),
            Self::Everything => f.write_str("everything"),
        }
    }
}

/// One widened access: a scope instead of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WidenedAccess {
    /// What it covers.
    #[serde(flatten)]
    pub scope: Scope,
    /// [`AccessKind::Read`] or [`AccessKind::Write`]; a write is a read too.
    pub kind: AccessKind,
}

/// How much a prediction claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Every location is named.
    Exact,
    /// Something was not known; this is the widest scope used.
    Widened(Scope),
}

/// What a transaction is predicted to touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictedAccess {
    set: AccessSet,
    widened: Vec<WidenedAccess>,
    origins: Vec<(Address, StorageKey, KeyOrigin)>,
    gas: u64,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    payer_seen: bool,
}

impl PredictedAccess {
    /// A prediction that names every location, with a gas estimate.
    pub const fn exact(set: AccessSet, gas: u64) -> Self {
        Self { set, widened: Vec::new(), origins: Vec::new(), gas, payer_seen: false }
    }

    /// The prediction of total ignorance: everything, read and written.
    pub fn everything(gas: u64) -> Self {
        let everything = WidenedAccess { scope: Scope::Everything, kind: AccessKind::Write };
        Self::exact(AccessSet::default(), gas).with_widened([everything])
    }

    /// Adds widened accesses.
    #[must_use]
    pub fn with_widened(mut self, widened: impl IntoIterator<Item = WidenedAccess>) -> Self {
        self.widened.extend(widened);
        self.widened.sort_unstable();
        self.widened.dedup();
        self
    }

    /// Adds what is known of the origin of storage keys.
    #[must_use]
    pub fn with_origins(
        mut self,
        origins: impl IntoIterator<Item = (Address, StorageKey, KeyOrigin)>,
    ) -> Self {
        self.origins.extend(origins);
        self.origins.sort_unstable();
        self.origins.dedup();
        self
    }

    /// The same, of origins that are sorted already, without repetitions.
    pub(crate) fn with_sorted_origins(
        mut self,
        origins: &[(Address, StorageKey, KeyOrigin)],
    ) -> Self {
        debug_assert!(self.origins.is_empty() && origins.is_sorted_by(|a, b| a < b));
        self.origins = origins.to_vec();
        self
    }

    /// Says whether code looks at the balance of the sender, which otherwise
    /// only has to suffice for what the transaction may cost.
    #[must_use]
    pub const fn with_payer_seen(mut self, seen: bool) -> Self {
        self.payer_seen = seen;
        self
    }

    /// Whether code looks at the balance of the sender, as far as is known.
    pub const fn sees_payer(&self) -> bool {
        self.payer_seen
    }

    /// Turns what `sender` pays, and the bump of its nonce, into deltas.
    pub(crate) fn commute_payment(&mut self, sender: Address) {
        self.set.commute_payment(sender);
    }

    /// The named locations.
    pub const fn set(&self) -> &AccessSet {
        &self.set
    }

    /// The scopes that stand for locations which could not be named, sorted.
    pub fn widened(&self) -> &[WidenedAccess] {
        &self.widened
    }

    /// Known origins of storage keys, sorted. A key that is absent may come
    /// from anywhere in its contract.
    pub fn origins(&self) -> &[(Address, StorageKey, KeyOrigin)] {
        &self.origins
    }

    /// The origin of one storage key, where known.
    pub fn origin(&self, address: Address, key: StorageKey) -> Option<KeyOrigin> {
        let at = self.origins.partition_point(|&(a, k, _)| (a, k) < (address, key));
        let &(a, k, origin) = self.origins.get(at)?;
        ((a, k) == (address, key)).then_some(origin)
    }

    /// Estimated gas used.
    pub const fn gas(&self) -> u64 {
        self.gas
    }

    /// Exact, or the widest scope that was needed.
    pub fn confidence(&self) -> Confidence {
        self.widened
            .iter()
            .map(|widened| widened.scope)
            .max_by_key(|scope| match scope {
                Scope::Mapping { .. } => 0,
                Scope::Contract { .. } => 1,
                Scope::Everything => 2,
            })
            .map_or(Confidence::Exact, Confidence::Widened)
    }
}

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

    #[test]
    fn confidence_is_the_widest_scope() {
        let address = Address::repeat_byte(7);
        let mapping = WidenedAccess {
            scope: Scope::Mapping { address, slot: StorageKey::ZERO },
            kind: AccessKind::Read,
        };
        let contract =
            WidenedAccess { scope: Scope::Contract { address }, kind: AccessKind::Write };
        let exact = PredictedAccess::exact(AccessSet::default(), 0);
        assert_eq!(exact.confidence(), Confidence::Exact);
        let widened = exact.with_widened([contract, mapping]);
        assert_eq!(widened.confidence(), Confidence::Widened(Scope::Contract { address }));
    }
}
