//! From what code does with unknown inputs to expressions over them.
//!
//! A [`KeyExpr`] says how a word is computed: it names storage keys, call
//! targets and branch conditions. Expressions live hash-consed in an
//! [`ExprArena`], so that equal ones have equal [`ExprId`]s, and are brought to
//! one normal form as they are made: constants are folded, and a sum has its
//! constant last and outermost. The arena is bounded; once it is full, what is
//! new is [`KeyExpr::Unknown`]. [`words`] is how a person reads them.

mod made_of;
mod names;
mod printer;
mod shape;
mod words;

use core::fmt;

use hashbrown::{HashMap, hash_map::Entry};
use revm::{
    bytecode::opcode as op,
    primitives::{U256, keccak256, map::DefaultHashBuilder},
};
use serde::{Deserialize, Serialize};

pub(crate) use self::words::declared_slot;
pub use self::words::{Namer, Words, slot_in_words};
use crate::alu::compute;

/// The most an address can be, as a mask.
pub(crate) const ADDRESS_MASK: U256 = U256::from_limbs([u64::MAX, u64::MAX, u32::MAX as u64, 0]);

/// Parts of a Keccak-256's input that are told apart; longer inputs keep the last.
pub(crate) const KECCAK_PARTS_MAX: usize = 8;

/// Parts of the input of a hash that was recorded from a run, or is evaluated.
pub(crate) const HASHED_PARTS_MAX: usize = 64;

/// Terms of a sum that are brought into one order.
const TERMS_MAX: usize = 16;

/// The name of an expression in its [`ExprArena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExprId(u32);

impl ExprId {
    /// Zero, in every arena.
    pub(crate) const ZERO: Self = Self(0);
    /// One, in every arena.
    pub(crate) const ONE: Self = Self(1);
    /// The unknown, in every arena.
    pub(crate) const UNKNOWN: Self = Self(2);

    const fn index(self) -> usize {
        self.0 as usize
    }

    /// The number of the expression in its arena, from zero on without gaps.
    pub(crate) const fn number(self) -> usize {
        self.index()
    }
}

impl fmt::Display for ExprId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expr{}", self.0)
    }
}

/// Consecutive bytes of the input of a hash: the low `bytes` of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeccakPart {
    /// The word.
    pub word: ExprId,
    /// How many of its low bytes, at most 32.
    pub bytes: u8,
}

/// What a word of unknown value is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyExpr {
    /// A known number.
    Constant(U256),
    /// The 32 bytes of call data from an offset in bytes.
    CallData(ExprId),
    /// What an instruction without operands gives: `CALLER`, `CALLVALUE`,
    /// `NUMBER`, ..., by its opcode.
    Environment(u8),
    /// What an instruction with operands gives, by its opcode; operands that it
    /// does not have are zero.
    Operation(u8, [ExprId; 3]),
    /// The Keccak-256 of bytes. Without a known length only the last word is
    /// known, and comes after an unknown part of zero bytes.
    Keccak(Box<[KeccakPart]>),
    /// What a storage slot of the account holds.
    Load(ExprId),
    /// A constant of the code that was taken out of it, by its position: an
    /// immutable, or an address that clones differ in.
    Immutable(u32),
    /// A word of memory that is known only when the code is evaluated, by the
    /// place in the code where it is read.
    Memory(u32),
    /// The Keccak-256 of memory that is known only when the code is evaluated, by
    /// the place in the code, with what is known of it.
    MemoryHash {
        /// Where it is computed.
        site: u32,
        /// What is known of it.
        known: ExprId,
    },
    /// A word that an external call answers with.
    Returned {
        /// Which call of the code.
        site: u32,
        /// Whom the call goes to.
        target: ExprId,
        /// The first four bytes of its data, where known.
        selector: Option<u32>,
        /// Which word of the answer; none is whether it succeeded, or how long it is.
        word: Option<u32>,
    },
    /// Something that is not the same on every way here or in every round of a
    /// loop; the number tells such things apart.
    Varying(u32),
    /// Not known.
    Unknown,
}

/// The expressions of one analysis.
#[derive(Clone, Debug)]
pub struct ExprArena {
    exprs: Vec<KeyExpr>,
    /// Whether an expression has something varying or unknown in it.
    vague: Vec<bool>,
    /// Whether it can differ from one time that it is asked for to the next.
    fleeting: Vec<bool>,
    ids: HashMap<KeyExpr, ExprId, DefaultHashBuilder>,
    /// Hashes of memory by their sites.
    hashes: HashMap<u32, ExprId, DefaultHashBuilder>,
    /// Words that were put together from the low bytes of others, the first in front.
    composed: HashMap<ExprId, Box<[(u8, ExprId)]>, DefaultHashBuilder>,
    count_max: usize,
}

impl ExprArena {
    /// An arena of at most `count_max` expressions.
    pub(crate) fn new(count_max: usize) -> Self {
        let mut arena = Self {
            exprs: Vec::new(),
            vague: Vec::new(),
            fleeting: Vec::new(),
            ids: HashMap::default(),
            hashes: HashMap::default(),
            composed: HashMap::default(),
            count_max: count_max.clamp(3, u32::MAX as usize),
        };
        let constants = [arena.constant(U256::ZERO), arena.constant(U256::ONE)];
        let unknown = arena.intern(KeyExpr::Unknown);
        debug_assert_eq!((constants, unknown), ([ExprId::ZERO, ExprId::ONE], ExprId::UNKNOWN));
        arena
    }

    /// The expression of that name.
    pub fn get(&self, id: ExprId) -> &KeyExpr {
        &self.exprs[id.index()]
    }

    /// How many expressions there are.
    #[expect(clippy::len_without_is_empty, reason = "an arena always holds its constants")]
    pub fn len(&self) -> usize {
        self.exprs.len()
    }

    /// Whether nothing more can be told apart.
    pub fn is_full(&self) -> bool {
        self.exprs.len() >= self.count_max
    }

    /// Whether the expression has something in it that cannot be computed from
    /// the call's inputs, the state, and what other contracts answer.
    pub fn is_vague(&self, id: ExprId) -> bool {
        self.vague[id.index()]
    }

    /// Whether one expression can stand for two values: what is loaded, asked
    /// for, or varies, at two times.
    pub(crate) fn is_fleeting(&self, id: ExprId) -> bool {
        self.fleeting[id.index()]
    }

    /// The value of an expression that is a constant.
    pub fn value(&self, id: ExprId) -> Option<U256> {
        match self.get(id) {
            KeyExpr::Constant(value) => Some(*value),
            _ => None,
        }
    }

    /// Every expression; what one is made of comes before it.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ExprId> + use<> {
        (0..u32::try_from(self.exprs.len()).unwrap_or(u32::MAX)).map(ExprId)
    }

    /// The name of an expression that is known.
    pub(crate) fn find(&self, expr: &KeyExpr) -> Option<ExprId> {
        self.ids.get(expr).copied()
    }

    /// The hash of memory that is computed at a place of the code.
    pub(crate) fn hash_at(&self, site: u32) -> Option<ExprId> {
        self.hashes.get(&site).copied()
    }

    /// The expressions that an expression is directly made of.
    pub(crate) fn parts(&self, id: ExprId) -> Vec<ExprId> {
        match self.get(id) {
            KeyExpr::CallData(of) | KeyExpr::Load(of) => vec![*of],
            KeyExpr::Operation(_, operands) => operands.to_vec(),
            KeyExpr::Keccak(parts) => parts.iter().map(|part| part.word).collect(),
            _ => Vec::new(),
        }
    }

    /// The value as an offset or length in bytes.
    pub(crate) fn offset(&self, id: ExprId) -> Option<u32> {
        self.value(id).and_then(|value| u32::try_from(value).ok())
    }

    /// The expression as a term and a constant that it is added to.
    pub(crate) fn as_sum(&self, id: ExprId) -> (Option<ExprId>, U256) {
        match *self.get(id) {
            KeyExpr::Constant(value) => (None, value),
            KeyExpr::Operation(op::ADD, [term, constant, _]) => match self.value(constant) {
                Some(constant) => (Some(term), constant),
                None => (Some(id), U256::ZERO),
            },
            _ => (Some(id), U256::ZERO),
        }
    }

    /// A known number.
    pub(crate) fn constant(&mut self, value: U256) -> ExprId {
        self.intern(KeyExpr::Constant(value))
    }

    /// The name of an expression; unknown if it is new and there is no room.
    pub(crate) fn intern(&mut self, expr: KeyExpr) -> ExprId {
        let room = self.exprs.len() < self.count_max;
        match self.ids.entry(expr) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(_) if !room => ExprId::UNKNOWN,
            Entry::Vacant(new) => {
                let id = ExprId(u32::try_from(self.exprs.len()).expect("bounded by count_max"));
                let vague = |id: &ExprId| self.vague[id.index()];
                self.vague.push(match new.key() {
                    KeyExpr::Constant(_) | KeyExpr::Environment(_) | KeyExpr::Immutable(_) => false,
                    KeyExpr::CallData(of) | KeyExpr::Load(of) => vague(of),
                    KeyExpr::Operation(_, operands) => operands.iter().any(vague),
                    KeyExpr::Keccak(parts) => parts.iter().any(|part| vague(&part.word)),
                    KeyExpr::Returned { target, .. } => vague(target),
                    KeyExpr::Varying(_)
                    | KeyExpr::Memory(_)
                    | KeyExpr::MemoryHash { .. }
                    | KeyExpr::Unknown => true,
                });
                let fleeting = |id: &ExprId| self.fleeting[id.index()];
                self.fleeting.push(match new.key() {
                    KeyExpr::Constant(_) | KeyExpr::Environment(_) | KeyExpr::Immutable(_) => false,
                    KeyExpr::CallData(of) => fleeting(of),
                    KeyExpr::Operation(code, operands) => {
                        asks_the_state(*code) || operands.iter().any(fleeting)
                    }
                    KeyExpr::Keccak(parts) => parts.iter().any(|part| fleeting(&part.word)),
                    _ => true,
                });
                if let KeyExpr::MemoryHash { site, .. } = new.key() {
                    self.hashes.insert(*site, id);
                }
                self.exprs.push(new.key().clone());
                *new.insert(id)
            }
        }
    }

    /// What an instruction gives, in normal form.
    pub(crate) fn operation(&mut self, code: u8, operands: [ExprId; 3]) -> ExprId {
        let [a, b, c] = operands;
        let values = operands.map(|operand| self.value(operand));
        if let [Some(x), Some(y), Some(z)] = values
            && let Some(value) = compute(code, [x, y, z])
        {
            return self.constant(value);
        }
        match (code, values) {
            (op::ADD, _) => self.sum(a, b),
            (op::SUB, [_, Some(y), _]) => {
                let negated = self.constant(y.wrapping_neg());
                self.sum(a, negated)
            }
            (op::SUB, _) => self.difference(a, b),
            (op::MUL | op::AND, [Some(x), ..]) if x.is_zero() => a,
            (op::MUL | op::AND, [_, Some(y), _]) if y.is_zero() => b,
            (op::MUL, [Some(x), ..]) if x == U256::ONE => b,
            (op::MUL | op::DIV, [_, Some(y), _]) if y == U256::ONE => a,
            (op::OR | op::XOR | op::SHL | op::SHR | op::SAR, [Some(x), ..]) if x.is_zero() => b,
            (op::OR | op::XOR, [_, Some(y), _]) if y.is_zero() => a,
            (op::AND, [Some(mask), ..]) => self.masked(b, mask),
            (op::AND, [_, Some(mask), _]) => self.masked(a, mask),
            (op::MUL, [Some(_), None, _]) => self.intern(KeyExpr::Operation(op::MUL, [b, a, c])),
            (op::EQ, _) if a == b && !self.is_fleeting(a) => ExprId::ONE,
            (op::EQ, [Some(x), ..]) if x.is_zero() => {
                self.operation(op::ISZERO, [b, ExprId::ZERO, ExprId::ZERO])
            }
            (op::EQ, [_, Some(y), _]) if y.is_zero() => {
                self.operation(op::ISZERO, [a, ExprId::ZERO, ExprId::ZERO])
            }
            (op::EQ | op::OR | op::XOR, _) => {
                let (first, second) = if a <= b { (a, b) } else { (b, a) };
                self.intern(KeyExpr::Operation(code, [first, second, c]))
            }
            // Three times negated is once negated.
            (op::ISZERO, _) => match *self.get(a) {
                KeyExpr::Operation(op::ISZERO, [inner, ..])
                    if matches!(self.get(inner), KeyExpr::Operation(op::ISZERO, _)) =>
                {
                    inner
                }
                _ => self.intern(KeyExpr::Operation(code, operands)),
            },
            // Four bytes from the top of call data, before there was a shift.
            (op::DIV, [_, Some(y), _]) if y.is_power_of_two() => {
                let shift = self.constant(U256::from(y.trailing_zeros()));
                self.intern(KeyExpr::Operation(op::SHR, [shift, a, ExprId::ZERO]))
            }
            _ => self.intern(KeyExpr::Operation(code, operands)),
        }
    }

    /// The sum, its constant last and outermost.
    fn sum(&mut self, a: ExprId, b: ExprId) -> ExprId {
        let ((first, x), (second, y)) = (self.as_sum(a), self.as_sum(b));
        let constant = x.wrapping_add(y);
        let term = match (first, second) {
            (None, None) => return self.constant(constant),
            (Some(term), None) | (None, Some(term)) => term,
            (Some(first), Some(second)) => self.sum_of_terms(first, second),
        };
        if constant.is_zero() {
            return term;
        }
        let constant = self.constant(constant);
        self.intern(KeyExpr::Operation(op::ADD, [term, constant, ExprId::ZERO]))
    }

    /// The sum of what is not constant: one order of the terms for all sums of them.
    fn sum_of_terms(&mut self, first: ExprId, second: ExprId) -> ExprId {
        let mut terms = Vec::new();
        let mut work = vec![first, second];
        while let Some(id) = work.pop() {
            match *self.get(id) {
                KeyExpr::Operation(op::ADD, [a, b, _]) if work.len() + terms.len() < TERMS_MAX => {
                    work.extend([a, b]);
                }
                _ => terms.push(id),
            }
        }
        terms.sort_unstable();
        let add = |arena: &mut Self, sum, term| {
            arena.intern(KeyExpr::Operation(op::ADD, [sum, term, ExprId::ZERO]))
        };
        let sum = terms.into_iter().map(Some).reduce(|sum, term| Some(add(self, sum?, term?)));
        sum.flatten().unwrap_or(ExprId::ZERO)
    }

    /// The difference of what is not constant.
    fn difference(&mut self, a: ExprId, b: ExprId) -> ExprId {
        let ((Some(first), x), (Some(second), y)) = (self.as_sum(a), self.as_sum(b)) else {
            return self.intern(KeyExpr::Operation(op::SUB, [a, b, ExprId::ZERO]));
        };
        if self.is_fleeting(second) {
            return self.intern(KeyExpr::Operation(op::SUB, [a, b, ExprId::ZERO]));
        }
        let constant = self.constant(x.wrapping_sub(y));
        if first == second {
            return constant;
        }
        let term = match *self.get(first) {
            KeyExpr::Operation(op::ADD, [one, other, _]) if one == second => other,
            KeyExpr::Operation(op::ADD, [other, one, _]) if one == second => other,
            _ => self.intern(KeyExpr::Operation(op::SUB, [first, second, ExprId::ZERO])),
        };
        self.sum(term, constant)
    }

    /// The Keccak-256 of constants.
    fn digest(&self, id: ExprId) -> Option<U256> {
        let KeyExpr::Keccak(parts) = self.get(id) else { return None };
        let mut input = Vec::with_capacity(parts.len() * 32);
        for part in parts {
            let word = self.value(part.word)?.to_be_bytes::<32>();
            input.extend(&word[32 - usize::from(part.bytes)..]);
        }
        Some(keccak256(input).into())
    }

    /// Under a constant mask; an address needs none.
    fn masked(&mut self, word: ExprId, mask: U256) -> ExprId {
        // A hash stands for a mapping or an array as long as it is whole: a part
        // of one is a slot of a name of its own (ERC-7201).
        if let Some(word) = self.digest(word).filter(|_| mask != U256::MAX) {
            return self.constant(word & mask);
        }
        let is_address = matches!(
            self.get(word),
            KeyExpr::Environment(op::CALLER | op::ORIGIN | op::ADDRESS | op::COINBASE)
        );
        if mask == U256::MAX || (mask == ADDRESS_MASK && is_address) {
            return word;
        }
        // What a shift leaves may be within the mask already.
        if let KeyExpr::Operation(op::SHR, [shift, ..]) = *self.get(word)
            && let Some(shift) = self.offset(shift).filter(|shift| *shift <= 256)
            && mask == U256::MAX >> (256 - mask.bit_len())
            && mask.bit_len() >= 256 - shift as usize
        {
            return word;
        }
        if let KeyExpr::Operation(op::AND, [inner, before, _]) = *self.get(word)
            && let Some(before) = self.value(before)
        {
            return self.masked(inner, before & mask);
        }
        let mask = self.constant(mask);
        self.intern(KeyExpr::Operation(op::AND, [word, mask, ExprId::ZERO]))
    }
}

/// Whether an instruction asks the state, which changes.
const fn asks_the_state(code: u8) -> bool {
    matches!(code, op::BALANCE | op::EXTCODESIZE | op::EXTCODEHASH | op::TLOAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(arena: &mut ExprArena, value: u64) -> ExprId {
        arena.constant(U256::from(value))
    }

    #[test]
    fn equal_expressions_have_one_name_however_they_are_written() {
        let mut arena = ExprArena::new(64);
        let caller = arena.intern(KeyExpr::Environment(op::CALLER));
        let value = arena.intern(KeyExpr::Environment(op::CALLVALUE));
        let (two, five) = (number(&mut arena, 2), number(&mut arena, 5));
        let seven = number(&mut arena, 7);
        let add = |arena: &mut ExprArena, a, b| arena.operation(op::ADD, [a, b, ExprId::ZERO]);
        let inner = add(&mut arena, caller, two);
        let left = add(&mut arena, inner, five);
        let right = add(&mut arena, seven, caller);
        assert_eq!(left, right);
        let (one, other) = (add(&mut arena, inner, value), add(&mut arena, value, inner));
        assert_eq!(one, other);
        assert_eq!(arena.operation(op::SUB, [one, value, ExprId::ZERO]), inner);
        assert_eq!(arena.operation(op::SUB, [left, inner, ExprId::ZERO]), five);
    }

    #[test]
    fn a_full_arena_gives_the_unknown_instead_of_growing() {
        let mut arena = ExprArena::new(4);
        let caller = arena.intern(KeyExpr::Environment(op::CALLER));
        assert_eq!(arena.intern(KeyExpr::Environment(op::ORIGIN)), ExprId::UNKNOWN);
        assert_eq!(arena.intern(KeyExpr::Environment(op::CALLER)), caller);
        assert!(arena.is_full() && arena.is_vague(ExprId::UNKNOWN) && !arena.is_vague(caller));
    }

    /// The example of ERC-7201: namespace `example.main`.
    #[test]
    fn a_slot_named_after_a_namespace_is_a_constant() {
        let mut arena = ExprArena::new(64);
        let name = U256::from_be_bytes(keccak256("example.main").0) - U256::ONE;
        let name = KeccakPart { word: arena.constant(name), bytes: 32 };
        let hash = arena.intern(KeyExpr::Keccak([name].into()));
        let mask = arena.constant(!U256::from(0xff));
        let slot = arena.operation(op::AND, [hash, mask, ExprId::ZERO]);
        let expected = "0x183a6125c38840424c4a85fa12bab2ab606c4b6d0e7cc73c0c06ba5300eab500";
        assert_eq!(arena.value(slot), Some(expected.parse().unwrap()));
        assert_eq!(arena.value(hash), None, "it may be where an array's elements are");
    }

    #[test]
    fn masks_meet_and_addresses_need_none() {
        let mut arena = ExprArena::new(64);
        let caller = arena.intern(KeyExpr::Environment(op::CALLER));
        let mask = arena.constant(ADDRESS_MASK);
        assert_eq!(arena.operation(op::AND, [mask, caller, ExprId::ZERO]), caller);
        let load = arena.intern(KeyExpr::Load(ExprId::ZERO));
        let once = arena.operation(op::AND, [load, mask, ExprId::ZERO]);
        assert_eq!(arena.operation(op::AND, [mask, once, ExprId::ZERO]), once);
    }
}
