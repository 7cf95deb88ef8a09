//! The state of one path, and what of it stays where paths meet.
//!
//! A path does not remember which way its conditions went: two that do the same
//! from here on are one.

use std::{collections::BTreeMap, rc::Rc};

use revm::bytecode::opcode as op;

use super::{
    generalize::terms,
    graph::NodeId,
    memory::{Memory, Place},
};
use crate::expr::{ExprArena, ExprId, KeyExpr};

/// Slots of which a path remembers what it stored.
const STORED_MAX: usize = 64;

/// A word of a path's state that can differ where paths meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cell {
    Stack(usize),
    Memory(Place),
    Stored(ExprId),
}

/// The latest call, for what it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Which call; none where paths meet that called differently.
    pub(super) site: Option<u32>,
    pub(super) target: ExprId,
    pub(super) selector: Option<u32>,
}

/// Everything that decides how a path goes on.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) pc: usize,
    pub(super) stack: Vec<ExprId>,
    pub(super) memory: Rc<Memory>,
    /// What the path stored in slots, by key.
    pub(super) stored: Rc<BTreeMap<ExprId, ExprId>>,
    pub(super) answer: Option<Answer>,
    pub(super) node: NodeId,
    /// Conditions so far that could go either way.
    pub(super) forks: u32,
}

impl Path {
    /// The beginning of the code.
    pub(super) fn start(node: NodeId) -> Self {
        Self {
            pc: 0,
            stack: Vec::new(),
            memory: Rc::default(),
            stored: Rc::default(),
            answer: None,
            node,
            forks: 0,
        }
    }

    /// Remembers what a slot holds from now on.
    pub(super) fn store(&mut self, key: ExprId, value: ExprId) {
        if self.stored.len() < STORED_MAX || self.stored.contains_key(&key) {
            Rc::make_mut(&mut self.stored).insert(key, value);
        }
    }

    /// Forgets what slots and memory hold under keys and at places that are others
    /// from here on.
    pub(super) fn forget_renewed(&mut self, arena: &ExprArena, is_own: &impl Fn(u32) -> bool) {
        let is_renewed = |id: ExprId| arena.is_renewed(id, is_own);
        if self.stored.keys().any(|key| is_renewed(*key)) {
            Rc::make_mut(&mut self.stored).retain(|key, _| !is_renewed(*key));
        }
        if self.memory.has_base(is_renewed) {
            Rc::make_mut(&mut self.memory).forget_bases(is_renewed);
        }
    }

    /// Whether this path does everything that another one at the same place,
    /// with a stack of the same height, can do.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.stack == other.stack
            && self.answer == other.answer
            && self.stored == other.stored
            && (Rc::ptr_eq(&self.memory, &other.memory) || self.memory == other.memory)
    }

    /// Widens this path so that it covers the other too. Whether it did not yet.
    pub(super) fn meet(
        &mut self,
        other: &Self,
        arena: &mut ExprArena,
        vary: &mut impl FnMut(&mut ExprArena, Cell, [ExprId; 2]) -> ExprId,
    ) -> bool {
        let mut changed = false;
        for (at, (mine, theirs)) in self.stack.iter_mut().zip(&other.stack).enumerate() {
            if mine != theirs {
                let varying = vary(arena, Cell::Stack(at), [*mine, *theirs]);
                changed |= *mine != varying;
                *mine = varying;
            }
        }
        if !Rc::ptr_eq(&self.memory, &other.memory) && self.memory != other.memory {
            let memory = Rc::make_mut(&mut self.memory);
            changed |= memory
                .meet(&other.memory, &mut |place, words| vary(arena, Cell::Memory(place), words));
        }
        if self.stored != other.stored {
            let stored = Rc::make_mut(&mut self.stored);
            for key in other.stored.keys() {
                stored.entry(*key).or_insert_with(|| arena.intern(KeyExpr::Load(*key)));
            }
            for (key, mine) in stored {
                let theirs = other.stored.get(key).copied();
                let theirs = theirs.unwrap_or_else(|| arena.intern(KeyExpr::Load(*key)));
                if *mine != theirs {
                    let varying = vary(arena, Cell::Stored(*key), [*mine, theirs]);
                    changed |= *mine != varying;
                    *mine = varying;
                }
            }
        }
        if self.answer != other.answer {
            let unknown = Answer { site: None, target: ExprId::UNKNOWN, selector: None };
            changed |= self.answer != Some(unknown);
            self.answer = Some(unknown);
        }
        changed
    }

    /// What varies in this path, which stands for several, and what each is in
    /// `incoming`, which is one of them. `is_own` says of what varies whether it
    /// does so because paths meet here.
    pub(super) fn binds(
        &self,
        incoming: &Self,
        arena: &mut ExprArena,
        is_own: &impl Fn(u32) -> bool,
    ) -> Vec<(ExprId, ExprId)> {
        let mut binding = Binding { arena, is_own, binds: Vec::new(), is_lost: false };
        for (pattern, word) in self.stack.iter().zip(&incoming.stack) {
            binding.bind(*pattern, *word);
        }
        if !Rc::ptr_eq(&self.memory, &incoming.memory) {
            for (place, pattern) in self.memory.words() {
                let word = incoming.memory.whole(place).unwrap_or(ExprId::UNKNOWN);
                binding.bind(pattern, word);
            }
        }
        for (key, pattern) in self.stored.iter() {
            let word = incoming.stored.get(key).copied();
            let word = word.unwrap_or_else(|| binding.arena.intern(KeyExpr::Load(*key)));
            binding.bind(*pattern, word);
        }
        let mut binds = binding.binds;
        binds.sort_unstable();
        binds.dedup_by_key(|(varying, _)| *varying);
        binds
    }
}

/// Finds what varies in patterns from the words that they stand for.
struct Binding<'a, F> {
    arena: &'a mut ExprArena,
    is_own: &'a F,
    binds: Vec<(ExprId, ExprId)>,
    /// Whether something that varies could not be found.
    is_lost: bool,
}

/// Whether what varies in `pattern` follows from each word that it stands for.
pub(super) fn is_pattern_of(
    arena: &mut ExprArena,
    pattern: ExprId,
    words: [ExprId; 2],
    is_own: &impl Fn(u32) -> bool,
) -> bool {
    let mut binding = Binding { arena, is_own, binds: Vec::new(), is_lost: false };
    for word in words {
        binding.bind(pattern, word);
    }
    !binding.is_lost
}

impl<F: Fn(u32) -> bool> Binding<'_, F> {
    fn is_own(&self, id: ExprId) -> bool {
        matches!(*self.arena.get(id), KeyExpr::Varying(number) if (self.is_own)(number))
    }

    /// What varies in `pattern` is such that it equals `word`.
    fn bind(&mut self, pattern: ExprId, word: ExprId) {
        if pattern == word || !self.arena.is_vague(pattern) {
            return;
        }
        if self.is_own(pattern) {
            self.binds.push((pattern, word));
            return;
        }
        match (self.arena.get(pattern).clone(), self.arena.get(word).clone()) {
            (KeyExpr::Keccak(a), KeyExpr::Keccak(b)) if a.len() == b.len() => {
                for (a, b) in a.iter().zip(&b) {
                    self.bind(a.word, b.word);
                }
            }
            (KeyExpr::CallData(a), KeyExpr::CallData(b)) | (KeyExpr::Load(a), KeyExpr::Load(b)) => {
                self.bind(a, b);
            }
            (KeyExpr::Operation(op::ADD, _), _) => self.bind_term(pattern, word),
            (KeyExpr::Operation(code, a), KeyExpr::Operation(other, b)) if code == other => {
                for (a, b) in a.into_iter().zip(b) {
                    self.bind(a, b);
                }
            }
            _ => self.lose(pattern),
        }
    }

    /// The term of a sum that varies is what the others leave.
    fn bind_term(&mut self, pattern: ExprId, word: ExprId) {
        let (mut terms, constant) = terms(self.arena, pattern);
        let Some(at) = terms.iter().position(|term| self.is_own(*term)) else {
            self.lose(pattern);
            return;
        };
        let varying = terms.swap_remove(at);
        let mut rest = self.arena.constant(constant);
        for term in terms {
            rest = self.arena.operation(op::ADD, [rest, term, ExprId::ZERO]);
        }
        let value = self.arena.operation(op::SUB, [word, rest, ExprId::ZERO]);
        self.binds.push((varying, value));
    }

    /// What varies in `pattern` is not known.
    fn lose(&mut self, pattern: ExprId) {
        self.is_lost = true;
        if self.is_own(pattern) {
            self.binds.push((pattern, ExprId::UNKNOWN));
            return;
        }
        for part in self.arena.parts(pattern) {
            if self.arena.is_vague(part) {
                self.lose(part);
            }
        }
    }
}
