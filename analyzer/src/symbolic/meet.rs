//! Where paths meet: two become one that stands for both, with what differs between
//! them assigned on the way there.

use std::rc::Rc;

use super::{
    explore::{Explorer, turn},
    generalize::generalize,
    graph::{Edge, Exit},
    memory::FREE_POINTER,
    path::{Cell, Path, is_pattern_of},
};
use crate::expr::{ExprArena, ExprId, KeyExpr};

/// Times that paths meet at one place before memory is only kept where it is certain.
const ROUNDS_MAX: u32 = 1;

/// Rounds of a loop without a choice that are followed one by one.
const UNROLLED_MAX: u32 = 64;

/// Where paths meet: the place in the code, and who is returned to.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct MeetingPlace {
    pc: usize,
    height: usize,
    returns: Box<[(u16, u32)]>,
}

/// The path that stands for all that came by.
#[derive(Debug)]
pub(super) struct Met {
    path: Path,
    /// Which meeting, for what varies there.
    number: u32,
    /// How often it was widened.
    rounds: u32,
    /// Rounds of a loop that were followed one by one.
    unrolled: u32,
}

impl Explorer<'_> {
    /// A path comes to a jump destination: the path that goes on from there, if
    /// there is anything new to it.
    pub(super) fn arrive(&mut self, mut path: Path) -> Option<Path> {
        let place = self.meeting_place(&path);
        let from = path.node;
        let Some(met) = self.meetings.get_mut(&place) else {
            path.node = self.graph.add(Some(from));
            self.graph.exit(from, Exit::Goto(Edge::new(path.node)));
            if self.meetings.len() < self.limits.meetings_max {
                self.meeting_count += 1;
                let number = self.meeting_count;
                self.meetings
                    .insert(place, Met { path: path.clone(), number, rounds: 0, unrolled: 0 });
            }
            return Some(path);
        };
        let (number, varying_at) = (met.number, &self.varying_at);
        let is_own = |varying: u32| varying_at.get(varying as usize) == Some(&number);
        path.forget_renewed(&self.arena, &is_own);
        if met.path.covers(&path) {
            self.graph.exit(from, Exit::Goto(Edge::new(met.path.node)));
            return None;
        }
        let runs_on = met.path.forks == path.forks && met.unrolled < UNROLLED_MAX;
        if runs_on && self.graph.is_after(from, met.path.node) {
            met.unrolled += 1;
            // A loop without a choice runs as it is.
            path.node = self.graph.add(Some(from));
            self.graph.exit(from, Exit::Goto(Edge::new(path.node)));
            return Some(path);
        }
        let (varying, varying_at) = (&mut self.varying, &mut self.varying_at);
        let pointers = &mut self.graph.pointers;
        let mut vary = |arena: &mut ExprArena, cell: Cell, [mine, theirs]: [ExprId; 2]| {
            let mut at = |arena: &mut ExprArena, position: u32| {
                *varying.entry((number, cell, position)).or_insert_with(|| {
                    varying_at.push(number);
                    let count = u32::try_from(varying_at.len() - 1).unwrap_or(u32::MAX);
                    let id = arena.intern(KeyExpr::Varying(count));
                    if cell == Cell::Memory(FREE_POINTER) {
                        pointers.insert(id);
                    }
                    id
                })
            };
            let whole = at(arena, 1);
            if matches!(cell, Cell::Stored(_)) {
                // What the slot held before is read on the way here, not behind a store.
                return whole;
            }
            let pattern = generalize(arena, mine, theirs, &mut at);
            let is_own = |varying: u32| varying_at.get(varying as usize) == Some(&number);
            let is_pattern = is_pattern_of(arena, pattern, [mine, theirs], &is_own);
            if is_pattern { pattern } else { whole }
        };
        let mut joined = met.path.clone();
        joined.meet(&path, &mut self.arena, &mut vary);
        met.rounds += 1;
        if met.rounds > ROUNDS_MAX {
            Rc::make_mut(&mut joined.memory).narrow(&path.memory);
        }
        let is_new = !met.path.covers(&joined);
        let is_own = |varying: u32| varying_at.get(varying as usize) == Some(&number);
        if !is_new {
            let binds = joined.binds(&path, &mut self.arena, &is_own);
            self.graph.exit(from, Exit::Goto(Edge { to: joined.node, binds }));
            return None;
        }
        let replaced = met.path.clone();
        joined.node = self.graph.add(Some(from));
        joined.forks = path.forks;
        let binds = joined.binds(&path, &mut self.arena, &is_own);
        self.graph.exit(from, Exit::Goto(Edge { to: joined.node, binds }));
        // One that still waits need not be followed any more.
        let (height, pc, node) = turn(&replaced);
        if self.work.remove(&(height, pc + 1, node)).is_some() {
            let binds = joined.binds(&replaced, &mut self.arena, &is_own);
            self.graph.exit(node, Exit::Goto(Edge { to: joined.node, binds }));
        }
        met.path = joined.clone();
        Some(joined)
    }

    fn meeting_place(&self, path: &Path) -> MeetingPlace {
        let is_return = |word: &ExprId| {
            let pc = self.arena.offset(*word)?;
            let is_valid = self.jumps.is_some_and(|jumps| jumps.is_valid(pc as usize));
            is_valid.then_some(pc)
        };
        let returns =
            path.stack.iter().zip(0_u16..).filter_map(|(word, at)| Some((at, is_return(word)?)));
        MeetingPlace { pc: path.pc, height: path.stack.len(), returns: returns.collect() }
    }
}
