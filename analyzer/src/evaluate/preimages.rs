//! Hashes of an evaluation -> what was hashed: how a storage key is an entry of which mapping.
//!
//! Kept only where it is asked for, since predictions do not need it.

use revm::{
    DatabaseRef,
    primitives::{U256, keccak256},
};

use super::{
    Evaluation, Scratch,
    data::{Origin, UNKNOWN, Value},
};

/// Bytes of a preimage that is kept: a key of up to five words, and a slot.
const PREIMAGE_BYTES_MAX: usize = 192;

/// Preimages of one transaction.
const PREIMAGES_MAX: usize = 1 << 14;

/// Hashes with what they are of, in the order in which they were computed.
pub(super) type Preimages = Vec<(U256, Box<[u8]>)>;

impl Scratch {
    /// A scratch that keeps what the evaluations hash.
    pub fn keeping_preimages() -> Self {
        Self { preimages: Some(Vec::new()), ..Self::default() }
    }

    /// Hashes with what they are of, since this was asked the last time; none where they
    /// are not kept. Long inputs are left out.
    pub fn take_preimages(&mut self) -> Vec<(U256, Box<[u8]>)> {
        self.preimages.as_mut().map(core::mem::take).unwrap_or_default()
    }
}

impl<DB: DatabaseRef> Evaluation<'_, DB> {
    /// The Keccak-256 of bytes of an origin.
    pub(super) fn hash(&mut self, bytes: &[u8], origin: Origin) -> Value {
        if origin & UNKNOWN != 0 {
            return Value::UNKNOWN;
        }
        let word = keccak256(bytes).into();
        if let Some(kept) = &mut self.scratch.preimages
            && bytes.len() <= PREIMAGE_BYTES_MAX
            && kept.len() < PREIMAGES_MAX
        {
            kept.push((word, bytes.into()));
        }
        Value { word, origin }
    }
}
