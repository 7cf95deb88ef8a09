//! Picture -> Mermaid, as Markdown renders it: a flow chart with a subgraph for each wave.
//!
//! Mermaid draws at most 500 edges and 50,000 characters unless its host allows more, so a
//! larger picture keeps its most important edges and says how many it leaves out.

use core::fmt::{self, Write};

use super::{EdgeVerdict, LEGEND, Picture, PictureEdge, Shown};
use crate::report::grouped;

/// Edges that Mermaid draws, and characters that it reads.
const EDGES_MAX: usize = 450;
const TEXT_MAX: usize = 45_000;

/// Characters of a label.
const LABEL_MAX: usize = 48;

/// The picture as a Mermaid document.
pub fn mermaid(picture: &Picture) -> String {
    let mut edges: Vec<&PictureEdge> = picture.edges.iter().collect();
    // What orders before what does not; the critical path first of all.
    edges.sort_by_key(|edge| {
        let is_missed = edge.verdict == EdgeVerdict::Missed;
        (!edge.is_critical, !is_missed, !edge.orders, edge.to, edge.from)
    });
    let mut count = edges.len().min(EDGES_MAX);
    loop {
        let mut text = String::new();
        write_mermaid(&mut text, picture, &edges[..count])
            .expect("writing to a string does not fail");
        if text.len() <= TEXT_MAX || count == 0 {
            return text;
        }
        count /= 2;
    }
}

fn write_mermaid(out: &mut String, picture: &Picture, edges: &[&PictureEdge]) -> fmt::Result {
    writeln!(out, "%% {}", picture.title)?;
    writeln!(out, "%% {}", picture.figures)?;
    for line in &picture.captions {
        writeln!(out, "%% {line}")?;
    }
    for (word, means) in LEGEND {
        writeln!(out, "%% {word}: {means}")?;
    }
    let left_out = picture.edges.len() - edges.len();
    if left_out > 0 {
        writeln!(
            out,
            "%% {left_out} of {} edges are left out: more than Mermaid draws; \
                       narrow it with --only, --wave, --hazard or --min-gas",
            picture.edges.len()
        )?;
    }
    writeln!(out, "flowchart LR")?;
    let legend = LEGEND.iter().map(|(word, means)| format!("{word}: {means}"));
    let about = [picture.title.clone(), picture.figures.clone()].into_iter();
    let about: Vec<String> = about
        .chain(picture.captions.iter().cloned())
        .chain(legend)
        .map(|line| without_markup(&line))
        .collect();
    writeln!(out, "  about[\"{}\"]:::about", about.join("<br/>"))?;
    let drawn = |tx| edges.iter().any(|edge| edge.from == tx || edge.to == tx);
    for (index, wave) in picture.waves.iter().enumerate() {
        let of_wave = picture.nodes.iter().filter(|node| node.wave == index);
        let alone = of_wave.filter(|node| node.shown == Shown::Alone);
        let (nodes, rest): (Vec<_>, Vec<_>) = alone.partition(|node| drawn(node.tx.tx));
        let folded = picture.folded(index).len();
        if nodes.is_empty() && folded + rest.len() == 0 {
            continue;
        }
        let title = label(&format!("wave{index}, {} gas", grouped(wave.gas)));
        writeln!(out, "  subgraph wave{index}[\"{title}\"]")?;
        for node in nodes {
            let text = label(&format!("{} {}", node.tx.tx, node.tx.name));
            let style = if node.is_critical { ":::critical" } else { "" };
            writeln!(out, "    {}[\"{text}\"]{style}", node.tx.tx)?;
        }
        if folded > 0 {
            writeln!(out, "    folded{index}[\"{folded} more, no conflict\"]")?;
        }
        if !rest.is_empty() {
            writeln!(out, "    rest{index}[\"{} more, edges left out\"]", rest.len())?;
        }
        writeln!(out, "  end")?;
    }
    for edge in edges {
        let arrow = match (edge.orders, edge.is_certain) {
            (true, _) if edge.is_critical => "==>",
            (true, true) => "-->",
            (true, false) => "-.->",
            // Nothing waits: no arrow.
            (false, true) => "--o",
            (false, false) => "-.-o",
        };
        let said = match edge.verdict {
            EdgeVerdict::Missed => "missed: ",
            EdgeVerdict::Unseen => "not needed: ",
            EdgeVerdict::Unchecked | EdgeVerdict::Real => "",
        };
        let words = picture.words(edge, 1).join(", ");
        writeln!(
            out,
            "  {} {arrow}|\"{}\"| {}",
            edge.from,
            label(&format!("{said}{words}")),
            edge.to
        )?;
    }
    writeln!(out, "  classDef critical stroke-width:4px")?;
    writeln!(out, "  classDef about text-align:left,stroke-width:0px,fill:none")
}

/// Text of a label: cut, and without what Mermaid takes for markup.
fn label(text: &str) -> String {
    let is_long = text.chars().count() > LABEL_MAX;
    let cut: String = text.chars().take(if is_long { LABEL_MAX - 1 } else { LABEL_MAX }).collect();
    let safe = without_markup(&cut);
    if is_long { safe + "…" } else { safe }
}

/// Text without what Mermaid takes for markup.
fn without_markup(text: &str) -> String {
    let mut safe = String::new();
    for character in text.chars() {
        match character {
            '"' => safe.push_str("#quot;"),
            '<' => safe.push_str("#lt;"),
            '>' => safe.push_str("#gt;"),
            '#' => safe.push_str("#35;"),
            '&' => safe.push_str("#amp;"),
            '`' => safe.push('\''),
            other => safe.push(other),
        }
    }
    safe
}
