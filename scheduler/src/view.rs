//! Conflict graph -> a value for machines, with stable field names.

use forewave_analyzer::{Location, TxIndex};
use serde::{Deserialize, Serialize};

use crate::{Cause, ConflictGraph, Hazard, LocationId, text::named_locations};

/// A conflict graph as JSON writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphView {
    /// The transactions, in block order.
    pub transactions: Vec<TransactionView>,
    /// The locations at which transactions conflict, by identifier.
    pub locations: Vec<LocationView>,
    /// The pairs that conflict directly, by later and then by earlier transaction.
    pub edges: Vec<EdgeView>,
}

/// One transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionView {
    /// Its position in the block.
    pub tx: TxIndex,
    /// Estimated gas.
    pub gas: u64,
}

/// One interned location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationView {
    /// Its identifier in this graph.
    pub id: LocationId,
    /// What it stands for.
    pub location: Location,
}

/// One pair that conflicts directly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeView {
    /// The earlier transaction.
    pub from: TxIndex,
    /// The later transaction.
    pub to: TxIndex,
    /// How and where they meet.
    pub hazards: Vec<HazardView>,
}

/// One hazard of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HazardView {
    /// How the two meet.
    pub hazard: Hazard,
    /// Where.
    pub cause: Cause,
}

impl From<&ConflictGraph> for GraphView {
    fn from(graph: &ConflictGraph) -> Self {
        let transaction = |tx| TransactionView { tx, gas: graph.gas(tx) };
        let location = |id| LocationView { id, location: graph.accesses().location(id) };
        let edges = graph.edges().map(|edge| EdgeView {
            from: edge.from,
            to: edge.to,
            hazards: edge.hazards().map(|(hazard, cause)| HazardView { hazard, cause }).collect(),
        });
        Self {
            transactions: graph.transactions().map(transaction).collect(),
            locations: named_locations(graph).into_iter().map(location).collect(),
            edges: edges.collect(),
        }
    }
}
