//! Block -> what its transactions touch when they run, and which predicted hazards that
//! bears out.

use forewave_analyzer::{
    AccessKind, AccessSet, Block, Location, ObservedAccess, PredictedAccess, TxIndex,
};
use forewave_executor::{ExecutionError, observe};
use forewave_scheduler::{Cause, ConflictGraph, Hazard};
use revm::DatabaseRef;

use crate::names::Names;

/// What a sequential run of a block touched.
#[derive(Clone, Debug)]
pub struct Observed {
    accesses: Vec<ObservedAccess>,
    gas: Vec<u64>,
    graph: ConflictGraph,
}

impl Observed {
    /// Runs the block.
    pub fn new<DB: DatabaseRef>(
        block: &Block,
        state: &DB,
    ) -> Result<Self, ExecutionError<DB::Error>> {
        let observation = observe(block, state)?;
        let gas: Vec<u64> =
            observation.outcome.receipts.iter().map(|receipt| receipt.gas_used).collect();
        let exact = observation.accesses.iter().zip(&gas).map(|(access, gas)| {
            // The set of what was touched, as if it had been predicted.
            PredictedAccess::exact(access.0.clone(), *gas)
        });
        let graph = ConflictGraph::new(&exact.collect::<Vec<_>>());
        Ok(Self { accesses: observation.accesses, gas, graph })
    }

    /// What one transaction touched.
    pub fn set(&self, tx: TxIndex) -> &AccessSet {
        &self.accesses[tx.index()].0
    }

    /// Gas that it used.
    pub fn gas(&self, tx: TxIndex) -> u64 {
        self.gas[tx.index()]
    }

    /// The conflicts of what was touched.
    pub const fn graph(&self) -> &ConflictGraph {
        &self.graph
    }

    /// Whether the later of two needed what the earlier one did, directly or through others.
    pub fn orders(&self, earlier: TxIndex, later: TxIndex) -> bool {
        self.graph.ancestors(later).contains(earlier)
    }

    /// Whether two transactions did meet in this way in this place.
    pub fn met(
        &self,
        names: &Names,
        predicted: &ConflictGraph,
        [earlier, later]: [TxIndex; 2],
        (hazard, cause): (Hazard, &Cause),
    ) -> bool {
        let (first, second) = (self.set(earlier), self.set(later));
        let met_at = |location: &Location| {
            let changed = |set: &AccessSet| {
                set.contains(location, AccessKind::Write)
                    || set.contains(location, AccessKind::Delta)
            };
            let read = |set: &AccessSet| set.contains(location, AccessKind::Read);
            match hazard {
                Hazard::Raw => changed(first) && read(second),
                Hazard::War => read(first) && changed(second),
                Hazard::Waw => changed(first) && changed(second),
            }
        };
        match cause {
            Cause::Location(id) => met_at(&predicted.accesses().location(*id)),
            Cause::Scope(scope) => first
                .iter()
                .map(|(_, location)| location)
                .any(|location| names.is_in(location, scope) && met_at(location)),
        }
    }
}
