//! What `forewave graph --json` prints: the whole schedule, and of the graph what is asked for.

use std::collections::BTreeSet;

use forewave::{
    Cause, LocationId, TxIndex,
    explain::Explained,
    picture::{Filter, Picture, Shown},
    report::{BlockHeading, GraphReport, GraphWords},
};

/// The report on a block.
pub(super) fn report(
    heading: &BlockHeading,
    planned: &Explained<'_>,
    filter: &Filter,
    picture: &Picture,
) -> GraphReport {
    let mut report = GraphReport::new(heading.clone(), planned.predictor, &planned.plan);
    if !filter.is_everything() {
        let shown = |tx: TxIndex| picture.nodes[tx.index()].shown != Shown::Hidden;
        let graph = &mut report.graph;
        graph.transactions.retain(|it| shown(it.tx));
        for edge in &mut graph.edges {
            edge.hazards.retain(|it| filter.wants(it.hazard));
        }
        graph.edges.retain(|it| shown(it.from) && shown(it.to) && !it.hazards.is_empty());
        let causes = graph.edges.iter().flat_map(|edge| &edge.hazards).map(|it| it.cause);
        let named: BTreeSet<LocationId> = causes
            .filter_map(|cause| match cause {
                Cause::Location(id) => Some(id),
                Cause::Scope(_) => None,
            })
            .collect();
        graph.locations.retain(|it| named.contains(&it.id));
    }
    let words = GraphWords::new(planned, &report.graph, &picture.captions);
    report.with_words(words)
}
