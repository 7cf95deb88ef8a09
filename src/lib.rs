//! Looks at a block before it runs, and runs it in parallel.
//!
//! The pipeline, each step a function of what the one before gives:
//!
//! 1. [`BlockInput::load`](input::BlockInput::load) reads a block, the state it
//!    starts from and the header it must reproduce. A block builder that has
//!    them in memory starts from a [`Block`] and any [`revm::DatabaseRef`].
//! 2. [`predict`] gives one [`PredictedAccess`] for each transaction.
//! 3. [`Plan::to_run`] turns the predictions into a [`ConflictGraph`] and a
//!    [`Schedule`] of waves.
//! 4. [`execute`] runs the graph on a thread pool, each transaction once those
//!    that it needs are done; its [`BlockOutcome`] equals that of [`sequential`],
//!    however wrong the predictions were.
//!
//! [`execute_block`] is 2 to 4 in one call. Before there is a block, a [`pool`] keeps
//! transactions and bundles with their predictions. [`measure`] scores predictions
//! against what the block's transactions did touch. [`conformance`] runs
//! ethereum/tests through all of it, and [`state_root`] hashes what comes out.
//!
//! ```
//! use forewave::{PredictorKind, execute_block, input::{BlockInput, LoadOptions}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = std::path::Path::new("no such block");
//! # if directory.exists() {
//! let input = BlockInput::load(directory, &LoadOptions::default())?;
//! let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build()?;
//! let outcome = execute_block(&input.block, &input.state, &PredictorKind::Static, &pool)?;
//! println!("{} gas, {} accounts changed", outcome.gas_used, outcome.state.len());
//! # }
//! # Ok(())
//! # }
//! ```

mod access_list;
pub mod bench;
pub mod compare;
pub mod conformance;
pub mod contract;
pub mod explain;
pub mod fetch;
pub mod input;
pub mod lint;
pub mod measure;
pub mod names;
#[cfg(feature = "partition")]
pub mod partition;
pub mod picture;
mod pipeline;
pub mod pool;
mod predictors;
mod printable;
pub mod report;
pub mod selectors;
mod state_root;
pub mod stats;
#[cfg(feature = "t8n")]
pub mod t8n;

pub use access_list::{EntryAt, IndexInWords, ListFault, Listed, judge_access_list, list_items};
pub use forewave_analyzer::{
    AccessKind, AccessListPredictor, AccessSet, AccessSetBuilder, AccessSummary, AnalyzeError,
    Block, BlockReward, CallKind, Completeness, Confidence, Effect, Entry, EntrySummary,
    EvaluationLimits, ExprArena, ExprId, Frequency, GaveUp, Implementation, KeyExpr, KeyOrigin,
    LatePredictor, Learnt, LearntEffect, LearntFunction, LearntInput, LearntLimits, ListPredictor,
    Location, MemoryState, ObservedAccess, Ommer, PanickedError, Payers, PredictedAccess,
    Predictor, ProtocolPredictor, Scope, Scratch, Selected, SharedPlace, SharedUse, StateError,
    StateExtent, StaticPredictor, SummaryCache, SummaryError, SummaryLimits, Target, TxEvaluator,
    TxIndex, WidenedAccess, WideningCause, Words, WriteKind, commute_payments, predict_each,
    summarize, summarize_account,
};
pub use forewave_executor::{
    AccountChange, BlockOutcome, CancelToken, Cancellable, CancellableError, Declaration,
    ExecutionError, ExecutionStats, HybridPredictor, Learner, Lesson, Observation, OneByOne,
    OraclePredictor, OutcomeNote, PrefetchStats, Prefetched, ReconPredictor, Reexecution,
    ReexecutionReason, ReuseCache, RunPlan, Sampling, SequentialRun, StateChanges, StateView,
    SystemFailure, SystemOperation, TxReceipt, Workers, declarations, execute, observe,
    predict_on_threads, sequential, sequential_until, with_prefetch,
};
pub use forewave_scheduler::{
    AccessTable, Cause, Chain, ConflictGraph, ConflictGroups, ConflictRule, Edge, Hazard,
    HazardCounts, HotSpot, LaneSlot, Lanes, LocationId, Schedule, ScheduleError, StatedChain,
    StatedSchedule, StatedWave, Wave, WaveIndex, critical_path, dot, hot_spots, lanes,
    remaining_gas, schedule, verify,
};
pub use pipeline::{BlockError, Plan, execute_block, predict};
pub use predictors::{PredictorKind, UnknownPredictor};
pub use printable::{Printable, is_printable};
pub use state_root::{apply_changes, state_root};
