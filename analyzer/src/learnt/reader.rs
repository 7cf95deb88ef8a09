//! From a trace to effects: each word that an access was made with as an expression.

use hashbrown::{HashMap, HashSet};
use revm::{
    bytecode::opcode as op,
    primitives::{U256, map::DefaultHashBuilder},
};

use super::{
    effect::{LearntEffect, LearntInput},
    trace::{Node, Trace, TraceEvent, TraceInput, Word},
};
use crate::expr::{ADDRESS_MASK, ExprArena, ExprId, KeccakPart, KeyExpr};

/// Nesting of an expression.
const DEPTH_MAX: u32 = 96;

/// What was met in a run so far.
pub(super) struct Run {
    pub(super) counted: HashSet<usize>,
    /// Calls from each place of the code to each account.
    pub(super) places: HashMap<(u32, ExprId), u16, DefaultHashBuilder>,
    pub(super) dropped: bool,
}

/// Reads a trace as expressions.
pub(super) struct Reader<'a> {
    pub(super) trace: &'a Trace,
    pub(super) exprs: &'a mut ExprArena,
    pub(super) known: HashMap<Word, ExprId, DefaultHashBuilder>,
    /// The sites of calls, by the number of the event.
    pub(super) sites: Vec<Option<u32>>,
}

impl Reader<'_> {
    /// An event as an effect, with the values of its data; none if it cannot be expressed.
    pub(super) fn effect(
        &mut self,
        event: &TraceEvent,
        run: &mut Run,
    ) -> Option<(LearntEffect, Vec<U256>)> {
        let effect = match event {
            TraceEvent::Load { key, slot } => LearntEffect::Read(self.whole(*key, slot)?),
            TraceEvent::Store { key, slot } => LearntEffect::Write(self.whole(*key, slot)?),
            TraceEvent::Account { code, of } => {
                LearntEffect::Account { code: *code, of: self.address(*of)? }
            }
            TraceEvent::Destroy(to) => LearntEffect::Destroy(self.address(*to)?),
            TraceEvent::Call { pc, code, target, value, input } => {
                let target = self.address(*target)?;
                let nth = run.next(*pc, target);
                let value = value.map(|value| self.expr(value, 0));
                let (input, values) = self.input(input);
                let (pc, code) = (*pc, *code);
                return Some((LearntEffect::Call { pc, nth, code, target, value, input }, values));
            }
            TraceEvent::Create { pc, value, init, salt, init_hash } => {
                let salt = salt.map(|salt| self.expr(salt, 0));
                let Some(init) = init else {
                    return self.created(salt?, (*init_hash)?).map(|it| (it, Vec::new()));
                };
                let nth = run.next(*pc, ExprId::ZERO);
                let value = self.expr(*value, 0);
                let (init, values) = self.input(init);
                let pc = *pc;
                return Some((LearntEffect::Create { pc, nth, value, init, salt }, values));
            }
            TraceEvent::Other => return None,
        };
        Some((effect, Vec::new()))
    }

    /// The account that `CREATE2` makes, whose code is asked for.
    fn created(&mut self, salt: ExprId, init_hash: Word) -> Option<LearntEffect> {
        let init_hash = self.expr(init_hash, 0);
        let prefix = self.exprs.constant(U256::from(0xff));
        let this = self.exprs.intern(KeyExpr::Environment(op::ADDRESS));
        let parts = [(prefix, 1), (this, 20), (salt, 32), (init_hash, 32)];
        let parts = parts.map(|(word, bytes)| KeccakPart { word, bytes });
        let hash = self.exprs.intern(KeyExpr::Keccak(parts.into()));
        let mask = self.exprs.constant(ADDRESS_MASK);
        let of = self.exprs.operation(op::AND, [hash, mask, ExprId::ZERO]);
        let is_known = !self.exprs.is_vague(of);
        is_known.then_some(LearntEffect::Account { code: op::EXTCODESIZE, of })
    }

    fn input(&mut self, input: &TraceInput) -> (LearntInput, Vec<U256>) {
        let TraceInput::Words(words) = input else { return (LearntInput::CallData, Vec::new()) };
        let read = words.iter().map(|(bytes, word, value)| (*bytes, self.read(*word, value)));
        let read = read.collect();
        (LearntInput::Words(read), words.iter().map(|(.., value)| *value).collect())
    }

    /// A word that must be known as a whole.
    fn whole(&mut self, word: Word, value: &U256) -> Option<ExprId> {
        let id = self.read(word, value);
        (!self.exprs.is_vague(id)).then_some(id)
    }

    /// An address, without the mask that leaves nothing else.
    fn address(&mut self, word: Word) -> Option<ExprId> {
        let id = self.expr(word, 0);
        let inner = match *self.exprs.get(id) {
            KeyExpr::Operation(op::AND, [inner, mask, _])
                if self.exprs.value(mask) == Some(ADDRESS_MASK) =>
            {
                inner
            }
            _ => id,
        };
        (!self.exprs.is_vague(inner)).then_some(inner)
    }

    pub(super) fn read(&mut self, word: Word, value: &U256) -> ExprId {
        if word == Word::CONSTANT { self.exprs.constant(*value) } else { self.expr(word, 0) }
    }

    fn expr(&mut self, word: Word, depth: u32) -> ExprId {
        let Some(node) = word.index().and_then(|at| self.trace.nodes.get(at)) else {
            return ExprId::UNKNOWN;
        };
        if depth == DEPTH_MAX {
            return ExprId::UNKNOWN;
        }
        if let Some(known) = self.known.get(&word) {
            return *known;
        }
        let id = match *node {
            Node::Constant(at) => {
                let value = self.trace.constants.get(at as usize).copied();
                self.exprs.constant(value.unwrap_or_default())
            }
            Node::Environment(code) => self.exprs.intern(KeyExpr::Environment(code)),
            Node::Immutable(index) => self.exprs.intern(KeyExpr::Immutable(index)),
            Node::CallData(at) => {
                let at = self.expr(at, depth + 1);
                self.made_of(&[at], KeyExpr::CallData(at))
            }
            Node::Load(key) => {
                let key = self.expr(key, depth + 1);
                self.made_of(&[key], KeyExpr::Load(key))
            }
            Node::Operation(code, operands) => {
                let count = op::OpCode::info_by_op(code).map_or(0, |info| info.inputs());
                let mut ids = [ExprId::ZERO; 3];
                for (id, operand) in ids.iter_mut().zip(operands).take(count.into()) {
                    *id = self.expr(operand, depth + 1);
                }
                if ids.iter().any(|id| self.exprs.is_vague(*id)) {
                    ExprId::UNKNOWN
                } else {
                    self.exprs.operation(code, ids)
                }
            }
            Node::Keccak { start, len } => {
                let parts = &self.trace.parts[start as usize..][..len as usize];
                let parts: Box<[KeccakPart]> = parts
                    .iter()
                    .map(|(bytes, word)| KeccakPart {
                        word: self.expr(*word, depth + 1),
                        bytes: *bytes,
                    })
                    .collect();
                let words: Vec<_> = parts.iter().map(|part| part.word).collect();
                self.made_of(&words, KeyExpr::Keccak(parts))
            }
            Node::Returned { event, word } => match self.sites.get(event as usize) {
                Some(Some(site)) => self.exprs.intern(KeyExpr::Returned {
                    site: *site,
                    target: ExprId::ZERO,
                    selector: None,
                    word: Some(word),
                }),
                _ => ExprId::UNKNOWN,
            },
        };
        self.known.insert(word, id);
        id
    }

    fn made_of(&mut self, words: &[ExprId], expr: KeyExpr) -> ExprId {
        let is_vague = words.iter().any(|word| self.exprs.is_vague(*word));
        if is_vague { ExprId::UNKNOWN } else { self.exprs.intern(expr) }
    }
}

impl Run {
    /// Which call from this place to this account it is.
    fn next(&mut self, pc: u32, target: ExprId) -> u16 {
        let count = self.places.entry((pc, target)).or_default();
        *count = count.saturating_add(1);
        *count
    }
}
