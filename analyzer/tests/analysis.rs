//! The predictors on small assembled programs, one rule each.

#![allow(missing_docs, unreachable_pub, reason = "test crate")]

#[path = "analysis/assembler.rs"]
mod assembler;
#[path = "analysis/calls.rs"]
mod calls;
#[path = "analysis/evaluation.rs"]
mod evaluation;
#[path = "analysis/keys.rs"]
mod keys;
#[path = "analysis/linking.rs"]
mod linking;
#[path = "analysis/loss.rs"]
mod loss;
#[path = "analysis/protocol.rs"]
mod protocol;
#[path = "analysis/saved.rs"]
mod saved;
#[path = "analysis/scene.rs"]
mod scene;
#[path = "analysis/state.rs"]
mod state;
#[path = "analysis/symbolic.rs"]
mod symbolic;
#[path = "analysis/widening.rs"]
mod widening;
