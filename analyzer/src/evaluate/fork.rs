//! A branch on what is not known, followed both ways.
//!
//! Each way begins with the state before the branch. Where both come to the place
//! at which they meet, what differs between them is not known from then on.

use revm::DatabaseRef;

use super::{
    Evaluation, Scratch,
    data::{Data, Value},
    frame::{Flow, Registers, Running, meet},
};
use crate::{
    WideningCause,
    program::{End, NO_STRETCH, Stretch},
};

/// What two ways can leave differently.
#[derive(Debug, Default)]
pub(super) struct Side {
    registers: Registers,
    memory: Data,
    /// What the latest call answered.
    received: Data,
    success: Option<Value>,
    /// What slots hold that were stored on this way.
    stored: Vec<(usize, Value)>,
}

/// A store: which slot, and what it held before.
pub(super) type Store = (usize, Option<Value>);

impl Scratch {
    /// A copy of a frame's state.
    fn side_of(&mut self, running: &Running<'_>) -> Side {
        let mut side = self.sides.pop().unwrap_or_default();
        side.registers.clone_from(&running.registers);
        side.memory.assign_from(&self.data[running.memory]);
        side.received.assign_from(&self.data[running.received]);
        side.success = Some(running.success);
        side.stored.clear();
        side
    }

    /// Exchanges a frame's state for another.
    fn exchange(&mut self, running: &mut Running<'_>, side: &mut Side) {
        core::mem::swap(&mut running.registers, &mut side.registers);
        core::mem::swap(&mut self.data[running.memory], &mut side.memory);
        core::mem::swap(&mut self.data[running.received], &mut side.received);
        if let Some(success) = side.success.replace(running.success) {
            running.success = success;
        }
    }

    /// Undoes the stores since `start`, and gives what they left.
    fn undo_stores(&mut self, start: usize, stored: &mut Vec<(usize, Value)>) {
        let slots = &mut self.record.slots;
        for (slot, before) in self.stores.drain(start..).rev() {
            let left = core::mem::replace(&mut slots[slot].value, before);
            if !stored.iter().any(|(other, _)| *other == slot) {
                stored.push((slot, left.unwrap_or(Value::UNKNOWN)));
            }
        }
    }

    /// A slot holds something from now on, unless that is undone.
    pub(super) fn put_stored(&mut self, slot: usize, value: Value) {
        let before = self.record.slots[slot].value.replace(value);
        self.stores.push((slot, before));
    }

    /// Two ways meet: what differs is not known. The first keeps what is the same.
    fn meet_sides(&mut self, running: &Running<'_>, one: &mut Side, other: &Side) {
        meet(&mut one.registers, &other.registers, running.pointers());
        one.memory.meet_memory(&other.memory, running.has_pointer);
        one.received.meet(&other.received);
        if one.success != other.success {
            one.success = Some(Value::UNKNOWN);
        }
        self.meet_stored(&mut one.stored, &other.stored);
    }

    /// The same, of slots that were stored.
    fn meet_stored(&self, one: &mut Vec<(usize, Value)>, other: &[(usize, Value)]) {
        let slots = &self.record.slots;
        let find = |stored: &[(usize, Value)], slot: usize| {
            let found = stored.iter().find(|(stored, _)| *stored == slot);
            found.map(|(_, value)| *value).or(slots[slot].value)
        };
        for (slot, value) in one.iter_mut() {
            if find(other, *slot) != Some(*value) {
                *value = Value::UNKNOWN;
            }
        }
        for (slot, value) in other {
            if !one.iter().any(|(stored, _)| stored == slot) {
                let is_same = slots[*slot].value == Some(*value);
                one.push((*slot, if is_same { *value } else { Value::UNKNOWN }));
            }
        }
    }
}

impl<DB: DatabaseRef> Evaluation<'_, DB> {
    /// Follows a branch both ways, up to where they meet.
    pub(super) fn fork(
        &mut self,
        running: &mut Running<'_>,
        at: u16,
        stretch: &Stretch,
        stop: u16,
    ) -> Flow {
        let End::Branch { ways, join, .. } = stretch.end else { return Flow::Ended };
        if let Some((_, before)) = running.forks.iter().rev().find(|(fork, _)| *fork == at) {
            // In a loop: what changes from round to round is not known.
            let mut kept = before.clone();
            if !meet(&mut kept, &running.registers, running.pointers()) {
                return Flow::Repeated;
            }
            running.registers = kept;
        }
        if self.forks_left == 0 || self.depth >= self.evaluator.limits.depth_max {
            self.give_up(running, WideningCause::Limit);
            return Flow::Ended;
        }
        self.forks_left -= 1;
        self.may += 1;
        self.depth += 1;
        running.forks.push((at, running.registers.clone()));
        let there = if join == NO_STRETCH { stop } else { join };
        let start = self.scratch.stores.len();
        let [mut met, mut ended]: [Option<Side>; 2] = [None, None];
        for (way, is_last) in ways.iter().zip([false, true]) {
            let mut side = self.scratch.side_of(running);
            let to = running.go(way, &mut self.scratch.assigned);
            let flow = self.run_from(running, to, there);
            self.scratch.exchange(running, &mut side);
            self.scratch.undo_stores(start, &mut side.stored);
            let kept = match flow {
                Flow::Met => &mut met,
                Flow::Ended => &mut ended,
                Flow::Repeated => {
                    self.scratch.sides.push(side);
                    continue;
                }
            };
            if let (Some(other), true) = (kept.as_mut(), is_last) {
                self.scratch.meet_sides(running, other, &side);
                self.scratch.sides.push(side);
            } else {
                *kept = Some(side);
            }
        }
        self.may -= 1;
        self.depth -= 1;
        running.forks.pop();
        self.take(running, start, met, ended)
    }

    /// Goes on with what the ways of a branch have left.
    fn take(
        &mut self,
        running: &mut Running<'_>,
        start: usize,
        met: Option<Side>,
        ended: Option<Side>,
    ) -> Flow {
        let flow = match (&met, &ended) {
            (Some(_), _) => Flow::Met,
            (None, Some(_)) => Flow::Ended,
            (None, None) => Flow::Repeated,
        };
        let has_parted = met.is_some() && ended.is_some();
        match &mut running.may_have_ended {
            // What was stored on the ways is stored anew from here on.
            Some(since) => *since = start.min(*since),
            None if has_parted => {
                running.may_have_ended = Some(start);
                self.may += 1;
            }
            None => {}
        }
        for (mut side, goes_on) in
            met.map(|it| (it, true)).into_iter().chain(ended.map(|it| (it, !has_parted)))
        {
            if goes_on {
                for (slot, value) in side.stored.drain(..) {
                    self.scratch.put_stored(slot, value);
                }
                self.scratch.exchange(running, &mut side);
            } else {
                running.left.append(&mut side.stored);
            }
            self.scratch.sides.push(side);
        }
        flow
    }

    /// A frame has ended that may have ended before: what was stored since, or what
    /// was left then, may not be what slots hold.
    pub(super) fn close_stores(&mut self, start: usize, left: &[(usize, Value)]) {
        let scratch = &mut *self.scratch;
        let slots = &mut scratch.record.slots;
        for (slot, before) in &scratch.stores[start..] {
            if slots[*slot].value != *before {
                slots[*slot].value = Some(Value::UNKNOWN);
            }
        }
        for (slot, value) in left {
            if scratch.record.slots[*slot].value != Some(*value) {
                scratch.put_stored(*slot, Value::UNKNOWN);
            }
        }
    }
}
