//! A program under construction: names of the path and of the trace become its own.
//!
//! What is captured comes before what is computed, so captures are complete
//! before the first operation is added.

use hashbrown::HashMap;
use revm::primitives::{U256, map::DefaultHashBuilder};

use super::{
    operation::Program,
    value::{Operand, Value},
};

/// A program under construction.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    pub(super) captures: Vec<Operand>,
    pub(super) operations: Vec<Value>,
    constants: Vec<U256>,
    captured: HashMap<Operand, Operand, DefaultHashBuilder>,
    /// Where the values of the trace are that the program computes.
    pub(super) computed: HashMap<usize, Operand, DefaultHashBuilder>,
    known_constants: HashMap<U256, Operand, DefaultHashBuilder>,
}

impl Assembly {
    /// Begins another program.
    pub(super) fn clear(&mut self) {
        self.captures.clear();
        self.operations.clear();
        self.constants.clear();
        self.captured.clear();
        self.computed.clear();
        self.known_constants.clear();
    }

    /// A value of the path, as the program names it.
    pub(super) fn capture(&mut self, place: Operand) -> Operand {
        *self.captured.entry(place).or_insert_with(|| {
            self.captures.push(place);
            Operand::value(self.captures.len() - 1)
        })
    }

    /// A constant, as the program names it.
    pub(super) fn constant(&mut self, word: U256) -> Operand {
        *self.known_constants.entry(word).or_insert_with(|| {
            self.constants.push(word);
            Operand::constant(self.constants.len() - 1)
        })
    }

    /// The program, complete.
    pub(super) fn finish(&mut self) -> Program {
        Program {
            captures: self.captures.as_slice().into(),
            operations: self.operations.drain(..).collect(),
            constants: self.constants.as_slice().into(),
        }
    }
}
