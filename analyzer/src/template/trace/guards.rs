//! What the path depends on: recorded where it decides, and what follows from it
//! for the values after it.

use revm::{bytecode::opcode as op, primitives::B256};

use super::{
    Trace,
    event::{AccountRef, Branch, CodeRef, Event, Truth},
};
use crate::{
    interpreter::Word,
    template::value::{Value, ValueId},
};

impl Trace {
    /// The path depends on whether the word is zero.
    pub(crate) fn decide(&mut self, condition: Word) {
        self.decide_branch(condition, None);
    }

    /// The path depends on a conditional jump, to the first of these places or the second.
    pub(crate) fn branch(&mut self, condition: Word, code: CodeRef, [to, on]: [usize; 2]) {
        let (taken, left) = if condition.value.is_zero() { (on, to) } else { (to, on) };
        self.decide_branch(condition, Some(Branch { code, taken, left }));
    }

    fn decide_branch(&mut self, condition: Word, branch: Option<Branch>) {
        if self.is_constant(condition) || self.known(condition.id).decided {
            return;
        }
        let (value, is_true) = (self.operand(condition), !condition.value.is_zero());
        self.event(Event::Truth(Truth { value, is_true, branch }));
        self.learn(condition.id, is_true);
    }

    /// What follows from a value being zero or not.
    fn learn(&mut self, id: ValueId, is_true: bool) {
        let (mut id, mut is_true) = (id, is_true);
        while let Some(at) = id.position() {
            self.known[at].decided = true;
            self.known[at].pinned |= !is_true;
            let Value::Compute(code, [first, second, _]) = &self.values[at] else { return };
            match (*code, is_true, first.position(), second.position()) {
                (op::ISZERO, _, Some(of), _) => (id, is_true) = (ValueId::at(of), !is_true),
                (op::EQ, true, Some(of), None) | (op::EQ, true, None, Some(of)) => {
                    self.known[at].pinned = true;
                    self.known[of].pinned = true;
                    return;
                }
                (op::EQ | op::LT | op::GT | op::SLT | op::SGT, true, ..) => {
                    self.known[at].pinned = true;
                    return;
                }
                _ => return,
            }
        }
    }

    /// The path depends on the exact value of the word.
    pub(crate) fn pin(&mut self, word: Word) {
        if self.is_constant(word) {
            return;
        }
        let value = self.operand(word);
        self.event(Event::Equals(value, word.value));
        if let Some(known) = word.id.position().and_then(|at| self.known.get_mut(at)) {
            known.pinned = true;
        }
    }

    /// The path depends on the code of the account.
    pub(crate) fn pin_code(&mut self, account: AccountRef, hash: B256) {
        self.event(Event::Code(account, hash));
    }
}
