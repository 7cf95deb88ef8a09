//! Instructions that ask other accounts or act on them.

use std::rc::Rc;

use revm::{bytecode::opcode as op, primitives::U256};

use super::{
    effects::{CallKind, Effect, Target},
    explore::{Explorer, Flow, Input},
    instructions::{pop, pops},
    memory::Place,
    path::{Answer, Path},
};
use crate::expr::{ADDRESS_MASK, ExprId, KeyExpr};

const WORD_BYTES: u32 = 32;

/// The identity precompile, which compilers copied memory with.
const IDENTITY: u32 = 4;

/// Whether an address is that of a precompile of some fork.
const fn is_precompile(address: u32) -> bool {
    matches!(address, 1..=0x11 | 0x100)
}

impl Explorer<'_> {
    /// Runs an instruction on accounts; whatever else there is halts.
    pub(super) fn outside(&mut self, path: &mut Path, opcode: u8) -> Flow {
        match opcode {
            op::BALANCE | op::SELFBALANCE => {
                let of = if opcode == op::BALANCE {
                    self.pop_address(path)
                } else {
                    self.arena.intern(KeyExpr::Environment(op::ADDRESS))
                };
                self.graph.push(path.node, Effect::Read(Target::Balance(of)));
                let word = self.arena.operation(op::BALANCE, [of, ExprId::ZERO, ExprId::ZERO]);
                self.push(path, word)
            }
            op::EXTCODESIZE | op::EXTCODEHASH => {
                let of = self.pop_address(path);
                self.graph.push(path.node, Effect::Read(Target::Code(of)));
                let word = self.arena.operation(opcode, [of, ExprId::ZERO, ExprId::ZERO]);
                self.push(path, word)
            }
            op::EXTCODECOPY => {
                let of = self.pop_address(path);
                let [to, _from, len] = pops(path);
                self.graph.push(path.node, Effect::Read(Target::Code(of)));
                self.fill_words(path, to, len, |_, _, _| ExprId::UNKNOWN)
            }
            op::RETURNDATASIZE => {
                let size = path.answer.map_or(ExprId::ZERO, |Answer { target, selector }| {
                    self.arena.intern(KeyExpr::Returned { target, selector, word: None })
                });
                self.push(path, size)
            }
            op::CALL | op::CALLCODE | op::DELEGATECALL | op::STATICCALL => self.call(path, opcode),
            op::CREATE | op::CREATE2 => {
                let operands = if opcode == op::CREATE { 3 } else { 4 };
                path.stack.truncate(path.stack.len() - operands);
                self.graph.push(path.node, Effect::Create);
                path.answer = Some(Answer { target: ExprId::UNKNOWN, selector: None });
                path.stack.push(ExprId::UNKNOWN);
                Flow::Next
            }
            op::SELFDESTRUCT => {
                let to = self.pop_address(path);
                self.graph.push(path.node, Effect::Destroy(to));
                Flow::Succeed
            }
            _ => Flow::Revert,
        }
    }

    /// A word of what the latest call answered.
    pub(super) fn answer(&mut self, path: &Path, offset: u32) -> ExprId {
        let word = Some(offset / WORD_BYTES);
        path.answer.map_or(ExprId::ZERO, |Answer { target, selector }| {
            self.arena.intern(KeyExpr::Returned { target, selector, word })
        })
    }

    /// An address is the low bytes of its word.
    fn pop_address(&mut self, path: &mut Path) -> ExprId {
        let word = pop(path);
        match *self.arena.get(word) {
            KeyExpr::Operation(op::AND, [inner, mask, _])
                if self.arena.value(mask) == Some(ADDRESS_MASK) =>
            {
                inner
            }
            _ => word,
        }
    }

    fn call(&mut self, path: &mut Path, opcode: u8) -> Flow {
        pop(path);
        let target = self.pop_address(path);
        let value = matches!(opcode, op::CALL | op::CALLCODE).then(|| pop(path));
        let [start, len, to, to_len] = pops(path);
        let place = Place::of(&self.arena, start);
        let has_selector = self.arena.offset(len).is_none_or(|len| len >= 4);
        let selector =
            place.filter(|_| has_selector).and_then(|at| path.memory.selector(&mut self.arena, at));
        let kind = match opcode {
            op::CALL => CallKind::Call,
            op::STATICCALL => CallKind::Static,
            _ => CallKind::Delegate,
        };
        let precompile = self.arena.offset(target).filter(|address| is_precompile(*address));
        if precompile.is_none() {
            let is_whole =
                len == self.calldata_size && place.is_some_and(|at| path.memory.holds_calldata(at));
            // Of no call data, nothing is all.
            let is_empty = self.input == Input::Empty && len == ExprId::ZERO;
            let forwards = is_whole || is_empty;
            let value = value.filter(|value| self.arena.value(*value) != Some(U256::ZERO));
            let effect = Effect::Call { kind, target, selector, forwards, value };
            self.graph.push(path.node, effect);
        }
        path.answer = Some(Answer { target, selector });
        let success = KeyExpr::Returned { target, selector, word: None };
        let success = self.arena.intern(success);
        let lens = (self.arena.offset(len), self.arena.offset(to_len));
        let is_copy = precompile == Some(IDENTITY) && lens.0.is_some() && lens.0 == lens.1;
        if let (true, Some(from), Some(at), Some(len)) =
            (is_copy, place, Place::of(&self.arena, to), lens.0)
        {
            Rc::make_mut(&mut path.memory).copy(&mut self.arena, at, from, len.min(1 << 12));
        } else if let Flow::Revert = self.fill_words(path, to, to_len, Self::answer) {
            return Flow::Revert;
        }
        self.push(path, success)
    }
}
