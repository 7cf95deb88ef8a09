//! Templates: what the interpreter did for one transaction, compiled so that the
//! next one into the same code need not be interpreted.
//!
//! In the order of the data: the interpreter records a [`trace`] of [`value`]s
//! and events; [`path`] keeps of it what guards, keys, calls and payments need
//! ([`operation`]), as a straight line cut at its guards; a [`tree`] holds the
//! paths of one entry, sharing what they share; the [`cache`] holds the trees, by
//! code hash, selector and fork; [`replay`] evaluates a tree on another
//! transaction and another state, and leaves stored values [`deferred`]. A guard
//! is always evaluated, never remembered: where no path fits, the transaction is
//! interpreted and its path added.
//!
//! What a template does not follow is the gas: its estimate is that of the
//! recorded run, and a path on which a frame runs out of it only fits what brings
//! as much.

mod answers;
mod assembly;
mod buffers;
mod cache;
mod deferred;
mod exact;
mod host;
mod inputs;
mod learning;
mod operation;
mod path;
mod replay;
mod signer;
mod trace;
mod tree;
mod value;

pub(crate) use answers::{Answer, answer};
pub(crate) use buffers::Replay;
pub use cache::TemplateCache;
pub(crate) use cache::TemplateKey;
pub(crate) use deferred::{Deferred, DeferredId};
pub use exact::{CallOutcome, Evaluator, ExactPaths, FoundAccount, TopCall, UsedAccount, UsedSlot};
pub(crate) use operation::Outcome;
pub(crate) use replay::Replayed;
pub(crate) use trace::{AccountRef, CheckpointRef, CodeRef, SlotRef, Trace};
pub(crate) use tree::{Attempt, Tree};
pub(crate) use value::{Function, Input, ValueId};
