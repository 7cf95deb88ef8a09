//! Two transactions -> the edges of the graph that lead from one to the other, each with how
//! and where its ends meet, and what says so.

use std::collections::VecDeque;

use forewave_analyzer::{AccessKind, Location, Scope, TxIndex};
use forewave_scheduler::{Cause, ConflictGraph, Edge, Hazard};
use serde::Serialize;

use super::{Explained, sources::Source};
use crate::names::PlaceReport;

/// One edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EdgeReport {
    /// The earlier transaction.
    pub from: TxIndex,
    /// The later transaction.
    pub to: TxIndex,
    /// Whether the later one has to wait: one of the hazards is RAW.
    pub orders: bool,
    /// Whether every run of both meets, or only some runs: an access that may be made, or that
    /// is not named.
    pub certain: bool,
    /// How and where they meet.
    pub hazards: Vec<HazardReport>,
    /// Whether execution bears the edge out: RAW if it orders, any hazard otherwise. Absent
    /// if the block was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<bool>,
}

/// One hazard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HazardReport {
    /// `raw`, `war` or `waw`.
    pub hazard: Hazard,
    /// Where.
    #[serde(flatten)]
    pub place: PlaceReport,
    /// What the earlier transaction does there; null where it stands for others.
    pub earlier: Option<UseReport>,
    /// What the later one does there.
    pub later: Option<UseReport>,
    /// Whether execution met there in this way; absent if the block was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<bool>,
}

/// What one side of a hazard does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UseReport {
    /// `read`, `write` or `delta`.
    pub access: AccessKind,
    /// Whether every run makes it.
    pub must: bool,
    /// What it was predicted from.
    pub source: Source,
}

impl Explained<'_> {
    /// The report on an edge of the graph.
    pub fn edge(&self, edge: &Edge<'_>) -> EdgeReport {
        let hazards: Vec<HazardReport> =
            edge.hazards().map(|(hazard, cause)| self.hazard(edge, hazard, &cause)).collect();
        let orders = edge.orders_execution();
        let counts = |hazard: &HazardReport| !orders || hazard.hazard == Hazard::Raw;
        let is_must = |it: Option<UseReport>| it.is_some_and(|it| it.must);
        let certain = hazards
            .iter()
            .any(|hazard| counts(hazard) && is_must(hazard.earlier) && is_must(hazard.later));
        let observed = self
            .observed
            .as_ref()
            .map(|_| hazards.iter().any(|hazard| counts(hazard) && hazard.observed == Some(true)));
        EdgeReport { from: edge.from, to: edge.to, orders, certain, hazards, observed }
    }

    fn hazard(&self, edge: &Edge<'_>, hazard: Hazard, cause: &Cause) -> HazardReport {
        const CHANGES: &[AccessKind] = &[AccessKind::Write, AccessKind::Delta];
        const READS: &[AccessKind] = &[AccessKind::Read];
        let (earlier, later) = match hazard {
            Hazard::Raw => (CHANGES, READS),
            Hazard::War => (READS, CHANGES),
            Hazard::Waw => (CHANGES, CHANGES),
        };
        let graph = self.plan.graph();
        let ends = [edge.from, edge.to];
        let met =
            |observed: &super::Observed| observed.met(&self.names, graph, ends, (hazard, cause));
        HazardReport {
            hazard,
            place: PlaceReport::of_cause(&self.names, graph, cause),
            earlier: self.used(edge.from, earlier, cause),
            later: self.used(edge.to, later, cause),
            observed: self.observed.as_ref().map(met),
        }
    }

    /// How a transaction uses a place: the first of these kinds that it is predicted to.
    fn used(&self, tx: TxIndex, kinds: &[AccessKind], cause: &Cause) -> Option<UseReport> {
        let prediction = &self.plan.predictions()[tx.index()];
        let is_widened = |scope: Scope| {
            let of_scope = |kind: AccessKind| {
                let widened = prediction.widened().iter();
                widened.filter(|it| covers(it.scope, scope)).any(|it| it.kind == kind)
            };
            kinds.iter().copied().find(|kind| of_scope(*kind))
        };
        let named = |wanted: &dyn Fn(&Location) -> bool| {
            let of_kind = |kind: &AccessKind| {
                prediction.accesses().find(|(it, location, _)| it == kind && wanted(location))
            };
            kinds.iter().find_map(of_kind).map(|(access, location, must)| {
                let source = self.sources.of(tx, prediction, access, location);
                UseReport { access, must, source }
            })
        };
        match cause {
            Cause::Location(id) => {
                let at = self.plan.graph().accesses().location(*id);
                named(&|location| *location == at)
            }
            Cause::Scope(scope) => match is_widened(*scope) {
                Some(access) => Some(UseReport { access, must: false, source: Source::Widened }),
                None => named(&|location| self.names.is_in(location, scope)),
            },
        }
    }

    /// The edge between two transactions, if they conflict directly.
    pub fn direct(&self, earlier: TxIndex, later: TxIndex) -> Option<EdgeReport> {
        self.plan.graph().edge(earlier, later).map(|edge| self.edge(&edge))
    }
}

/// Whether a widened scope is this one or holds it.
fn covers(wide: Scope, scope: Scope) -> bool {
    match (wide, scope) {
        (Scope::Everything, _) => true,
        (
            Scope::Contract { address },
            Scope::Contract { address: of } | Scope::Mapping { address: of, .. },
        ) => address == of,
        (wide, scope) => wide == scope,
    }
}

/// Which edges a path may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Through {
    /// Those that order execution.
    Raw,
    /// All.
    Any,
}

/// A shortest path from one transaction to a later one, both ends included; of several, the
/// one through the lowest indices. Empty if there is none.
pub(super) fn shortest(
    graph: &ConflictGraph,
    from: TxIndex,
    to: TxIndex,
    through: Through,
) -> Vec<TxIndex> {
    // From the end, so that the first that is reached before is the lowest.
    let mut after: Vec<Option<TxIndex>> = vec![None; to.index() + 1];
    let mut queue = VecDeque::from([to]);
    while let Some(tx) = queue.pop_front() {
        if tx == from {
            break;
        }
        let before: Vec<TxIndex> = match through {
            Through::Raw => graph.predecessors(tx).collect(),
            Through::Any => graph.conflicts_before(tx).collect(),
        };
        for earlier in before {
            if earlier >= from && after[earlier.index()].is_none() {
                after[earlier.index()] = Some(tx);
                queue.push_back(earlier);
            }
        }
    }
    if from != to && after.get(from.index()).copied().flatten().is_none() {
        return Vec::new();
    }
    core::iter::successors(Some(from), |tx| (*tx != to).then(|| after[tx.index()]).flatten())
        .collect()
}
