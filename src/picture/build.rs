//! An explained block and a filter -> the picture.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use forewave_analyzer::{AccessKind, PredictedAccess, TxIndex};
use forewave_scheduler::{Hazard, critical_path, lanes};

use super::{
    CheckReport, EdgeVerdict, Filter, Node, NodeAccess, Picture, PictureEdge, PictureWave, Shown,
    captions::captions,
};
use crate::{
    explain::Explained,
    names::PlaceReport,
    report::{BlockHeading, grouped},
};

/// Numbers of cores to choose from.
const CORES: [u32; 6] = [1, 2, 4, 8, 16, 32];

/// Places, each once.
#[derive(Default)]
struct Places {
    list: Vec<PlaceReport>,
    positions: BTreeMap<(&'static str, Option<Address>, Option<U256>), usize>,
}

impl Places {
    fn intern(&mut self, place: &PlaceReport) -> usize {
        let Self { list, positions } = self;
        let key = (place.kind, place.address, place.slot);
        *positions.entry(key).or_insert_with(|| {
            list.push(place.clone());
            list.len() - 1
        })
    }
}

impl Picture {
    /// The picture of a block, with a run on `cores` cores.
    pub fn new(block: &Explained<'_>, heading: &BlockHeading, filter: &Filter, cores: u32) -> Self {
        let check = block.check();
        let (plan, graph) = (&block.plan, block.plan.graph());
        let mut wave_of = vec![0; graph.len()];
        for (index, wave) in plan.schedule().indexed_waves() {
            wave.transactions().for_each(|tx| wave_of[tx.index()] = index.index());
        }
        let shown = filter.shown(block, &wave_of);
        let path = critical_path(graph);
        let mut places = Places::default();
        let edges = edges(block, filter, &shown, &path, check.as_ref(), &mut places);
        let mut has_edge = vec![false; graph.len()];
        for edge in &edges {
            has_edge[edge.from.index()] = true;
            has_edge[edge.to.index()] = true;
        }
        let nodes = graph.transactions().map(|tx| {
            let at = tx.index();
            let prediction = &plan.predictions()[at];
            Node {
                tx: block.names.report(block.input, tx),
                gas: graph.gas(tx),
                wave: wave_of[at],
                shown: match (shown[at], has_edge[at]) {
                    (false, _) => Shown::Hidden,
                    (true, true) => Shown::Alone,
                    (true, false) => Shown::Folded,
                },
                is_critical: path.binary_search(&tx).is_ok(),
                has_may: prediction.accesses().any(|(.., must)| !must),
                widened: widened(block, prediction),
                accesses: accesses(block, prediction, &mut places),
            }
        });
        let nodes = nodes.collect();
        let waves = plan.schedule().waves().iter().map(|wave| PictureWave {
            gas: wave.gas(),
            chains: wave.chains().iter().map(|it| it.transactions().to_vec()).collect(),
        });
        let others = CORES.into_iter().filter(|other| *other != cores);
        Self {
            title: title(heading),
            figures: figures(block),
            captions: captions(block, filter, check.as_ref()),
            nodes,
            edges,
            places: places.list,
            waves: waves.collect(),
            lanes: lanes(graph, cores),
            other_lanes: others.map(|cores| lanes(graph, cores)).collect(),
            is_checked: check.is_some(),
        }
    }
}

fn title(heading: &BlockHeading) -> String {
    let BlockHeading { block, number, chain, fork, txs, gas_used } = heading;
    let gas =
        gas_used.map_or_else(|| "not run yet".to_owned(), |gas| format!("{} gas", grouped(gas)));
    format!("{block} · {chain} {number} · {fork} · {} transactions · {gas}", grouped(*txs as u64))
}

fn figures(block: &Explained<'_>) -> String {
    let schedule = block.plan.schedule();
    format!(
        "parallelism {:.2} · work {} · span {} · waves {} · width {} · direct conflicts {}",
        schedule.parallelism(),
        grouped(schedule.work()),
        grouped(schedule.span()),
        schedule.waves().len(),
        schedule.width(),
        block.plan.graph().edge_count(),
    )
}

/// The edges that are drawn, and those that were missed.
fn edges(
    block: &Explained<'_>,
    filter: &Filter,
    shown: &[bool],
    path: &[TxIndex],
    check: Option<&CheckReport>,
    places: &mut Places,
) -> Vec<PictureEdge> {
    let is_shown = |from: TxIndex, to: TxIndex| shown[from.index()] && shown[to.index()];
    let follows = |from, to| path.windows(2).any(|ends| ends == [from, to]);
    let mut edges = Vec::new();
    for edge in block.plan.graph().edges().filter(|edge| is_shown(edge.from, edge.to)) {
        let report = block.edge(&edge);
        let wanted = report.hazards.iter().filter(|hazard| filter.wants(hazard.hazard));
        let hazards: Vec<(Hazard, usize)> =
            wanted.map(|hazard| (hazard.hazard, places.intern(&hazard.place))).collect();
        if hazards.is_empty() {
            continue;
        }
        edges.push(PictureEdge {
            from: edge.from,
            to: edge.to,
            orders: report.orders,
            is_certain: report.certain,
            is_critical: report.orders && follows(edge.from, edge.to),
            hazards,
            verdict: match report.observed {
                None => EdgeVerdict::Unchecked,
                Some(true) => EdgeVerdict::Real,
                Some(false) => EdgeVerdict::Unseen,
            },
        });
    }
    let missed = check.into_iter().flat_map(|check| &check.missed);
    for missed in missed.filter(|it| is_shown(it.from, it.to) && filter.wants(Hazard::Raw)) {
        let at = |place| (Hazard::Raw, places.intern(place));
        edges.push(PictureEdge {
            from: missed.from,
            to: missed.to,
            hazards: missed.places.iter().map(at).collect(),
            orders: true,
            is_certain: true,
            is_critical: false,
            verdict: EdgeVerdict::Missed,
        });
    }
    edges.sort_by_key(|edge| (edge.to, edge.from));
    edges
}

fn widened(block: &Explained<'_>, prediction: &PredictedAccess) -> Vec<String> {
    let mut scopes: Vec<String> =
        prediction.widened().iter().map(|it| block.names.scope(&it.scope)).collect();
    scopes.dedup();
    scopes.extend(prediction.causes().iter().map(|cause| format!("cause: {cause}")));
    scopes
}

/// Each named place once, with all uses of it.
fn accesses(
    block: &Explained<'_>,
    prediction: &PredictedAccess,
    places: &mut Places,
) -> Vec<NodeAccess> {
    let mut by_location = BTreeMap::new();
    for (kind, location, must) in prediction.accesses() {
        let bit = match kind {
            AccessKind::Read => 1,
            AccessKind::Write => 2,
            AccessKind::Delta => 4,
        };
        *by_location.entry(*location).or_insert(0_u8) |= bit | if must { 0 } else { 8 };
    }
    let access = |(location, uses)| {
        let place = PlaceReport::of_location(&block.names, &location);
        NodeAccess { place: places.intern(&place), uses }
    };
    by_location.into_iter().map(access).collect()
}
