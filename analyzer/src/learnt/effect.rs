//! One effect that runs of a function had, and when two runs had the same one.

use revm::primitives::U256;
use serde::{Deserialize, Serialize};

use super::trace::INPUT_WORDS_MAX;
use crate::{
    expr::{ExprArena, ExprId},
    symbolic::{
        CallKind,
        graph::{Bytes, Call, Event},
    },
};

/// A word up to which many bits is taken for an amount or a number: one that runs compute
/// differently is not known, but the call is still the same one.
const AMOUNT_BITS_MAX: usize = 96;

/// The data of a call that was learnt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LearntInput {
    /// All the call data that the function was given.
    CallData,
    /// Words in order, each with how many of its low bytes count.
    Words(Vec<(u8, ExprId)>),
}

/// What a function did in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LearntEffect {
    /// Read the slot of this key.
    Read(ExprId),
    /// Wrote the slot of this key.
    Write(ExprId),
    /// Asked for an account, by the instruction.
    Account {
        /// The instruction.
        code: u8,
        /// The address.
        of: ExprId,
    },
    /// Called.
    Call {
        /// Where in the code.
        pc: u32,
        /// Which of the calls from there, to the same account, of one run.
        nth: u16,
        /// The instruction.
        code: u8,
        /// The address.
        target: ExprId,
        /// The ether sent along, unless it was none.
        value: Option<ExprId>,
        /// The data.
        input: LearntInput,
    },
    /// Created a contract.
    Create {
        /// Where in the code.
        pc: u32,
        /// Which of the creations from there of one run.
        nth: u16,
        /// The ether sent along.
        value: ExprId,
        /// The init code.
        init: LearntInput,
        /// The salt of `CREATE2`.
        salt: Option<ExprId>,
    },
    /// Destroyed the account; the balance goes to this address.
    Destroy(ExprId),
}

impl LearntInput {
    fn bytes(&self) -> Bytes {
        match self {
            Self::CallData => Bytes::CallData,
            Self::Words(words) => Bytes::Words(words.as_slice().into()),
        }
    }

    fn words(&self) -> &[(u8, ExprId)] {
        match self {
            Self::CallData => &[],
            Self::Words(words) => words,
        }
    }

    /// Whether a run's data can be the same; `values` are its words' values.
    fn admits(&self, arena: &ExprArena, other: &Self, values: &[U256]) -> bool {
        let (Self::Words(mine), Self::Words(theirs)) = (self, other) else {
            return self == other;
        };
        let pairs = mine.iter().zip(theirs).zip(values);
        mine.len() == theirs.len()
            && pairs.enumerate().all(|(at, (((bytes, word), (other_bytes, other)), value))| {
                let is_amount = || at > 0 && is_amount(arena, *word, *other, value);
                bytes == other_bytes && (word == other || is_amount())
            })
    }

    fn meet(&mut self, other: &Self) {
        let (Self::Words(mine), Self::Words(theirs)) = (self, other) else { return };
        for ((_, word), (_, other)) in mine.iter_mut().zip(theirs) {
            if word != other {
                *word = ExprId::UNKNOWN;
            }
        }
    }
}

/// Whether two words that differ may stand for one amount.
fn is_amount(arena: &ExprArena, word: ExprId, other: ExprId, value: &U256) -> bool {
    let is_constant = arena.value(word).is_some() && arena.value(other).is_some();
    value.bit_len() <= AMOUNT_BITS_MAX && !is_constant
}

impl LearntEffect {
    /// Whether a run did the same; `values` are the values of the words of its data.
    pub(super) fn admits(&self, arena: &ExprArena, other: &Self, values: &[U256]) -> bool {
        match (self, other) {
            (Self::Call { value, input, .. }, Self::Call { value: paid, input: data, .. }) => {
                self.is_at(other)
                    && value.is_some() == paid.is_some()
                    && input.admits(arena, data, values)
            }
            _ => self == other,
        }
    }

    /// Takes in what another run did that is the same effect.
    pub(super) fn join(&mut self, other: &Self) {
        if let (Self::Call { value, input, .. }, Self::Call { value: paid, input: data, .. }) =
            (self, other)
        {
            input.meet(data);
            if value != paid {
                *value = Some(ExprId::UNKNOWN);
            }
        }
    }

    /// Whether both are the same call of the code to the same account.
    fn is_at(&self, other: &Self) -> bool {
        let place = |effect: &Self| match *effect {
            Self::Call { pc, nth, code, target, .. } => Some((pc, nth, code, target)),
            _ => None,
        };
        place(self) == place(other)
    }

    /// Every expression that it names.
    pub(super) fn words(&self) -> Vec<ExprId> {
        match self {
            Self::Read(word)
            | Self::Write(word)
            | Self::Account { of: word, .. }
            | Self::Destroy(word) => vec![*word],
            Self::Call { target, value, input, .. } => {
                let data = input.words().iter().map(|(_, word)| *word);
                [*target].into_iter().chain(*value).chain(data).collect()
            }
            Self::Create { value, init, salt, .. } => {
                let code = init.words().iter().map(|(_, word)| *word);
                [*value].into_iter().chain(*salt).chain(code).collect()
            }
        }
    }

    /// Whether it is within the bounds of what is recorded, for one that was loaded.
    pub(super) fn is_bounded(&self) -> bool {
        let input = match self {
            Self::Call { input, .. } => input,
            Self::Create { init, .. } => init,
            _ => return true,
        };
        input.words().len() <= INPUT_WORDS_MAX + 2
            && input.words().iter().all(|(bytes, _)| (1..=32).contains(bytes))
    }

    /// As an event of a program; `site` names its answer.
    pub(super) fn event(&self, site: u32) -> Option<Event> {
        use revm::bytecode::opcode as op;
        Some(match *self {
            Self::Read(key) => Event::Load(key),
            Self::Write(key) => Event::Store { key, value: ExprId::UNKNOWN },
            Self::Account { code, of } => Event::Account { code, of },
            Self::Destroy(to) => Event::Destroy(to),
            Self::Call { code, target, value, ref input, .. } => Event::Call(Box::new(Call {
                site,
                code,
                kind: match code {
                    op::CALL => CallKind::Call,
                    op::STATICCALL => CallKind::Static,
                    op::DELEGATECALL | op::CALLCODE => CallKind::Delegate,
                    _ => return None,
                },
                target,
                value,
                selector: None,
                is_precompile: false,
                input: input.bytes(),
                output: [ExprId::ZERO; 2],
            })),
            Self::Create { value, ref init, salt, .. } => {
                Event::Create { site, value, init: init.bytes(), salt }
            }
        })
    }
}
