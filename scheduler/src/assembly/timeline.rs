//! The block so far -> when a transaction at its end would finish on enough cores.
//!
//! Only RAW orders execution: a transaction starts once the last write, and the credits since, of all that it reads are
//! there. Where many credits were read already, their first reader stands for them, as in
//! [the conflict graph](crate::ConflictGraph), so that the span is that of the graph.

use crate::{FAN_IN_MAX, uses::Uses};

/// When what later readers of a place find there is finished.
#[derive(Clone, Copy, Debug, Default)]
struct Finished {
    write: u64,
    /// The reader that stands for earlier credits.
    stand_in: u64,
    /// The credits since.
    credits: u64,
    credits_len: u32,
}

/// The places of a block, as the transactions so far leave them.
#[derive(Debug)]
pub(super) struct Timeline {
    places: Vec<Finished>,
    span: u64,
    /// What [`Timeline::undo`] puts back.
    undo: Vec<(usize, Finished)>,
    span_before: u64,
}

impl Timeline {
    /// An empty block.
    pub(super) fn new(places: usize) -> Self {
        let places = vec![Finished::default(); places];
        Self { places, span: 0, undo: Vec::new(), span_before: 0 }
    }

    /// Gas of the heaviest path so far.
    pub(super) const fn span(&self) -> u64 {
        self.span
    }

    /// Notes what to come back to.
    pub(super) fn mark(&mut self) {
        self.undo.clear();
        self.span_before = self.span;
    }

    /// Takes back what was added since the mark.
    pub(super) fn undo(&mut self) {
        while let Some((place, finished)) = self.undo.pop() {
            self.places[place] = finished;
        }
        self.span = self.span_before;
    }

    /// When a transaction with these uses would finish.
    pub(super) fn finish_of(&self, uses: &[(u32, Uses)], gas: u64) -> u64 {
        let ready = uses.iter().map(|&(place, uses)| {
            let place = &self.places[place as usize];
            if uses.contains(Uses::READ) {
                place.write.max(place.stand_in).max(place.credits)
            } else if uses.contains(Uses::GLANCE) {
                place.write
            } else {
                0
            }
        });
        ready.max().unwrap_or(0).saturating_add(gas)
    }

    /// Adds a transaction, which finishes then.
    pub(super) fn add(&mut self, uses: &[(u32, Uses)], finish: u64) {
        for &(place, uses) in uses {
            let place = place as usize;
            let before = self.places[place];
            let mut now = before;
            if uses.contains(Uses::READ) && now.credits_len as usize > FAN_IN_MAX {
                now = Finished { stand_in: finish, credits: 0, credits_len: 0, ..now };
            }
            if uses.contains(Uses::WRITE) {
                now = Finished { write: finish, ..Finished::default() };
            } else if uses.contains(Uses::CREDIT) {
                now.credits = now.credits.max(finish);
                now.credits_len += 1;
            }
            self.undo.push((place, before));
            self.places[place] = now;
        }
        self.span = self.span.max(finish);
    }
}
