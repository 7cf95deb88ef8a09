//! The abstract interpreter with known inputs: the concrete driver.
//!
//! It runs a transaction's code on words that carry their provenance, over an
//! overlay of what the earlier transactions of the block are predicted to
//! write, and reads the accesses off the overlay. In the order of the data:
//! [`word`]s live on the [`stack`], in [`region`]s and in the [`world`];
//! [`origin`] tells which mapping a hash points into; [`frame`]s are run by the
//! [`machine`] through the instruction [`table`]; [`transaction`] surrounds
//! them with the protocol's own accesses. [`guesses`] stand in for state that may
//! not be read.
//!
//! Gas is accounted as revm accounts it, since whether a call runs out of gas
//! decides what it touches. Logs and output are not kept. There is nothing
//! here that refuses a transaction, and no unbounded loop or allocation.

#![allow(
    clippy::unnecessary_wraps,
    reason = "an instruction is a function in a table and returns a `Step`"
)]

mod account;
mod arithmetic;
mod branches;
mod call;
mod code;
mod control;
mod create;
mod environment;
mod frame;
mod guesses;
mod hash_cache;
mod intrinsic;
mod machine;
mod memory;
mod origin;
mod precompile;
mod prediction;
pub(crate) mod region;
mod room;
mod settle;
mod slot;
mod stack;
mod storage;
mod table;
mod tables;
mod transaction;
mod transfer;
mod verification;
pub(crate) mod word;
mod world;

pub(crate) use branches::{RevertingBlocks, reverting_blocks};
pub(crate) use frame::Exit;
pub(crate) use guesses::Knowledge;
pub(crate) use hash_cache::HashCache;
pub(crate) use machine::{Abandoned, Ending, Machine};
pub(crate) use room::{RevertingPlaces, Room};
pub(crate) use word::{Provenance, Word};
pub(crate) use world::{AccountId, Checkpoint, Content, SlotId};
