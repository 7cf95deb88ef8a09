//! Two transactions -> why they are ordered, or why they are not.

use forewave_analyzer::{AccessKind, AccessSet, Location, TxIndex};
use forewave_scheduler::{Edge, Hazard};
use serde::Serialize;

use super::{
    Explained,
    path::{EdgeReport, Through, shortest},
};
use crate::{
    PredictorKind,
    names::{PlaceReport, TxReport},
    report::BlockHeading,
};

/// Places that two independent transactions share, listed.
const SHARED_MAX: usize = 32;

/// How two transactions stand to each other in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// A path of RAW edges: the later one waits for the earlier one.
    Ordered,
    /// They meet, but only as WAR or WAW: each sees its own version, and neither waits.
    Versions,
    /// No path at all.
    Independent,
}

/// `forewave explain BLOCK A B --json`.
#[derive(Clone, Debug, Serialize)]
pub struct PairExplanation {
    /// Which block.
    #[serde(flatten)]
    pub block: BlockHeading,
    /// Who predicted.
    pub predictor: PredictorKind,
    /// The transaction that comes first in the block.
    pub earlier: TxReport,
    /// The other one.
    pub later: TxReport,
    /// How they stand to each other.
    pub relation: Relation,
    /// The edges from one to the other: a shortest path, of RAW edges if there is one.
    pub path: Vec<EdgeReport>,
    /// What both touch without a conflict that leads from one to the other, if that is so.
    pub shared: Vec<SharedReport>,
    /// Whether the later one did need what the earlier one did, when the block ran; absent
    /// if it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_ordered: Option<bool>,
    /// Where they met when the block ran, directly, and the graph has no such edge.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<PlaceReport>,
}

/// A place that two transactions touch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharedReport {
    /// Where.
    #[serde(flatten)]
    pub place: PlaceReport,
    /// How the earlier one uses it.
    pub earlier: Vec<AccessKind>,
    /// How the later one does.
    pub later: Vec<AccessKind>,
}

impl Explained<'_> {
    /// Why two different transactions are ordered, or why not; in whichever order they are
    /// named.
    pub fn pair(&self, heading: &BlockHeading, one: TxIndex, other: TxIndex) -> PairExplanation {
        let (earlier, later) = (one.min(other), one.max(other));
        let (relation, path) = self.path(earlier, later);
        let shared = match relation {
            Relation::Independent => self.shared(earlier, later),
            Relation::Ordered | Relation::Versions => Vec::new(),
        };
        let observed_ordered =
            self.observed.as_ref().map(|observed| observed.orders(earlier, later));
        let missed = match relation {
            Relation::Ordered => Vec::new(),
            Relation::Versions | Relation::Independent => self.missed(earlier, later),
        };
        PairExplanation {
            block: heading.clone(),
            predictor: self.predictor,
            earlier: self.names.report(self.input, earlier),
            later: self.names.report(self.input, later),
            relation,
            path,
            shared,
            observed_ordered,
            missed,
        }
    }

    fn path(&self, earlier: TxIndex, later: TxIndex) -> (Relation, Vec<EdgeReport>) {
        let graph = self.plan.graph();
        let edges = |path: Vec<TxIndex>| -> Vec<EdgeReport> {
            path.windows(2).filter_map(|ends| self.direct(ends[0], ends[1])).collect()
        };
        let ordered = edges(shortest(graph, earlier, later, Through::Raw));
        if !ordered.is_empty() {
            return (Relation::Ordered, ordered);
        }
        let any = edges(shortest(graph, earlier, later, Through::Any));
        let relation = if any.is_empty() { Relation::Independent } else { Relation::Versions };
        (relation, any)
    }

    /// What both are predicted to touch.
    fn shared(&self, earlier: TxIndex, later: TxIndex) -> Vec<SharedReport> {
        let predictions = self.plan.predictions();
        let [first, second] = [earlier, later].map(|tx| predictions[tx.index()].set());
        let both = first.locations().into_iter().filter_map(|location| {
            let (earlier, later) = (kinds(first, &location), kinds(second, &location));
            let place = PlaceReport::of_location(&self.names, &location);
            (!later.is_empty()).then_some(SharedReport { place, earlier, later })
        });
        both.take(SHARED_MAX).collect()
    }

    /// Where execution ordered two transactions directly.
    fn missed(&self, earlier: TxIndex, later: TxIndex) -> Vec<PlaceReport> {
        let Some(observed) = &self.observed else { return Vec::new() };
        let graph = observed.graph();
        let Some(edge) = graph.edge(earlier, later).filter(Edge::orders_execution) else {
            return Vec::new();
        };
        let raw = edge.hazards().filter(|(hazard, _)| *hazard == Hazard::Raw);
        raw.map(|(_, cause)| PlaceReport::of_cause(&self.names, graph, &cause)).collect()
    }
}

/// How a set uses a location.
fn kinds(set: &AccessSet, location: &Location) -> Vec<AccessKind> {
    let all = [AccessKind::Read, AccessKind::Write, AccessKind::Delta];
    all.into_iter().filter(|kind| set.contains(location, *kind)).collect()
}
