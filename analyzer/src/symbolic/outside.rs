//! Instructions that ask other accounts or act on them.

use std::rc::Rc;

use revm::{bytecode::opcode as op, primitives::U256};

use super::{
    effects::CallKind,
    explore::{Explorer, Flow},
    graph::{Bytes, Call, Event, Source},
    instructions::{pop, pops},
    memory::Place,
    path::{Answer, Path},
};
use crate::expr::{ADDRESS_MASK, ExprId, KeyExpr};

const WORD_BYTES: u32 = 32;

/// The word of an answer that stands for its length.
pub(crate) const RETURNED_LEN: u32 = u32::MAX;

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
                self.graph.push(path.node, Event::Account { code: op::BALANCE, of });
                let word = self.arena.operation(op::BALANCE, [of, ExprId::ZERO, ExprId::ZERO]);
                self.push(path, word)
            }
            op::EXTCODESIZE | op::EXTCODEHASH => {
                let of = self.pop_address(path);
                self.graph.push(path.node, Event::Account { code: opcode, of });
                let word = self.arena.operation(opcode, [of, ExprId::ZERO, ExprId::ZERO]);
                self.push(path, word)
            }
            op::EXTCODECOPY => {
                let of = self.pop_address(path);
                let [to, from, len] = pops(path);
                self.graph.push(path.node, Event::Account { code: opcode, of });
                let event = Event::CopyMemory { source: Source::Unknown, to, from, len };
                self.graph.push(path.node, event);
                self.fill_words(path, to, len, |_, _, _| ExprId::UNKNOWN)
            }
            op::RETURNDATASIZE => {
                let size = self.returned(path, None);
                self.push(path, size)
            }
            op::CALL | op::CALLCODE | op::DELEGATECALL | op::STATICCALL => self.call(path, opcode),
            op::CREATE | op::CREATE2 => {
                let value = pop(path);
                let [at, len] = pops(path);
                let salt = (opcode == op::CREATE2).then(|| pop(path));
                let (init, site) = (self.bytes(path, at, len), self.site());
                self.graph.push(path.node, Event::Create { site, value, init, salt });
                let (target, selector) = (ExprId::UNKNOWN, None);
                path.answer = Some(Answer { site: Some(site), target, selector });
                // Its address is what a creation answers first.
                let word = KeyExpr::Returned { site, target, selector, word: Some(0) };
                let word = self.arena.intern(word);
                path.stack.push(word);
                Flow::Next
            }
            op::SELFDESTRUCT => {
                let to = self.pop_address(path);
                self.graph.push(path.node, Event::Destroy(to));
                Flow::Return(Bytes::Words(Box::default()))
            }
            _ => Flow::Revert,
        }
    }

    /// A word of what the latest call answered.
    pub(super) fn answer(&mut self, path: &Path, offset: u32) -> ExprId {
        self.returned(path, Some(offset / WORD_BYTES))
    }

    /// A word of the latest answer, or how long it is.
    fn returned(&mut self, path: &Path, word: Option<u32>) -> ExprId {
        let (site, target, selector) = match path.answer {
            None => return ExprId::ZERO,
            Some(Answer { site: Some(site), target, selector }) => (site, target, selector),
            Some(Answer { site: None, target, selector }) => {
                let site = self.site();
                self.graph.push(path.node, Event::Answer { site });
                (site, target, selector)
            }
        };
        let word = Some(word.unwrap_or(RETURNED_LEN));
        self.arena.intern(KeyExpr::Returned { site, target, selector, word })
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
        let input = self.bytes(path, start, len);
        let value = value.filter(|value| self.arena.value(*value) != Some(U256::ZERO));
        let (site, output) = (self.site(), [to, to_len]);
        let is_precompile = precompile.is_some();
        let call = Call {
            site,
            code: opcode,
            kind,
            target,
            value,
            selector,
            is_precompile,
            input,
            output,
        };
        self.graph.push(path.node, Event::Call(Box::new(call)));
        path.answer = Some(Answer { site: Some(site), target, selector });
        if kind == CallKind::Delegate {
            // Other code runs on the same slots.
            path.stored = Rc::default();
        }
        let success = KeyExpr::Returned { site, target, selector, word: None };
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
