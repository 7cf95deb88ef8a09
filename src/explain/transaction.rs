//! One transaction -> everything about it: its prediction, its place in the schedule, whom it
//! waits for and who waits for it, and what it did touch.

use forewave_analyzer::{AccessKind, AccessSet, Location, TxIndex};
use forewave_scheduler::{Edge, WaveIndex, critical_path, remaining_gas};
use serde::Serialize;

use super::{Explained, path::EdgeReport, prediction::PredictionReport};
use crate::{names::PlaceReport, report::BlockHeading};

/// `forewave explain BLOCK A --json`: the fields of a prediction, and these.
#[derive(Clone, Debug, Serialize)]
pub struct TxExplanation {
    /// Its prediction.
    #[serde(flatten)]
    pub prediction: PredictionReport,
    /// The wave that it is in.
    pub wave: WaveIndex,
    /// Its chain: transactions that run one after the other, itself among them.
    pub chain: Vec<TxIndex>,
    /// Its gas and that of the heaviest path after it.
    pub remaining_gas: u64,
    /// Whether it is on the critical path.
    pub critical: bool,
    /// The edges from earlier transactions, those that order first.
    pub before: Vec<EdgeReport>,
    /// The edges to later ones.
    pub after: Vec<EdgeReport>,
    /// What it did when the block ran; absent if it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<ObservedReport>,
}

/// What a transaction did, beside its prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObservedReport {
    /// Gas used.
    pub gas_used: u64,
    /// What it touched.
    pub reads: Vec<PlaceReport>,
    /// What it changed.
    pub writes: Vec<PlaceReport>,
    /// What it credited unseen.
    pub deltas: Vec<PlaceReport>,
    /// What it touched, however, and was not predicted to, by name.
    pub missed: Vec<PlaceReport>,
    /// What it was predicted to touch and did not.
    pub untouched: Vec<PlaceReport>,
}

impl Explained<'_> {
    /// Everything about a transaction.
    pub fn transaction(&self, heading: &BlockHeading, tx: TxIndex) -> TxExplanation {
        let graph = self.plan.graph();
        let (wave, chain) = self.place_of(tx);
        let of = |wanted: &dyn Fn(&Edge<'_>) -> bool| -> Vec<EdgeReport> {
            let edges = graph.edges().filter(wanted);
            let mut edges: Vec<EdgeReport> = edges.map(|edge| self.edge(&edge)).collect();
            edges.sort_by_key(|edge| !edge.orders);
            edges
        };
        TxExplanation {
            prediction: self.prediction(heading, tx),
            wave,
            chain,
            remaining_gas: remaining_gas(graph)[tx.index()],
            critical: critical_path(graph).contains(&tx),
            before: of(&|edge| edge.to == tx),
            after: of(&|edge| edge.from == tx),
            observed: self.observed_report(tx),
        }
    }

    /// The wave and the chain of a transaction.
    fn place_of(&self, tx: TxIndex) -> (WaveIndex, Vec<TxIndex>) {
        let waves = self.plan.schedule().indexed_waves();
        let chains = waves.flat_map(|(wave, it)| it.chains().iter().map(move |it| (wave, it)));
        let mut chains = chains.map(|(wave, chain)| (wave, chain.transactions()));
        let found = chains.find(|(_, chain)| chain.contains(&tx));
        let (wave, chain) = found.expect("every transaction is in one chain of the schedule");
        (wave, chain.to_vec())
    }

    fn observed_report(&self, tx: TxIndex) -> Option<ObservedReport> {
        let observed = self.observed.as_ref()?;
        let (set, prediction) = (observed.set(tx), &self.plan.predictions()[tx.index()]);
        let place = |location: &Location| PlaceReport::of_location(&self.names, location);
        let places = |locations: &[Location]| locations.iter().map(place).collect();
        let beyond = |one: &AccessSet, other: &AccessSet| -> Vec<PlaceReport> {
            let is_in = |location: &Location| {
                [AccessKind::Read, AccessKind::Write, AccessKind::Delta]
                    .iter()
                    .any(|kind| other.contains(location, *kind))
            };
            one.locations().iter().filter(|location| !is_in(location)).map(place).collect()
        };
        Some(ObservedReport {
            gas_used: observed.gas(tx),
            reads: places(set.reads()),
            writes: places(set.writes()),
            deltas: places(set.deltas()),
            missed: beyond(set, prediction.set()),
            untouched: beyond(prediction.set(), set),
        })
    }
}
