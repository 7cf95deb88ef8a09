//! From an expression to how a person reads it: `mapping(slot 2)[caller]+1`.
//!
//! A key that is a hash of a key and a slot is an entry of a mapping: Solidity
//! hashes the key first, Vyper the slot. The hash of a slot is where an array
//! begins. A packed hash with one constant in it is a mapping in Solady's
//! layout. Masks and shifts that only pick a field out of a word are left out;
//! `..` is what varies or is not known. What is too large to read is cut short.

use core::fmt;

use revm::primitives::{Address, U256};

use super::{
    ADDRESS_MASK, ExprArena, ExprId,
    printer::Printer,
    shape::{Shape, shape},
};

/// Nesting looked into for the slot that a key belongs to.
const DEPTH_MAX: u32 = 12;

/// Expressions that an arena of one constant holds, the three of every arena among them.
const CONSTANTS: usize = 4;

/// Names of functions by their selectors.
pub type Namer<'a> = &'a dyn Fn(u32) -> Option<String>;

/// An expression in words; [`Display`](fmt::Display) prints it as a value,
/// [`Words::as_slot`] as a storage key.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    arena: &'a ExprArena,
    id: ExprId,
    namer: Option<Namer<'a>>,
}

impl fmt::Debug for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({self})")
    }
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.printed(|printer| printer.value(self.id)))
    }
}

impl<'a> Words<'a> {
    pub(crate) const fn new(arena: &'a ExprArena, id: ExprId) -> Self {
        Self { arena, id, namer: None }
    }

    /// The same, with functions named.
    #[must_use]
    pub const fn with_names(self, namer: Namer<'a>) -> Self {
        Self { namer: Some(namer), ..self }
    }

    /// The storage slot of which the expression is the key.
    pub fn as_slot(&self) -> String {
        self.printed(|printer| printer.slot(self.id))
    }

    /// Whether the expression is an address, and which.
    pub fn as_address(&self) -> Option<Address> {
        let value = self.arena.value(self.id)?;
        (value <= ADDRESS_MASK).then(|| Address::from_word(value.into()))
    }

    /// Whether the key is in a mapping or array of which the slot is known.
    pub(crate) fn is_in_declared_slot(&self) -> bool {
        declared_slot(self.arena, self.id).is_some()
    }

    fn printed(&self, print: impl FnOnce(&mut Printer<'_>) -> fmt::Result) -> String {
        let mut printer = Printer::new(self.arena, self.namer);
        // Writing to a string does not fail.
        let _ = print(&mut printer);
        printer.finish()
    }
}

/// A slot that no hash went into, in words: `slot 5`, or the name of a well-known one.
pub fn slot_in_words(slot: U256) -> String {
    let mut arena = ExprArena::new(CONSTANTS);
    let id = arena.constant(slot);
    Words::new(&arena, id).as_slot()
}

/// The declared slot of the mapping or array that a key is in, the outermost of
/// nested ones; of a plain variable, its slot.
pub(crate) fn declared_slot(arena: &ExprArena, key: ExprId) -> Option<U256> {
    let mut id = key;
    for _ in 0..DEPTH_MAX {
        match shape(arena, id) {
            Shape::Constant(slot) | Shape::Packed { seed: slot, .. } => return Some(slot),
            Shape::Entry { base, .. } | Shape::Elements(base) | Shape::Field(base, _) => {
                id = base;
            }
            Shape::Other => return None,
        }
    }
    None
}
