//! Schedules a block from what its transactions are predicted to touch.
//!
//! The pipeline, each step a module: predictions are interned into an
//! [`AccessTable`]; scopes that widened predictions use become places of their
//! own; one pass over each place in block order gives the conflicts, and these
//! the [`ConflictGraph`]; its RAW edges are gathered into [`Chain`]s, and
//! [`schedule`] puts the chains into [`Wave`]s. [`verify`] checks the result.
//!
//! All of it is linear in the number of accesses, with named bounds
//! ([`FAN_IN_MAX`], [`MAPPING_SCOPES_MAX`]) where a pairing could be quadratic;
//! beyond a bound transactions are ordered that need not be, never the reverse.
//!
//! [`assemble`] chooses the transactions of a block before all that: from [`Candidates`] with
//! values, within [`Limits`] that may bound the span.
//!
//! Where there is no block yet, [`ConflictGroups`] keeps orders that come and go in groups
//! without conflicts between them.
//!
//! This crate knows access sets, not the EVM: no bytecode, no state, no
//! threads, no I/O.

mod assembly;
mod balance;
mod chain;
mod conflicts;
mod critical;
mod csr;
mod dot;
mod frontier;
mod graph;
mod groups;
mod hazard;
mod hot;
mod id;
mod lanes;
mod order;
mod schedule;
mod scope;
mod table;
mod text;
mod uses;
mod verify;
mod view;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod notation;
#[cfg(test)]
mod properties;

pub use assembly::{
    Assembly, AssemblyError, Candidates, LeftOut, Machine, Timed, assemble, assemble_within, trade,
    value_bound,
};
pub use critical::critical_path;
pub use dot::dot;
pub use frontier::FAN_IN_MAX;
pub use graph::{ConflictGraph, Edge, TransactionSet};
pub use groups::{ConflictGroups, ConflictRule};
pub use hazard::{Cause, Hazard};
pub use hot::{HazardCounts, HotSpot, hot_spots};
pub use id::{LocationId, OrderIndex, WaveIndex};
pub use lanes::{LaneSlot, Lanes, lanes};
pub use order::{Constraints, GasClaim, Limits, Order, OrderTx, Resource, Sender};
pub use schedule::{
    Chain, Schedule, StatedChain, StatedSchedule, StatedWave, Wave, remaining_gas, schedule,
};
pub use scope::MAPPING_SCOPES_MAX;
pub use table::AccessTable;
pub use verify::{ScheduleError, verify};
pub use view::{EdgeView, GraphView, HazardView, LocationView, TransactionView};
