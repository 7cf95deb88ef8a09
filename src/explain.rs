//! Predictions and their graph, in answers to questions: what is predicted of a transaction
//! and from what, why two are ordered, and whether execution bears it out.
//!
//! ```text
//! prediction ──sources──> each access with what it was predicted from
//! graph ──path──> the edges that lead from one transaction to another
//! execution ──observed──> which of these hazards were real
//! ```

mod observed;
mod pair;
mod path;
mod prediction;
mod sources;
mod transaction;

use forewave_analyzer::{AnalyzeError, PredictedAccess, StateError, StaticPredictor};

pub use self::{
    observed::Observed,
    pair::{PairExplanation, Relation, SharedReport},
    path::{EdgeReport, HazardReport, UseReport},
    prediction::{AccessReport, PredictionReport, WidenedReport},
    sources::{Source, Sources},
    transaction::{ObservedReport, TxExplanation},
};
use crate::{
    Plan, PredictorKind,
    input::BlockInput,
    names::{Labels, Names},
};

/// A block that was predicted and planned, with all that answers are made from.
#[derive(Debug)]
pub struct Explained<'a> {
    /// The block.
    pub input: &'a BlockInput,
    /// Who predicted.
    pub predictor: PredictorKind,
    /// Predictions, graph and schedule.
    pub plan: Plan,
    /// What things are called.
    pub names: Names,
    /// What accesses were predicted from.
    pub sources: Sources,
    /// What execution touched, where it was asked for and the block runs.
    pub observed: Option<Observed>,
}

impl<'a> Explained<'a> {
    /// Plans a block from its predictions. `summaries` is the predictor of which the summaries
    /// name storage keys.
    pub fn new(
        input: &'a BlockInput,
        predictor: PredictorKind,
        predictions: Vec<PredictedAccess>,
        summaries: &StaticPredictor,
        labels: &Labels,
    ) -> Result<Self, AnalyzeError<StateError>> {
        let BlockInput { block, state, .. } = input;
        let names =
            Names::new(input.chain, labels).with_storage(block, state, summaries, &predictions)?;
        let sources = Sources::new(predictor, block, state, summaries)?;
        let plan = Plan::new(predictions);
        Ok(Self { input, predictor, plan, names, sources, observed: None })
    }

    /// The same, with what execution touched.
    #[must_use]
    pub fn with_observed(mut self, observed: Option<Observed>) -> Self {
        self.observed = observed;
        self
    }
}
