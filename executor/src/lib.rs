//! Executes a block in parallel and always ends with exactly what sequential revm gives.
//!
//! [`sequential`] is the oracle, plain revm in block order. [`observe`] is the same run
//! with every access recorded. [`execute`] is the run loop: on any number of threads it
//! takes ready transactions in the order of a [`RunPlan`], which is made from a conflict
//! graph or, where nothing is predicted, from block order. A transaction that is run before
//! its turn records what it read; runs are committed in block order while others still
//! run, and one that read something stale runs again.
//!
//! A [`ReuseCache`] keeps results for when the same transactions run again, as they do while
//! a block is built. A [`FillLoop`] executes orders of them: it drops what does not belong
//! there, and takes back what it has tried.
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

mod access_list;
mod at_work;
mod block_gas;
mod cancel;
mod committed;
mod declared;
mod error;
mod fill;
mod flat_state;
#[doc(hidden)]
pub mod instrument;
mod learn;
mod looks;
mod observation;
mod outcome;
mod predictors;
mod prefetch;
mod reads;
mod ready;
mod requests;
mod reuse;
mod run;
mod sequential;
mod serial;
mod sync;
mod system;
mod touched;
mod tracking;
mod transfer;
mod transition;
mod workers;

#[doc(hidden)]
pub use at_work::AtWork;
pub use cancel::{CancelToken, Cancellable, CancellableError};
pub use declared::{Declaration, declarations};
pub use error::{ExecutionError, SystemFailure};
pub use fill::{Bundle, DropReason, Dropped, FillLoop, FilledItem, FilledTx, Member, OrderItem};
pub use learn::{Learner, Lesson, Sampling};
pub use observation::{Observation, observe};
pub use outcome::{
    AccountChange, BlockOutcome, ExecutionStats, OutcomeNote, Reexecution, ReexecutionReason,
    StateChanges, SystemOperation, TxReceipt,
};
pub use predictors::{HybridPredictor, OraclePredictor, ReconPredictor, predict_on_threads};
pub use prefetch::{OneByOne, PrefetchStats, Prefetched, StateView, with_prefetch};
pub use reuse::ReuseCache;
pub use run::{RunPlan, execute, execute_transactions};
pub use sequential::{SequentialRun, sequential, sequential_until};
pub use system::SYSTEM_CONTRACTS;
pub use workers::Workers;
