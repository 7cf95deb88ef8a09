//! From a graph to a program: registers instead of expressions, each computed
//! once on every way to where it is used.
//!
//! Which expressions are computed already where a stretch begins follows from the
//! stretches before it (available expressions): those that all of them have
//! computed, without what depends on a word that is assigned on the way.

use bitvec::vec::BitVec;
use hashbrown::HashMap;
use revm::primitives::U256;

use super::{
    CallOperation, CreateOperation, NO_STRETCH, Operand, Program, Span, Stretch,
    need::{Needed, live_ways, needed},
};
use crate::{
    expr::{ExprArena, ExprId, KeyExpr},
    symbolic::graph::{Bytes, Edge, Exit, Graph},
};

/// Bits of all sets of available expressions together.
const AVAILABLE_BITS_MAX: usize = 1 << 27;

/// Rounds until what is available stays the same.
const ROUNDS_MAX: usize = 32;

/// The program of a graph; none if it is too large for one.
pub(crate) fn lower(arena: &ExprArena, graph: &Graph) -> Option<Program> {
    let needed = needed(arena, graph);
    if needed.reached.first() != Some(&true) {
        return None;
    }
    let mut lowering = Lowering::new(arena, graph, needed);
    lowering.find_heads();
    lowering.find_available();
    lowering.emit_all()
}

/// How a stretch goes on, once branches that do not matter are taken out.
pub(super) enum Next<'a> {
    Goto { to: usize, binds: &'a [(ExprId, ExprId)] },
    Branch { condition: ExprId, ways: &'a [Edge; 2], join: Option<usize> },
    Return(&'a Bytes),
    GaveUp(crate::symbolic::GaveUp),
}

pub(super) struct Lowering<'a> {
    pub(super) arena: &'a ExprArena,
    pub(super) graph: &'a Graph,
    pub(super) needed: Needed,
    /// Answers and the like that are needed, by the place where they are given.
    pub(super) by_site: HashMap<u32, Vec<ExprId>>,
    /// What varies in each expression that is needed, sorted.
    pub(super) varying: HashMap<ExprId, Box<[ExprId]>>,
    /// Stretches that others go to, in the order of the program.
    pub(super) heads: Vec<usize>,
    pub(super) number: HashMap<usize, u16>,
    /// The position of each needed expression that is computed, in the sets of
    /// those that are available.
    pub(super) positions: HashMap<ExprId, usize>,
    pub(super) available: Vec<BitVec>,
    /// Registers that are assigned, not computed: the first.
    pub(super) assigned: usize,
    pub(super) registers: HashMap<ExprId, Operand>,
    pub(super) constants: Vec<U256>,
    pub(super) constant_numbers: HashMap<U256, Operand>,
    pub(super) parts: Vec<(u8, Operand)>,
    pub(super) binds: Vec<(Operand, Operand)>,
    pub(super) calls: Vec<CallOperation>,
    pub(super) creations: Vec<CreateOperation>,
    pub(super) is_too_large: bool,
}

impl<'a> Lowering<'a> {
    fn new(arena: &'a ExprArena, graph: &'a Graph, needed: Needed) -> Self {
        let mut by_site: HashMap<u32, Vec<ExprId>> = HashMap::new();
        let mut varying: HashMap<ExprId, Box<[ExprId]>> = HashMap::new();
        let mut positions = HashMap::new();
        let mut registers: HashMap<ExprId, Operand> = HashMap::new();
        // What an expression is made of is older.
        for id in arena.ids().filter(|id| needed.exprs[id.number()]) {
            positions.insert(id, positions.len());
            if is_assigned(arena.get(id)) {
                let count = u16::try_from(registers.len()).unwrap_or(u16::MAX);
                registers.insert(id, Operand(count));
            }
            match arena.get(id) {
                KeyExpr::Returned { site, .. } => by_site.entry(*site).or_default().push(id),
                KeyExpr::Varying(_) => {
                    varying.insert(id, Box::new([id]));
                }
                _ => {
                    let parts = arena.parts(id);
                    let of = |part: &ExprId| varying.get(part).into_iter().flatten().copied();
                    let mut all: Vec<ExprId> = parts.iter().flat_map(of).collect();
                    all.sort_unstable();
                    all.dedup();
                    if !all.is_empty() {
                        varying.insert(id, all.into());
                    }
                }
            }
        }
        Self {
            arena,
            graph,
            needed,
            by_site,
            varying,
            heads: Vec::new(),
            number: HashMap::new(),
            positions,
            available: Vec::new(),
            assigned: registers.len(),
            registers,
            constants: Vec::new(),
            constant_numbers: HashMap::new(),
            parts: Vec::new(),
            binds: Vec::new(),
            calls: Vec::new(),
            creations: Vec::new(),
            is_too_large: false,
        }
    }

    pub(super) fn next(&self, at: usize) -> Next<'a> {
        let exit = &self.graph.nodes()[at].exit;
        let mut ways = live_ways(exit, &self.needed.reached);
        match exit {
            Exit::Return(bytes) => Next::Return(bytes),
            Exit::GaveUp(why) => Next::GaveUp(*why),
            Exit::Branch { condition, ways: both, .. }
                if ways.clone().count() == 2 && !self.needed.skipped[at] =>
            {
                Next::Branch { condition: *condition, ways: both, join: self.needed.joins[at] }
            }
            Exit::Branch { .. } if ways.clone().count() == 2 => match self.needed.joins[at] {
                Some(to) => Next::Goto { to, binds: &[] },
                None => Self::along(ways.next()),
            },
            _ => Self::along(ways.next()),
        }
    }

    fn along(edge: Option<&'a Edge>) -> Next<'a> {
        let edge = edge.expect("a stretch that is reached has a way that can succeed");
        Next::Goto { to: edge.to.index(), binds: &edge.binds }
    }

    /// The stretches that more than one other, or a branch, goes to.
    fn find_heads(&mut self) {
        let count = self.needed.reached.len();
        let mut before = vec![0_usize; count];
        let mut seen = vec![false; count];
        let mut order = Vec::new();
        let mut work = vec![0_usize];
        before[0] = 2;
        while let Some(at) = work.pop() {
            if core::mem::replace(&mut seen[at], true) {
                continue;
            }
            order.push(at);
            match self.next(at) {
                Next::Goto { to, binds } => {
                    // What is assigned takes effect at the beginning of a stretch.
                    before[to] += if binds.is_empty() { 1 } else { 2 };
                    work.push(to);
                }
                Next::Branch { ways, join, .. } => {
                    if let Some(join) = join {
                        before[join] += 2;
                    }
                    for way in ways.iter().rev() {
                        before[way.to.index()] += 2;
                        work.push(way.to.index());
                    }
                }
                Next::Return(_) | Next::GaveUp(_) => {}
            }
        }
        self.heads = order.into_iter().filter(|at| before[*at] > 1).collect();
        for (number, head) in self.heads.iter().enumerate() {
            self.number.insert(*head, u16::try_from(number).unwrap_or(NO_STRETCH));
        }
        self.is_too_large |= self.heads.len() >= usize::from(NO_STRETCH);
    }

    /// The ways out of the stretch that begins at a head.
    fn ways_of(&self, head: usize) -> Vec<(usize, &'a [(ExprId, ExprId)])> {
        let mut at = head;
        loop {
            match self.next(at) {
                Next::Goto { to, .. } if !self.number.contains_key(&to) => at = to,
                Next::Goto { to, binds } => return vec![(to, binds)],
                Next::Branch { ways, .. } => {
                    return ways.iter().map(|way| (way.to.index(), &way.binds[..])).collect();
                }
                Next::Return(_) | Next::GaveUp(_) => return Vec::new(),
            }
        }
    }

    /// What is computed already where each stretch begins.
    fn find_available(&mut self) {
        let bits = self.positions.len();
        let is_large = self.heads.len().saturating_mul(bits) > AVAILABLE_BITS_MAX;
        let fill = !is_large && self.heads.len() > 1;
        self.available = self.heads.iter().map(|_| BitVec::repeat(fill, bits)).collect();
        self.available[0].fill(false);
        if !fill {
            return;
        }
        let kept = self.kept();
        let mut changed = vec![true; self.heads.len()];
        for _ in 0..ROUNDS_MAX {
            for number in 0..self.heads.len() {
                if !core::mem::take(&mut changed[number]) {
                    continue;
                }
                let mut after = self.available[number].clone();
                self.emit(number, &mut after, &mut Vec::new());
                for (to, _) in self.ways_of(self.heads[number]) {
                    let to = usize::from(self.number[&to]);
                    changed[to] |= keep(&mut self.available[to], &after, kept[to].as_ref());
                }
            }
            if !changed.contains(&true) {
                return;
            }
        }
        self.available.iter_mut().for_each(|available| available.fill(false));
    }

    /// What need not be computed again at each head: all that does not depend on a
    /// word that is assigned on the way there. None where nothing is assigned.
    fn kept(&self) -> Vec<Option<BitVec>> {
        let mut bound: HashMap<ExprId, Vec<usize>> = HashMap::new();
        let mut kept = vec![None; self.heads.len()];
        for head in &self.heads {
            for (to, binds) in self.ways_of(*head) {
                let to = usize::from(self.number[&to]);
                for (varying, _) in binds {
                    kept[to].get_or_insert_with(|| BitVec::repeat(true, self.positions.len()));
                    let at = bound.entry(*varying).or_default();
                    if !at.contains(&to) {
                        at.push(to);
                    }
                }
            }
        }
        for (id, varying) in &self.varying {
            for to in varying.iter().filter_map(|varying| bound.get(varying)).flatten() {
                if let Some(kept) = &mut kept[*to] {
                    kept.set(self.positions[id], false);
                }
            }
        }
        kept
    }

    fn emit_all(mut self) -> Option<Program> {
        // What the rounds before put down is put down again.
        (self.parts, self.binds, self.calls, self.creations) = Default::default();
        let mut operations = Vec::new();
        let mut stretches = Vec::with_capacity(self.heads.len());
        for number in 0..self.heads.len() {
            let start = operations.len();
            let mut available = core::mem::take(&mut self.available[number]);
            let (gas, end) = self.emit(number, &mut available, &mut operations);
            stretches.push(Stretch { operations: span(start, operations.len()), gas, end });
        }
        let registers = u16::try_from(self.registers.len()).unwrap_or(u16::MAX);
        let is_too_large = self.is_too_large
            || registers >= Operand::CONSTANTS
            || self.constants.len() >= usize::from(Operand::CONSTANTS) - 1
            || self.calls.len().max(self.creations.len()) > usize::from(u16::MAX);
        let of_pointer = |pointer| Some(self.registers.get(pointer)?.0);
        let pointers: Vec<u16> = self.graph.pointers.iter().filter_map(of_pointer).collect();
        let program = (!is_too_large).then(|| Program {
            stretches: stretches.into(),
            operations: operations.into(),
            constants: self.constants.into(),
            parts: self.parts.into(),
            binds: self.binds.into(),
            calls: self.calls.into(),
            creations: self.creations.into(),
            registers,
            assigned: u16::try_from(self.assigned).unwrap_or(u16::MAX),
            pointers: 0,
        });
        program.map(|program| program.with_few_registers(&pointers))
    }
}

/// Keeps of a set what two others hold as well; whether that is less.
fn keep(set: &mut BitVec, one: &BitVec, other: Option<&BitVec>) -> bool {
    let mut is_less = false;
    for (at, word) in set.as_raw_mut_slice().iter_mut().enumerate() {
        let other = other.map_or(usize::MAX, |other| other.as_raw_slice()[at]);
        let kept = *word & one.as_raw_slice()[at] & other;
        is_less |= kept != *word;
        *word = kept;
    }
    is_less
}

/// Whether a word is assigned on the way, or where it is given, instead of computed.
pub(super) const fn is_assigned(expr: &KeyExpr) -> bool {
    matches!(
        expr,
        KeyExpr::Varying(_)
            | KeyExpr::Memory(_)
            | KeyExpr::MemoryHash { .. }
            | KeyExpr::Returned { .. }
    )
}

pub(super) fn span(start: usize, end: usize) -> Span {
    let number = |at: usize| u32::try_from(at).expect("bounded by the steps");
    Span { start: number(start), len: number(end - start) }
}
