//! The state of one path, and what of it stays where paths meet.
//!
//! A path does not remember which way its conditions went: two that do the same
//! from here on are one.

use std::rc::Rc;

use super::{
    graph::NodeId,
    memory::{Memory, Place},
};
use crate::expr::ExprId;

/// A word of a path's state that can differ where paths meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cell {
    Stack(usize),
    Memory(Place),
}

/// Whom the latest call went to, for what it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) target: ExprId,
    pub(super) selector: Option<u32>,
}

/// Everything that decides how a path goes on.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) pc: usize,
    pub(super) stack: Vec<ExprId>,
    pub(super) memory: Rc<Memory>,
    pub(super) answer: Option<Answer>,
    pub(super) node: NodeId,
    /// Conditions so far that could go either way.
    pub(super) forks: u32,
}

impl Path {
    /// The beginning of the code.
    pub(super) fn start(node: NodeId) -> Self {
        Self { pc: 0, stack: Vec::new(), memory: Rc::default(), answer: None, node, forks: 0 }
    }

    /// Whether this path does everything that another one at the same place,
    /// with a stack of the same height, can do.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.stack == other.stack
            && self.answer == other.answer
            && (Rc::ptr_eq(&self.memory, &other.memory) || self.memory == other.memory)
    }

    /// Widens this path so that it covers the other too. Whether it did not yet.
    pub(super) fn meet(
        &mut self,
        other: &Self,
        vary: &mut impl FnMut(Cell, [ExprId; 2]) -> ExprId,
    ) -> bool {
        let mut changed = false;
        for (at, (mine, theirs)) in self.stack.iter_mut().zip(&other.stack).enumerate() {
            if mine != theirs {
                let varying = vary(Cell::Stack(at), [*mine, *theirs]);
                changed |= *mine != varying;
                *mine = varying;
            }
        }
        if !Rc::ptr_eq(&self.memory, &other.memory) && self.memory != other.memory {
            let memory = Rc::make_mut(&mut self.memory);
            changed |=
                memory.meet(&other.memory, &mut |place, words| vary(Cell::Memory(place), words));
        }
        if self.answer != other.answer {
            let unknown = Some(Answer { target: ExprId::UNKNOWN, selector: None });
            changed |= self.answer != unknown;
            self.answer = unknown;
        }
        changed
    }
}
