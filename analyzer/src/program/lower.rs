//! From a graph to a program: registers instead of expressions, each computed
//! once on every way to where it is used.
//!
//! Which expressions are computed already where a stretch begins follows from the
//! stretches before it (available expressions): those that all of them have
//! computed, without what depends on a word that is assigned on the way.

use bitvec::vec::BitVec;
use hashbrown::HashMap;
use revm::{
    bytecode::opcode::{self as op, OpCode},
    primitives::U256,
};

use super::{
    BytesOperand, CallOperation, End, LENGTH, NO_STRETCH, Operand, Operation, Program, SUCCESS,
    Span, Stretch, Way,
    need::{Needed, live_ways, needed},
};
use crate::{
    expr::{ExprArena, ExprId, KeyExpr, declared_slot},
    symbolic::{
        RETURNED_LEN,
        graph::{Bytes, Call, Edge, Event, Exit, Graph},
    },
};

/// Nesting of one expression that is computed at once.
const DEPTH_MAX: u32 = 256;

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
enum Next<'a> {
    Goto { to: usize, binds: &'a [(ExprId, ExprId)] },
    Branch { condition: ExprId, ways: &'a [Edge; 2], join: Option<usize> },
    Return(&'a Bytes),
    GaveUp(crate::symbolic::GaveUp),
}

struct Lowering<'a> {
    arena: &'a ExprArena,
    graph: &'a Graph,
    needed: Needed,
    /// Answers and the like that are needed, by the place where they are given.
    by_site: HashMap<u32, Vec<ExprId>>,
    /// What varies in each expression that is needed, sorted.
    varying: HashMap<ExprId, Box<[ExprId]>>,
    /// Stretches that others go to, in the order of the program.
    heads: Vec<usize>,
    number: HashMap<usize, u16>,
    /// The position of each needed expression that is computed, in the sets of
    /// those that are available.
    positions: HashMap<ExprId, usize>,
    available: Vec<BitVec>,
    /// Registers that are assigned, not computed: the first.
    assigned: usize,
    registers: HashMap<ExprId, Operand>,
    constants: Vec<U256>,
    constant_numbers: HashMap<U256, Operand>,
    parts: Vec<(u8, Operand)>,
    binds: Vec<(Operand, Operand)>,
    calls: Vec<CallOperation>,
    is_too_large: bool,
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
            is_too_large: false,
        }
    }

    fn next(&self, at: usize) -> Next<'a> {
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
                    let mut there = after.clone();
                    if let Some(kept) = &kept[to] {
                        there &= kept;
                    }
                    there &= &self.available[to];
                    if there != self.available[to] {
                        self.available[to] = there;
                        changed[to] = true;
                    }
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
        (self.parts, self.binds, self.calls) = Default::default();
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
            || self.calls.len() > usize::from(u16::MAX);
        (!is_too_large).then(|| Program {
            stretches: stretches.into(),
            operations: operations.into(),
            constants: self.constants.into(),
            parts: self.parts.into(),
            binds: self.binds.into(),
            calls: self.calls.into(),
            registers,
            assigned: u16::try_from(self.assigned).unwrap_or(u16::MAX),
        })
    }

    /// The operations of one stretch, and how it ends.
    fn emit(
        &mut self,
        number: usize,
        available: &mut BitVec,
        out: &mut Vec<Operation>,
    ) -> (u32, End) {
        let mut at = self.heads[number];
        let mut gas = 0_u32;
        loop {
            let node = &self.graph.nodes()[at];
            gas = gas.saturating_add(node.gas);
            for event in &node.events {
                self.event(event, available, out);
            }
            let end = match self.next(at) {
                Next::Goto { to, .. } if !self.number.contains_key(&to) => {
                    at = to;
                    continue;
                }
                Next::Goto { to, binds } => End::Goto(self.way(to, binds, available, out)),
                Next::Branch { condition, ways, join } => {
                    let condition = self.operand(condition, available, out, 0);
                    let ways = [0, 1].map(|way| {
                        let edge = &ways[way];
                        self.way(edge.to.index(), &edge.binds, available, out)
                    });
                    let join = join.and_then(|join| self.number.get(&join).copied());
                    End::Branch { condition, ways, join: join.unwrap_or(NO_STRETCH) }
                }
                Next::Return(bytes) => End::Return(self.bytes(bytes, available, out)),
                Next::GaveUp(why) => End::GaveUp(why),
            };
            return (gas, end);
        }
    }

    fn way(
        &mut self,
        to: usize,
        binds: &[(ExprId, ExprId)],
        available: &mut BitVec,
        out: &mut Vec<Operation>,
    ) -> Way {
        let mut assigned = Vec::new();
        for (varying, word) in binds {
            if self.needed.exprs[varying.number()] {
                let word = self.operand(*word, available, out, 0);
                assigned.push((self.register(*varying), word));
            }
        }
        let start = self.binds.len();
        self.binds.extend(assigned);
        Way { to: self.number[&to], binds: span(start, self.binds.len()) }
    }

    fn event(&mut self, event: &Event, available: &mut BitVec, out: &mut Vec<Operation>) {
        match event {
            Event::Load(key) => self.load(*key, available, out),
            Event::Store { key, value } => {
                let scope = self.scope(*key);
                let key = self.operand(*key, available, out, 0);
                let value = self.if_needed(*value, available, out);
                out.push(Operation::Store { key, value, scope });
            }
            Event::TransientLoad(_) => {}
            Event::TransientStore { key, value } => {
                let key = self.operand(*key, available, out, 0);
                let value = self.operand(*value, available, out, 0);
                out.push(Operation::TransientStore { key, value });
            }
            Event::Account { code, of } => {
                let read =
                    self.arena.find(&KeyExpr::Operation(*code, [*of, ExprId::ZERO, ExprId::ZERO]));
                if let Some(id) = read.filter(|id| self.needed.exprs[id.number()]) {
                    self.operand(id, available, out, 0);
                } else {
                    let of = self.operand(*of, available, out, 0);
                    out.push(Operation::Account { to: Operand::NONE, code: *code, of });
                }
            }
            Event::Call(call) => self.call(call, available, out),
            Event::Create { site, value, init, salt } => {
                let value = self.operand(*value, available, out, 0);
                let init = self.bytes(init, available, out);
                let salt = salt.map(|salt| self.operand(salt, available, out, 0));
                out.push(Operation::Create { value, init, salt });
                self.answers(*site, out);
            }
            Event::Answer { site } => self.answers(*site, out),
            Event::Destroy(to) => {
                let to = self.operand(*to, available, out, 0);
                out.push(Operation::Destroy { to });
            }
            _ if !self.needed.memory => {}
            Event::StoreMemory { at, word, is_byte } => {
                let at = self.operand(*at, available, out, 0);
                let word = self.operand(*word, available, out, 0);
                out.push(Operation::StoreMemory { at, word, is_byte: *is_byte });
            }
            Event::CopyMemory { source, to, from, len } => {
                let [to, from, len] =
                    [to, from, len].map(|word| self.operand(*word, available, out, 0));
                out.push(Operation::CopyMemory { source: *source, to, from, len });
            }
            Event::LoadMemory { site, at } => {
                let id = self.arena.find(&KeyExpr::Memory(*site));
                if let Some(id) = id.filter(|id| self.needed.exprs[id.number()]) {
                    let at = self.operand(*at, available, out, 0);
                    let to = self.register(id);
                    out.push(Operation::LoadMemory { to, at });
                }
            }
            Event::HashMemory { site, at, len } => {
                let id = self.arena.hash_at(*site);
                if let Some(id) = id.filter(|id| self.needed.exprs[id.number()]) {
                    let at = self.operand(*at, available, out, 0);
                    let len = self.operand(*len, available, out, 0);
                    let to = self.register(id);
                    out.push(Operation::HashMemory { to, at, len });
                }
            }
        }
    }

    /// A slot is read: once, wherever its value is known already.
    fn load(&mut self, key: ExprId, available: &mut BitVec, out: &mut Vec<Operation>) {
        let word = self.arena.find(&KeyExpr::Load(key));
        if let Some(word) = word.filter(|word| self.needed.exprs[word.number()]) {
            self.operand(word, available, out, 0);
            return;
        }
        let scope = self.scope(key);
        let key = self.operand(key, available, out, 0);
        out.push(Operation::Load { to: Operand::NONE, key, scope });
    }

    fn call(&mut self, call: &Call, available: &mut BitVec, out: &mut Vec<Operation>) {
        let target = self.operand(call.target, available, out, 0);
        let value = call.value.map_or(Operand::NONE, |it| self.operand(it, available, out, 0));
        let has_value = call.value.is_some();
        let input = self.bytes(&call.input, available, out);
        let output = if self.needed.memory {
            call.output.map(|word| self.operand(word, available, out, 0))
        } else {
            [self.constant(U256::ZERO); 2]
        };
        let position = u16::try_from(self.calls.len()).unwrap_or(u16::MAX);
        let (code, kind) = (call.code, call.kind);
        // A value that is not known is still a value.
        let value = if has_value { value } else { self.constant(U256::ZERO) };
        self.calls.push(CallOperation { code, kind, target, value, input, output });
        out.push(Operation::Call(position));
        self.answers(call.site, out);
    }

    /// What is needed of the answer that was just given.
    fn answers(&mut self, site: u32, out: &mut Vec<Operation>) {
        for id in self.by_site.get(&site).cloned().unwrap_or_default() {
            let KeyExpr::Returned { word, .. } = *self.arena.get(id) else { continue };
            let to = self.register(id);
            let word = match word {
                None => SUCCESS,
                Some(RETURNED_LEN) => LENGTH,
                Some(word) => word,
            };
            out.push(Operation::Answer { to, word });
        }
    }

    fn bytes(
        &mut self,
        bytes: &Bytes,
        available: &mut BitVec,
        out: &mut Vec<Operation>,
    ) -> BytesOperand {
        match bytes {
            Bytes::CallData => BytesOperand::CallData,
            Bytes::Words(words) => {
                let parts: Vec<_> = words
                    .iter()
                    .map(|(bytes, word)| (*bytes, self.operand(*word, available, out, 0)))
                    .collect();
                BytesOperand::Words(self.parts(parts))
            }
            Bytes::Memory { at, len } => {
                let at = self.operand(*at, available, out, 0);
                let len = self.operand(*len, available, out, 0);
                BytesOperand::Memory { at, len }
            }
        }
    }

    fn parts(&mut self, parts: Vec<(u8, Operand)>) -> Span {
        let start = self.parts.len();
        self.parts.extend(parts);
        span(start, self.parts.len())
    }

    /// The declared slot of the mapping that a key is in.
    fn scope(&mut self, key: ExprId) -> Operand {
        match declared_slot(self.arena, key) {
            Some(slot) if self.arena.value(key).is_none() => self.constant(slot),
            _ => Operand::NONE,
        }
    }

    fn constant(&mut self, value: U256) -> Operand {
        let (constants, numbers) = (&mut self.constants, &mut self.constant_numbers);
        *numbers.entry(value).or_insert_with(|| {
            constants.push(value);
            let number = u16::try_from(constants.len() - 1).unwrap_or(Operand::CONSTANTS);
            Operand(Operand::CONSTANTS.saturating_add(number))
        })
    }

    fn register(&mut self, id: ExprId) -> Operand {
        let count = u16::try_from(self.registers.len()).unwrap_or(u16::MAX);
        *self.registers.entry(id).or_insert(Operand(count))
    }

    fn is_available(&self, id: ExprId, available: &BitVec) -> bool {
        self.positions.get(&id).is_some_and(|position| available[*position])
    }

    fn if_needed(
        &mut self,
        id: ExprId,
        available: &mut BitVec,
        out: &mut Vec<Operation>,
    ) -> Operand {
        if self.needed.exprs[id.number()] || self.arena.value(id).is_some() {
            self.operand(id, available, out, 0)
        } else {
            Operand::NONE
        }
    }

    /// Where an expression is, computed here if it is not yet.
    fn operand(
        &mut self,
        id: ExprId,
        available: &mut BitVec,
        out: &mut Vec<Operation>,
        depth: u32,
    ) -> Operand {
        let arena = self.arena;
        let expr = arena.get(id);
        match expr {
            KeyExpr::Constant(value) => return self.constant(*value),
            KeyExpr::Unknown => return Operand::NONE,
            _ if is_assigned(expr) => return self.register(id),
            _ if self.is_available(id, available) => return self.register(id),
            _ if depth == DEPTH_MAX => return Operand::NONE,
            _ => {}
        }
        let operation = match expr {
            KeyExpr::Immutable(index) => {
                let index = u16::try_from(*index).unwrap_or(u16::MAX);
                Operation::Immutable { to: self.register(id), index }
            }
            KeyExpr::Environment(code) => {
                Operation::Environment { to: self.register(id), code: *code }
            }
            KeyExpr::CallData(at) => {
                let at = self.operand(*at, available, out, depth + 1);
                Operation::CallData { to: self.register(id), at }
            }
            KeyExpr::Load(key) => {
                let scope = self.scope(*key);
                let key = self.operand(*key, available, out, depth + 1);
                Operation::Load { to: self.register(id), key, scope }
            }
            KeyExpr::Keccak(parts) => {
                let parts: Vec<_> = parts
                    .iter()
                    .map(|part| (part.bytes, self.operand(part.word, available, out, depth + 1)))
                    .collect();
                let parts = self.parts(parts);
                Operation::Keccak { to: self.register(id), parts }
            }
            KeyExpr::Operation(code, operands) => {
                let inputs = OpCode::info_by_op(*code).map_or(0, |info| info.inputs());
                let mut given = [Operand::NONE; 3];
                for (given, operand) in given.iter_mut().zip(operands).take(inputs.into()) {
                    *given = self.operand(*operand, available, out, depth + 1);
                }
                let to = self.register(id);
                match *code {
                    op::BALANCE | op::EXTCODESIZE | op::EXTCODEHASH => {
                        Operation::Account { to, code: *code, of: given[0] }
                    }
                    op::TLOAD => Operation::TransientLoad { to, key: given[0] },
                    code => Operation::Compute { to, code, operands: given },
                }
            }
            _ => return Operand::NONE,
        };
        out.push(operation);
        if let Some(position) = self.positions.get(&id) {
            available.set(*position, true);
        }
        self.register(id)
    }
}

/// Whether a word is assigned on the way, or where it is given, instead of computed.
const fn is_assigned(expr: &KeyExpr) -> bool {
    matches!(
        expr,
        KeyExpr::Varying(_)
            | KeyExpr::Memory(_)
            | KeyExpr::MemoryHash { .. }
            | KeyExpr::Returned { .. }
    )
}

fn span(start: usize, end: usize) -> Span {
    let number = |at: usize| u32::try_from(at).expect("bounded by the steps");
    Span { start: number(start), len: number(end - start) }
}
