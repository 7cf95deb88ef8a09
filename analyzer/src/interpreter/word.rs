//! The values of the abstract interpreter: a 256-bit word, and where it came from.
//!
//! The word is always there: known, or the best guess when its provenance says
//! unknown. Provenance is one `u32`, so that an instruction combines the
//! provenance of its operands with one `or` and constants cost nothing.

use revm::primitives::{Address, U256};

use crate::template::ValueId;

/// Identifies a declared slot in [`DeclaredSlots`](super::origin::DeclaredSlots).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeclaredSlotId(u32);

impl DeclaredSlotId {
    /// Identifiers are smaller than this.
    pub(crate) const COUNT_MAX: usize = Provenance::SLOT_MASK as usize;

    /// The identifier at `position`, if it is within [`Self::COUNT_MAX`].
    pub(crate) fn new(position: usize) -> Option<Self> {
        (position < Self::COUNT_MAX).then(|| Self(u32::try_from(position).unwrap_or(u32::MAX)))
    }

    /// The position, for indexing.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a word depends on, and the mapping or array whose storage it points into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Provenance(u32);

impl Provenance {
    /// From the code alone.
    pub(crate) const CONSTANT: Self = Self(0);
    /// From the transaction, the call or the block.
    pub(crate) const INPUT: Self = Self(Self::VARIES);
    /// From state, which earlier transactions may change.
    pub(crate) const STATE: Self = Self(Self::VARIES | Self::FROM_STATE);
    /// From something that the analysis cannot see; the word is a guess.
    pub(crate) const UNKNOWN: Self = Self(Self::VARIES | Self::FROM_STATE | Self::GUESSED);

    const VARIES: u32 = 1 << 31;
    const FROM_STATE: u32 = 1 << 30;
    const GUESSED: u32 = 1 << 29;
    const FLAGS: u32 = Self::VARIES | Self::FROM_STATE | Self::GUESSED;
    /// Low bits: 0, or one more than a [`DeclaredSlotId`].
    const SLOT_MASK: u32 = (1 << 24) - 1;

    /// Whether nothing but the code decides the word.
    pub(crate) const fn is_constant(self) -> bool {
        self.0 & Self::VARIES == 0
    }

    /// Whether the word is only a guess.
    pub(crate) const fn is_unknown(self) -> bool {
        self.0 & Self::GUESSED != 0
    }

    /// The provenance of a word computed from two others.
    pub(crate) const fn join(self, other: Self) -> Self {
        Self((self.0 | other.0) & Self::FLAGS)
    }

    /// Unknown if this is unknown, else nothing: what a guess taints.
    pub(crate) const fn guess(self) -> Self {
        if self.is_unknown() { Self::UNKNOWN } else { Self::CONSTANT }
    }

    /// The same dependencies, pointing nowhere.
    pub(crate) const fn flags(self) -> Self {
        Self(self.0 & Self::FLAGS)
    }

    /// The provenance of a sum: an offset keeps pointing into the same mapping.
    pub(crate) const fn offset_by(self, other: Self) -> Self {
        let slot = match (self.0 & Self::SLOT_MASK, other.0 & Self::SLOT_MASK) {
            (0, slot) | (slot, 0) => slot,
            _ => 0,
        };
        Self(((self.0 | other.0) & Self::FLAGS) | slot)
    }

    /// The same dependencies, pointing into the storage declared at `slot`.
    pub(crate) const fn pointing_into(self, slot: DeclaredSlotId) -> Self {
        Self((self.0 & Self::FLAGS) | Self::VARIES | (slot.0 + 1))
    }

    /// The declared slot into whose storage the word points.
    pub(crate) const fn declared_slot(self) -> Option<DeclaredSlotId> {
        match self.0 & Self::SLOT_MASK {
            0 => None,
            slot => Some(DeclaredSlotId(slot - 1)),
        }
    }
}

/// A word on the stack, in memory or in storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// The value, or the guess.
    pub(crate) value: U256,
    /// Where it came from.
    pub(crate) provenance: Provenance,
    /// Its value in the trace of the transaction, while one is recorded.
    pub(crate) id: ValueId,
}

impl Word {
    /// A word and its provenance.
    pub(crate) const fn new(value: U256, provenance: Provenance) -> Self {
        Self { value, provenance, id: ValueId::CONSTANT }
    }

    /// A word that the code alone decides.
    pub(crate) const fn constant(value: U256) -> Self {
        Self::new(value, Provenance::CONSTANT)
    }

    /// The same word, with its value in the trace.
    #[must_use]
    pub(crate) const fn with_id(self, id: ValueId) -> Self {
        Self { id, ..self }
    }

    /// An address as a word.
    pub(crate) fn address(address: Address, provenance: Provenance) -> Self {
        Self::new(address.into_word().into(), provenance)
    }

    /// The low 20 bytes.
    pub(crate) fn to_address(self) -> Address {
        Address::from_word(self.value.into())
    }
}
