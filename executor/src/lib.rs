//! Executes a scheduled block in parallel and always ends with exactly what
//! sequential revm gives.
//!
//! The pipeline: [`sequential`] is the oracle, plain revm in block order.
//! [`observe`] is the same run with every access recorded. [`execute`] runs a
//! planned block on a thread pool, by default as dataflow over the conflict
//! graph, or serially where threads would not pay ([`ExecutionMode`]), blocks of
//! plain transfers by shares of the address space. [`execute_unplanned`] runs one of
//! which nothing is known, on two threads in segments; [`execute_predicted`] begins
//! before all is predicted. A transaction that is run before its turn records what it
//! read; the results are taken in block order while others still run, and a
//! transaction that read something stale runs again.
//!
//! [`Learner`] runs a block again once it is done and notes what its functions touch.
//!
//! Where reading the state takes long, [`with_prefetch`] reads ahead of any of
//! these.
//!
//! [`Cancellable`] ends any of these before they are done.
//!
//! A prediction is never trusted: wrong ones cost time, not correctness. An
//! error leaves the caller's state as it was, since nothing here writes to it.
//! This crate does no I/O and does not decide which predictor or how many
//! threads to use.

mod at_work;
mod buckets;
mod cancel;
mod choice;
mod close;
mod error;
mod exact;
mod flat_state;
mod flow;
mod followers;
mod history;
mod learn;
mod ledger;
mod looks;
mod needs;
mod observation;
mod outcome;
mod overlap;
mod pace;
mod parallel;
mod predictors;
mod prefetch;
mod ready;
mod requests;
mod runs;
mod segments;
mod sequential;
mod serial;
mod shares;
mod spine;
mod sync;
mod system;
mod tasks;
mod tracking;
mod transfer;
mod transition;
mod trials;
mod view;
mod window;
mod worker;
mod workers;

pub use cancel::{CancelToken, Cancellable, CancellableError};
pub use choice::{ExecutionMode, is_worth_planning};
pub use error::{ExecutionError, SystemFailure};
pub use learn::{Learner, Lesson, Sampling};
pub use observation::{Observation, observe};
pub use outcome::{
    AccountChange, BlockOutcome, ExecutionStats, OutcomeNote, Reexecution, ReexecutionReason,
    StateChanges, SystemOperation, TxReceipt,
};
pub use overlap::{execute_overlapped, execute_predicted};
pub use parallel::{execute, execute_as, execute_unplanned};
pub use predictors::{HybridPredictor, OraclePredictor, ReconPredictor, predict_on_threads};
pub use prefetch::{OneByOne, PrefetchStats, Prefetched, StateView, with_prefetch};
pub use sequential::{SequentialRun, sequential, sequential_until};
pub use spine::{RunPlan, WaitPolicy, run_block};
pub use workers::Workers;
