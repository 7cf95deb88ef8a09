//! Picture -> SVG: the waves as columns, a Gantt chart below, a legend, and what each thing is as
//! its title, which viewers show when the pointer rests on it.

use core::fmt::{self, Write};

use forewave_scheduler::Hazard;

use super::{
    EdgeVerdict, LEGEND, Picture, PictureEdge, Shown,
    layout::{BOX, GAP, Layout, layout},
};
use crate::report::grouped;

/// Hazards that a title lists.
const TITLE_LINES: usize = 16;

/// Edges up to which they are listed in words, and hazards of each.
const LISTED_MAX: usize = 80;
const LIST_HAZARDS: usize = 2;

/// Characters of a box.
const BOX_CHARS: usize = 18;

/// Room for edges that go around the last column, and of a bar that has a label.
const ARCS: f64 = 30.0;
const LABELLED: f64 = 34.0;

/// Height of a line of text, and of one core of the Gantt chart.
const LINE: f64 = 18.0;
const LANE: f64 = 22.0;

/// Width of the Gantt chart at least.
const GANTT_WIDTH_MIN: f64 = 720.0;

const STYLE: &str = "\
svg{font:12px ui-monospace,Menlo,Consolas,monospace;background:#fff;color:#1a202c}\
text{fill:currentColor}.h{font-weight:700}.d{opacity:.7}.s{font-size:10px}\
.n{fill:#edf2f7;stroke:#718096}.n.c{stroke:#1a202c;stroke-width:3}.n.m{stroke-dasharray:4 2}\
.f{fill:none;stroke:#a0aec0;stroke-dasharray:2 3}.w{fill:#a0aec0;fill-opacity:.12}\
.e{fill:none;stroke-width:1.4}.e.k{stroke-width:3.5}.e.y{stroke-dasharray:5 4}\
.raw{stroke:#c0392b}.war{stroke:#b7791f}.waw{stroke:#2b6cb0}.mis{stroke:#b83280}\
.uns{stroke:#a0aec0}.g{fill:#90cdf4;stroke:#2b6cb0;stroke-width:.5}.g.c{fill:#f6ad55}\
@media(prefers-color-scheme:dark){svg{background:#12161c;color:#e2e8f0}\
.n{fill:#232b36}.n.c{stroke:#fff}.raw{stroke:#fc8181}.war{stroke:#f6e05e}.waw{stroke:#63b3ed}\
.g{fill:#2c5282}.g.c{fill:#c05621}}";

/// The picture as an SVG document.
pub fn svg(picture: &Picture) -> String {
    let mut text = String::new();
    write_svg(&mut text, picture).expect("writing to a string does not fail");
    text
}

fn write_svg(out: &mut String, picture: &Picture) -> fmt::Result {
    let layout = layout(picture);
    let lines = 2 + picture.captions.len() + LEGEND.len() + usize::from(picture.is_checked);
    let top = lines as f64 * LINE + GAP.1;
    let gantt_top = top + layout.size.1 + 2.0 * LINE;
    let gantt = f64::from(picture.lanes.lanes) * LANE;
    let width = (layout.size.0 + ARCS).max(GANTT_WIDTH_MIN + 2.0 * GAP.0);
    let list_top = gantt_top + gantt + 2.0 * LINE;
    let listed = if picture.edges.len() <= LISTED_MAX { picture.edges.len() } else { 0 };
    let height = list_top + (listed as f64 + 1.0) * LINE;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">"
    )?;
    writeln!(out, "<title>{}</title><style>{STYLE}</style>", escaped(&picture.title))?;
    write_markers(out)?;
    write_captions(out, picture)?;
    writeln!(out, "<g transform=\"translate(0 {top:.0})\">")?;
    write_waves(out, picture, &layout)?;
    for edge in &picture.edges {
        write_edge(out, picture, edge, &layout)?;
    }
    write_nodes(out, picture, &layout)?;
    writeln!(out, "</g>")?;
    write_gantt(out, picture, gantt_top, width - 2.0 * GAP.0)?;
    write_list(out, picture, list_top)?;
    writeln!(out, "</svg>")
}

fn write_markers(out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "<defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" \
                   markerWidth=\"7\" markerHeight=\"7\" markerUnits=\"userSpaceOnUse\" \
                   orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"context-stroke\"/>\
                   </marker></defs>"
    )
}

fn write_captions(out: &mut String, picture: &Picture) -> fmt::Result {
    let x = GAP.0;
    let mut y = LINE;
    writeln!(out, "<text class=\"h\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(&picture.title))?;
    for line in [&picture.figures].into_iter().chain(&picture.captions) {
        y += LINE;
        writeln!(out, "<text x=\"{x}\" y=\"{y}\">{}</text>", escaped(line))?;
    }
    let classes = ["raw", "war", "waw", "raw y"];
    for ((word, means), class) in LEGEND.iter().zip(classes) {
        y += LINE;
        let (x2, at) = (x + 24.0, y - 4.0);
        let text = escaped(&format!("{word}: {means}"));
        writeln!(out, "<path class=\"e {class}\" d=\"M{x} {at}H{x2}\"/>")?;
        writeln!(out, "<text class=\"s\" x=\"{}\" y=\"{y}\">{text}</text>", x2 + 5.0)?;
    }
    if picture.is_checked {
        y += LINE;
        let said = "grey: not needed when the block ran · pink: missed by the prediction";
        writeln!(out, "<text class=\"s\" x=\"{x}\" y=\"{y}\">{said}</text>")?;
    }
    Ok(())
}

fn write_waves(out: &mut String, picture: &Picture, layout: &Layout) -> fmt::Result {
    for column in &layout.waves {
        let (left, width) = (column.left - GAP.0 / 2.0, column.width + GAP.0);
        let height = layout.size.1;
        let wave = &picture.waves[column.wave];
        writeln!(
            out,
            "<rect class=\"w\" x=\"{left:.0}\" y=\"0\" width=\"{width:.0}\" \
             height=\"{height:.0}\" rx=\"6\"/>"
        )?;
        let text = |y: f64, class: &str, said: &str| {
            format!("<text class=\"{class}\" x=\"{:.0}\" y=\"{y}\">{said}</text>", column.left)
        };
        let name = format!("wave{}", column.wave);
        writeln!(
            out,
            "{}{}",
            text(15.0, "h", &name),
            text(29.0, "s d", &format!("{} gas", grouped(wave.gas)))
        )?;
        if let Some((x, y)) = column.folded {
            let folded = picture.folded(column.wave);
            let ids: Vec<String> = folded.iter().map(ToString::to_string).collect();
            writeln!(
                out,
                "<g><title>{}</title><rect class=\"f\" x=\"{x:.0}\" y=\"{y:.0}\" width=\"{}\" \
                 height=\"{}\" rx=\"4\"/><text class=\"s\" x=\"{:.0}\" y=\"{:.0}\">{} without \
                 conflict</text></g>",
                ids.join(" "),
                BOX.0,
                BOX.1,
                x + 6.0,
                y + 18.0,
                folded.len()
            )?;
        }
    }
    Ok(())
}

fn write_nodes(out: &mut String, picture: &Picture, layout: &Layout) -> fmt::Result {
    for (node, at) in picture.nodes.iter().zip(&layout.nodes) {
        let (Shown::Alone, Some((x, y))) = (node.shown, at) else { continue };
        let critical = if node.is_critical { " c" } else { "" };
        let may = if node.has_may || !node.widened.is_empty() { " m" } else { "" };
        let mut title = format!(
            "{} {}\n{}\nfrom {}\n{} gas",
            node.tx.tx,
            node.tx.name,
            node.tx.hash,
            node.tx.from,
            grouped(node.gas)
        );
        for scope in &node.widened {
            title.push_str("\nwidened: ");
            title.push_str(scope);
        }
        writeln!(
            out,
            "<g><title>{}</title><rect class=\"n{critical}{may}\" x=\"{x:.0}\" y=\"{y:.0}\" \
             width=\"{}\" height=\"{}\" rx=\"4\"/><text class=\"s h\" x=\"{:.0}\" y=\"{:.0}\">{} \
             </text><text class=\"s\" x=\"{:.0}\" y=\"{:.0}\">{}</text></g>",
            escaped(&title),
            BOX.0,
            BOX.1,
            x + 6.0,
            y + 12.0,
            node.tx.tx,
            x + 6.0,
            y + 24.0,
            escaped(&cut(&node.tx.name, BOX_CHARS))
        )?;
    }
    Ok(())
}

fn write_edge(
    out: &mut String,
    picture: &Picture,
    edge: &PictureEdge,
    layout: &Layout,
) -> fmt::Result {
    let ends = (layout.nodes[edge.from.index()], layout.nodes[edge.to.index()]);
    let (Some(from), Some(to)) = ends else { return Ok(()) };
    let hazard = edge.hazards.first().map_or(Hazard::Raw, |(hazard, _)| *hazard);
    let class = match (edge.verdict, hazard) {
        (EdgeVerdict::Missed, _) => "mis",
        (EdgeVerdict::Unseen, _) => "uns",
        (_, Hazard::Raw) => "raw",
        (_, Hazard::War) => "war",
        (_, Hazard::Waw) => "waw",
    };
    let dashed = if edge.is_certain { "" } else { " y" };
    let critical = if edge.is_critical { " k" } else { "" };
    let (x1, y1) = (from.0 + BOX.0, from.1 + BOX.1 / 2.0);
    let (x2, y2) = (to.0, to.1 + BOX.1 / 2.0);
    // Forwards a wave from side to side; within a column, or backwards, around the right.
    let path = if x2 > x1 {
        let bend = ((x2 - x1) / 2.0).max(24.0);
        format!(
            "M{x1:.0} {y1:.0}C{:.0} {y1:.0} {:.0} {y2:.0} {x2:.0} {y2:.0}",
            x1 + bend,
            x2 - bend
        )
    } else {
        let (x2, out) = (to.0 + BOX.0, x1.max(to.0 + BOX.0) + 22.0);
        format!("M{x1:.0} {y1:.0}C{out:.0} {y1:.0} {out:.0} {y2:.0} {x2:.0} {y2:.0}")
    };
    let words = picture.words(edge, TITLE_LINES);
    let said = match edge.verdict {
        EdgeVerdict::Missed => "missed by the prediction\n",
        EdgeVerdict::Unseen => "execution did not meet here\n",
        EdgeVerdict::Real => "execution met here\n",
        EdgeVerdict::Unchecked => "",
    };
    let title = format!("{} after {}\n{said}{}", edge.to, edge.from, words.join("\n"));
    writeln!(
        out,
        "<path class=\"e {class}{dashed}{critical}\" marker-end=\"url(#a)\" d=\"{path}\">\
         <title>{}</title></path>",
        escaped(&title)
    )
}

/// The edges in words, one on a line, where there are few.
fn write_list(out: &mut String, picture: &Picture, top: f64) -> fmt::Result {
    if picture.edges.is_empty() || picture.edges.len() > LISTED_MAX {
        return Ok(());
    }
    let x = GAP.0;
    writeln!(out, "<text class=\"h\" x=\"{x}\" y=\"{top:.0}\">edges</text>")?;
    for (edge, line) in picture.edges.iter().zip(1..) {
        let y = top + f64::from(line) * LINE;
        let words = picture.words(edge, LIST_HAZARDS).join(", ");
        let text = escaped(&format!("{} after {}: {words}", edge.to, edge.from));
        writeln!(out, "<text class=\"s\" x=\"{x}\" y=\"{y:.0}\">{text}</text>")?;
    }
    Ok(())
}

fn write_gantt(out: &mut String, picture: &Picture, top: f64, width: f64) -> fmt::Result {
    let run = &picture.lanes;
    let left = GAP.0;
    let work: u64 = picture.nodes.iter().map(|node| node.gas).sum();
    let speedup = if run.end == 0 { 1.0 } else { work as f64 / run.end as f64 };
    let cores = run.lanes;
    writeln!(
        out,
        "<text class=\"h\" x=\"{left}\" y=\"{:.0}\">on {cores} core{}: {} gas of time, {speedup:.2} \
         times one core</text>",
        top - 6.0,
        if cores == 1 { "" } else { "s" },
        grouped(run.end)
    )?;
    let scale = width / run.end.max(1) as f64;
    for (node, slot) in picture.nodes.iter().zip(&run.slots) {
        let (x, y) = (left + slot.start as f64 * scale, top + f64::from(slot.lane) * LANE);
        let class = if node.is_critical { "g c" } else { "g" };
        let title = format!("{} {}\n{} gas", node.tx.tx, node.tx.name, grouped(node.gas));
        let bar = node.gas as f64 * scale;
        writeln!(
            out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{:.0}\">\
             <title>{}</title></rect>",
            bar.max(0.3),
            LANE - 4.0,
            escaped(&title)
        )?;
        if bar > LABELLED {
            let (x, y, tx) = (x + 4.0, y + 13.0, node.tx.tx);
            writeln!(out, "<text class=\"s\" x=\"{x:.1}\" y=\"{y:.0}\">{tx}</text>")?;
        }
    }
    Ok(())
}

/// At most so many characters, the last one an ellipsis where it was longer.
fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars - 1).chain(['…']).collect()
}

/// Text of an XML document.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(character),
            // XML has no place for other control characters, not even escaped.
            other if other.is_control() => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}
