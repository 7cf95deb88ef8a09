//! The state as one transaction sees it that runs ahead of its turn, with all that it reads.

use core::{cell::Cell, fmt};
use std::rc::Rc;

use alloy_primitives::{Address, B256, U256};
use revm::{
    Database, DatabaseRef, Inspector, bytecode::Bytecode, interpreter::InterpreterTypes,
    state::AccountInfo,
};

use super::published::{Left, Published};

/// What a transaction has read, each with what it was told.
#[derive(Debug, Default)]
pub(super) struct Reads {
    pub(super) accounts: Vec<(Address, Option<AccountInfo>)>,
    pub(super) slots: Vec<(Address, U256, U256)>,
    pub(super) block_hashes: Vec<(u64, B256)>,
    /// Accounts that were first loaded after a frame had ended, and after which.
    pub(super) late: Vec<(u32, Address, Option<AccountInfo>)>,
}

/// Frames of the transaction that an EVM is running.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    depth: Rc<Cell<u32>>,
    /// Outermost frames that have ended.
    ended: Rc<Cell<u32>>,
}

impl Frames {
    /// Outermost frames that have ended.
    pub(super) fn ended(&self) -> u32 {
        self.ended.get()
    }

    /// Whether the transaction is after one of its outermost frames, and not in another.
    fn is_after_one(&self) -> bool {
        self.depth.get() == 0 && self.ended.get() > 0
    }
}

/// An inspector that counts frames.
impl<C, T: InterpreterTypes, I, R> Inspector<C, T, I, R> for Frames {
    fn frame_start(&mut self, _: &mut C, _: &mut I) -> Option<R> {
        self.depth.set(self.depth.get() + 1);
        None
    }

    fn frame_end(&mut self, _: &mut C, _: &I, _: &mut R) {
        let depth = self.depth.get().saturating_sub(1);
        self.depth.set(depth);
        if depth == 0 {
            self.ended.set(self.ended.get() + 1);
        }
    }
}

/// See the module's documentation.
pub(super) struct View<'b, S> {
    state: &'b S,
    published: &'b Published,
    tx: usize,
    reads: Reads,
    frames: Frames,
}

impl<'b, S> View<'b, S> {
    /// The state at the place of a transaction.
    pub(super) fn new(state: &'b S, published: &'b Published, tx: usize, frames: Frames) -> Self {
        Self { state, published, tx, reads: Reads::default(), frames }
    }

    pub(super) fn take_reads(&mut self) -> Reads {
        core::mem::take(&mut self.reads)
    }
}

impl<S> fmt::Debug for View<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("tx", &self.tx).finish_non_exhaustive()
    }
}

impl<S: DatabaseRef> Database for View<'_, S> {
    type Error = S::Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, S::Error> {
        let info = match self.published.account(address, self.tx) {
            Some(Left(info)) => info,
            None => self.state.basic_ref(address)?,
        };
        if self.frames.is_after_one() {
            self.reads.late.push((self.frames.ended(), address, info.clone()));
        } else {
            self.reads.accounts.push((address, info.clone()));
        }
        Ok(info)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, S::Error> {
        self.state.code_by_hash_ref(code_hash)
    }

    fn storage(&mut self, address: Address, key: U256) -> Result<U256, S::Error> {
        let value = match self.published.slot(address, key, self.tx) {
            Some(value) => value,
            None => self.state.storage_ref(address, key)?,
        };
        self.reads.slots.push((address, key, value));
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, S::Error> {
        let hash = self.state.block_hash_ref(number)?;
        self.reads.block_hashes.push((number, hash));
        Ok(hash)
    }
}
