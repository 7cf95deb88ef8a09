//! From two expressions to one that stands for both: what they have in common,
//! with [`KeyExpr::Varying`] where they differ.
//!
//! A key in the same mapping stays one, and so does an element of the same
//! argument. Doing it again with what the result stands for changes nothing, so
//! that widening ends.

use revm::{bytecode::opcode as op, primitives::U256};

use crate::expr::{ExprArena, ExprId, KeccakPart, KeyExpr};

/// Nesting in which something common is looked for.
const DEPTH_MAX: u32 = 6;

/// Terms of a sum that are compared.
const TERMS_MAX: usize = 16;

/// Constants beyond this many bits can be the place of an array.
const PLAIN_BITS_MAX: usize = 64;

/// The places of an array differ by less than this many bits.
const INDEX_BITS_MAX: usize = 32;

/// What stands for both. `vary` gives what varies, for each position the same.
pub(super) fn generalize(
    arena: &mut ExprArena,
    mine: ExprId,
    theirs: ExprId,
    vary: &mut impl FnMut(&mut ExprArena, u32) -> ExprId,
) -> ExprId {
    at(arena, mine, theirs, 1, vary)
}

fn at(
    arena: &mut ExprArena,
    mine: ExprId,
    theirs: ExprId,
    position: u32,
    vary: &mut impl FnMut(&mut ExprArena, u32) -> ExprId,
) -> ExprId {
    if mine == theirs {
        return mine;
    }
    if position >> (3 * DEPTH_MAX) > 0 {
        return vary(arena, position);
    }
    let child = |at: usize| position << 3 | u32::try_from(at & 7).unwrap_or(0);
    match (arena.get(mine).clone(), arena.get(theirs).clone()) {
        (KeyExpr::Keccak(a), KeyExpr::Keccak(b))
            if a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.bytes == b.bytes) =>
        {
            let parts = a.iter().zip(&b).enumerate().map(|(part, (a, b))| KeccakPart {
                word: at(arena, a.word, b.word, child(part), vary),
                bytes: a.bytes,
            });
            let parts = parts.collect();
            arena.intern(KeyExpr::Keccak(parts))
        }
        (KeyExpr::CallData(a), KeyExpr::CallData(b)) => {
            let from = at(arena, a, b, child(0), vary);
            arena.intern(KeyExpr::CallData(from))
        }
        (KeyExpr::Load(a), KeyExpr::Load(b)) => {
            let key = at(arena, a, b, child(0), vary);
            arena.intern(KeyExpr::Load(key))
        }
        (KeyExpr::Operation(op::AND, [a, mask, _]), KeyExpr::Operation(op::AND, [b, other, _]))
            if mask == other && arena.value(mask).is_some() =>
        {
            let word = at(arena, a, b, child(0), vary);
            arena.operation(op::AND, [word, mask, ExprId::ZERO])
        }
        (
            KeyExpr::Operation(code @ (op::SHR | op::SHL), [shift, a, _]),
            KeyExpr::Operation(other, [by, b, _]),
        ) if code == other && shift == by && arena.value(shift).is_some() => {
            let word = at(arena, a, b, child(1), vary);
            arena.operation(code, [shift, word, ExprId::ZERO])
        }
        _ => sum(arena, mine, theirs, position, vary),
    }
}

/// The terms in common, and something that varies.
fn sum(
    arena: &mut ExprArena,
    mine: ExprId,
    theirs: ExprId,
    position: u32,
    vary: &mut impl FnMut(&mut ExprArena, u32) -> ExprId,
) -> ExprId {
    let varying = vary(arena, position);
    let ((a, x), (b, y)) = (terms(arena, mine), terms(arena, theirs));
    let mut result = varying;
    for term in a.into_iter().filter(|term| *term != varying && b.contains(term)) {
        result = arena.operation(op::ADD, [result, term, ExprId::ZERO]);
    }
    let is_near = |a: U256, b: U256| a.abs_diff(b).bit_len() <= INDEX_BITS_MAX;
    if x.bit_len() > PLAIN_BITS_MAX && x.wrapping_neg().bit_len() > PLAIN_BITS_MAX && is_near(x, y)
    {
        let start = arena.constant(x);
        result = arena.operation(op::ADD, [result, start, ExprId::ZERO]);
    }
    result
}

/// The terms of a sum, and its constant.
pub(super) fn terms(arena: &ExprArena, id: ExprId) -> (Vec<ExprId>, U256) {
    let (term, constant) = arena.as_sum(id);
    let mut work: Vec<ExprId> = term.into_iter().collect();
    let mut found = Vec::new();
    while let Some(id) = work.pop() {
        match *arena.get(id) {
            KeyExpr::Operation(op::ADD, [a, b, _]) if work.len() + found.len() < TERMS_MAX => {
                work.extend([b, a]);
            }
            _ => found.push(id),
        }
    }
    (found, constant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_common_stays_and_doing_it_again_changes_nothing() {
        let mut arena = ExprArena::new(256);
        let mut vary = |arena: &mut ExprArena, at| arena.intern(KeyExpr::Varying(at));
        let number = |arena: &mut ExprArena, n: u64| arena.constant(U256::from(n));
        let entry = |arena: &mut ExprArena, key| {
            let part = |word| KeccakPart { word, bytes: 32 };
            arena.intern(KeyExpr::Keccak([part(key), part(ExprId::ONE)].into()))
        };
        let offset = number(&mut arena, 4);
        let argument = arena.intern(KeyExpr::CallData(offset));
        let [first, second] = [36, 68].map(|at| {
            let at = number(&mut arena, at);
            let at = arena.operation(op::ADD, [argument, at, ExprId::ZERO]);
            let element = arena.intern(KeyExpr::CallData(at));
            entry(&mut arena, element)
        });
        let both = generalize(&mut arena, first, second, &mut vary);
        assert!(arena.is_vague(both) && matches!(arena.get(both), KeyExpr::Keccak(_)));
        for other in [first, second] {
            assert_eq!(generalize(&mut arena, both, other, &mut vary), both);
        }
        let next = arena.operation(op::ADD, [first, ExprId::ONE, ExprId::ZERO]);
        let element = generalize(&mut arena, first, next, &mut vary);
        let after = arena.operation(op::ADD, [element, ExprId::ONE, ExprId::ZERO]);
        assert_eq!(generalize(&mut arena, element, after, &mut vary), element);
    }
}
