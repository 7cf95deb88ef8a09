//! Conflict graph and schedule -> Graphviz DOT.
//!
//! Waves are clusters, RAW edges are solid, the others dashed and without
//! influence on the layout. What an edge stands for is its tooltip, not a label:
//! Graphviz 2.43 crashes or loses edges where labelled edges that do not
//! constrain the layout cross clusters. All text is escaped.

use core::fmt::{self, Write};

use crate::{Cause, ConflictGraph, Edge, Schedule};

/// The most hazards that an edge's tooltip lists; the rest is counted. Graphviz
/// bounds the strings that it reads.
const TOOLTIP_HAZARDS_MAX: usize = 16;

/// The graph as a DOT document, its nodes grouped by wave.
pub fn dot(graph: &ConflictGraph, schedule: &Schedule) -> String {
    let mut text = String::new();
    write_dot(&mut text, graph, schedule).expect("writing to a string does not fail");
    text
}

fn write_dot(out: &mut String, graph: &ConflictGraph, schedule: &Schedule) -> fmt::Result {
    writeln!(out, "digraph conflicts {{")?;
    writeln!(out, "  rankdir=LR;")?;
    writeln!(out, "  node [shape=box, fontname=\"monospace\"];")?;
    for (index, wave) in schedule.indexed_waves() {
        writeln!(out, "  subgraph \"cluster_{index}\" {{")?;
        writeln!(out, "    label={};", quoted(&format!("{index}, gas {}", wave.gas())))?;
        for tx in wave.transactions() {
            let label = quoted(&format!("{tx}\n{}", graph.gas(tx)));
            writeln!(out, "    {tx} [label={label}];")?;
        }
        writeln!(out, "  }}")?;
    }
    for edge in graph.edges() {
        let style = if edge.orders_execution() { "" } else { ", style=dashed, constraint=false" };
        let tooltip = quoted(&tooltip(graph, &edge));
        let Edge { from, to, .. } = edge;
        writeln!(out, "  {from} -> {to} [tooltip={tooltip}{style}];")?;
    }
    writeln!(out, "}}")
}

/// The first hazards of an edge, by location.
fn tooltip(graph: &ConflictGraph, edge: &Edge<'_>) -> String {
    let hazards = edge.hazards();
    let rest = hazards.len().saturating_sub(TOOLTIP_HAZARDS_MAX);
    let shown = hazards.take(TOOLTIP_HAZARDS_MAX).map(|(hazard, cause)| match cause {
        Cause::Location(id) => format!("{hazard} {}", graph.accesses().location(id)),
        Cause::Scope(scope) => format!("{hazard} {scope}"),
    });
    let more = (rest > 0).then(|| format!("and {rest} more"));
    shown.chain(more).collect::<Vec<_>>().join("\n")
}

/// A DOT string: quoted, with quotes, backslashes and line ends escaped.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{notation::block, schedule};

    #[test]
    fn a_document_groups_nodes_by_wave_and_dashes_what_does_not_order() {
        let graph = ConflictGraph::new(&block("Wa Rb #7 | Ra #1 | Ra Wb #2"));
        let text = dot(&graph, &schedule(&graph));
        for line in [
            "  subgraph \"cluster_wave0\" {",
            "    tx0 [label=\"tx0\\n7\"];",
            "  subgraph \"cluster_wave1\" {",
            "  tx0 -> tx2 [tooltip=\"RAW balance(0x6161616161616161616161616161616161616161)\\nWAR",
        ] {
            assert!(text.lines().any(|it| it.starts_with(line)), "{line}\n{text}");
        }
        let graph = ConflictGraph::new(&block("Wa | Wa"));
        let text = dot(&graph, &schedule(&graph));
        assert!(text.contains("style=dashed, constraint=false];"), "{text}");
    }

    #[test]
    fn a_tooltip_lists_a_bounded_number_of_hazards_and_counts_the_rest() {
        let places =
            |word| (0..40).map(|slot| format!("{word}a.{slot}")).collect::<Vec<_>>().join(" ");
        let graph = ConflictGraph::new(&block(&format!("{}|{}", places("W"), places("R"))));
        let edge = graph.edges().next().unwrap();
        let hazards = edge.hazards().len();
        let tooltip = tooltip(&graph, &edge);
        assert_eq!(tooltip.lines().count(), TOOLTIP_HAZARDS_MAX + 1, "{tooltip}");
        assert!(tooltip.ends_with(&format!("\nand {} more", hazards - TOOLTIP_HAZARDS_MAX)));
    }

    #[test]
    fn a_label_cannot_leave_its_quotes() {
        assert_eq!(quoted("a\"b\\\nc"), r#""a\"b\\\nc""#);
    }
}
