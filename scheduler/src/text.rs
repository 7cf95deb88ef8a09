//! Conflict graph -> text for a person.
//!
//! One line of figures; one line for each transaction that conflicts with an
//! earlier one; one line for each location that those lines name.

use core::fmt;

use crate::{Cause, ConflictGraph, HazardCounts, LocationId};

impl fmt::Display for ConflictGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HazardCounts { raw, war, waw } = hazard_counts(self);
        let (transactions, edges) = (self.len(), self.edge_count());
        let locations = self.accesses().len();
        write!(f, "conflict graph: transactions {transactions}, edges {edges}, ")?;
        writeln!(f, "RAW {raw}, WAR {war}, WAW {waw}, locations {locations}")?;
        let mut last = None;
        for edge in self.edges() {
            match last {
                Some(to) if to == edge.to => write!(f, ";")?,
                Some(_) => write!(f, "\n{} after", edge.to)?,
                None => write!(f, "{} after", edge.to)?,
            }
            last = Some(edge.to);
            write!(f, " {}", edge.from)?;
            for (hazard, cause) in edge.hazards() {
                write!(f, " {hazard} {cause}")?;
            }
        }
        if last.is_some() {
            writeln!(f)?;
        }
        for id in named_locations(self) {
            writeln!(f, "{id} = {}", self.accesses().location(id))?;
        }
        Ok(())
    }
}

/// How many hazards of each kind the graph holds.
pub(crate) fn hazard_counts(graph: &ConflictGraph) -> HazardCounts {
    let mut counts = HazardCounts::default();
    for (hazard, _) in graph.edges().flat_map(|edge| edge.hazards()) {
        counts.add(hazard);
    }
    counts
}

/// The locations at which transactions conflict, ascending.
pub(crate) fn named_locations(graph: &ConflictGraph) -> Vec<LocationId> {
    let causes = graph.edges().flat_map(|edge| edge.hazards()).map(|(_, cause)| cause);
    let mut ids: Vec<LocationId> = causes
        .filter_map(|cause| match cause {
            Cause::Location(id) => Some(id),
            Cause::Scope(_) => None,
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
