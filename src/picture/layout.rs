//! A picture -> where everything goes: a column for each wave, wrapped where it is long, and
//! within it the transactions next to those that they wait for.

use core::cmp::Ordering;

use super::{Picture, Shown};

/// Size of a transaction's box, and the room around it.
pub(super) const BOX: (f64, f64) = (132.0, 30.0);
pub(super) const GAP: (f64, f64) = (14.0, 10.0);

/// Room between waves, where most edges run.
pub(super) const BETWEEN: f64 = 84.0;

/// Height of a column's heading.
pub(super) const HEADING: f64 = 40.0;

/// The fewest boxes of a column before it is wrapped.
const ROWS_MIN: usize = 14;

/// Height over width that a large picture is brought near to.
const ASPECT: f64 = 0.6;

/// Where everything goes.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The upper left corner of each transaction that is drawn.
    pub(super) nodes: Vec<Option<(f64, f64)>>,
    /// Each wave that is drawn.
    pub(super) waves: Vec<Column>,
    /// Width and height of all.
    pub(super) size: (f64, f64),
}

/// A wave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Which.
    pub(super) wave: usize,
    pub(super) left: f64,
    pub(super) width: f64,
    /// The upper left corner of the box of what is folded.
    pub(super) folded: Option<(f64, f64)>,
}

/// Lays out a picture.
pub(super) fn layout(picture: &Picture) -> Layout {
    let shown = picture.nodes.iter().filter(|node| node.shown == Shown::Alone).count();
    let per_column = (shown as f64 * (BOX.0 + GAP.0) / (BOX.1 + GAP.1) * ASPECT).sqrt().ceil();
    // Rounded up, far below 2^52.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
    let rows = (per_column as usize).max(ROWS_MIN);
    let mut nodes: Vec<Option<(f64, f64)>> = vec![None; picture.nodes.len()];
    let mut waves = Vec::new();
    let (mut left, mut height) = (GAP.0, HEADING);
    let before = before(picture);
    for (wave, chains) in picture.waves.iter().map(|wave| &wave.chains).enumerate() {
        let drawn = |tx: &usize| picture.nodes[*tx].shown == Shown::Alone;
        let mut chains: Vec<Vec<usize>> = chains
            .iter()
            .map(|chain| chain.iter().map(|tx| tx.index()).filter(drawn).collect())
            .filter(|chain: &Vec<usize>| !chain.is_empty())
            .collect();
        let has_folded =
            picture.nodes.iter().any(|node| node.wave == wave && node.shown == Shown::Folded);
        if chains.is_empty() && !has_folded {
            continue;
        }
        // A chain goes where what it waits for is; what waits for nothing goes below.
        chains.sort_by(|a, b| {
            let at = |chain: &[usize]| mean_height(&before[chain[0]], &nodes);
            match (at(a), at(b)) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            }
        });
        let order: Vec<usize> = chains.into_iter().flatten().collect();
        let count = order.len() + usize::from(has_folded);
        let columns = count.div_ceil(rows).max(1);
        let spot = |position: usize| {
            let (column, row) = (position / rows, position % rows);
            let x = left + column as f64 * (BOX.0 + GAP.0);
            (x, HEADING + row as f64 * (BOX.1 + GAP.1))
        };
        for (position, tx) in order.iter().enumerate() {
            nodes[*tx] = Some(spot(position));
        }
        let width = columns as f64 * (BOX.0 + GAP.0) - GAP.0;
        let folded = has_folded.then(|| spot(order.len()));
        waves.push(Column { wave, left, width, folded });
        height = height.max(HEADING + count.min(rows) as f64 * (BOX.1 + GAP.1));
        left += width + BETWEEN;
    }
    let width = (left - BETWEEN + GAP.0).max(BOX.0);
    Layout { nodes, waves, size: (width, height + GAP.1) }
}

/// The earlier neighbours of each transaction.
fn before(picture: &Picture) -> Vec<Vec<usize>> {
    let mut before = vec![Vec::new(); picture.nodes.len()];
    for edge in &picture.edges {
        before[edge.to.index()].push(edge.from.index());
    }
    before
}

fn mean_height(of: &[usize], nodes: &[Option<(f64, f64)>]) -> Option<f64> {
    let placed: Vec<f64> = of.iter().filter_map(|tx| nodes[*tx].map(|(_, y)| y)).collect();
    (!placed.is_empty()).then(|| placed.iter().sum::<f64>() / placed.len() as f64)
}
