//! Exact paths: templates that follow gas and logs as well, so that a call need
//! not be run at all where one fits.
//!
//! A template for predictions drops the guards whose other side can only revert,
//! and does not follow the gas. An exact path keeps every guard and charges for
//! every instruction, so that what it gives is what the code would have done: gas,
//! refunds, logs, and what becomes of accounts and slots. It is made from one
//! interpretation of a call ([`ExactPaths::learn`]) and evaluated on others, on any
//! state ([`Evaluator::call`]). What cannot be followed is not learnt: creations and
//! destructions, frames that run out of gas, precompiles that are priced by value.

mod evaluate;
mod rules;
mod surroundings;
mod used;

use core::fmt;

use revm::{DatabaseRef, context::TxEnv, primitives::B256};

pub use self::{
    evaluate::{CallOutcome, Evaluator, TopCall},
    used::{FoundAccount, UsedAccount, UsedSlot},
};
use super::cache::{TemplateCache, TemplateKey};
use crate::{
    Block, Limits,
    interpreter::{Knowledge, Machine},
};

/// Exact paths through the code of contracts, shared by threads and blocks.
///
/// Bounded in bytes; the least recently used go first. Nothing is ever taken on
/// trust from outside: what it holds was compiled in this process.
pub struct ExactPaths {
    pub(super) cache: TemplateCache,
    limits: Limits,
}

impl ExactPaths {
    /// No paths yet.
    pub fn new() -> Self {
        Self { cache: TemplateCache::of_exact_paths(), limits: Limits::default() }
    }

    /// How many entries (code, selector, fork) have paths.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// Bytes held, about.
    pub fn bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Whether there is any path for a call of `tx` into the code with this hash.
    pub fn may_fit(&self, block: &Block, tx: &TxEnv, code_hash: B256) -> bool {
        let key = TemplateKey::new(code_hash, &tx.data, block.spec());
        self.cache.get(&key).is_some_and(|entry| entry.tree_bytes() > 0)
    }

    /// Notes that a call of `tx` into the code with this hash was run; whether it is
    /// worth learning: it was run before, or calls like it come often.
    pub fn wants(&self, block: &Block, tx: &TxEnv, code_hash: B256) -> bool {
        let key = TemplateKey::new(code_hash, &tx.data, block.spec());
        let entry = self.cache.get(&key);
        self.cache.wants(key, entry.as_deref(), tx, self.limits.cache_bytes_max)
    }

    /// Learns the path of `tx` on this state, if it can be followed.
    pub fn learn<DB: DatabaseRef>(&self, block: &Block, state: &DB, tx: &TxEnv) {
        let mut machine =
            Machine::new(block, state, Knowledge::State, self.limits, Some(&self.cache));
        machine.learn_exactly(tx);
    }
}

impl Default for ExactPaths {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ExactPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entries, bytes) = (self.len(), self.bytes());
        f.debug_struct("ExactPaths").field("entries", &entries).field("bytes", &bytes).finish()
    }
}
