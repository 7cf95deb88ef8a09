//! What was learnt in a file, and whether what a file says can be used.
//!
//! Expressions are saved in the order in which they were made, so that each is made of
//! earlier ones. A file is only trusted as far as it was checked: names that lead nowhere,
//! expressions that are none of a recorder's, counts that do not fit and more than the
//! limits allow are refused.

use revm::primitives::B256;
use serde::{Deserialize, Serialize};

use super::{
    Learnt, LearntLimits, Selected,
    effect::LearntEffect,
    function::{Answer, Counted, Function},
    trace::INPUT_WORDS_MAX,
};
use crate::expr::{ExprArena, ExprId, HASHED_PARTS_MAX, KeyExpr};

/// Nesting of a saved expression: sums are put in order, which can nest them deeper than
/// they were recorded.
const DEPTH_MAX: u32 = 1 << 9;

/// One function.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedLearnt {
    skeleton: B256,
    selected: Selected,
    runs: u32,
    dropped: u32,
    /// All but those that every arena has.
    exprs: Vec<KeyExpr>,
    effects: Vec<(LearntEffect, u32)>,
    /// No words: no answer is known.
    answer: Option<Vec<(u8, ExprId)>>,
}

impl Learnt {
    /// Every function, in a fixed order.
    pub(crate) fn saved(&self) -> Vec<SavedLearnt> {
        let kept = self.read();
        let mut saved: Vec<_> = kept
            .functions
            .iter()
            .map(|((skeleton, selected), function)| SavedLearnt {
                skeleton: *skeleton,
                selected: *selected,
                runs: function.runs,
                dropped: function.dropped,
                exprs: own(&function.exprs).map(|id| function.exprs.get(id).clone()).collect(),
                effects: function.effects.iter().map(|it| (it.effect.clone(), it.runs)).collect(),
                answer: match &function.answer {
                    Answer::Words(words) => Some(words.clone()),
                    Answer::None | Answer::Unknown => None,
                },
            })
            .collect();
        saved.sort_unstable_by_key(|function| (function.skeleton, function.selected));
        saved
    }

    /// What was saved, checked; the number of the first function that cannot be used if
    /// there is one.
    pub(crate) fn restore(saved: Vec<SavedLearnt>, limits: LearntLimits) -> Result<Self, usize> {
        let learnt = Self::new(limits);
        {
            let mut kept = learnt.write();
            for (at, saved) in saved.into_iter().enumerate() {
                let key = (saved.skeleton, saved.selected);
                let function = saved.restore(&limits).ok_or(at)?;
                kept.bytes += function.size();
                kept.functions.insert(key, function);
            }
            if kept.bytes > limits.bytes_max {
                kept.forget();
            }
        }
        learnt.publish();
        Ok(learnt)
    }
}

/// The expressions of an arena behind those that every arena has.
fn own(arena: &ExprArena) -> impl Iterator<Item = ExprId> + use<> {
    arena.ids().skip(ExprArena::new(0).len())
}

impl SavedLearnt {
    fn restore(self, limits: &LearntLimits) -> Option<Function> {
        let mut function = Function::new(limits.exprs_max);
        let sites = self.effects.len();
        let mut depths = vec![0_u32; function.exprs.len()];
        for expr in self.exprs {
            let arena = &mut function.exprs;
            let parts = parts(&expr, sites)?;
            let depth = parts.iter().map(|part| depths.get(part.number()).copied());
            let depth = depth.collect::<Option<Vec<_>>>()?.into_iter().max().map_or(0, |it| it + 1);
            let number = arena.len();
            // One that is here already, or has no room, has another number.
            if depth > DEPTH_MAX || arena.intern(expr).number() != number {
                return None;
            }
            depths.push(depth);
        }
        let is_known = |id: &ExprId| id.number() < depths.len();
        let is_sound = self.dropped <= self.runs
            && sites <= limits.effects_max
            && self.effects.iter().all(|(effect, runs)| {
                *runs <= self.runs && effect.is_bounded() && effect.words().iter().all(is_known)
            })
            && self.answer.iter().flatten().all(|(bytes, word)| *bytes <= 32 && is_known(word))
            && self.answer.as_ref().is_none_or(|words| words.len() <= INPUT_WORDS_MAX);
        if !is_sound {
            return None;
        }
        function.runs = self.runs;
        function.dropped = self.dropped;
        function.answer = self.answer.map_or(Answer::Unknown, Answer::Words);
        let effects = self.effects.into_iter().zip(0..);
        function.effects =
            effects.map(|((effect, runs), site)| Counted { effect, runs, site }).collect();
        function.index();
        Some(function)
    }
}

/// What an expression is made of; none if no recorder makes such.
fn parts(expr: &KeyExpr, sites: usize) -> Option<Vec<ExprId>> {
    match expr {
        KeyExpr::Constant(_) | KeyExpr::Environment(_) | KeyExpr::Immutable(_) => Some(Vec::new()),
        KeyExpr::Returned { site, selector: None, word: Some(_), target: ExprId::ZERO } => {
            ((*site as usize) < sites).then(Vec::new)
        }
        KeyExpr::CallData(of) | KeyExpr::Load(of) => Some(vec![*of]),
        KeyExpr::Operation(_, operands) => Some(operands.to_vec()),
        KeyExpr::Keccak(parts) => {
            let is_whole = parts.len() <= HASHED_PARTS_MAX
                && parts.iter().all(|part| (1..=32).contains(&part.bytes));
            is_whole.then(|| parts.iter().map(|part| part.word).collect())
        }
        _ => None,
    }
}
