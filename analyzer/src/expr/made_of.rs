//! What expressions are made of, where that says more than their operands.

use super::{ExprArena, ExprId, KeyExpr};

impl ExprArena {
    /// Remembers what a word was put together from.
    pub(crate) fn compose(&mut self, word: ExprId, parts: Box<[(u8, ExprId)]>) {
        if !matches!(self.get(word), KeyExpr::Constant(_) | KeyExpr::Unknown) {
            self.composed.entry(word).or_insert(parts);
        }
    }

    /// What a word was put together from: 32 bytes in all; nothing if that is not known.
    pub(crate) fn composition(&self, word: ExprId) -> &[(u8, ExprId)] {
        self.composed.get(&word).map_or(&[], |parts| parts)
    }

    /// Whether an expression is made of what is given anew each time that code is
    /// followed, or of something that varies as `is_own` says.
    pub(crate) fn is_renewed(&self, id: ExprId, is_own: &impl Fn(u32) -> bool) -> bool {
        self.is_fleeting(id)
            && match *self.get(id) {
                KeyExpr::Varying(number) => is_own(number),
                KeyExpr::Returned { .. } | KeyExpr::Memory(_) | KeyExpr::MemoryHash { .. } => true,
                _ => self.parts(id).into_iter().any(|part| self.is_renewed(part, is_own)),
            }
    }
}
