//! The predicted graph against what execution touched: edges that were real, edges too many,
//! edges missed.

use forewave_analyzer::TxIndex;
use forewave_scheduler::{Edge, Hazard};
use serde::Serialize;

use crate::{explain::Explained, names::PlaceReport};

/// What `graph --check` found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Predicted edges whose transactions did meet: RAW if the edge orders, any hazard otherwise.
    pub real: usize,
    /// Predicted edges whose transactions did not, as `[earlier, later]`.
    pub unseen: Vec<[TxIndex; 2]>,
    /// Pairs where the later one needed what the earlier one did, and the graph does not order
    /// them, directly or through others.
    pub missed: Vec<MissedEdge>,
}

/// A dependency that was not predicted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissedEdge {
    /// The earlier transaction.
    pub from: TxIndex,
    /// The later one.
    pub to: TxIndex,
    /// Where they met.
    pub places: Vec<PlaceReport>,
}

impl Explained<'_> {
    /// What execution says of the graph; none if the block was not run.
    pub fn check(&self) -> Option<CheckReport> {
        let observed = self.observed.as_ref()?;
        let (graph, names) = (self.plan.graph(), &self.names);
        let mut report = CheckReport { real: 0, unseen: Vec::new(), missed: Vec::new() };
        for edge in graph.edges() {
            let orders = edge.orders_execution();
            let counts = |hazard: Hazard| !orders || hazard == Hazard::Raw;
            let ends = [edge.from, edge.to];
            let met = edge.hazards().any(|(hazard, cause)| {
                counts(hazard) && observed.met(names, graph, ends, (hazard, &cause))
            });
            if met {
                report.real += 1;
            } else {
                report.unseen.push(ends);
            }
        }
        let mut ancestors = None;
        for edge in observed.graph().edges().filter(Edge::orders_execution) {
            // Edges come by the later transaction, so that its ancestors are found once.
            let of = match ancestors.take() {
                Some((tx, of)) if tx == edge.to => of,
                _ => graph.ancestors(edge.to),
            };
            if !of.contains(edge.from) {
                let raw = edge.hazards().filter(|(hazard, _)| *hazard == Hazard::Raw);
                let place = |cause| PlaceReport::of_cause(names, observed.graph(), &cause);
                let places = raw.map(|(_, cause)| place(cause)).collect();
                report.missed.push(MissedEdge { from: edge.from, to: edge.to, places });
            }
            ancestors = Some((edge.to, of));
        }
        Some(report)
    }
}
