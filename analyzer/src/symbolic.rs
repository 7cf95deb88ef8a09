//! The symbolic driver: from bytecode to what it can touch, inputs unknown.
//!
//! [`summarize`] explores a contract once without a selector, which is how it
//! learns the selectors that the code compares with, and then once for each of
//! them. In the order of the data: [`explore`] follows [`path`]s through
//! [`instructions`], each with its [`memory`]; paths that meet are
//! [generalized](generalize); the [`graph`] of what was explored
//! yields the [`effects`]. [`summarize_account`] also reads the state, to find
//! the code that a proxy delegates to.
//!
//! A summary says what the code itself does: not what the contracts do that it
//! calls, nor what they do to it by calling back. Reads and writes of paths that
//! revert are left out. What cannot be named is widened, and said to be.

mod account;
mod effects;
mod explore;
mod generalize;
pub(crate) mod graph;
mod instructions;
mod meet;
mod memory;
mod memory_steps;
mod outside;
mod path;
mod reverting;
mod shared;

use std::collections::BTreeSet;

use revm::bytecode::{Bytecode, opcode as op};
use serde::{Deserialize, Serialize};

pub(crate) use self::outside::RETURNED_LEN;
pub use self::{
    account::{Implementation, summarize_account},
    effects::{CallKind, Effect, Target},
    shared::{Frequency, SharedPlace, SharedUse, WriteKind},
};
use self::{
    explore::{Explored, Explorer, Input},
    graph::Graph,
};
use crate::expr::{ExprArena, ExprId, Words};

/// Bounds of [`summarize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SummaryLimits {
    /// Instructions followed for one contract, and what is compared where paths meet.
    pub steps_max: u32,
    /// Instructions followed for one entry.
    pub entry_steps_max: u32,
    /// Entries of one contract.
    pub entries_max: usize,
    /// Paths of one entry that wait to be followed.
    pub paths_max: usize,
    /// Paths of one entry that are remembered where others may meet them.
    pub meetings_max: usize,
    /// Pieces of memory told apart on one path.
    pub memory_pieces_max: usize,
    /// Expressions of one contract.
    pub exprs_max: usize,
    /// Delegations followed from one account.
    pub delegations_max: usize,
}

impl Default for SummaryLimits {
    fn default() -> Self {
        Self {
            steps_max: 1 << 22,
            entry_steps_max: 1 << 19,
            entries_max: 512,
            paths_max: 512,
            meetings_max: 1 << 13,
            memory_pieces_max: 2048,
            exprs_max: 1 << 18,
            delegations_max: 4,
        }
    }
}

/// One way into a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// The function with this selector.
    Selector(u32),
    /// A call without data.
    Receive,
    /// A call with data that no other entry takes.
    Fallback,
}

/// What an exploration ended at before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GaveUp {
    /// A jump to a place that is computed from what is not known.
    Jump,
    /// [`SummaryLimits::memory_pieces_max`].
    Memory,
    /// [`SummaryLimits::paths_max`].
    Paths,
    /// [`SummaryLimits::exprs_max`].
    Expressions,
    /// [`SummaryLimits::steps_max`] or [`SummaryLimits::entry_steps_max`].
    Steps,
}

/// How much of what an entry does its effects name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Completeness {
    /// Everything.
    Complete,
    /// Everything, and it runs other code on the account's own state with the
    /// same call data.
    Delegated,
    /// Everything, but of some mapping or array not which entry, or of some
    /// call not whom.
    WidenedToMapping,
    /// Any slot of the contract may be touched.
    WidenedToContract,
    /// Not everything: the exploration ended early.
    GivenUp(GaveUp),
}

/// What an entry does.
#[derive(Clone, Debug)]
pub struct EntrySummary {
    /// Which entry.
    pub entry: Entry,
    /// What it can do on paths that do not revert, sorted.
    pub effects: Vec<Effect>,
    /// Whether that is all.
    pub completeness: Completeness,
    /// What it does in order, and on which conditions.
    pub(crate) graph: Graph,
}

/// What a piece of bytecode can touch, by entry.
#[derive(Clone, Debug)]
pub struct AccessSummary {
    exprs: ExprArena,
    entries: Vec<EntrySummary>,
}

impl AccessSummary {
    /// The entries that do not always revert, sorted.
    pub fn entries(&self) -> &[EntrySummary] {
        &self.entries
    }

    /// The expressions that the effects name.
    pub const fn exprs(&self) -> &ExprArena {
        &self.exprs
    }

    /// How a person reads an expression.
    pub fn words(&self, id: ExprId) -> Words<'_> {
        Words::new(&self.exprs, id)
    }

    /// Whom the code delegates all its call data to, where it does.
    pub fn delegates_to(&self) -> Option<ExprId> {
        let fallback = self.entries.iter().filter(|entry| entry.entry == Entry::Fallback);
        fallback.flat_map(|entry| &entry.effects).find_map(|effect| match effect {
            Effect::Call { kind: CallKind::Delegate, target, forwards: true, .. } => Some(*target),
            _ => None,
        })
    }
}

/// What `code` can touch.
///
/// Code that is a delegation (EIP-7702) is one entry that delegates.
pub fn summarize(code: &Bytecode, limits: SummaryLimits) -> AccessSummary {
    if let Some(address) = code.eip7702_address() {
        return delegation(address.into_word().into());
    }
    summarize_skeleton(code, &[], code.len(), limits)
}

/// What code can touch whose inputs are pushed at these places, sorted, and that shares
/// its first `len` bytes but for those with others.
pub(crate) fn summarize_skeleton(
    code: &Bytecode,
    inputs_at: &[usize],
    len: usize,
    limits: SummaryLimits,
) -> AccessSummary {
    let mut explorer = Explorer::new(code, inputs_at, len, limits);
    let other = explorer.explore(Input::Other);
    // Where the code jumps through a table of selectors, any constant may be one.
    let through_table = other.gave_up == Some(GaveUp::Jump);
    let compared = explorer.compared.clone();
    let mut selectors = compared.clone();
    if through_table {
        selectors.extend(constants(explorer.code));
    }
    let mut entries = Vec::new();
    let count = selectors.len().min(limits.entries_max);
    explorer.entries_left = u32::try_from(count + 1).unwrap_or(u32::MAX);
    for selector in selectors.into_iter().take(limits.entries_max) {
        let explored = explorer.explore(Input::Selector(selector));
        if explored.is_matched || compared.contains(&selector) {
            entries.extend(entry(&explorer.arena, Entry::Selector(selector), explored));
        }
    }
    let empty = explorer.explore(Input::Empty);
    entries.extend(entry(&explorer.arena, Entry::Receive, empty));
    entries.extend(entry(&explorer.arena, Entry::Fallback, other));
    AccessSummary { exprs: explorer.arena, entries }
}

/// The summary of an account that delegates to a constant address.
fn delegation(address: revm::primitives::U256) -> AccessSummary {
    let mut exprs = ExprArena::new(8);
    let target = exprs.constant(address);
    let kind = CallKind::Delegate;
    let effect = Effect::Call { kind, target, selector: None, forwards: true, value: None };
    let entry = EntrySummary {
        entry: Entry::Fallback,
        effects: vec![effect],
        completeness: Completeness::Delegated,
        graph: Graph::default(),
    };
    AccessSummary { exprs, entries: vec![entry] }
}

/// The summary of an entry, unless it always reverts.
fn entry(exprs: &ExprArena, entry: Entry, explored: Explored) -> Option<EntrySummary> {
    let effects = explored.effects?;
    let named = effects.iter().map(|effect| completeness(exprs, effect)).max();
    let completeness = match explored.gave_up {
        Some(reason) => Completeness::GivenUp(reason),
        None => named.unwrap_or(Completeness::Complete),
    };
    Some(EntrySummary { entry, effects, completeness, graph: explored.graph })
}

/// How much of one effect is named.
fn completeness(exprs: &ExprArena, effect: &Effect) -> Completeness {
    match *effect {
        Effect::Read(Target::Storage(key)) | Effect::Write(Target::Storage(key)) => {
            if !exprs.is_vague(key) {
                Completeness::Complete
            } else if Words::new(exprs, key).is_in_declared_slot() {
                Completeness::WidenedToMapping
            } else {
                Completeness::WidenedToContract
            }
        }
        Effect::Call { kind: CallKind::Delegate, forwards: true, .. } => Completeness::Delegated,
        Effect::Call { kind: CallKind::Delegate, .. } => Completeness::WidenedToContract,
        Effect::Read(Target::Balance(of) | Target::Code(of))
        | Effect::Write(Target::Balance(of) | Target::Code(of))
        | Effect::Call { target: of, .. }
        | Effect::Destroy(of)
            if exprs.is_vague(of) =>
        {
            Completeness::WidenedToMapping
        }
        _ => Completeness::Complete,
    }
}

/// The constants of four bytes that the code pushes.
fn constants(code: &[u8]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut pc = 0;
    while let Some(&opcode) = code.get(pc) {
        let immediates =
            usize::from(op::OpCode::info_by_op(opcode).map_or(0, |it| it.immediate_size()));
        if opcode == op::PUSH4
            && let Some(bytes) = code.get(pc + 1..pc + 5)
        {
            found.insert(bytes.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)));
        }
        pc += 1 + immediates;
    }
    found
}
