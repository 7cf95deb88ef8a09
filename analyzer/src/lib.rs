//! Predicts what transactions read and write before they run.
//!
//! The pipeline, each step a module: a [`Block`] and a state view
//! ([`MemoryState`], or any [`revm::DatabaseRef`]) go in; a [`Predictor`]
//! gives one [`PredictedAccess`] for each transaction. [`ProtocolPredictor`] and
//! [`AccessListPredictor`] look at its fields, [`StaticPredictor`] and
//! [`StaticCodePredictor`] interpret its code within [`Limits`], the former by a
//! template where one fits ([`TemplateCache`]).
//!
//! [`summarize`] looks at bytecode alone, inputs unknown, and says what each
//! function of it can touch, as expressions over the call's inputs.
//!
//! This crate knows no threads, no graph and no I/O. What it does not know it
//! widens ([`Scope`]); ignorance is never an empty set.

mod access;
mod alu;
mod block;
mod expr;
mod interpreter;
mod keys;
mod limits;
mod panicked;
mod payments;
mod predictor;
mod protocol;
mod state;
mod static_predictor;
mod symbolic;
mod template;

pub use access::{
    AccessKind, AccessSet, AccessSetBuilder, Confidence, KeyOrigin, Location, ObservedAccess,
    PredictedAccess, Scope, TxIndex, WidenedAccess,
};
pub use block::{Block, BlockReward, Ommer, StateExtent};
pub use expr::{ExprArena, ExprId, KeccakPart, KeyExpr, Namer, Words};
pub use limits::Limits;
pub use panicked::PanickedError;
pub use payments::{Payers, commute_payments};
pub use predictor::{AnalyzeError, Predictor};
pub use protocol::{AccessListPredictor, ProtocolPredictor};
pub use state::{MemoryState, StateError};
pub use static_predictor::{StaticCodePredictor, StaticPredictor};
pub use symbolic::{
    AccessSummary, CallKind, Completeness, Effect, Entry, EntrySummary, GaveUp, Implementation,
    SummaryLimits, Target, summarize, summarize_account,
};
pub use template::{
    CallOutcome, Evaluator, ExactPaths, FoundAccount, TemplateCache, TemplateError, TopCall,
    UsedAccount, UsedSlot,
};
