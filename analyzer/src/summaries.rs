//! Summaries of code, made once and kept: from code hash to programs.
//!
//! A cache is shared by all who predict. It is bounded in bytes; what does not
//! fit is summarized again when it is asked for. Making a summary takes
//! milliseconds, so nothing that evaluates waits for it: it takes what is here,
//! and says what is missing.

mod saved;

use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;
use revm::{
    bytecode::Bytecode,
    primitives::{B256, U256, map::DefaultHashBuilder},
};
use serde::{Deserialize, Serialize};

pub use self::saved::SummaryError;
use crate::{
    learnt::Learnt,
    program::{Program, lower},
    skeleton::{Skeleton, skeleton},
    symbolic::{Completeness, Entry, GaveUp, SummaryLimits, summarize_skeleton},
};

/// Bytes of all programs that a cache keeps by default.
const CACHE_BYTES_MAX: usize = 256 << 20;

/// The programs of one skeleton.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Programs {
    /// By selector, sorted.
    pub(crate) functions: Box<[(u32, Program)]>,
    pub(crate) receive: Option<Program>,
    pub(crate) fallback: Option<Program>,
}

impl Programs {
    fn all(&self) -> impl Iterator<Item = &Program> {
        let functions = self.functions.iter().map(|(_, program)| program);
        functions.chain(&self.receive).chain(&self.fallback)
    }

    /// The program of the function of that selector, if it has an entry of its own.
    pub(crate) fn function(&self, selector: u32) -> Option<&Program> {
        let found = self.functions.binary_search_by_key(&selector, |(selector, _)| *selector);
        found.ok().map(|at| &self.functions[at].1)
    }

    fn size(&self) -> usize {
        size_of_val(&*self.functions) + self.all().map(Program::size).sum::<usize>()
    }

    /// Whether every program can be evaluated and the functions are in order.
    fn are_sound(&self) -> bool {
        self.functions.is_sorted_by_key(|(selector, _)| *selector)
            && self.all().all(Program::is_sound)
    }
}

/// The programs of a piece of code, and what it fills them with.
#[derive(Clone, Debug)]
pub(crate) struct CodeSummary {
    pub(crate) programs: Arc<Programs>,
    pub(crate) inputs: Arc<[U256]>,
    pub(crate) skeleton: B256,
}

#[derive(Debug, Default)]
struct Kept {
    by_code: HashMap<B256, CodeSummary, DefaultHashBuilder>,
    by_skeleton: HashMap<B256, Arc<Programs>, DefaultHashBuilder>,
    bytes: usize,
}

/// Summaries by code hash.
#[derive(Debug)]
pub struct SummaryCache {
    limits: SummaryLimits,
    bytes_max: usize,
    kept: RwLock<Kept>,
    learnt: Learnt,
}

impl Default for SummaryCache {
    fn default() -> Self {
        Self::new(SummaryLimits::default(), CACHE_BYTES_MAX)
    }
}

impl SummaryCache {
    /// An empty cache that keeps up to `bytes_max` bytes of programs.
    pub fn new(limits: SummaryLimits, bytes_max: usize) -> Self {
        Self { limits, bytes_max, kept: RwLock::default(), learnt: Learnt::default() }
    }

    /// The same, with what was learnt replaced.
    #[must_use]
    pub fn with_learnt(mut self, learnt: Learnt) -> Self {
        self.learnt = learnt;
        self
    }

    /// What was learnt of functions where they ran.
    pub const fn learnt(&self) -> &Learnt {
        &self.learnt
    }

    /// How many pieces of code are summarized.
    pub fn len(&self) -> usize {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).by_code.len()
    }

    /// Whether no code is summarized.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many skeletons they share, and the bytes of their programs.
    pub fn skeletons(&self) -> (usize, usize) {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        (kept.by_skeleton.len(), kept.bytes)
    }

    /// Whether code is summarized and has no entry of its own for a selector.
    pub fn falls_back(&self, code_hash: &B256, selector: u32) -> bool {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let known = kept.by_code.get(code_hash);
        known.is_some_and(|known| known.programs.function(selector).is_none())
    }

    pub(crate) fn get(&self, code_hash: &B256) -> Option<CodeSummary> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.by_code.get(code_hash).cloned()
    }

    /// Summarizes a piece of code, unless it is here already.
    pub fn summarize(&self, code_hash: B256, code: &Bytecode) {
        if self.get(&code_hash).is_some() {
            return;
        }
        let skeleton = skeleton(code.original_byte_slice());
        let known = {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            kept.by_skeleton.get(&skeleton.hash).cloned()
        };
        let programs = known.unwrap_or_else(|| Arc::new(programs(code, &skeleton, self.limits)));
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let size = programs.size();
        if kept.bytes + size > self.bytes_max {
            *kept = Kept::default();
        }
        let programs = if let Some(programs) = kept.by_skeleton.get(&skeleton.hash) {
            programs.clone()
        } else {
            kept.bytes += size;
            kept.by_skeleton.insert(skeleton.hash, programs.clone());
            programs
        };
        let summary =
            CodeSummary { programs, inputs: skeleton.inputs.into(), skeleton: skeleton.hash };
        kept.by_code.insert(code_hash, summary);
    }
}

/// The programs of every entry.
fn programs(code: &Bytecode, skeleton: &Skeleton, limits: SummaryLimits) -> Programs {
    let summary = summarize_skeleton(code, &skeleton.inputs_at, skeleton.len, limits);
    let mut functions = Vec::new();
    let (mut receive, mut fallback) = (None, None);
    for entry in summary.entries() {
        let program = lower(summary.exprs(), &entry.graph).unwrap_or_else(|| {
            let why = match entry.completeness {
                Completeness::GivenUp(why) => why,
                _ => GaveUp::Expressions,
            };
            Program::given_up(why)
        });
        match entry.entry {
            Entry::Selector(selector) => functions.push((selector, program)),
            Entry::Receive => receive = Some(program),
            Entry::Fallback => fallback = Some(program),
        }
    }
    functions.sort_by_key(|(selector, _)| *selector);
    Programs { functions: functions.into(), receive, fallback }
}
