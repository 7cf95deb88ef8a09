//! Candidates, limits and a machine -> the block of the highest value that executes in time.
//!
//! Time is predicted gas by the machine's speed, on so many cores by [list scheduling](lanes):
//! never more than `work / cores + span`. So with a bound on the span, one on the work follows
//! that keeps the time for sure; but most blocks pack better, and are tried without it first. Of a
//! fixed number of bounds on the span the one with the highest value wins.

use core::time::Duration;

use super::{Assembly, AssemblyError, Candidates, assemble};
use crate::{ConflictGraph, Limits, lanes};

/// How many bounds on the span are tried.
const SPANS: u64 = 8;

/// What a block is to execute on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Cores, at least one.
    pub cores: u32,
    /// Predicted gas that one of them executes in a second.
    pub gas_per_second: u64,
}

impl Machine {
    /// Gas that one core executes in this time.
    fn gas_in(self, time: Duration) -> u64 {
        let gas = u128::from(self.gas_per_second).saturating_mul(time.as_nanos()) / 1_000_000_000;
        u64::try_from(gas).unwrap_or(u64::MAX)
    }

    /// How long one core executes so much gas.
    pub fn time_of(self, gas: u64) -> Duration {
        let nanos = u128::from(gas) * 1_000_000_000 / u128::from(self.gas_per_second.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A block and how long it executes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timed {
    /// The block.
    pub assembly: Assembly,
    /// Gas that passes until all is done.
    pub makespan: u64,
    /// The time that this takes.
    pub time: Duration,
}

impl Timed {
    /// A block on a machine.
    pub fn new(assembly: Assembly, candidates: &Candidates<'_>, machine: Machine) -> Self {
        let graph = ConflictGraph::new(&assembly.predictions(candidates));
        let makespan = lanes(&graph, machine.cores).end;
        Self { assembly, makespan, time: machine.time_of(makespan) }
    }
}

/// Assembles a block that the machine executes in `time`. Only required orders can make it take longer.
pub fn assemble_within(
    candidates: &Candidates<'_>,
    limits: &Limits,
    machine: Machine,
    time: Duration,
) -> Result<Timed, AssemblyError> {
    let gas = machine.gas_in(time);
    let cores = u64::from(machine.cores.max(1));
    let mut best: Option<Timed> = None;
    for step in (1..=SPANS).rev() {
        let span = (gas - gas / SPANS * (SPANS - step)).min(limits.span);
        // What list scheduling cannot fail to pack: work / cores + span * (cores - 1) / cores.
        let sure = cores.saturating_mul(gas.saturating_sub(span)).saturating_add(span);
        for work in [cores.saturating_mul(gas), sure] {
            let limits = Limits { span, work: work.min(limits.work), ..*limits };
            let timed = Timed::new(assemble(candidates, &limits)?, candidates, machine);
            let is_in_time = timed.makespan <= gas;
            let is_better = best.as_ref().is_none_or(|best| {
                let was_in_time = best.makespan <= gas;
                let rank = |timed: &Timed, is_in_time| (is_in_time, timed.assembly.value);
                rank(&timed, is_in_time) > rank(best, was_in_time)
            });
            if is_better {
                best = Some(timed);
            }
            if is_in_time {
                break;
            }
        }
    }
    Ok(best.expect("at least one bound is tried"))
}
