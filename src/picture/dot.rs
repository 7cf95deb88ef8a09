//! Picture -> Graphviz DOT.
//!
//! Waves are clusters. What an edge stands for is its tooltip; edges that order execution have
//! a label too where there are few. Others have none: Graphviz 2.43 crashes or loses edges
//! where labelled edges that do not constrain the layout cross clusters. All text is escaped.

use core::fmt::{self, Write};

use forewave_scheduler::Hazard;

use super::{EdgeVerdict, LEGEND, Picture, PictureEdge, Shown};
use crate::report::grouped;

/// Hazards that a tooltip lists.
const TOOLTIP_LINES: usize = 16;

/// Edges up to which they are labelled.
const LABELS_MAX: usize = 60;

/// The picture as a DOT document.
pub fn picture_dot(picture: &Picture) -> String {
    let mut text = String::new();
    write_dot(&mut text, picture).expect("writing to a string does not fail");
    text
}

fn write_dot(out: &mut String, picture: &Picture) -> fmt::Result {
    writeln!(out, "digraph conflicts {{")?;
    writeln!(out, "  rankdir=LR;")?;
    writeln!(out, "  labelloc=t; labeljust=l; fontname=\"monospace\";")?;
    writeln!(out, "  label={};", quoted(&caption(picture)))?;
    writeln!(out, "  node [shape=box, fontname=\"monospace\"];")?;
    writeln!(out, "  edge [fontname=\"monospace\", fontsize=9];")?;
    for (index, wave) in picture.waves.iter().enumerate() {
        let of_wave = picture.nodes.iter().filter(|node| node.wave == index);
        let shown: Vec<_> = of_wave.filter(|node| node.shown == Shown::Alone).collect();
        let folded = picture.folded(index);
        if shown.is_empty() && folded.is_empty() {
            continue;
        }
        writeln!(out, "  subgraph \"cluster_wave{index}\" {{")?;
        writeln!(out, "    label={};", quoted(&format!("wave{index}, gas {}", grouped(wave.gas))))?;
        for node in shown {
            let label =
                quoted(&format!("{}\n{}\n{} gas", node.tx.tx, node.tx.name, grouped(node.gas)));
            let tooltip = quoted(&format!("{}\nfrom {}", node.tx.hash, node.tx.from));
            let style = if node.is_critical { ", penwidth=3" } else { "" };
            writeln!(out, "    {} [label={label}, tooltip={tooltip}{style}];", node.tx.tx)?;
        }
        if let Some(first) = folded.first() {
            let more = folded.len();
            let label = quoted(&format!("{more} more\nno conflict"));
            writeln!(
                out,
                "    folded{index} [label={label}, style=dotted, tooltip=\"{first} …\"];"
            )?;
        }
        writeln!(out, "  }}")?;
    }
    let has_labels = picture.edges.len() <= LABELS_MAX;
    for edge in &picture.edges {
        write_edge(out, picture, edge, has_labels)?;
    }
    writeln!(out, "}}")
}

fn caption(picture: &Picture) -> String {
    let legend = LEGEND.iter().map(|(word, means)| format!("{word}: {means}"));
    let captions = picture.captions.iter().cloned();
    let lines = [picture.title.clone(), picture.figures.clone()].into_iter();
    lines.chain(captions).chain(legend).fold(String::new(), |text, line| text + &line + "\n")
}

fn write_edge(
    out: &mut String,
    picture: &Picture,
    edge: &PictureEdge,
    has_labels: bool,
) -> fmt::Result {
    let tooltip = quoted(&picture.words(edge, TOOLTIP_LINES).join("\n"));
    let first = edge.hazards.first().map_or(Hazard::Raw, |(hazard, _)| *hazard);
    let color = match (edge.verdict, first) {
        (EdgeVerdict::Missed, _) => "magenta",
        (EdgeVerdict::Unseen, _) => "gray",
        (_, Hazard::Raw) => "#c0392b",
        (_, Hazard::War) => "#b7791f",
        (_, Hazard::Waw) => "#2b6cb0",
    };
    let style = if edge.is_certain { "" } else { ", style=dashed" };
    let width = if edge.is_critical { ", penwidth=3" } else { "" };
    let free = if edge.orders { "" } else { ", constraint=false" };
    let label = if has_labels && edge.orders {
        let words = picture.words(edge, 1).join(", ");
        format!(", label={}", quoted(&words))
    } else {
        String::new()
    };
    writeln!(
        out,
        "  {} -> {} [tooltip={tooltip}, color=\"{color}\"{style}{width}{free}{label}];",
        edge.from, edge.to
    )
}

/// A DOT string: quoted, with quotes, backslashes and line ends escaped. Lines are aligned to
/// the left.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\l");
    format!("\"{escaped}\"")
}
