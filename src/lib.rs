//! Looks at a block before it runs, and runs it in parallel.
//!
//! The pipeline, each step a function of what the one before gives:
//!
//! 1. [`BlockInput::load`](input::BlockInput::load) reads a block, the state it
//!    starts from and the header it must reproduce. A block builder that has
//!    them in memory makes a [`Block`] of signed envelopes ([`block_from_consensus`])
//!    and takes any [`revm::DatabaseRef`] that is `Sync`, or one for each thread
//!    ([`PerThread`]).
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
//! [`Plan::to_bytes`] is a plan for another process. `alloy_evm` puts all of this in the place
//! of a node's block executor.
//!
//! # Features
//!
//! | Feature | What it adds |
//! |---|---|
//! | `alloy-evm` | the block executor of alloy-evm, in parallel |
//! | `tracing`, `metrics` | spans and counts of each block |
//! | `tools` | what the command line does: block files, nodes, tests, reports; and with it every name of [`analysis`], [`execution`] and [`scheduling`] at the root |
//! | `cli` | the command line (default) |
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

#[cfg(feature = "tools")]
mod access_list;
#[cfg(feature = "alloy-evm")]
pub mod alloy_evm;
pub mod assembly;
#[cfg(feature = "tools")]
pub mod bench;
#[cfg(feature = "tools")]
pub mod compare;
#[cfg(feature = "tools")]
pub mod conformance;
mod consensus;
#[cfg(feature = "tools")]
pub mod contract;
#[cfg(feature = "tools")]
pub mod explain;
#[cfg(feature = "tools")]
pub mod fetch;
#[cfg(feature = "tools")]
pub mod input;
#[cfg(feature = "tools")]
pub mod lint;
#[cfg(feature = "tools")]
pub mod measure;
#[cfg(feature = "tools")]
pub mod names;
#[cfg(feature = "partition")]
pub mod partition;
mod per_thread;
#[cfg(feature = "tools")]
pub mod picture;
mod pipeline;
pub mod pool;
mod portable;
mod predictors;
#[cfg(feature = "tools")]
mod printable;
#[cfg(feature = "tools")]
pub mod report;
#[cfg(feature = "tools")]
pub mod selectors;
#[cfg(feature = "tools")]
mod state_root;
#[cfg(feature = "tools")]
pub mod stats;
#[cfg(feature = "t8n")]
pub mod t8n;

/// The types of transactions and headers that this version takes.
pub use alloy_consensus;
/// Addresses, hashes and words, of the version that this one takes.
pub use alloy_primitives;
/// Everything about predictions: access sets, summaries of code, learning.
pub use forewave_analyzer as analysis;
/// Everything about running a block.
pub use forewave_executor as execution;
/// Everything about conflicts, chains and waves.
pub use forewave_scheduler as scheduling;
/// The thread pools that blocks run on.
pub use rayon;
/// The EVM, of the version that this one runs blocks with.
pub use revm;

pub use consensus::{block_from_consensus, tx_env};
pub use forewave_analyzer::{
    AccessKind, AccessSet, AnalyzeError, Block, Location, MeasuredAccess, MeasuredDeciding,
    MemoryState, PredictedAccess, Predictor, Scope, StateExtent, StaticPredictor, SummaryCache,
    TxIndex, commute_payments,
};
pub use forewave_executor::{
    BlockOutcome, Bundle, CancelToken, Cancellable, ExecutionError, ExecutionStats, FillLoop,
    HybridPredictor, Member, OneByOne, OrderItem, ReuseCache, RunPlan, StateChanges, TxReceipt,
    Workers, execute, sequential, with_prefetch,
};
pub use forewave_scheduler::{
    ConflictGraph, ConflictGroups, ConflictRule, Schedule, Wave, schedule, verify,
};
pub use per_thread::PerThread;
pub use pipeline::{BlockError, Plan, execute_block, predict};
pub use portable::PortableError;
pub use predictors::PredictorKind;

// What the command line and its reports use as well.
#[cfg(feature = "tools")]
pub use access_list::{
    EntryAt, FaultKind, FaultReport, FaultTx, IndexInWords, ListFault, Listed, Touching,
    judge_access_list, list_items, unaffordable_reads,
};
#[cfg(feature = "tools")]
pub use forewave_analyzer::{
    AccessListPredictor, AccessSetBuilder, AccessSummary, BlockReward, CallKind, Completeness,
    Confidence, Effect, Entry, EntrySummary, EvaluationLimits, ExprArena, ExprId, Frequency,
    GaveUp, Implementation, KeyExpr, KeyOrigin, LatePredictor, Learnt, LearntEffect,
    LearntFunction, LearntInput, LearntLimits, ListPredictor, ObservedAccess, Ommer, PanickedError,
    Payers, ProtocolPredictor, Scratch, Selected, SharedPlace, SharedUse, StateError, SummaryError,
    SummaryLimits, Target, TxEvaluator, WidenedAccess, WideningCause, Words, WriteKind,
    predict_each, summarize, summarize_account,
};
#[cfg(feature = "tools")]
pub use forewave_executor::{
    AccountChange, CancellableError, Declaration, DropReason, Dropped, FilledItem, FilledTx,
    Learner, Lesson, Observation, OraclePredictor, OutcomeNote, PrefetchStats, Prefetched,
    ReconPredictor, Reexecution, ReexecutionReason, SYSTEM_CONTRACTS, Sampling, SequentialRun,
    StateView, SystemFailure, SystemOperation, declarations, observe, predict_on_threads,
    sequential_until,
};
#[cfg(feature = "tools")]
pub use forewave_scheduler::{
    AccessTable, Cause, Chain, Edge, Hazard, HazardCounts, HotSpot, LaneSlot, Lanes, LocationId,
    ScheduleError, StatedChain, StatedSchedule, StatedWave, WaveIndex, critical_path, dot,
    hot_spots, lanes, remaining_gas,
};
#[cfg(feature = "tools")]
pub use predictors::UnknownPredictor;
#[cfg(feature = "tools")]
pub use printable::{Printable, is_printable};
#[cfg(feature = "tools")]
pub use state_root::{apply_changes, state_root};

/// The snippets of the page for those who embed this crate, compiled by the tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
struct EmbeddingPage;
