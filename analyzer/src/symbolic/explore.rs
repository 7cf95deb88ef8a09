//! From code and an entry to the effects of every path from there.
//!
//! Paths part at conditions that could go either way, and meet at jump
//! destinations: a path that does nothing new there ends. In a loop, or when
//! too many paths met, what differs becomes [`KeyExpr::Varying`], so that every
//! loop comes to an end. Every count is bounded by [`SummaryLimits`].

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use revm::{
    bytecode::{Bytecode, JumpTable, opcode as op},
    primitives::{U256, map::DefaultHashBuilder},
};

use super::{
    GaveUp, SummaryLimits,
    effects::Effect,
    generalize::generalize,
    graph::{Graph, NodeId},
    path::{Cell, Path},
};
use crate::{
    expr::{ExprArena, ExprId, KeyExpr},
    interpreter::{RevertingBlocks, reverting_blocks},
};

/// Paths told apart at one place of the code with one list of return addresses.
const VARIANTS_MAX: usize = 2;

/// Words of a path's state that are compared in the time of one instruction.
const CELLS_PER_STEP: usize = 8;

/// How the contract is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// With call data that begins with a selector.
    Selector(u32),
    /// Without call data.
    Empty,
    /// With call data, but no selector that the code compares with.
    Other,
}

/// What one exploration found.
#[derive(Clone, Debug)]
pub(super) struct Explored {
    /// None if every path reverts.
    pub(super) effects: Option<Vec<Effect>>,
    pub(super) gave_up: Option<GaveUp>,
    /// Whether the selector was found equal to a constant of the code.
    pub(super) is_matched: bool,
}

/// Where paths meet: the place in the code, and who is returned to.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MeetingPlace {
    pc: usize,
    height: usize,
    returns: Box<[(u16, u32)]>,
}

/// A path that came by, and whether it stands for several.
#[derive(Debug)]
struct Met {
    path: Path,
    is_widened: bool,
}

/// When a waiting path is followed: by height of the stack, place, stretch.
type Turn = (Reverse<usize>, usize, NodeId);

fn turn(path: &Path) -> Turn {
    (Reverse(path.stack.len()), path.pc, path.node)
}

/// How a path goes on after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Jump(ExprId),
    JumpIf { target: ExprId, condition: ExprId },
    Succeed,
    Revert,
}

/// Explores one contract, entry by entry.
pub(super) struct Explorer<'a> {
    pub(super) code: &'a [u8],
    jumps: Option<&'a JumpTable>,
    reverting: RevertingBlocks,
    pub(super) arena: ExprArena,
    pub(super) limits: SummaryLimits,
    /// Steps left for the whole contract.
    steps_left: u32,
    /// Entries still to be explored, which share those steps.
    pub(super) entries_left: u32,
    pub(super) input: Input,
    selector: ExprId,
    pub(super) calldata_size: ExprId,
    pub(super) graph: Graph,
    /// Paths that wait: the deepest first, so that what is called ends before its
    /// caller goes on, then the first in the code.
    work: BTreeMap<Turn, Path>,
    meetings: HashMap<MeetingPlace, Vec<Met>, DefaultHashBuilder>,
    met_count: usize,
    varying: HashMap<(usize, usize, Cell, u32), ExprId, DefaultHashBuilder>,
    varying_count: u32,
    gave_up: Option<GaveUp>,
    pub(super) is_matched: bool,
    /// Constants that the selector was compared with.
    pub(super) compared: BTreeSet<u32>,
}

impl<'a> Explorer<'a> {
    pub(super) fn new(code: &'a Bytecode, limits: SummaryLimits) -> Self {
        let mut arena = ExprArena::new(limits.exprs_max);
        let first = arena.intern(KeyExpr::CallData(ExprId::ZERO));
        let shift = arena.constant(U256::from(224));
        Self {
            code: code.original_byte_slice(),
            jumps: code.legacy_jump_table(),
            reverting: reverting_blocks(code),
            selector: arena.operation(op::SHR, [shift, first, ExprId::ZERO]),
            calldata_size: arena.intern(KeyExpr::Environment(op::CALLDATASIZE)),
            arena,
            limits,
            steps_left: limits.steps_max,
            // Before the entries are known, the exploration that finds them has its share.
            entries_left: 4,
            input: Input::Other,
            graph: Graph::default(),
            work: BTreeMap::new(),
            meetings: HashMap::default(),
            met_count: 0,
            varying: HashMap::default(),
            varying_count: 0,
            gave_up: None,
            is_matched: false,
            compared: BTreeSet::new(),
        }
    }

    /// Follows every path from the beginning of the code.
    pub(super) fn explore(&mut self, input: Input) -> Explored {
        self.input = input;
        self.graph = Graph::default();
        self.meetings.clear();
        self.met_count = 0;
        self.gave_up = None;
        self.is_matched = false;
        let share = self.steps_left / self.entries_left.max(1);
        self.entries_left = self.entries_left.saturating_sub(1);
        let mut steps = self.limits.entry_steps_max.min(share);
        let given = steps;
        let root = self.graph.add(None);
        let start = Path::start(root);
        self.work.insert(turn(&start), start);
        while let Some((_, path)) = self.work.pop_first() {
            if let Some(limit) = self.follow(path, &mut steps) {
                self.gave_up = self.gave_up.max(Some(limit));
                if limit != GaveUp::Jump {
                    break;
                }
            }
        }
        // What is not followed to its end may succeed.
        for path in core::mem::take(&mut self.work).into_values() {
            self.graph.succeed(path.node);
        }
        self.steps_left -= given - steps;
        let full = self.arena.is_full().then_some(GaveUp::Expressions);
        Explored {
            effects: self.graph.effects(),
            gave_up: self.gave_up.max(full),
            is_matched: self.is_matched,
        }
    }

    /// Follows one path to its end; others that part from it are work left.
    /// A limit that was reached, if one was.
    fn follow(&mut self, mut path: Path, steps: &mut u32) -> Option<GaveUp> {
        loop {
            let give_up = if *steps == 0 {
                Some(GaveUp::Steps)
            } else if path.memory.len() > self.limits.memory_pieces_max {
                Some(GaveUp::Memory)
            } else {
                None
            };
            if give_up.is_some() {
                self.graph.succeed(path.node);
                return give_up;
            }
            *steps -= 1;
            let opcode = self.code.get(path.pc).copied().unwrap_or(op::STOP);
            if opcode == op::JUMPDEST {
                // Where paths meet, their state is gone through.
                let size = path.stack.len() + path.memory.len();
                *steps = steps.saturating_sub(u32::try_from(size / CELLS_PER_STEP).unwrap_or(0));
                // A path that ends here reached no limit.
                path = self.arrive(path)?;
                path.pc += 1;
                if self.work.is_empty() {
                    continue;
                }
                // Others may come here too before it goes on.
                self.work.insert(turn(&path), path);
                return None;
            }
            let target = match self.step(&mut path, opcode) {
                Flow::Next => {
                    path.pc += 1;
                    continue;
                }
                Flow::Jump(target) => target,
                Flow::JumpIf { target, condition } => {
                    match self.branch(&mut path, target, condition) {
                        Ok(true) => target,
                        Ok(false) => {
                            path.pc += 1;
                            continue;
                        }
                        Err(limit) => {
                            self.graph.succeed(path.node);
                            return Some(limit);
                        }
                    }
                }
                Flow::Succeed => {
                    self.graph.succeed(path.node);
                    return None;
                }
                Flow::Revert => return None,
            };
            match self.destination(target) {
                Ok(Some(pc)) => path.pc = pc,
                Ok(None) => return None,
                Err(limit) => {
                    self.graph.succeed(path.node);
                    return Some(limit);
                }
            }
        }
    }

    /// Where a jump leads; nowhere if it halts.
    fn destination(&self, target: ExprId) -> Result<Option<usize>, GaveUp> {
        let Some(value) = self.arena.value(target) else { return Err(GaveUp::Jump) };
        let pc = usize::try_from(value).ok();
        Ok(pc.filter(|pc| self.jumps.is_some_and(|jumps| jumps.is_valid(*pc))))
    }

    /// Whether a conditional jump is taken; where it could go either way, the
    /// other way is work left.
    fn branch(
        &mut self,
        path: &mut Path,
        target: ExprId,
        condition: ExprId,
    ) -> Result<bool, GaveUp> {
        let (mut condition, mut when) = (condition, true);
        while let KeyExpr::Operation(op::ISZERO, [negated, ..]) = *self.arena.get(condition) {
            (condition, when) = (negated, !when);
        }
        let known = self.arena.value(condition).map(|value| !value.is_zero());
        let has_data = self.input != Input::Empty && condition == self.calldata_size;
        let known = known.or(has_data.then_some(true)).or_else(|| self.compare(condition));
        if let Some(is_true) = known {
            return Ok(is_true == when);
        }
        let pc = self.destination(target)?;
        let taken_reverts = pc.is_none_or(|pc| self.reverting.contains(pc));
        let passed_reverts = self.reverting.contains(path.pc + 1);
        if taken_reverts || passed_reverts {
            return Ok(!taken_reverts);
        }
        if self.work.len() >= self.limits.paths_max {
            return Err(GaveUp::Paths);
        }
        path.forks += 1;
        let from = path.node;
        let mut taken = path.clone();
        taken.pc = pc.expect("a jump that does not halt has a destination");
        taken.node = self.graph.add(Some(from));
        self.work.insert(turn(&taken), taken);
        path.node = self.graph.add(Some(from));
        Ok(false)
    }

    /// A condition on the selector, which the constants of the code are not.
    fn compare(&mut self, condition: ExprId) -> Option<bool> {
        let KeyExpr::Operation(code, [a, b, _]) = *self.arena.get(condition) else { return None };
        let other = if a == self.selector {
            b
        } else if b == self.selector {
            a
        } else {
            return None;
        };
        let value = self.arena.value(other)?;
        let (constant, is_equal) = match code {
            op::EQ => (value, false),
            op::XOR => (value, true),
            // A difference is a sum with the negated constant.
            op::ADD => (value.wrapping_neg(), true),
            _ => return None,
        };
        if self.compared.len() < self.limits.entries_max
            && let Ok(constant) = u32::try_from(constant)
        {
            self.compared.insert(constant);
        }
        Some(is_equal)
    }

    /// What a word is with this input.
    pub(super) fn known(&mut self, word: ExprId) -> ExprId {
        match self.input {
            Input::Selector(selector) if word == self.selector => {
                self.arena.constant(U256::from(selector))
            }
            Input::Empty if word == self.calldata_size => ExprId::ZERO,
            Input::Empty if matches!(self.arena.get(word), KeyExpr::CallData(_)) => ExprId::ZERO,
            _ => word,
        }
    }

    /// A path comes to a jump destination: the path that goes on from there, if
    /// there is anything new to it.
    fn arrive(&mut self, mut path: Path) -> Option<Path> {
        let place = self.meeting_place(&path);
        let (pc, height) = (place.pc, place.height);
        let met = self.meetings.entry(place).or_default();
        if let Some(same) = met.iter().find(|met| met.path.covers(&path)) {
            self.graph.link(path.node, same.path.node);
            return None;
        }
        let widened = met.iter().position(|met| met.is_widened);
        let ancestor = self.graph.nearest(path.node, &met.iter().map(|met| met.path.node));
        if let (None, Some(round)) = (widened, ancestor)
            && met[round].path.forks == path.forks
        {
            // A loop without a choice runs as it is.
            return Some(path);
        }
        let is_full = met.len() >= VARIANTS_MAX || self.met_count >= self.limits.meetings_max;
        let last = (is_full && !met.is_empty()).then(|| met.len() - 1);
        let Some(with) = widened.or(ancestor).or(last) else {
            path.node = self.graph.add(Some(path.node));
            if self.met_count < self.limits.meetings_max {
                self.met_count += 1;
                met.push(Met { path: path.clone(), is_widened: false });
            }
            return Some(path);
        };
        let (arena, varying) = (&mut self.arena, &mut self.varying);
        let count = &mut self.varying_count;
        let mut vary = |cell: Cell, [mine, theirs]: [ExprId; 2]| {
            let mut at = |arena: &mut ExprArena, position: u32| {
                *varying.entry((pc, height, cell, position)).or_insert_with(|| {
                    *count += 1;
                    arena.intern(KeyExpr::Varying(*count))
                })
            };
            generalize(arena, mine, theirs, &mut at)
        };
        let mut joined = met[with].path.clone();
        if !joined.meet(&path, &mut vary) {
            self.graph.link(path.node, joined.node);
            return None;
        }
        // One that still waits need not be followed any more.
        let replaced = joined.node;
        let (height, pc, node) = turn(&joined);
        let waited = self.work.remove(&(height, pc + 1, node)).is_some();
        joined.node = self.graph.add(Some(path.node));
        if waited {
            self.graph.link(replaced, joined.node);
        }
        joined.forks = path.forks;
        met[with] = Met { path: joined.clone(), is_widened: true };
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
