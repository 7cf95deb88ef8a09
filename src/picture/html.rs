//! Picture -> one HTML file that needs no network: the data as JSON, the layout made here, and a
//! script that draws it on a canvas, so that some thousand transactions move smoothly.
//!
//! Numbers and short keys keep it small; `page/page.js` reads them back.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    EdgeVerdict, LEGEND, Picture, Shown,
    layout::{BOX, layout},
    svg::escaped,
};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// A coordinate without the digits behind the point, which no screen shows.
#[expect(clippy::cast_possible_truncation, reason = "a coordinate on a screen")]
fn whole(coordinate: f64) -> i64 {
    coordinate.round() as i64
}

/// The picture as a page.
pub fn html(picture: &Picture) -> String {
    let data = in_script(&data(picture));
    PAGE.replace("{{title}}", &escaped(&picture.title))
        .replace("{{style}}", STYLE)
        .replace("{{script}}", SCRIPT)
        .replace("{{data}}", &data)
}

/// JSON that no tag can end.
fn in_script(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("data of strings and numbers serializes");
    // Outside strings JSON has none of these.
    text.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn data(picture: &Picture) -> Value {
    let layout = layout(picture);
    let txs = picture.nodes.iter().zip(&layout.nodes).map(|(node, at)| {
        let at = at.map(|(x, y)| [whole(x), whole(y)]);
        let shown = match node.shown {
            Shown::Alone => 0,
            Shown::Folded => 1,
            Shown::Hidden => 2,
        };
        let accesses: Vec<[usize; 2]> =
            node.accesses.iter().map(|it| [it.place, usize::from(it.uses)]).collect();
        json!({
            "h": node.tx.hash, "f": node.tx.from, "t": node.tx.to, "n": node.tx.name,
            "s": node.tx.signature, "g": node.gas, "w": node.wave, "p": at, "o": shown,
            "c": u8::from(node.is_critical), "m": u8::from(node.has_may), "d": node.widened,
            "a": accesses,
        })
    });
    let edges = picture.edges.iter().map(|edge| {
        let flags = u8::from(edge.orders)
            | u8::from(edge.is_certain) << 1
            | u8::from(edge.is_critical) << 2;
        let verdict = match edge.verdict {
            EdgeVerdict::Unchecked => 0,
            EdgeVerdict::Real => 1,
            EdgeVerdict::Unseen => 2,
            EdgeVerdict::Missed => 3,
        };
        let hazards: Vec<(u8, usize)> =
            edge.hazards.iter().map(|(hazard, place)| (*hazard as u8, *place)).collect();
        json!([edge.from, edge.to, flags, verdict, hazards])
    });
    let places = picture
        .places
        .iter()
        .map(|place| json!([place.kind, place.address, place.slot, place.name]));
    let waves = layout.waves.iter().map(|column| {
        let folded = column.folded.map(|(x, y)| [whole(x), whole(y)]);
        json!({
            "w": column.wave, "g": picture.waves[column.wave].gas, "x": whole(column.left),
            "b": whole(column.width), "f": folded,
        })
    });
    let runs = [&picture.lanes].into_iter().chain(&picture.other_lanes).map(|run| {
        let slots: Vec<(u32, u64)> = run.slots.iter().map(|slot| (slot.lane, slot.start)).collect();
        json!({"lanes": run.lanes, "end": run.end, "slots": slots})
    });
    json!({
        "title": picture.title,
        "figures": picture.figures,
        "captions": picture.captions,
        "checked": picture.is_checked,
        "legend": LEGEND,
        "box": [whole(BOX.0), whole(BOX.1)],
        "size": [whole(layout.size.0), whole(layout.size.1)],
        "txs": txs.collect::<Vec<_>>(),
        "edges": edges.collect::<Vec<_>>(),
        "places": places.collect::<Vec<_>>(),
        "waves": waves.collect::<Vec<_>>(),
        "runs": runs.collect::<Vec<_>>(),
    })
}
