//! A stretch's events as operations: each expression is computed where it is needed
//! first, unless it is available already.

use bitvec::vec::BitVec;
use revm::{
    bytecode::opcode::{self as op, OpCode},
    primitives::U256,
};

use super::{
    BytesOperand, CallOperation, CreateOperation, End, LENGTH, NO_STRETCH, Operand, Operation,
    SUCCESS, Span, Way,
    lower::{Lowering, Next, is_assigned, span},
};
use crate::{
    expr::{ExprId, KeyExpr, declared_slot},
    symbolic::{
        RETURNED_LEN,
        graph::{Bytes, Call, Event},
    },
};

/// Nesting of one expression that is computed at once.
const DEPTH_MAX: u32 = 256;

impl Lowering<'_> {
    /// The operations of one stretch, and how it ends.
    pub(super) fn emit(
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
                let position = u16::try_from(self.creations.len()).unwrap_or(u16::MAX);
                self.creations.push(CreateOperation { value, init, salt });
                out.push(Operation::Create(position));
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
        let is_word_asked = |id: &ExprId| matches!(*self.arena.get(*id), KeyExpr::Returned { word: Some(word), .. } if word != RETURNED_LEN);
        let is_answer_asked = self.needed.memory
            || self.by_site.get(&call.site).is_some_and(|ids| ids.iter().any(is_word_asked));
        self.calls.push(CallOperation {
            code,
            kind,
            target,
            value,
            input,
            output,
            is_answer_asked,
        });
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
                if inputs == 1 {
                    // Two operands are always read.
                    given[1] = given[0];
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
