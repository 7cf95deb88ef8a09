//! What real runs of functions touched, as expressions over their inputs.
//!
//! ```text
//! run of a frame ──Trace──> Function { effects with how often } ──compile──> Program
//! ```
//!
//! A function is a skeleton and a selector. Its effects are what runs of it did: keys,
//! targets and arguments as expressions over call data, caller, immutables, what it loads
//! and what its calls answer. Each has a count; those that a share of the runs made become
//! a [`Program`](crate::program::Program) of one stretch, which the evaluator follows where
//! the summary from the code alone does not suffice. What cannot be expressed is counted
//! and left out. Nothing here runs code: a recorder hands in [`Trace`]s.

mod effect;
mod function;
mod reader;
mod saved;
mod trace;

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashMap;
use revm::{
    bytecode::Bytecode,
    primitives::{B256, U256, map::DefaultHashBuilder},
};

use self::function::Function;
pub use self::{
    effect::{LearntEffect, LearntInput},
    function::{LearntFunction, Told},
    trace::{ANSWER_LEN, INPUT_WORDS_MAX, Trace, TraceEvent, TraceInput, Word},
};
pub(crate) use self::{function::LearntProgram, saved::SavedLearnt};
use serde::{Deserialize, Serialize};

use crate::skeleton::skeleton;

/// Bounds of what is learnt, and from when on it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearntLimits {
    /// Bytes of all functions together; when reached, the half that was seen longest ago
    /// is forgotten.
    pub bytes_max: usize,
    /// Effects of one function.
    pub effects_max: usize,
    /// Expressions of one function.
    pub exprs_max: usize,
    /// Pieces of code whose skeletons are remembered.
    pub codes_max: usize,
    /// Runs from which a function is known well enough to be used.
    pub runs_min: u32,
    /// Effects of a function that was seen once up to which it is used: more are rounds of a
    /// loop, of which another run makes more or fewer.
    pub once_effects_max: usize,
    /// Share of the runs, of 1000, in which an effect happened that is predicted.
    pub share_min: u32,
    /// Share of the runs, of 1000, with something that cannot be expressed up to which
    /// what was learnt stands for all that the function does.
    pub dropped_share_max: u32,
}

impl Default for LearntLimits {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
            effects_max: 512,
            exprs_max: 1 << 13,
            codes_max: 1 << 16,
            runs_min: 1,
            once_effects_max: 64,
            share_min: 500,
            dropped_share_max: 200,
        }
    }
}

/// Which function of a piece of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Selected {
    /// Called with fewer than four bytes.
    Short,
    /// What takes calls of any selector without an entry of its own.
    Fallback,
    /// Called with this selector.
    Selector(u32),
}

impl Selected {
    /// What call data with this selector, or shorter, calls.
    pub const fn by(selector: Option<u32>) -> Self {
        match selector {
            Some(selector) => Self::Selector(selector),
            None => Self::Short,
        }
    }
}

/// A function: its skeleton, and which one.
pub(crate) type FunctionKey = (B256, Selected);

/// What has to be known of a piece of code to record its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearntCode {
    skeleton: B256,
    inputs_at: Box<[usize]>,
    inputs: Box<[U256]>,
}

impl LearntCode {
    fn new(code: &[u8]) -> Self {
        let skeleton = skeleton(code);
        Self { skeleton: skeleton.hash, inputs_at: skeleton.inputs_at, inputs: skeleton.inputs }
    }

    /// Which input of the skeleton the push at `pc` holds.
    pub fn input_at(&self, pc: usize) -> Option<u32> {
        let at = self.inputs_at.binary_search(&pc).ok()?;
        u32::try_from(at).ok()
    }
}

#[derive(Debug, Default)]
struct Kept {
    functions: HashMap<FunctionKey, Function, DefaultHashBuilder>,
    codes: HashMap<B256, Arc<LearntCode>, DefaultHashBuilder>,
    bytes: usize,
    /// Frames learnt from so far: says what was seen longest ago.
    frames: u64,
}

/// What was learnt. Shared by all who predict; teaching holds it for microseconds.
#[derive(Debug, Default)]
pub struct Learnt {
    limits: LearntLimits,
    kept: RwLock<Kept>,
    /// Changes with every lesson.
    edition: AtomicU64,
}

impl Learnt {
    /// Nothing, within these limits.
    pub fn new(limits: LearntLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many functions something is known of, and the bytes that are held for them.
    pub fn functions(&self) -> (usize, usize) {
        let kept = self.read();
        (kept.functions.len(), kept.bytes)
    }

    /// What a recorder has to know of a piece of code.
    pub fn code(&self, hash: B256, code: &Bytecode) -> Arc<LearntCode> {
        if let Some(known) = self.read().codes.get(&hash) {
            return Arc::clone(known);
        }
        let new = Arc::new(LearntCode::new(code.original_byte_slice()));
        let mut kept = self.write();
        if kept.codes.len() >= self.limits.codes_max {
            kept.codes.clear();
        }
        kept.codes.insert(hash, Arc::clone(&new));
        new
    }

    /// How often a function was recorded.
    pub fn runs(&self, code: &LearntCode, selected: Selected) -> u32 {
        self.read().functions.get(&(code.skeleton, selected)).map_or(0, Function::runs)
    }

    /// Takes in one run of a function that succeeded.
    pub fn learn(&self, code: &LearntCode, selected: Selected, trace: &Trace) {
        let exprs_max = self.limits.exprs_max;
        let mut kept = self.write();
        kept.frames += 1;
        let frames = kept.frames;
        let function = kept
            .functions
            .entry((code.skeleton, selected))
            .or_insert_with(|| Function::new(exprs_max));
        let before = function.size();
        function.learn(trace, &self.limits, frames);
        let after = function.size();
        kept.bytes = (kept.bytes + after).saturating_sub(before);
        if kept.bytes > self.limits.bytes_max {
            kept.forget();
        }
    }

    /// Lets those who predict see what was learnt since.
    pub fn publish(&self) {
        self.edition.fetch_add(1, Ordering::Release);
    }

    /// Changes when something new is ready for use.
    pub(crate) fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    /// What is known of a function, ready for use.
    pub(crate) fn program(&self, key: &FunctionKey) -> Option<Arc<LearntProgram>> {
        self.read().functions.get(key)?.program(&self.limits)
    }

    /// What was learnt of a piece of code, in the order of the functions.
    pub fn told(&self, code: &Bytecode) -> Vec<LearntFunction> {
        let skeleton = skeleton(code.original_byte_slice()).hash;
        let kept = self.read();
        let of = kept.functions.iter().filter(|((of, _), _)| *of == skeleton);
        let mut told: Vec<_> = of.map(|((_, selected), it)| it.told(*selected)).collect();
        told.sort_by_key(LearntFunction::selected);
        told
    }
}

impl Kept {
    /// Forgets the half of the functions that was seen longest ago.
    fn forget(&mut self) {
        let mut seen: Vec<u64> = self.functions.values().map(Function::seen).collect();
        seen.sort_unstable();
        let median = seen.get(seen.len() / 2).copied().unwrap_or(u64::MAX);
        self.functions.retain(|_, function| function.seen() > median);
        self.bytes = self.functions.values().map(Function::size).sum();
    }
}
