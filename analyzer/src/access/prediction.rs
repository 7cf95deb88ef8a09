//! What a transaction is predicted to touch: locations by name, scopes for what
//! could not be named, and what is known of where storage keys come from.

use core::fmt;

use bitvec::vec::BitVec;
use revm::primitives::{Address, StorageKey, StorageValue};
use serde::{Deserialize, Serialize};

use super::{AccessKind, AccessSet, Location};

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

/// Why a prediction is widened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WideningCause {
    /// The code that is called is not summarized.
    NotSummarized,
    /// The exploration of the code ended early, and the transaction comes there.
    GaveUp,
    /// A storage key depends on what is not known.
    Key,
    /// Whom a call goes to is not known.
    Target,
    /// Which function a call goes to is not known.
    Selector,
    /// What a contract is created from is not known.
    Creation,
    /// A limit of the evaluation.
    Limit,
}

impl fmt::Display for WideningCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotSummarized => "code not summarized",
            Self::GaveUp => "gave up",
            Self::Key => "unknown key",
            Self::Target => "unknown target",
            Self::Selector => "unknown function",
            Self::Creation => "unknown creation",
            Self::Limit => "limit",
        })
    }
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
    /// Which accesses of the set only some runs make, in its order; empty if every
    /// run makes all.
    #[serde(skip)]
    may: BitVec,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    causes: Vec<WideningCause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deciding: Option<Vec<Location>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<(Location, StorageValue)>,
}

impl PredictedAccess {
    /// A prediction that names every location, with a gas estimate.
    pub const fn exact(set: AccessSet, gas: u64) -> Self {
        Self {
            set,
            widened: Vec::new(),
            origins: Vec::new(),
            gas,
            payer_seen: false,
            may: BitVec::EMPTY,
            causes: Vec::new(),
            deciding: None,
            values: Vec::new(),
        }
    }

    /// The prediction of total ignorance: everything, read and written.
    pub fn everything(gas: u64) -> Self {
        let everything = WidenedAccess { scope: Scope::Everything, kind: AccessKind::Write };
        Self::exact(AccessSet::default(), gas).with_widened([everything])
    }

    /// The same with another gas estimate, as where a simulation knows better.
    #[must_use]
    pub fn with_gas(self, gas: u64) -> Self {
        Self { gas, ..self }
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

    /// Says what is known of the origin of storage keys, sorted.
    #[must_use]
    pub(crate) fn with_sorted_origins(
        mut self,
        origins: Vec<(Address, StorageKey, KeyOrigin)>,
    ) -> Self {
        debug_assert!(origins.is_sorted_by(|a, b| a < b));
        self.origins = origins;
        self
    }

    /// Says which accesses of the set only some runs make, in its order.
    #[must_use]
    pub(crate) fn with_may(mut self, may: BitVec) -> Self {
        debug_assert!(may.is_empty() || may.len() == self.set.iter().count());
        self.may = if may.any() { may } else { BitVec::EMPTY };
        self
    }

    /// Says of each access of the set, in its order, whether only some runs make it. Where there
    /// are fewer answers than accesses, every run makes the others.
    #[must_use]
    pub fn with_possible(self, possible: impl IntoIterator<Item = bool>) -> Self {
        let accesses = self.set.iter().count();
        let mut may: BitVec = possible.into_iter().take(accesses).collect();
        may.resize(accesses, false);
        self.with_may(may)
    }

    /// Says why it is widened.
    #[must_use]
    pub fn with_causes(mut self, mut causes: Vec<WideningCause>) -> Self {
        causes.sort_unstable();
        causes.dedup();
        self.causes = causes;
        self
    }

    /// Says which locations its keys and targets were computed from, sorted.
    #[must_use]
    pub fn with_deciding(mut self, deciding: Vec<Location>) -> Self {
        self.deciding = Some(deciding);
        self
    }

    /// Says what slots hold afterwards, where that is known.
    #[must_use]
    pub fn with_values(
        mut self,
        values: impl IntoIterator<Item = (Location, StorageValue)>,
    ) -> Self {
        self.values = values.into_iter().collect();
        self.values.sort_unstable();
        self
    }

    /// Every named access, in the order of [`AccessSet::iter`], and whether every
    /// successful run makes it; otherwise some do.
    pub fn accesses(&self) -> impl Iterator<Item = (AccessKind, &Location, bool)> {
        let is_may = |at: usize| self.may.get(at).is_some_and(|bit| *bit);
        let accesses = self.set.iter().enumerate();
        accesses.map(move |(at, (kind, location))| (kind, location, !is_may(at)))
    }

    /// Why it is widened, each cause once, sorted.
    pub fn causes(&self) -> &[WideningCause] {
        &self.causes
    }

    /// The locations whose values its keys, targets and branches were computed
    /// from, sorted: the prediction holds as long as they are the same. `None` if that is
    /// not known, as where the accesses were measured.
    pub fn deciding_reads(&self) -> Option<&[Location]> {
        self.deciding.as_deref()
    }

    /// What slots hold after the transaction, where that is known, sorted.
    pub fn values(&self) -> &[(Location, StorageValue)] {
        &self.values
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
        // Positions change, so that all count as made by every run.
        self.may = BitVec::EMPTY;
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
