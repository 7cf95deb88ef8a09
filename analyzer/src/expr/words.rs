//! From an expression to how a person reads it: `mapping(slot 2)[caller]+1`.
//!
//! A key that is a hash of a key and a slot is an entry of a mapping: Solidity
//! hashes the key first, Vyper the slot. The hash of a slot is where an array
//! begins. A packed hash with one constant in it is a mapping in Solady's
//! layout. Masks and shifts that only pick a field out of a word are left out;
//! `..` is what varies or is not known. What is too large to read is cut short.

use core::fmt::{self, Write as _};

use revm::{
    bytecode::opcode as op,
    primitives::{Address, U256},
};

use super::{
    ADDRESS_MASK, ExprArena, ExprId, KeccakPart, KeyExpr,
    names::{self, Place},
};

/// Expressions printed at most of one.
const EXPRS_MAX: u32 = 48;

/// Nesting printed at most.
const DEPTH_MAX: u32 = 12;

/// What is not known, or too large to print.
const VAGUE: &str = "..";

/// Constants up to this many bits are written in full.
const PLAIN_BITS_MAX: usize = 64;

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
        let mut id = self.id;
        for _ in 0..DEPTH_MAX {
            match shape(self.arena, id) {
                Shape::Constant(_) | Shape::Packed { .. } => return true,
                Shape::Entry { base, .. } | Shape::Elements(base) | Shape::Field(base, _) => {
                    id = base;
                }
                Shape::Other => return false,
            }
        }
        false
    }

    fn printed(&self, print: impl FnOnce(&mut Printer<'_>) -> fmt::Result) -> String {
        let mut printer = Printer {
            arena: self.arena,
            namer: self.namer,
            out: String::new(),
            left: EXPRS_MAX,
            depth: 0,
        };
        // Writing to a string does not fail.
        let _ = print(&mut printer);
        printer.out
    }
}

/// What a storage key is.
enum Shape {
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

enum Offset {
    Constant(U256),
    Computed(ExprId, U256),
}

fn shape(arena: &ExprArena, id: ExprId) -> Shape {
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
        _ => Shape::Other,
    }
}

fn base_and_index(arena: &ExprArena, a: ExprId, b: ExprId) -> Option<(ExprId, ExprId)> {
    if is_hash(arena, a) { Some((a, b)) } else { is_hash(arena, b).then_some((b, a)) }
}

fn is_hash(arena: &ExprArena, id: ExprId) -> bool {
    matches!(arena.get(id), KeyExpr::Keccak(_))
}

/// A slot, or a place in a mapping that is the slot of an inner one.
fn is_base(arena: &ExprArena, id: ExprId) -> bool {
    let (term, _) = arena.as_sum(id);
    term.is_none_or(|term| is_hash(arena, term))
}

fn hash_shape(arena: &ExprArena, parts: &[KeccakPart]) -> Shape {
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

struct Printer<'a> {
    arena: &'a ExprArena,
    namer: Option<Namer<'a>>,
    out: String,
    left: u32,
    depth: u32,
}

impl Printer<'_> {
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
    fn slot(&mut self, id: ExprId) -> fmt::Result {
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
        matches!(self.arena.get(id), KeyExpr::Varying(_) | KeyExpr::Unknown)
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
    fn value(&mut self, id: ExprId) -> fmt::Result {
        self.nested(id, Self::value_unbounded)
    }

    fn value_unbounded(&mut self, id: ExprId) -> fmt::Result {
        let arena = self.arena;
        match arena.get(id) {
            KeyExpr::Constant(value) => self.number(*value),
            KeyExpr::CallData(from) => self.calldata(*from),
            KeyExpr::Environment(code) => self.out.write_str(environment(*code)),
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
            KeyExpr::Returned { target, selector, .. } => {
                self.callee(*target)?;
                self.out.write_char('.')?;
                self.function(*selector)?;
                self.out.write_str("()")
            }
            KeyExpr::Varying(_) | KeyExpr::Unknown => self.out.write_str(VAGUE),
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

/// The name of what an instruction without operands gives.
const fn environment(code: u8) -> &'static str {
    match code {
        op::ADDRESS => "this",
        op::ORIGIN => "origin",
        op::CALLER => "caller",
        op::CALLVALUE => "value",
        op::CALLDATASIZE => "calldata.length",
        op::GASPRICE => "gas price",
        op::COINBASE => "block.coinbase",
        op::TIMESTAMP => "block.timestamp",
        op::NUMBER => "block.number",
        op::DIFFICULTY => "block.prevrandao",
        op::GASLIMIT => "block.gaslimit",
        op::CHAINID => "chain id",
        op::BASEFEE => "block.basefee",
        op::BLOBBASEFEE => "block.blobbasefee",
        _ => "environment",
    }
}
