//! What a path has found so far, by the numbers that its operations use.
//!
//! Values lie as plain words, and whether each is known beside them: a word that
//! is part of a variant is copied off its alignment.

use revm::primitives::U256;

use super::{
    deferred::{Cell, DeferredId},
    trace::{AccountRef, SlotRef},
    value::Operand,
};
use crate::{
    alu::compute_of,
    interpreter::{AccountId, Checkpoint, SlotId},
};

/// Buffers of an evaluation, reused by the next.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// By number. Of one that is not known, whatever is there.
    pub(super) values: Vec<U256>,
    /// Whether each is known.
    pub(super) sources: Vec<Source>,
    pub(super) accounts: Vec<AccountId>,
    pub(super) slots: Vec<SlotId>,
    pub(super) checkpoints: Vec<Checkpoint>,
    pub(super) bytes: Vec<u8>,
}

impl Replay {
    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.sources.clear();
        self.accounts.clear();
        self.slots.clear();
        self.checkpoints.clear();
    }

    #[inline]
    pub(super) fn push(&mut self, value: U256, source: Source) {
        self.values.push(value);
        self.sources.push(source);
    }

    /// The place of the next value, which is known: a word that was just computed
    /// limb by limb is written there sooner than it is copied.
    #[inline]
    pub(super) fn next(&mut self) -> &mut U256 {
        let next = self.values.len();
        self.push(U256::ZERO, Source::Known);
        &mut self.values[next]
    }

    /// Computes the next value where it is to be.
    #[inline]
    pub(super) fn compute(&mut self, constants: &[U256], code: u8, args: &[Operand; 3]) {
        let next = self.values.len();
        self.push(U256::ZERO, Source::Known);
        let (known, rest) = self.values.split_at_mut(next);
        compute_of(code, |at| word(known, constants, args[at]), |word| rest[0] = word);
    }

    #[inline]
    pub(super) fn cell(&self, constants: &[U256], operand: Operand) -> Cell {
        match operand.split() {
            (at, true) => Cell::Known(constants[at]),
            (at, false) => match self.sources[at] {
                Source::Known => Cell::Known(self.values[at]),
                Source::Unread(slot) => Cell::Unread(slot),
                Source::Deferred(id) => Cell::Deferred(id),
            },
        }
    }

    pub(super) fn account(&self, account: AccountRef) -> AccountId {
        self.accounts[account.0 as usize]
    }

    pub(super) fn slot(&self, slot: SlotRef) -> SlotId {
        self.slots[slot.0 as usize]
    }
}

/// Where a value is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Known,
    /// What the slot held before the block.
    Unread(SlotId),
    Deferred(DeferredId),
}

/// The value that an operand names. A path makes its loaded values known before it uses them.
#[inline]
pub(super) fn word(values: &[U256], constants: &[U256], operand: Operand) -> U256 {
    let (at, is_constant) = operand.split();
    if is_constant { constants[at] } else { values[at] }
}
