//! What runs of one function did: effects with how often, merged run by run.

use std::sync::{Arc, OnceLock};

use hashbrown::{HashMap, HashSet};
use revm::{
    bytecode::opcode as op,
    primitives::{U256, map::DefaultHashBuilder},
};

use super::{
    LearntLimits, Selected,
    effect::{LearntEffect, LearntInput},
    reader::{Reader, Run},
    trace::{Trace, TraceEvent},
};
use crate::{
    expr::{ExprArena, ExprId, Words},
    program::{Program, lower},
    symbolic::graph::{Bytes, Exit, Graph},
};

/// Bytes of an effect and of an expression, for the bound on what is held.
const EFFECT_BYTES: usize = 160;
const EXPR_BYTES: usize = 160;

/// Runs after which all counts are halved, so that what changed is noticed.
const RUNS_MAX: u32 = 1 << 12;

/// An effect, and in how many runs it happened.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub(super) effect: LearntEffect,
    pub(super) runs: u32,
    /// Names its answer in expressions.
    pub(super) site: u32,
}

/// The words of an answer.
#[derive(Clone, Debug, Default)]
pub(super) enum Answer {
    /// No run has ended yet.
    #[default]
    None,
    Words(Vec<(u8, ExprId)>),
    /// Runs differ.
    Unknown,
}

/// What is known of one function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) exprs: ExprArena,
    pub(super) effects: Vec<Counted>,
    /// Where each effect that is no call is.
    positions: HashMap<(u8, ExprId), usize, DefaultHashBuilder>,
    pub(super) runs: u32,
    /// Runs with something that could not be expressed.
    pub(super) dropped: u32,
    pub(super) answer: Answer,
    /// When it was seen last.
    seen: u64,
    /// Made when it is asked for first; most functions never are.
    program: OnceLock<Option<Arc<LearntProgram>>>,
}

/// What was learnt of a function, ready for evaluation.
#[derive(Debug)]
pub(crate) struct LearntProgram {
    pub(crate) program: Program,
    /// Whether it stands for all that the function does.
    pub(crate) is_sure: bool,
    /// Whether it says what the function answers.
    pub(crate) has_answer: bool,
}

/// How often something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Runs that were seen.
    pub runs: u32,
    /// Runs with something that could not be expressed.
    pub dropped: u32,
}

/// What was learnt of one function, for people.
#[derive(Clone, Debug)]
pub struct LearntFunction {
    selected: Selected,
    told: Told,
    exprs: ExprArena,
    effects: Vec<(LearntEffect, u32)>,
}

impl LearntFunction {
    /// Which function.
    pub const fn selected(&self) -> Selected {
        self.selected
    }

    /// How often it was seen.
    pub const fn told(&self) -> Told {
        self.told
    }

    /// The effects, each with the runs in which it happened.
    pub fn effects(&self) -> &[(LearntEffect, u32)] {
        &self.effects
    }

    /// The value of an expression that is a constant.
    pub fn value(&self, id: ExprId) -> Option<U256> {
        self.exprs.value(id)
    }

    /// How a person reads an expression.
    pub fn words(&self, id: ExprId) -> Words<'_> {
        Words::new(&self.exprs, id)
    }
}

impl Function {
    pub(super) fn new(exprs_max: usize) -> Self {
        Self {
            exprs: ExprArena::new(exprs_max),
            effects: Vec::new(),
            positions: HashMap::default(),
            runs: 0,
            dropped: 0,
            answer: Answer::None,
            seen: 0,
            program: OnceLock::new(),
        }
    }

    pub(super) const fn runs(&self) -> u32 {
        self.runs
    }

    pub(super) const fn seen(&self) -> u64 {
        self.seen
    }

    pub(super) fn size(&self) -> usize {
        let program = self.program.get().and_then(Option::as_ref);
        let program = program.map_or(0, |learnt| learnt.program.size());
        let words = |counted: &Counted| match &counted.effect {
            LearntEffect::Call { input: LearntInput::Words(words), .. }
            | LearntEffect::Create { init: LearntInput::Words(words), .. } => words.len() * 8,
            _ => 0,
        };
        let inputs: usize = self.effects.iter().map(words).sum();
        size_of::<Self>()
            + self.effects.len() * EFFECT_BYTES
            + self.exprs.len() * EXPR_BYTES
            + inputs
            + program
    }

    /// Takes in a run.
    pub(super) fn learn(&mut self, trace: &Trace, limits: &LearntLimits, now: u64) {
        if self.runs >= RUNS_MAX {
            self.halve();
        }
        self.runs += 1;
        self.seen = now;
        self.program = OnceLock::new();
        let mut reader = Reader {
            trace,
            exprs: &mut self.exprs,
            known: HashMap::default(),
            sites: vec![None; trace.events.len()],
        };
        let mut run = Run { counted: HashSet::new(), places: HashMap::default(), dropped: false };
        for (at, event) in trace.events.iter().enumerate() {
            let Some((effect, values)) = reader.effect(event, &mut run) else {
                run.dropped |= !matches!(event, TraceEvent::Other);
                continue;
            };
            let found = find(&self.effects, &self.positions, reader.exprs, &effect, &values);
            let position = if let Some(found) = found {
                self.effects[found].effect.join(&effect);
                found
            } else if self.effects.len() < limits.effects_max {
                let position = self.effects.len();
                if let Some(place) = place(&effect) {
                    self.positions.insert(place, position);
                }
                let site = u32::try_from(position).unwrap_or(u32::MAX);
                self.effects.push(Counted { effect, runs: 0, site });
                position
            } else {
                run.dropped = true;
                continue;
            };
            reader.sites[at] = Some(self.effects[position].site);
            if run.counted.insert(position) {
                self.effects[position].runs += 1;
            }
        }
        self.dropped += u32::from(run.dropped || trace.is_cut);
        let answer = trace.answer.as_ref();
        let answer: Option<Vec<_>> = answer.map(|words| {
            words.iter().map(|(bytes, word, value)| (*bytes, reader.read(*word, value))).collect()
        });
        self.answer = join_answers(core::mem::take(&mut self.answer), answer);
    }

    fn halve(&mut self) {
        self.runs /= 2;
        self.dropped /= 2;
        for counted in &mut self.effects {
            counted.runs /= 2;
        }
    }

    /// Finds the places of effects again, after they were loaded.
    pub(super) fn index(&mut self) {
        let places = self.effects.iter().enumerate();
        self.positions =
            places.filter_map(|(at, it)| place(&it.effect).map(|place| (place, at))).collect();
    }

    /// The program of what enough runs did.
    pub(super) fn program(&self, limits: &LearntLimits) -> Option<Arc<LearntProgram>> {
        self.program.get_or_init(|| self.compile(limits).map(Arc::new)).clone()
    }

    fn compile(&self, limits: &LearntLimits) -> Option<LearntProgram> {
        let is_loop = self.runs < 2 && self.effects.len() > limits.once_effects_max;
        if self.runs < limits.runs_min || is_loop {
            return None;
        }
        let is_share = |part: u32, whole: u32, share: u32| {
            u64::from(part) * 1000 >= u64::from(whole) * u64::from(share)
        };
        let mut graph = Graph::default();
        let root = graph.add(None);
        for counted in &self.effects {
            if is_share(counted.runs, self.runs, limits.share_min)
                && let Some(event) = counted.effect.event(counted.site)
            {
                graph.push(root, event);
            }
        }
        let answer = match &self.answer {
            Answer::Words(words) => words.as_slice(),
            _ => &[],
        };
        graph.exit(root, Exit::Return(Bytes::Words(answer.into())));
        let is_dropped = is_share(self.dropped, self.runs, limits.dropped_share_max + 1);
        let program = lower(&self.exprs, &graph)?;
        let has_answer = matches!(self.answer, Answer::Words(_));
        Some(LearntProgram { program, is_sure: !is_dropped, has_answer })
    }

    pub(super) fn told(&self, selected: Selected) -> LearntFunction {
        let &Self { runs, dropped, .. } = self;
        LearntFunction {
            selected,
            told: Told { runs, dropped },
            exprs: self.exprs.clone(),
            effects: self.effects.iter().map(|it| (it.effect.clone(), it.runs)).collect(),
        }
    }
}

/// Two answers as one: words that differ are not known.
fn join_answers(before: Answer, now: Option<Vec<(u8, ExprId)>>) -> Answer {
    match (before, now) {
        (Answer::None, Some(words)) => Answer::Words(words),
        (Answer::Words(mut before), Some(words)) if before.len() == words.len() => {
            for ((_, word), (_, other)) in before.iter_mut().zip(words) {
                if *word != other {
                    *word = ExprId::UNKNOWN;
                }
            }
            Answer::Words(before)
        }
        _ => Answer::Unknown,
    }
}

/// What tells effects apart that are no calls.
const fn place(effect: &LearntEffect) -> Option<(u8, ExprId)> {
    match *effect {
        LearntEffect::Read(key) => Some((op::SLOAD, key)),
        LearntEffect::Write(key) => Some((op::SSTORE, key)),
        LearntEffect::Account { code, of } => Some((code, of)),
        LearntEffect::Destroy(to) => Some((op::SELFDESTRUCT, to)),
        _ => None,
    }
}

fn find(
    effects: &[Counted],
    positions: &HashMap<(u8, ExprId), usize, DefaultHashBuilder>,
    exprs: &ExprArena,
    effect: &LearntEffect,
    values: &[U256],
) -> Option<usize> {
    match place(effect) {
        Some(place) => positions.get(&place).copied(),
        None => effects.iter().position(|it| it.effect.admits(exprs, effect, values)),
    }
}
