//! Values of a trace and of a template, and how they name each other.

use revm::bytecode::opcode as op;
use serde::{Deserialize, Serialize};

/// Names a value of a [`Trace`](super::trace::Trace); none of a constant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ValueId(u32);

impl ValueId {
    /// The code and the path alone decide the word.
    pub(crate) const CONSTANT: Self = Self(0);

    /// The value at `position`.
    pub(crate) fn at(position: usize) -> Self {
        Self(u32::try_from(position + 1).expect("the number of values is limited"))
    }

    /// Whether the word has no value of its own.
    #[inline]
    pub(crate) const fn is_constant(self) -> bool {
        self.0 == 0
    }

    /// The position of the value.
    #[inline]
    pub(crate) const fn position(self) -> Option<usize> {
        match self.0 {
            0 => None,
            id => Some(id as usize - 1),
        }
    }

    /// As a number, for packing.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// From its number.
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// A value or a constant, by position in the owner's table of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Operand(u32);

impl Operand {
    const IS_CONSTANT: u32 = 1 << 31;

    /// Stands where an instruction has no operand: the first constant, never looked at.
    pub(crate) const ZERO: Self = Self(Self::IS_CONSTANT);

    /// The value at `position`.
    pub(crate) fn value(position: usize) -> Self {
        Self(Self::checked(position))
    }

    /// The constant at `position`.
    pub(crate) fn constant(position: usize) -> Self {
        Self(Self::checked(position) | Self::IS_CONSTANT)
    }

    fn checked(position: usize) -> u32 {
        u32::try_from(position)
            .ok()
            .filter(|position| position & Self::IS_CONSTANT == 0)
            .expect("the numbers of values and constants are limited")
    }

    /// Position of the value, if it is one.
    pub(crate) const fn position(self) -> Option<usize> {
        if self.0 & Self::IS_CONSTANT == 0 { Some(self.0 as usize) } else { None }
    }

    /// Position in the table, and whether that is the table of constants.
    #[inline]
    pub(crate) const fn split(self) -> (usize, bool) {
        ((self.0 & !Self::IS_CONSTANT) as usize, self.0 & Self::IS_CONSTANT != 0)
    }
}

/// What the transaction and the block give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Input {
    /// The 32 bytes at this offset, zero beyond the end.
    CallData(u32),
    CallDataSize,
    /// Sender, and origin.
    Caller,
    /// Recipient.
    To,
    CallValue,
    GasPrice,
    Coinbase,
    Timestamp,
    Number,
    PrevRandao,
    GasLimit,
    ChainId,
    BaseFee,
    BlobBaseFee,
    /// The hash of the transaction's blob at this position.
    BlobHash(u32),
    /// Gas left when this much was spent: an estimate, since spending varies along a path.
    Gas(u64),
}

/// A function of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Function {
    Keccak,
    /// One word of what a precompile answers.
    Precompile {
        number: u8,
        word: u8,
    },
}

/// One value of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Value {
    Input(Input),
    /// An instruction that only computes.
    Compute(u8, [Operand; 3]),
    /// `len` bytes of a value, from byte `from` to byte `to`; the others are zero.
    Piece {
        of: Operand,
        from: u8,
        to: u8,
        len: u8,
    },
    /// A word that is a function of bytes.
    Digest {
        function: Function,
        parts: Box<[Operand]>,
        bytes: u32,
    },
    /// The hash of the block with this number.
    BlockHash(Operand),
    /// What an event found in the state.
    Found,
}

impl Value {
    /// Calls `each` with every operand.
    pub(crate) fn for_each_operand(&self, mut each: impl FnMut(Operand)) {
        match self {
            Self::Input(_) | Self::Found => {}
            Self::Compute(_, args) => args.iter().copied().for_each(each),
            Self::Piece { of, .. } | Self::BlockHash(of) => each(*of),
            Self::Digest { parts, .. } => parts.iter().copied().for_each(each),
        }
    }

    /// The same of other operands.
    pub(crate) fn map_operands(&self, mut map: impl FnMut(Operand) -> Operand) -> Self {
        match self {
            Self::Input(_) | Self::Found => self.clone(),
            Self::Compute(code, args) => Self::Compute(*code, args.map(map)),
            Self::BlockHash(of) => Self::BlockHash(map(*of)),
            &Self::Piece { of, from, to, len } => Self::Piece { of: map(of), from, to, len },
            Self::Digest { function, parts, bytes } => Self::Digest {
                function: *function,
                parts: parts.iter().map(|part| map(*part)).collect(),
                bytes: *bytes,
            },
        }
    }

    /// How long it takes to compute, in simple instructions, about.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Self::Compute(op::EXP, _) => 64,
            Self::Compute(op::ADDMOD | op::MULMOD, _) => 4,
            Self::Compute(op::DIV..=op::SMOD, _) => 2,
            // What is short is likely to have been hashed before.
            Self::Digest { function: Function::Keccak, parts, .. } if parts.len() <= 4 => 4,
            Self::Digest { function: Function::Keccak, parts, .. } => {
                u32::try_from(4 * parts.len()).unwrap_or(u32::MAX)
            }
            Self::Digest { .. } => 256,
            _ => 1,
        }
    }

    /// Bytes held beside the value itself.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Digest { parts, .. } => size_of_val::<[_]>(parts),
            _ => 0,
        }
    }
}
