//! One storage slot of the overlay, and what is known of its content.
//!
//! The interpreter works on words. A template need not know what it stores or
//! finds: a slot can stay unread, and hold a value that is not computed yet.

use super::{account::AccountId, word::Word};
use crate::template::DeferredId;

/// Position of a slot in [`World`](super::world::World).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId(pub(super) u32);

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Word(Word),
    /// What it holds in the state before the block, which nobody has asked for.
    Unread,
    /// What a template stored there, to be computed when somebody asks.
    Deferred(DeferredId),
}

/// One storage slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) account: AccountId,
    /// The key, with the provenance it was last computed with.
    pub(crate) key: Word,
    pub(crate) now: Content,
    /// At the start of the transaction that last touched it.
    pub(crate) start: Content,
    /// Loaded by this transaction, or listed by it (EIP-2929, EIP-2930).
    pub(crate) warm: bool,
    /// Loaded or stored to by this transaction.
    pub(crate) used: bool,
    pub(super) generation: u32,
    pub(super) touched_by: u32,
}
