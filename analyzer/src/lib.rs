//! Predicts what transactions read and write before they run.
//!
//! The pipeline, each step a module: a [`Block`] and a state view
//! ([`MemoryState`], or any [`revm::DatabaseRef`]) go in; a [`Predictor`]
//! gives one [`PredictedAccess`] for each transaction. [`ProtocolPredictor`] and
//! [`AccessListPredictor`] look at its fields, [`ListPredictor`] at the access list that its
//! block comes with, [`StaticPredictor`] at the code that it
//! calls: [`summarize`] looks at bytecode alone, inputs unknown, and says what each
//! function of it can touch, as expressions over the call's inputs; a [`SummaryCache`]
//! keeps that as programs, which a [`TxEvaluator`] follows with a transaction's values.
//! What real runs of functions touched is [`Learnt`] as such expressions, for where the
//! code alone does not say it.
//!
//! This crate knows no threads, no graph and no I/O. What it does not know it
//! widens ([`Scope`]); ignorance is never an empty set.

mod access;
mod alu;
mod block;
mod evaluate;
mod expr;
mod keys;
mod learnt;
mod listed;
mod measured;
mod panicked;
mod payments;
mod predictor;
mod program;
mod protocol;
mod skeleton;
mod state;
mod static_predictor;
mod summaries;
mod symbolic;

pub use access::{
    AccessKind, AccessSet, AccessSetBuilder, Confidence, KeyOrigin, Location, ObservedAccess,
    PredictedAccess, Scope, TxIndex, WidenedAccess, WideningCause,
};
pub use block::{Block, BlockReward, Ommer, StateExtent};
pub use evaluate::{EvaluationLimits, Scratch, TxEvaluator};
pub use expr::{ExprArena, ExprId, KeccakPart, KeyExpr, Namer, Words, slot_in_words};
pub use learnt::{
    ANSWER_LEN, INPUT_WORDS_MAX, Learnt, LearntCode, LearntEffect, LearntFunction, LearntInput,
    LearntLimits, Selected, Told, Trace, TraceEvent, TraceInput, Word,
};
pub use listed::ListPredictor;
pub use measured::{MeasuredAccess, MeasuredDeciding};
pub use panicked::PanickedError;
pub use payments::{Payers, commute_payments};
pub use predictor::{AnalyzeError, Predictor, predict_each};
pub use protocol::{AccessListPredictor, DECLARED_KEYS_MAX, ProtocolPredictor};
pub use state::{MemoryState, StateError};
pub use static_predictor::{LatePredictor, StaticPredictor};
pub use summaries::{SummaryCache, SummaryError};
pub use symbolic::{
    AccessSummary, CallKind, Completeness, Effect, Entry, EntrySummary, Frequency, GaveUp,
    Implementation, SharedPlace, SharedUse, SummaryLimits, Target, WriteKind, summarize,
    summarize_account,
};
