//! From an expression to text, within bounds. [`words`](super::words) says what
//! the words mean.

use core::fmt::{self, Write as _};

use revm::{
    bytecode::opcode as op,
    primitives::{Address, U256},
};

use super::{
    ADDRESS_MASK, ExprArena, ExprId, KeyExpr,
    names::{self, Place},
    shape::{Offset, Shape, hash_shape, shape},
    words::Namer,
};

/// Expressions printed at most of one.
const EXPRS_MAX: u32 = 48;

/// Nesting printed at most.
const DEPTH_MAX: u32 = 12;

/// What is not known, or too large to print.
const VAGUE: &str = "..";

/// Constants up to this many bits are written in full.
const PLAIN_BITS_MAX: usize = 64;

/// Prints expressions, no more than there is room for.
pub(super) struct Printer<'a> {
    arena: &'a ExprArena,
    namer: Option<Namer<'a>>,
    out: String,
    left: u32,
    depth: u32,
}

impl<'a> Printer<'a> {
    pub(super) const fn new(arena: &'a ExprArena, namer: Option<Namer<'a>>) -> Self {
        Self { arena, namer, out: String::new(), left: EXPRS_MAX, depth: 0 }
    }

    /// What was printed.
    pub(super) fn finish(self) -> String {
        self.out
    }

    /// Prints something nested, unless too much was.
    fn nested(
        &mut self,
        id: ExprId,
        print: impl FnOnce(&mut Self, ExprId) -> fmt::Result,
    ) -> fmt::Result {
        if self.left == 0 || self.depth == DEPTH_MAX {
            return self.out.write_str(VAGUE);
        }
        self.left -= 1;
        self.depth += 1;
        print(self, id)?;
        self.depth -= 1;
        Ok(())
    }

    /// A storage slot by its key.
    pub(super) fn slot(&mut self, id: ExprId) -> fmt::Result {
        self.nested(id, Self::slot_unbounded)
    }

    fn slot_unbounded(&mut self, id: ExprId) -> fmt::Result {
        match shape(self.arena, id) {
            Shape::Constant(slot) => self.constant_slot(slot),
            Shape::Entry { base, keys } => {
                if matches!(shape(self.arena, base), Shape::Entry { .. } | Shape::Packed { .. }) {
                    self.slot(base)?;
                } else {
                    self.out.write_str("mapping(")?;
                    self.slot(base)?;
                    self.out.write_char(')')?;
                }
                keys.into_iter().try_for_each(|key| self.bracketed(key))
            }
            Shape::Packed { seed, keys } => {
                self.out.write_str("mapping(seed ")?;
                self.number(seed)?;
                self.out.write_char(')')?;
                keys.into_iter().try_for_each(|key| self.bracketed(key))
            }
            Shape::Elements(base) => {
                self.out.write_str("array(")?;
                self.slot(base)?;
                self.out.write_str(")[0]")
            }
            Shape::Field(base, offset) => self.field(base, &offset),
            Shape::Other if self.arena.is_vague(id) && self.is_bare(id) => {
                self.out.write_str("any slot")
            }
            Shape::Other => {
                self.out.write_str("slot(")?;
                self.value(id)?;
                self.out.write_char(')')
            }
        }
    }

    fn is_bare(&self, id: ExprId) -> bool {
        matches!(self.arena.get(id), KeyExpr::Varying(_) | KeyExpr::Memory(_) | KeyExpr::Unknown)
    }

    fn field(&mut self, base: ExprId, offset: &Offset) -> fmt::Result {
        let array = match shape(self.arena, base) {
            Shape::Elements(base) => Some(base),
            Shape::Constant(slot) => match names::place(slot) {
                Some((Place::Array(slot), 0)) => {
                    write!(self.out, "array(slot {slot})")?;
                    return self.index(offset);
                }
                _ => None,
            },
            _ => None,
        };
        if let Some(base) = array {
            self.out.write_str("array(")?;
            self.slot(base)?;
            self.out.write_char(')')?;
            return self.index(offset);
        }
        self.slot(base)?;
        self.out.write_char('+')?;
        match *offset {
            Offset::Constant(constant) => self.number(constant),
            Offset::Computed(index, constant) => self.sum(index, constant),
        }
    }

    fn index(&mut self, offset: &Offset) -> fmt::Result {
        self.out.write_char('[')?;
        match *offset {
            Offset::Constant(constant) => self.number(constant)?,
            Offset::Computed(index, constant) => self.sum(index, constant)?,
        }
        self.out.write_char(']')
    }

    fn sum(&mut self, index: ExprId, constant: U256) -> fmt::Result {
        if self.arena.is_vague(index) {
            return self.out.write_str(VAGUE);
        }
        self.value(index)?;
        if !constant.is_zero() {
            self.out.write_char('+')?;
            self.number(constant)?;
        }
        Ok(())
    }

    fn bracketed(&mut self, key: ExprId) -> fmt::Result {
        self.out.write_char('[')?;
        self.value(key)?;
        self.out.write_char(']')
    }

    fn constant_slot(&mut self, slot: U256) -> fmt::Result {
        match names::place(slot) {
            Some((Place::Array(array), index)) => write!(self.out, "array(slot {array})[{index}]"),
            Some((Place::ZeroEntry(slot), 0)) => write!(self.out, "mapping(slot {slot})[0]"),
            Some((Place::ZeroEntry(slot), field)) => {
                write!(self.out, "mapping(slot {slot})[0]+{field}")
            }
            Some((Place::Named(name), 0)) => write!(self.out, "slot {name}"),
            Some((Place::Named(name), field)) => write!(self.out, "slot {name}+{field}"),
            None => {
                self.out.write_str("slot ")?;
                self.number(slot)
            }
        }
    }

    /// A number: small ones in decimal, addresses in full, others cut.
    fn number(&mut self, value: U256) -> fmt::Result {
        let bits = value.bit_len();
        if bits <= 32 {
            return write!(self.out, "{value}");
        }
        if bits <= PLAIN_BITS_MAX {
            return write!(self.out, "{value:#x}");
        }
        if bits > 128 && value <= ADDRESS_MASK {
            return write!(self.out, "{}", Address::from_word(value.into()));
        }
        let negated = value.wrapping_neg();
        if negated.bit_len() <= 32 {
            return write!(self.out, "-{negated}");
        }
        let digits = format!("{value:064x}");
        let digits = digits.trim_start_matches('0');
        write!(self.out, "0x{}…{}", &digits[..8], &digits[digits.len() - 6..])
    }

    /// A value.
    pub(super) fn value(&mut self, id: ExprId) -> fmt::Result {
        self.nested(id, Self::value_unbounded)
    }

    fn value_unbounded(&mut self, id: ExprId) -> fmt::Result {
        let arena = self.arena;
        match arena.get(id) {
            KeyExpr::Constant(value) => self.number(*value),
            KeyExpr::CallData(from) => self.calldata(*from),
            KeyExpr::Environment(code) => self.out.write_str(names::environment(*code)),
            KeyExpr::Load(key) => self.slot(*key),
            KeyExpr::Operation(code, operands) => self.operation(*code, operands),
            KeyExpr::Keccak(parts) => {
                if !matches!(hash_shape(arena, parts), Shape::Other | Shape::Elements(_)) {
                    self.out.write_str("hash of ")?;
                }
                self.out.write_str("keccak(")?;
                for (at, part) in parts.iter().enumerate() {
                    if at > 0 {
                        self.out.write_str(", ")?;
                    }
                    self.value(part.word)?;
                }
                self.out.write_char(')')
            }
            // A contract that was created, or one of several answers.
            KeyExpr::Returned { target, .. } if *target == ExprId::UNKNOWN => {
                self.out.write_str(VAGUE)
            }
            KeyExpr::Returned { target, selector, .. } => {
                self.callee(*target)?;
                self.out.write_char('.')?;
                self.function(*selector)?;
                self.out.write_str("()")
            }
            KeyExpr::Immutable(at) => write!(self.out, "immutable{at}"),
            KeyExpr::MemoryHash { known, .. } => self.value(*known),
            KeyExpr::Varying(_) | KeyExpr::Memory(_) | KeyExpr::Unknown => {
                self.out.write_str(VAGUE)
            }
        }
    }

    /// Whom a call goes to: precompiles have names.
    fn callee(&mut self, target: ExprId) -> fmt::Result {
        match self.arena.offset(target) {
            Some(1) => self.out.write_str("ecrecover"),
            Some(2) => self.out.write_str("sha256"),
            Some(at @ 3..=0x100) => write!(self.out, "precompile{at}"),
            _ => self.value(target),
        }
    }

    fn function(&mut self, selector: Option<u32>) -> fmt::Result {
        let name = selector.and_then(|selector| self.namer?(selector));
        match (name, selector) {
            (Some(name), _) => self.out.write_str(&name),
            (None, Some(selector)) => write!(self.out, "{selector:#010x}"),
            (None, None) => self.out.write_str("call"),
        }
    }

    /// Call data as arguments of 32 bytes behind a selector.
    fn calldata(&mut self, from: ExprId) -> fmt::Result {
        let (term, constant) = self.arena.as_sum(from);
        let word = |first: u64| {
            let bytes = constant.checked_sub(U256::from(first))?;
            let (word, rest) = bytes.div_rem(U256::from(32));
            rest.is_zero().then_some(word)
        };
        match term {
            None => match word(4) {
                Some(argument) => write!(self.out, "arg{argument}"),
                None => write!(self.out, "calldata[{constant}]"),
            },
            Some(term) => {
                let Some(argument) = self.argument(term) else {
                    return self.out.write_str("calldata[..]");
                };
                write!(self.out, "arg{argument}")?;
                match word(36) {
                    Some(element) if term == self.offset_of(term) => {
                        write!(self.out, "[{element}]")
                    }
                    None if constant == U256::from(4) && term == self.offset_of(term) => {
                        self.out.write_str(".length")
                    }
                    _ => self.out.write_str("[..]"),
                }
            }
        }
    }

    /// The first term of a sum.
    fn offset_of(&self, term: ExprId) -> ExprId {
        let mut term = term;
        while let KeyExpr::Operation(op::ADD, [first, ..]) = *self.arena.get(term) {
            term = first;
        }
        term
    }

    /// The argument that a sum in an offset is relative to.
    fn argument(&self, term: ExprId) -> Option<U256> {
        let argument = |id| {
            let KeyExpr::CallData(from) = *self.arena.get(id) else { return None };
            let bytes = self.arena.value(from)?.checked_sub(U256::from(4))?;
            let (word, rest) = bytes.div_rem(U256::from(32));
            rest.is_zero().then_some(word)
        };
        let mut term = term;
        for _ in 0..DEPTH_MAX {
            match *self.arena.get(term) {
                KeyExpr::Operation(op::ADD, [first, second, _]) => {
                    if let Some(found) = argument(second) {
                        return Some(found);
                    }
                    term = first;
                }
                _ => return argument(term),
            }
        }
        None
    }

    fn operation(&mut self, code: u8, operands: &[ExprId; 3]) -> fmt::Result {
        let [a, b, _] = *operands;
        let sign = match code {
            op::AND if self.arena.value(b).is_some() => return self.value(a),
            // A field of a word that is loaded; of an argument, the shift says which part.
            op::SHR | op::SHL | op::SAR | op::SIGNEXTEND
                if self.arena.value(a).is_some()
                    && (code == op::SIGNEXTEND || self.is_packed(b)) =>
            {
                return self.value(b);
            }
            op::ADD => "+",
            op::SUB => "-",
            op::MUL => "*",
            op::DIV | op::SDIV => "/",
            op::MOD | op::SMOD => "%",
            op::EXP => "^",
            op::AND => "&",
            op::OR => "|",
            op::XOR => " xor ",
            op::LT | op::SLT => "<",
            op::GT | op::SGT => ">",
            op::EQ => "==",
            op::SHL => return self.infix(b, "<<", a),
            op::SHR | op::SAR => return self.infix(b, ">>", a),
            _ => {
                self.out.write_str(match code {
                    op::ISZERO => "not ",
                    op::NOT => "~",
                    op::BALANCE => "balance of ",
                    op::EXTCODESIZE => "code size of ",
                    op::EXTCODEHASH => "code hash of ",
                    op::BLOCKHASH => "hash of block ",
                    op::TLOAD => "transient ",
                    _ => "function of ",
                })?;
                return self.value(a);
            }
        };
        self.infix(a, sign, b)
    }

    /// Whether fields are packed in the word, as in those of storage and answers.
    fn is_packed(&self, id: ExprId) -> bool {
        match *self.arena.get(id) {
            KeyExpr::Operation(op::AND, [word, ..]) => self.is_packed(word),
            KeyExpr::Load(_) | KeyExpr::Returned { .. } => true,
            _ => false,
        }
    }

    fn infix(&mut self, a: ExprId, sign: &str, b: ExprId) -> fmt::Result {
        if self.arena.is_vague(a) && self.arena.is_vague(b) {
            return self.out.write_str(VAGUE);
        }
        self.out.write_char('(')?;
        self.value(a)?;
        self.out.write_str(sign)?;
        self.value(b)?;
        self.out.write_char(')')
    }
}
