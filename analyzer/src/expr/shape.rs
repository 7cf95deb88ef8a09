//! From a storage key to what it is: a declared slot, an entry of a mapping, an
//! element of an array, a field of a struct. It is told from the form alone.

use revm::{bytecode::opcode as op, primitives::U256};

use super::{ExprArena, ExprId, KeccakPart, KeyExpr};

/// Constants beyond this many bits can be the place of an array.
const PLAIN_BITS_MAX: usize = 64;

/// What a storage key is.
pub(super) enum Shape {
    /// A declared slot.
    Constant(U256),
    /// An entry of the mapping at `base`, in Solidity's or Vyper's order.
    Entry { base: ExprId, keys: Vec<ExprId> },
    /// Where the elements of the array at a slot begin.
    Elements(ExprId),
    /// Some way behind another place.
    Field(ExprId, Offset),
    /// An entry of a mapping in Solady's layout.
    Packed { seed: U256, keys: Vec<ExprId> },
    /// None of these.
    Other,
}

/// How far.
pub(super) enum Offset {
    Constant(U256),
    Computed(ExprId, U256),
}

/// What a key is.
pub(super) fn shape(arena: &ExprArena, id: ExprId) -> Shape {
    let (term, constant) = arena.as_sum(id);
    let Some(term) = term else { return Shape::Constant(constant) };
    if !constant.is_zero() {
        if let KeyExpr::Operation(op::ADD, [a, b, _]) = *arena.get(term)
            && let Some((base, index)) = base_and_index(arena, a, b)
        {
            return Shape::Field(base, Offset::Computed(index, constant));
        }
        return if is_hash(arena, term) {
            Shape::Field(term, Offset::Constant(constant))
        } else if constant.bit_len() > PLAIN_BITS_MAX {
            // The place of an array, computed by the compiler.
            let base = arena.ids.get(&KeyExpr::Constant(constant));
            let index = Offset::Computed(term, U256::ZERO);
            base.map_or(Shape::Other, |base| Shape::Field(*base, index))
        } else {
            Shape::Other
        };
    }
    match arena.get(term) {
        KeyExpr::Operation(op::ADD, [a, b, _]) => match base_and_index(arena, *a, *b) {
            Some((base, index)) => Shape::Field(base, Offset::Computed(index, U256::ZERO)),
            None => Shape::Other,
        },
        KeyExpr::Keccak(parts) => hash_shape(arena, parts),
        KeyExpr::MemoryHash { known, .. } => shape(arena, *known),
        _ => Shape::Other,
    }
}

fn base_and_index(arena: &ExprArena, a: ExprId, b: ExprId) -> Option<(ExprId, ExprId)> {
    if is_hash(arena, a) { Some((a, b)) } else { is_hash(arena, b).then_some((b, a)) }
}

fn is_hash(arena: &ExprArena, id: ExprId) -> bool {
    matches!(arena.get(id), KeyExpr::Keccak(_) | KeyExpr::MemoryHash { .. })
}

/// A slot, or a place in a mapping that is the slot of an inner one.
fn is_base(arena: &ExprArena, id: ExprId) -> bool {
    let (term, _) = arena.as_sum(id);
    term.is_none_or(|term| is_hash(arena, term))
}

/// What the hash of these bytes is as a key.
pub(super) fn hash_shape(arena: &ExprArena, parts: &[KeccakPart]) -> Shape {
    let words = |parts: &[KeccakPart]| parts.iter().map(|part| part.word).collect();
    match parts {
        [base] if base.bytes == 32 && is_base(arena, base.word) => Shape::Elements(base.word),
        [KeccakPart { bytes: 32, word: first }, KeccakPart { bytes: 32, word: last }] => {
            let (first, last) = (*first, *last);
            let of = |base, key| Shape::Entry { base, keys: vec![key] };
            match (arena.value(first), arena.value(last)) {
                // Two constants: the smaller number is the slot.
                (Some(a), Some(b)) if a < b => of(first, last),
                _ if is_base(arena, last) => of(last, first),
                _ if is_base(arena, first) => of(first, last),
                _ => Shape::Other,
            }
        }
        // A mapping keyed by bytes: the bytes, then the slot.
        [keys @ .., KeccakPart { bytes: 32, word }] if is_base(arena, *word) && keys.len() == 1 => {
            Shape::Entry { base: *word, keys: words(keys) }
        }
        _ => {
            let constants = parts.iter().filter_map(|part| arena.value(part.word));
            let seeds: Vec<U256> = constants.filter(|value| !value.is_zero()).collect();
            let is_packed = parts.iter().any(|part| part.bytes < 32);
            let keys = parts.iter().filter(|part| arena.value(part.word).is_none());
            match seeds[..] {
                [seed] if is_packed => {
                    Shape::Packed { seed, keys: keys.map(|part| part.word).collect() }
                }
                _ => Shape::Other,
            }
        }
    }
}
