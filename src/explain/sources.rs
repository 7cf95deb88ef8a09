//! Predictor and transaction -> what each of its accesses was predicted from.

use core::fmt;

use forewave_analyzer::{
    AccessKind, AccessSet, AnalyzeError, Block, EvaluationLimits, Location, PredictedAccess,
    Predictor, ProtocolPredictor, Scratch, StaticPredictor, TxEvaluator, TxIndex,
};
use revm::DatabaseRef;
use serde::Serialize;

use crate::PredictorKind;

/// What an access was predicted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// What the protocol does with every transaction.
    Protocol,
    /// The transaction's own access list.
    AccessList,
    /// The block's own access list.
    BlockAccessList,
    /// The summary of the code.
    Summary,
    /// What earlier runs of the function did.
    Learnt,
    /// A run of the transaction alone, on the state before the block.
    Simulation,
    /// A run of the block.
    Execution,
    /// It could not be named: a scope covers it.
    Widened,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Protocol => "protocol",
            Self::AccessList => "access list",
            Self::BlockAccessList => "block access list",
            Self::Summary => "summary",
            Self::Learnt => "learnt",
            Self::Simulation => "simulation",
            Self::Execution => "execution",
            Self::Widened => "widened",
        })
    }
}

/// What tells the sources apart.
#[derive(Clone, Debug)]
pub struct Sources {
    predictor: PredictorKind,
    protocol: Vec<PredictedAccess>,
    /// What `static` predicts of each transaction without what was learnt, where something was.
    unlearnt: Option<Vec<AccessSet>>,
}

impl Sources {
    /// The sources of a predictor's accesses in a block.
    pub fn new<DB: DatabaseRef>(
        predictor: PredictorKind,
        block: &Block,
        state: &DB,
        summaries: &StaticPredictor,
    ) -> Result<Self, AnalyzeError<DB::Error>> {
        let protocol = ProtocolPredictor.predict(block, state)?;
        let evaluates = matches!(
            predictor,
            PredictorKind::Static | PredictorKind::StaticLate | PredictorKind::Hybrid
        );
        let has_learnt = evaluates && summaries.summaries().learnt().functions().0 > 0;
        let unlearnt = has_learnt.then(|| unlearnt(block, state, summaries)).transpose()?;
        Ok(Self { predictor, protocol, unlearnt })
    }

    /// What an access of a transaction was predicted from.
    pub fn of(
        &self,
        tx: TxIndex,
        prediction: &PredictedAccess,
        kind: AccessKind,
        location: &Location,
    ) -> Source {
        let at = tx.index();
        if self.protocol.get(at).is_some_and(|it| it.set().contains(location, kind)) {
            return Source::Protocol;
        }
        match self.predictor {
            PredictorKind::None => Source::Protocol,
            PredictorKind::AccessList => Source::AccessList,
            PredictorKind::Bal => Source::BlockAccessList,
            PredictorKind::Recon => Source::Simulation,
            PredictorKind::Oracle => Source::Execution,
            PredictorKind::Hybrid if prediction.deciding_reads().is_none() => Source::Simulation,
            PredictorKind::Static | PredictorKind::StaticLate | PredictorKind::Hybrid => {
                let unlearnt = self.unlearnt.as_ref().and_then(|sets| sets.get(at));
                let is_learnt = unlearnt.is_some_and(|set| !set.contains(location, kind));
                if is_learnt { Source::Learnt } else { Source::Summary }
            }
        }
    }
}

fn unlearnt<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    summaries: &StaticPredictor,
) -> Result<Vec<AccessSet>, AnalyzeError<DB::Error>> {
    let limits = EvaluationLimits { learnt_operations_max: 0, ..EvaluationLimits::default() };
    let evaluator = TxEvaluator::new(summaries.summaries(), limits);
    let mut scratch = Scratch::default();
    let each = block.indexed().map(|(tx, env)| {
        let prediction = evaluator.predict_tx(&mut scratch, block, state, env);
        prediction
            .map(|prediction| prediction.set().clone())
            .map_err(|source| AnalyzeError::State { tx, source })
    });
    each.collect()
}
