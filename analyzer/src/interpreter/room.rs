//! What a machine keeps for the machine of the next block: room, and what
//! follows from code and bytes alone.
//!
//! Nothing in it depends on a block or its state, so a prediction is the same
//! with a room that was used as with a new one. Bounded: what has grown too large
//! is not kept.

use core::fmt;

use hashbrown::HashMap;
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{B256, map::DefaultHashBuilder},
};

use super::{
    branches::reverts_soon, frame::Frame, hash_cache::HashCache, machine::Machine,
    prediction::Lists, tables::Tables,
};
use crate::template::{Deferred, Replay, Trace};

/// Frames that are kept. Each has a bound of its own.
const FRAMES_MAX: usize = 16;

/// Places in code of which is remembered whether they can only revert.
const PLACES_MAX: usize = 1 << 16;

/// See the module.
#[derive(Default)]
#[allow(clippy::vec_box, reason = "a frame that calls or ends moves as a pointer")]
pub(crate) struct Room {
    pub(super) tables: Tables,
    pub(super) frames: Vec<Box<Frame>>,
    pub(super) hashes: HashCache,
    pub(super) trace: Trace,
    pub(super) replay: Replay,
    pub(super) deferred: Deferred,
    pub(super) places: RevertingPlaces,
    pub(super) lists: Lists,
}

impl Room {
    /// Lets go of what belongs to the block, and of what is too large.
    pub(super) fn tidy(&mut self) {
        self.frames.truncate(FRAMES_MAX);
        for frame in &mut self.frames {
            frame.code = Bytecode::default();
        }
        self.trace.tidy();
        self.deferred.tidy();
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

impl<DB: DatabaseRef> Drop for Machine<'_, DB> {
    fn drop(&mut self) {
        let Some(cache) = self.templates else { return };
        let mut room = Room {
            tables: self.world.take_tables(),
            frames: core::mem::take(&mut self.pool),
            hashes: core::mem::take(&mut self.hashes),
            trace: core::mem::take(&mut self.trace),
            replay: core::mem::take(&mut self.replay),
            deferred: core::mem::take(&mut self.deferred),
            places: core::mem::take(&mut self.places),
            lists: core::mem::take(&mut self.lists),
        };
        room.tidy();
        cache.keep(room);
    }
}

/// Whether code can only revert from some place on, as far as a short walk shows,
/// each found out once while it is remembered.
#[derive(Debug, Default)]
pub(crate) struct RevertingPlaces(HashMap<(B256, usize), bool, DefaultHashBuilder>);

impl RevertingPlaces {
    /// Whether `code` can only revert from `pc` on.
    pub(crate) fn reverts(&mut self, code: &Bytecode, pc: usize) -> bool {
        if self.0.len() >= PLACES_MAX {
            self.0.clear();
        }
        let walk = || reverts_soon(code.original_byte_slice(), pc);
        *self.0.entry((code.hash_slow(), pc)).or_insert_with(walk)
    }
}
