//! A function's summary as a straight program that is evaluated per transaction.
//!
//! ```text
//! Graph ──need──> what keys, targets and conditions are computed from
//!       ──lower──> Program { stretches of operations, a register for each expression }
//!       ──allocate──> Program { few registers, hardly any copies }
//! ```
//!
//! Nothing is in a program that decides no access: no gas, no logs, no checks
//! whose other way only reverts, no memory unless some word of it cannot be
//! followed ahead. Operands are registers, or constants of the program.

mod allocate;
mod check;
mod emit;
mod lower;
mod need;

use revm::primitives::U256;
use serde::{Deserialize, Serialize};

pub(crate) use self::lower::lower;
use crate::symbolic::{CallKind, GaveUp, graph::Source};

/// A register, or from [`Operand::CONSTANTS`] on a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operand(pub(crate) u16);

impl Operand {
    /// The first number that is a constant's.
    pub(crate) const CONSTANTS: u16 = 1 << 15;
    /// No register: the result is not asked for, or the operand is not known.
    pub(crate) const NONE: Self = Self(u16::MAX);
}

/// Consecutive entries of one of the program's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    pub(crate) fn of<T>(self, table: &[T]) -> &[T] {
        &table[self.start as usize..][..self.len as usize]
    }
}

/// Bytes that leave the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum BytesOperand {
    CallData,
    /// Parts, each the low bytes of a word.
    Words(Span),
    Memory {
        at: Operand,
        len: Operand,
    },
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Operation {
    Immutable {
        to: Operand,
        index: u16,
    },
    Environment {
        to: Operand,
        code: u8,
    },
    CallData {
        to: Operand,
        at: Operand,
    },
    Compute {
        to: Operand,
        code: u8,
        operands: [Operand; 3],
    },
    Keccak {
        to: Operand,
        parts: Span,
    },
    /// A slot is read; `scope` is the declared slot of its mapping, a constant.
    Load {
        to: Operand,
        key: Operand,
        scope: Operand,
    },
    Store {
        key: Operand,
        value: Operand,
        scope: Operand,
    },
    TransientLoad {
        to: Operand,
        key: Operand,
    },
    TransientStore {
        key: Operand,
        value: Operand,
    },
    Account {
        to: Operand,
        code: u8,
        of: Operand,
    },
    /// The call of that position in [`Program::calls`].
    Call(u16),
    /// A word of the latest answer; [`SUCCESS`] and [`LENGTH`] are special.
    Answer {
        to: Operand,
        word: u32,
    },
    /// The creation of that position in [`Program::creations`].
    Create(u16),
    Destroy {
        to: Operand,
    },
    StoreMemory {
        at: Operand,
        word: Operand,
        is_byte: bool,
    },
    CopyMemory {
        source: Source,
        to: Operand,
        from: Operand,
        len: Operand,
    },
    LoadMemory {
        to: Operand,
        at: Operand,
    },
    HashMemory {
        to: Operand,
        at: Operand,
        len: Operand,
    },
}

impl Operation {
    /// The register that it sets, and the operands that it reads; those in tables
    /// are [`Program::for_each_listed`]'s.
    pub(crate) const fn operands(&mut self) -> (Option<&mut Operand>, [Option<&mut Operand>; 3]) {
        match self {
            Self::Immutable { to, .. }
            | Self::Environment { to, .. }
            | Self::Answer { to, .. }
            | Self::Keccak { to, .. } => (Some(to), [None, None, None]),
            Self::CallData { to, at }
            | Self::LoadMemory { to, at }
            | Self::Account { to, of: at, .. }
            | Self::TransientLoad { to, key: at } => (Some(to), [Some(at), None, None]),
            Self::Load { to, key: a, scope: b } | Self::HashMemory { to, at: a, len: b } => {
                (Some(to), [Some(a), Some(b), None])
            }
            Self::Compute { to, operands: [a, b, c], .. } => {
                (Some(to), [Some(a), Some(b), Some(c)])
            }
            Self::Destroy { to } => (None, [Some(to), None, None]),
            Self::TransientStore { key: a, value: b }
            | Self::StoreMemory { at: a, word: b, .. } => (None, [Some(a), Some(b), None]),
            Self::Store { key: a, value: b, scope: c }
            | Self::CopyMemory { to: a, from: b, len: c, .. } => {
                (None, [Some(a), Some(b), Some(c)])
            }
            Self::Call(_) | Self::Create(_) => (None, [None, None, None]),
        }
    }

    /// The same, to be looked at; none where there is none.
    pub(crate) fn sets_and_reads(mut self) -> (Operand, [Operand; 3]) {
        let (to, reads) = self.operands();
        (
            to.copied().unwrap_or(Operand::NONE),
            reads.map(|read| read.copied().unwrap_or(Operand::NONE)),
        )
    }

    /// Whether nothing but the register that it sets says that it happened.
    const fn is_pure(&self) -> bool {
        matches!(
            self,
            Self::Immutable { .. }
                | Self::Environment { .. }
                | Self::CallData { .. }
                | Self::Compute { .. }
                | Self::Keccak { .. }
                | Self::Answer { .. }
                | Self::TransientLoad { .. }
                | Self::LoadMemory { .. }
                | Self::HashMemory { .. }
        )
    }
}

/// The word of an answer that says whether the call succeeded.
pub(crate) const SUCCESS: u32 = u32::MAX - 1;

/// The word of an answer that is its length in bytes.
pub(crate) const LENGTH: u32 = u32::MAX;

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallOperation {
    pub(crate) code: u8,
    pub(crate) kind: CallKind,
    pub(crate) target: Operand,
    pub(crate) value: Operand,
    pub(crate) input: BytesOperand,
    /// Where the answer goes in memory; no bytes of it if memory is not followed.
    pub(crate) output: [Operand; 2],
    /// Whether something is computed from the answer.
    pub(crate) is_answer_asked: bool,
}

/// A creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CreateOperation {
    pub(crate) value: Operand,
    pub(crate) init: BytesOperand,
    /// Its address comes from a nonce if there is none.
    pub(crate) salt: Option<Operand>,
}

/// The way to another stretch: what is assigned on it, all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Way {
    pub(crate) to: u16,
    pub(crate) binds: Span,
}

/// How a stretch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    Goto(Way),
    /// The first way if the condition is not zero. Both lead to `join`, unless
    /// it is none.
    Branch {
        condition: Operand,
        ways: [Way; 2],
        join: u16,
    },
    Return(BytesOperand),
    GaveUp(GaveUp),
}

/// The number of no stretch.
pub(crate) const NO_STRETCH: u16 = u16::MAX;

/// Operations without a choice, and how they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stretch {
    pub(crate) operations: Span,
    pub(crate) gas: u32,
    pub(crate) end: End,
}

/// What one entry of a piece of code does, ready to be evaluated.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) stretches: Box<[Stretch]>,
    pub(crate) operations: Box<[Operation]>,
    pub(crate) constants: Box<[U256]>,
    pub(crate) parts: Box<[(u8, Operand)]>,
    pub(crate) binds: Box<[(Operand, Operand)]>,
    pub(crate) calls: Box<[CallOperation]>,
    pub(crate) creations: Box<[CreateOperation]>,
    pub(crate) registers: u16,
    /// The first registers, which may be read before anything is assigned.
    pub(crate) assigned: u16,
    /// The last registers, which hold pointers to free memory.
    pub(crate) pointers: u16,
}

impl Program {
    /// A program of which nothing is known.
    pub(crate) fn given_up(why: GaveUp) -> Self {
        let operations = Span { start: 0, len: 0 };
        let end = End::GaveUp(why);
        Self { stretches: Box::new([Stretch { operations, gas: 0, end }]), ..Self::default() }
    }

    /// The operands in tables that an operation reads.
    pub(crate) fn for_each_listed(&self, operation: &Operation, mut each: impl FnMut(Operand)) {
        match *operation {
            Operation::Keccak { parts, .. } => {
                self.for_each_in(&BytesOperand::Words(parts), &mut each);
            }
            Operation::Call(position) => {
                let call = &self.calls[usize::from(position)];
                [call.target, call.value].into_iter().chain(call.output).for_each(&mut each);
                self.for_each_in(&call.input, &mut each);
            }
            Operation::Create(position) => {
                let creation = &self.creations[usize::from(position)];
                each(creation.value);
                creation.salt.into_iter().for_each(&mut each);
                self.for_each_in(&creation.init, &mut each);
            }
            _ => {}
        }
    }

    /// The operands of bytes that leave the frame.
    pub(crate) fn for_each_in(&self, bytes: &BytesOperand, each: &mut impl FnMut(Operand)) {
        match *bytes {
            BytesOperand::CallData => {}
            BytesOperand::Words(parts) => {
                parts.of(&self.parts).iter().for_each(|(_, word)| each(*word));
            }
            BytesOperand::Memory { at, len } => [at, len].into_iter().for_each(each),
        }
    }

    /// Bytes that it is held in.
    pub(crate) fn size(&self) -> usize {
        size_of_val(&*self.stretches)
            + size_of_val(&*self.operations)
            + size_of_val(&*self.constants)
            + size_of_val(&*self.parts)
            + size_of_val(&*self.binds)
            + size_of_val(&*self.calls)
            + size_of_val(&*self.creations)
    }
}
