//! Whether a program names nothing that it does not have, so that it can be evaluated.
//! Programs that were saved are checked when they are loaded.

use super::{BytesOperand, End, NO_STRETCH, Operand, Operation, Program, Span, Way};
use crate::expr::HASHED_PARTS_MAX;

impl Program {
    /// Whether every operand, span, call and way lies within the program.
    pub(crate) fn is_sound(&self) -> bool {
        !self.stretches.is_empty()
            && self.registers < Operand::CONSTANTS
            && self.assigned <= self.registers
            && self.pointers <= self.registers
            && self.parts.iter().all(|(bytes, word)| *bytes <= 32 && self.reads(*word))
            && self.binds.iter().all(|(to, word)| self.sets(*to) && self.reads(*word))
            && self.calls.iter().all(|call| {
                self.reads(call.target)
                    && self.reads(call.value)
                    && self.has_bytes(&call.input)
                    && call.output.iter().all(|word| self.reads(*word))
            })
            && self.creations.iter().all(|creation| {
                self.reads(creation.value)
                    && self.has_bytes(&creation.init)
                    && creation.salt.is_none_or(|salt| self.reads(salt))
            })
            && self.operations.iter().all(|operation| self.has(operation))
            && self.stretches.iter().all(|stretch| {
                within(stretch.operations, self.operations.len()) && self.ends(&stretch.end)
            })
    }

    const fn reads(&self, Operand(at): Operand) -> bool {
        at < self.registers
            || at == Operand::NONE.0
            || (at >= Operand::CONSTANTS
                && ((at - Operand::CONSTANTS) as usize) < self.constants.len())
    }

    const fn sets(&self, Operand(at): Operand) -> bool {
        at < self.registers || at == Operand::NONE.0
    }

    fn is_scope(&self, scope: Operand) -> bool {
        scope == Operand::NONE || (scope.0 >= Operand::CONSTANTS && self.reads(scope))
    }

    fn has_bytes(&self, bytes: &BytesOperand) -> bool {
        match *bytes {
            BytesOperand::CallData => true,
            BytesOperand::Words(parts) => within(parts, self.parts.len()),
            BytesOperand::Memory { at, len } => self.reads(at) && self.reads(len),
        }
    }

    fn ends(&self, end: &End) -> bool {
        match end {
            End::Goto(way) => self.leads(way),
            End::Branch { condition, ways, join } => {
                self.reads(*condition)
                    && ways.iter().all(|way| self.leads(way))
                    && (*join == NO_STRETCH || usize::from(*join) < self.stretches.len())
            }
            End::Return(bytes) => self.has_bytes(bytes),
            End::GaveUp(_) => true,
        }
    }

    fn leads(&self, way: &Way) -> bool {
        usize::from(way.to) < self.stretches.len() && within(way.binds, self.binds.len())
    }

    fn has(&self, operation: &Operation) -> bool {
        let (to, reads) = operation.sets_and_reads();
        self.sets(to)
            && reads.into_iter().all(|word| self.reads(word))
            && match *operation {
                Operation::Keccak { parts, .. } => {
                    within(parts, self.parts.len()) && parts.len as usize <= HASHED_PARTS_MAX
                }
                Operation::Load { scope, .. } | Operation::Store { scope, .. } => {
                    self.is_scope(scope)
                }
                Operation::Call(position) => usize::from(position) < self.calls.len(),
                Operation::Create(position) => usize::from(position) < self.creations.len(),
                _ => true,
            }
    }
}

fn within(span: Span, len: usize) -> bool {
    (span.start as usize).checked_add(span.len as usize).is_some_and(|end| end <= len)
}
