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
    graph::{Bytes, Edge, Exit, Graph, NodeId},
    meet::{MeetingPlace, Met},
    path::{Cell, Path},
    reverting::{RevertingBlocks, reverting_blocks},
};
use crate::expr::{ExprArena, ExprId, KeyExpr};

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
    pub(super) graph: Graph,
    pub(super) gave_up: Option<GaveUp>,
    /// Whether the selector was found equal to a constant of the code.
    pub(super) is_matched: bool,
}

/// When a waiting path is followed: by height of the stack, place, stretch.
pub(super) type Turn = (Reverse<usize>, usize, NodeId);

pub(super) fn turn(path: &Path) -> Turn {
    (Reverse(path.stack.len()), path.pc, path.node)
}

/// How a path goes on after an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Jump(ExprId),
    JumpIf { target: ExprId, condition: ExprId },
    Return(Bytes),
    Revert,
}

/// Gas of an instruction that does not depend on the state or on sizes.
fn static_gas(opcode: u8) -> u32 {
    match opcode {
        op::JUMPDEST => 1,
        op::ADDRESS..=op::CODESIZE | op::POP | op::PC | op::GAS | op::PUSH0 => 2,
        op::MUL..=op::SMOD | op::SIGNEXTEND | op::SELFBALANCE => 5,
        op::ADDMOD | op::MULMOD | op::JUMP => 8,
        op::JUMPI | op::EXP => 10,
        op::KECCAK256 => 42,
        op::LOG0..=op::LOG4 => 375 * (u32::from(opcode - op::LOG0) + 1) + 256,
        op::SLOAD | op::SSTORE | op::CREATE..=op::STATICCALL => 0,
        _ => 3,
    }
}

/// Explores one contract, entry by entry.
pub(super) struct Explorer<'a> {
    pub(super) code: &'a [u8],
    /// Where what is pushed is an input of the skeleton, sorted.
    pub(super) inputs_at: &'a [usize],
    /// Bytes of the code that all code of the skeleton has, but for the inputs.
    pub(super) shared_len: usize,
    pub(super) jumps: Option<&'a JumpTable>,
    pub(super) reverting: RevertingBlocks,
    pub(super) arena: ExprArena,
    pub(super) limits: SummaryLimits,
    /// Steps left for the whole contract.
    pub(super) steps_left: u32,
    /// Entries still to be explored, which share those steps.
    pub(super) entries_left: u32,
    pub(super) input: Input,
    pub(super) selector: ExprId,
    pub(super) calldata_size: ExprId,
    pub(super) graph: Graph,
    /// Paths that wait: the deepest first, so that what is called ends before its
    /// caller goes on, then the first in the code.
    pub(super) work: BTreeMap<Turn, Path>,
    pub(super) meetings: HashMap<MeetingPlace, Met, DefaultHashBuilder>,
    pub(super) varying: HashMap<(u32, Cell, u32), ExprId, DefaultHashBuilder>,
    /// For each thing that varies, the meeting where it does.
    pub(super) varying_at: Vec<u32>,
    /// Meetings of all entries.
    pub(super) meeting_count: u32,
    /// Calls, creations and reads of memory, numbered.
    pub(super) sites: u32,
    pub(super) gave_up: Option<GaveUp>,
    pub(super) is_matched: bool,
    /// Constants that the selector was compared with.
    pub(super) compared: BTreeSet<u32>,
}

impl<'a> Explorer<'a> {
    pub(super) fn new(
        code: &'a Bytecode,
        inputs_at: &'a [usize],
        shared_len: usize,
        limits: SummaryLimits,
    ) -> Self {
        let mut arena = ExprArena::new(limits.exprs_max);
        let first = arena.intern(KeyExpr::CallData(ExprId::ZERO));
        let shift = arena.constant(U256::from(224));
        Self {
            code: code.original_byte_slice(),
            inputs_at,
            shared_len,
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
            varying: HashMap::default(),
            varying_at: Vec::new(),
            meeting_count: 0,
            sites: 0,
            gave_up: None,
            is_matched: false,
            compared: BTreeSet::new(),
        }
    }

    /// Whether these bytes are the same in all code of the skeleton.
    pub(super) fn is_shared(&self, start: usize, end: usize) -> bool {
        // The longest push that reaches here begins 32 bytes before.
        let first = self.inputs_at.partition_point(|pc| pc + 33 <= start);
        let input = self.inputs_at.get(first).filter(|pc| **pc + 1 < end);
        input.is_none() && (end <= self.shared_len || start >= self.code.len())
    }

    /// Follows every path from the beginning of the code.
    pub(super) fn explore(&mut self, input: Input) -> Explored {
        self.input = input;
        self.graph = Graph::default();
        self.meetings.clear();
        self.varying.clear();
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
            let limit = self.gave_up.unwrap_or(GaveUp::Steps);
            self.graph.exit(path.node, Exit::GaveUp(limit));
        }
        self.steps_left -= given - steps;
        let full = self.arena.is_full().then_some(GaveUp::Expressions);
        Explored {
            effects: self.graph.effects(),
            graph: core::mem::take(&mut self.graph),
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
            if let Some(limit) = give_up {
                self.graph.exit(path.node, Exit::GaveUp(limit));
                return give_up;
            }
            *steps -= 1;
            let opcode = self.code.get(path.pc).copied().unwrap_or(op::STOP);
            self.graph.node_mut(path.node).gas += static_gas(opcode);
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
                            self.graph.exit(path.node, Exit::GaveUp(limit));
                            return Some(limit);
                        }
                    }
                }
                Flow::Return(bytes) => {
                    self.graph.exit(path.node, Exit::Return(bytes));
                    return None;
                }
                Flow::Revert => return None,
            };
            match self.destination(target) {
                Ok(Some(pc)) => path.pc = pc,
                Ok(None) => return None,
                Err(limit) => {
                    self.graph.exit(path.node, Exit::GaveUp(limit));
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
        path.node = self.graph.add(Some(from));
        let mut ways = [Edge::new(taken.node), Edge::new(path.node)];
        if !when {
            ways.swap(0, 1);
        }
        self.graph.exit(from, Exit::Branch { condition, ways: Box::new(ways) });
        self.learn(&mut taken, condition, when);
        self.learn(path, condition, !when);
        self.work.insert(turn(&taken), taken);
        Ok(false)
    }

    /// On one way of a branch, words that are its condition or the opposite are
    /// known: a flag that is tested twice, as `try` does, goes the same way twice.
    fn learn(&mut self, path: &mut Path, condition: ExprId, is_true: bool) {
        let is_flag = match self.arena.get(condition) {
            KeyExpr::Operation(code, _) => (op::LT..=op::ISZERO).contains(code),
            KeyExpr::Returned { word, .. } => word.is_none(),
            _ => false,
        };
        let opposite = self.arena.operation(op::ISZERO, [condition, ExprId::ZERO, ExprId::ZERO]);
        for word in &mut path.stack {
            if *word == opposite {
                *word = if is_true { ExprId::ZERO } else { ExprId::ONE };
            } else if *word == condition && (!is_true || is_flag) {
                *word = if is_true { ExprId::ONE } else { ExprId::ZERO };
            }
        }
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
}
