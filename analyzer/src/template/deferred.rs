//! Values that templates have stored and nobody has needed yet.
//!
//! Most of what a contract computes only ends up in storage, and of that most is
//! not looked at again in the block. So a template stores how to compute it: a
//! [`Program`] and what it captured. It is computed once, when a guard, a key or
//! the interpreter reads the slot; what it captured may be deferred as well.

use std::sync::Arc;

use revm::{DatabaseRef, bytecode::opcode as op, primitives::U256};

use super::{
    host::evaluate,
    operation::Program,
    value::{Operand, Value},
};
use crate::interpreter::{Content, Exit, Machine, Provenance, SlotId, Word};

/// Values that a table may have room for and be kept for the next block.
const KEPT_ENTRIES_MAX: usize = 1 << 18;

/// Names a deferred value of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeferredId(u32);

/// A value as an evaluation holds it: known, or found but not asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell {
    Known(U256),
    /// What the slot held before the block.
    Unread(SlotId),
    Deferred(DeferredId),
}

#[derive(Debug)]
struct Entry {
    program: Arc<Program>,
    /// Where its captured values begin.
    cells: usize,
    cost: u32,
    word: Option<Word>,
}

/// The deferred values of a block.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    entries: Vec<Entry>,
    cells: Vec<Cell>,
    pending: Vec<DeferredId>,
    values: Vec<U256>,
    pub(super) bytes: Vec<u8>,
}

impl Deferred {
    /// Lets go of the values, and of room that is too large to keep.
    pub(crate) fn tidy(&mut self) {
        self.entries.clear();
        self.cells.clear();
        if self.entries.capacity() + self.cells.capacity() > KEPT_ENTRIES_MAX {
            *self = Self::default();
        }
    }

    /// Values held: for limits.
    pub(crate) fn held(&self) -> usize {
        self.entries.len() + self.cells.len()
    }

    /// How long it takes at most to compute the value, in simple instructions, about.
    pub(crate) fn cost(&self, id: DeferredId) -> u32 {
        let entry = &self.entries[id.0 as usize];
        if entry.word.is_some() { 0 } else { entry.cost }
    }

    /// Defers what `program` computes from the values that `captured` gives.
    pub(crate) fn defer(
        &mut self,
        program: &Arc<Program>,
        captured: impl Fn(Operand) -> Cell,
    ) -> DeferredId {
        let cells = self.cells.len();
        self.cells.extend(program.captures.iter().map(|at| captured(*at)));
        let mut cost = program.cost();
        for cell in &self.cells[cells..] {
            cost = cost.saturating_add(match cell {
                Cell::Known(_) => 0,
                Cell::Unread(_) => 1,
                Cell::Deferred(id) => self.cost(*id),
            });
        }
        let id = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(Entry { program: Arc::clone(program), cells, cost, word: None });
        DeferredId(id)
    }

    /// Whether the value differs from what the slot `id` started the transaction
    /// with, where that shows without either: a sum differs from one of its terms
    /// if the other is not zero.
    pub(crate) fn differs(&self, id: DeferredId, slot: SlotId, start: Content) -> Option<bool> {
        let Entry { program, cells, .. } = &self.entries[id.0 as usize];
        let [Value::Compute(code, [one, other, _])] = &*program.operations else { return None };
        let cell = |operand: &Operand| match operand.split() {
            (at, true) => program.constants.get(at).copied().map(Cell::Known),
            (at, false) => self.cells.get(cells + at).copied(),
        };
        let is_start = |cell: Cell| match (cell, start) {
            (Cell::Unread(from), Content::Unread) => from == slot,
            (Cell::Deferred(held), Content::Deferred(start)) => held == start,
            _ => false,
        };
        match (*code, cell(one)?, cell(other)?) {
            (op::ADD | op::SUB, held, Cell::Known(term)) | (op::ADD, Cell::Known(term), held)
                if is_start(held) =>
            {
                Some(!term.is_zero())
            }
            _ => None,
        }
    }

    /// The next captured value of `id` that is deferred itself and not known.
    fn missing(&self, id: DeferredId) -> Option<DeferredId> {
        let Entry { program, cells, .. } = &self.entries[id.0 as usize];
        self.cells[*cells..*cells + program.captures.len()].iter().find_map(|cell| match cell {
            Cell::Deferred(id) if self.entries[id.0 as usize].word.is_none() => Some(*id),
            _ => None,
        })
    }
}

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// The deferred value, computed if it is not known. What it needs was
    /// deferred before it, so this ends.
    pub(crate) fn deferred_word(&mut self, id: DeferredId) -> Result<Word, Exit> {
        let mut pending = core::mem::take(&mut self.deferred.pending);
        pending.push(id);
        let mut computed = Ok(());
        while let Some(&id) = pending.last() {
            if let Some(missing) = self.deferred.missing(id) {
                pending.push(missing);
                continue;
            }
            if self.deferred.entries[id.0 as usize].word.is_none() {
                computed = self.compute_deferred(id);
                if computed.is_err() {
                    break;
                }
            }
            pending.pop();
        }
        pending.clear();
        self.deferred.pending = pending;
        computed?;
        Ok(self.deferred.entries[id.0 as usize].word.unwrap_or_default())
    }

    /// Computes a deferred value whose captured values are known.
    fn compute_deferred(&mut self, id: DeferredId) -> Result<(), Exit> {
        let mut values = core::mem::take(&mut self.deferred.values);
        let mut bytes = core::mem::take(&mut self.deferred.bytes);
        values.clear();
        let word = self.run_program(id, &mut values, &mut bytes);
        (self.deferred.values, self.deferred.bytes) = (values, bytes);
        self.deferred.entries[id.0 as usize].word = Some(word?);
        Ok(())
    }

    fn run_program(
        &mut self,
        id: DeferredId,
        values: &mut Vec<U256>,
        bytes: &mut Vec<u8>,
    ) -> Result<Word, Exit> {
        let Entry { program, cells, .. } = &self.deferred.entries[id.0 as usize];
        let (program, cells) = (Arc::clone(program), *cells);
        let mut is_known = true;
        for at in cells..cells + program.captures.len() {
            let word = match self.deferred.cells[at] {
                Cell::Known(value) => Word::new(value, Provenance::STATE),
                Cell::Deferred(id) => self.deferred.entries[id.0 as usize].word.unwrap_or_default(),
                Cell::Unread(slot) => {
                    let read = self.world.read_slot(slot);
                    self.known(read)?
                }
            };
            is_known &= !word.provenance.is_unknown();
            values.push(word.value);
        }
        for operation in &program.operations {
            let value = evaluate(self, operation, bytes, |operand| {
                let (at, is_constant) = operand.split();
                let table = if is_constant { &*program.constants } else { &**values };
                table.get(at).copied().unwrap_or_default()
            });
            is_known &= value.is_some();
            values.push(value.unwrap_or_default());
        }
        let provenance = if is_known { Provenance::STATE } else { Provenance::UNKNOWN };
        Ok(Word::new(values.last().copied().unwrap_or_default(), provenance))
    }
}
