//! The predictors by name.

use core::{fmt, ops::ControlFlow, str::FromStr};

use forewave_analyzer::{
    AccessListPredictor, AnalyzeError, Block, PredictedAccess, Predictor, ProtocolPredictor,
    StaticCodePredictor, StaticPredictor,
};
use forewave_executor::{OraclePredictor, ReconPredictor};
use revm::DatabaseRef;
use serde::{Deserialize, Serialize};

/// One of the predictors that come with forewave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PredictorKind {
    /// What the protocol touches, no code looked at: nonces, value, fees.
    None,
    /// That, and what EIP-2930 access lists name.
    AccessList,
    /// Each transaction executed alone on the state before the block.
    Recon,
    /// Bytecode analysed, with no state but code and the slots that hold what is called.
    StaticCode,
    /// Bytecode analysed: forewave's own.
    Static,
    /// What the transactions do touch, from a sequential run of the block.
    Oracle,
}

/// A name that is none of the predictors'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of none, access-list, recon, static-code, static, oracle")]
pub struct UnknownPredictor(String);

impl PredictorKind {
    /// Every predictor.
    pub const ALL: [Self; 6] =
        [Self::None, Self::AccessList, Self::Recon, Self::StaticCode, Self::Static, Self::Oracle];

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::AccessList => "access-list",
            Self::Recon => "recon",
            Self::StaticCode => "static-code",
            Self::Static => "static",
            Self::Oracle => "oracle",
        }
    }
}

impl<DB: DatabaseRef> Predictor<DB> for PredictorKind {
    fn predict_each(
        &self,
        block: &Block,
        state: &DB,
        each: &mut dyn FnMut(PredictedAccess) -> ControlFlow<()>,
    ) -> Result<(), AnalyzeError<DB::Error>> {
        match self {
            Self::None => ProtocolPredictor.predict_each(block, state, each),
            Self::AccessList => AccessListPredictor.predict_each(block, state, each),
            Self::Recon => ReconPredictor.predict_each(block, state, each),
            Self::StaticCode => StaticCodePredictor::default().predict_each(block, state, each),
            Self::Static => StaticPredictor::default().predict_each(block, state, each),
            Self::Oracle => OraclePredictor.predict_each(block, state, each),
        }
    }
}

impl fmt::Display for PredictorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PredictorKind {
    type Err = UnknownPredictor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| UnknownPredictor(text.to_owned()))
    }
}
