//! A prediction -> its report: every access with where, whether it is sure, and what it was
//! predicted from.

use forewave_analyzer::{AccessKind, Confidence, Scope, TxIndex, WideningCause};
use serde::Serialize;

use super::{Explained, sources::Source};
use crate::{
    PredictorKind,
    names::{PlaceReport, TxReport},
    report::BlockHeading,
};

/// `forewave predict --json`: one object for each transaction.
#[derive(Clone, Debug, Serialize)]
pub struct PredictionReport {
    /// Which block.
    #[serde(flatten)]
    pub block: BlockHeading,
    /// Which transaction.
    #[serde(flatten)]
    pub tx: TxReport,
    /// Who predicted.
    pub predictor: PredictorKind,
    /// Estimated gas.
    pub gas: u64,
    /// `exact`, or the widest scope that was needed: `mapping`, `contract` or `everything`.
    pub confidence: &'static str,
    /// The locations whose value its outcome may depend on.
    pub reads: Vec<AccessReport>,
    /// The locations whose value it replaces.
    pub writes: Vec<AccessReport>,
    /// The balances that it credits unseen.
    pub deltas: Vec<AccessReport>,
    /// Scopes for what could not be named.
    pub widened: Vec<WidenedReport>,
    /// Why it is widened.
    pub causes: Vec<WideningCause>,
    /// The locations whose values its accesses were computed from; null where that is not
    /// known.
    pub deciding: Option<Vec<PlaceReport>>,
}

/// One access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessReport {
    /// Where.
    #[serde(flatten)]
    pub place: PlaceReport,
    /// Whether every successful run makes it; otherwise some do.
    pub must: bool,
    /// What it was predicted from.
    pub source: Source,
}

/// A scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WidenedReport {
    /// What it covers.
    #[serde(flatten)]
    pub place: PlaceReport,
    /// `read` or `write`.
    pub access: AccessKind,
}

impl Explained<'_> {
    /// The report on the prediction of a transaction.
    pub fn prediction(&self, heading: &BlockHeading, tx: TxIndex) -> PredictionReport {
        let prediction = &self.plan.predictions()[tx.index()];
        let of_kind = |wanted: AccessKind| {
            let accesses = prediction.accesses().filter(|(kind, ..)| *kind == wanted);
            let report = |(kind, location, must)| AccessReport {
                place: PlaceReport::of_location(&self.names, location),
                must,
                source: self.sources.of(tx, prediction, kind, location),
            };
            accesses.map(report).collect()
        };
        let widened = prediction.widened().iter().map(|widened| WidenedReport {
            place: PlaceReport::of_scope(&self.names, &widened.scope),
            access: widened.kind,
        });
        let place = |location| PlaceReport::of_location(&self.names, location);
        PredictionReport {
            block: heading.clone(),
            tx: self.names.report(self.input, tx),
            predictor: self.predictor,
            gas: prediction.gas(),
            confidence: confidence(prediction.confidence()),
            reads: of_kind(AccessKind::Read),
            writes: of_kind(AccessKind::Write),
            deltas: of_kind(AccessKind::Delta),
            widened: widened.collect(),
            causes: prediction.causes().to_vec(),
            deciding: prediction.deciding_reads().map(|reads| reads.iter().map(place).collect()),
        }
    }
}

const fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Exact => "exact",
        Confidence::Widened(Scope::Mapping { .. }) => "mapping",
        Confidence::Widened(Scope::Contract { .. }) => "contract",
        Confidence::Widened(Scope::Everything) => "everything",
    }
}
