//! One call or creation under way, and how it can end.

use core::ops::Range;

use revm::bytecode::Bytecode;

use super::{
    region::Region,
    stack::Stack,
    word::Word,
    world::{AccountId, Checkpoint},
};
use crate::template::{AccountRef, CheckpointRef, CodeRef};

/// A frame this deep cannot call; the top call has depth 0.
pub(crate) const CALL_DEPTH_MAX: usize = 1024;

const _: () = assert!(CALL_DEPTH_MAX as u64 == revm::primitives::constants::CALL_STACK_LIMIT);

/// Why a frame stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success, without or with output ([`Frame::output`]).
    Stop,
    /// `REVERT`.
    Revert,
    /// An exceptional halt: all gas is lost.
    Halt,
    /// The same, for want of gas.
    OutOfGas,
    /// A call into [`Machine::entered`](super::machine::Machine): the frame goes on after it.
    Enter,
    /// No template fits: the transaction is to be undone and interpreted.
    Miss,
    /// The whole analysis stops: the state could not be read, or a limit is reached.
    Abandon,
}

/// What becomes of the result of a frame.
#[derive(Clone, Debug, Default)]
pub(crate) enum FrameKind {
    /// The transaction's own call.
    #[default]
    Top,
    /// The caller gets the output at this range of its memory.
    Call(Range<usize>),
    /// The output is the code of this account.
    Create(AccountId),
}

/// A frame. Its allocations are reused.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(crate) kind: FrameKind,
    pub(crate) code: Bytecode,
    pub(crate) pc: usize,
    pub(crate) gas: u64,
    /// What of the gas the trace knows to be spent: down to here.
    pub(crate) metered: u64,
    pub(crate) refund: i64,
    pub(crate) stack: Stack,
    pub(crate) memory: Region,
    /// Gas charged for the memory so far.
    pub(crate) memory_gas: u64,
    pub(crate) calldata: Region,
    pub(crate) returndata: Region,
    /// Range of the memory that `RETURN` or `REVERT` named.
    pub(crate) output: Range<usize>,
    /// Whose storage and balance this is about: `ADDRESS`.
    pub(crate) account: AccountId,
    pub(crate) address: Word,
    pub(crate) caller: Word,
    pub(crate) value: Word,
    pub(crate) is_static: bool,
    /// Whether a guess decided which way its control went.
    pub(crate) is_guessed: bool,
    pub(crate) depth: usize,
    pub(crate) checkpoint: Checkpoint,
    /// The account, as the trace names it.
    pub(crate) traced: AccountRef,
    /// The checkpoint, as the trace names it.
    pub(crate) traced_checkpoint: CheckpointRef,
    /// The code, as the trace names it.
    pub(crate) traced_code: CodeRef,
}

impl Frame {
    /// Bytes that the frame holds.
    pub(crate) fn held_bytes(&self) -> usize {
        self.memory.len() + self.calldata.len() + self.returndata.len()
    }

    /// Bytes that the frame keeps when it is reused.
    pub(crate) fn capacity(&self) -> usize {
        self.memory.capacity() + self.calldata.capacity() + self.returndata.capacity()
    }

    /// Makes the frame as new, keeping its allocations.
    pub(crate) fn reset(&mut self) {
        self.kind = FrameKind::Top;
        self.pc = 0;
        self.refund = 0;
        self.stack.clear();
        self.memory.clear();
        self.memory_gas = 0;
        self.calldata.clear();
        self.returndata.clear();
        self.output = 0..0;
        self.is_guessed = false;
        self.traced = AccountRef::default();
        self.traced_checkpoint = CheckpointRef::default();
        self.traced_code = CodeRef::default();
    }
}
