//! The predictors by name.

use core::{fmt, ops::Range, str::FromStr};
use std::sync::LazyLock;

use forewave_analyzer::{
    AccessListPredictor, AnalyzeError, Block, LatePredictor, ListPredictor, PredictedAccess,
    Predictor, ProtocolPredictor, StaticPredictor,
};
use forewave_executor::{HybridPredictor, OraclePredictor, ReconPredictor};
use revm::DatabaseRef;
use serde::{Deserialize, Serialize};

/// What a summary says depends on nothing but the code, so that all who predict in one
/// process share them. The cache is bounded.
static STATIC: LazyLock<StaticPredictor> = LazyLock::new(StaticPredictor::default);

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
    /// Summaries of code evaluated: forewave's own.
    Static,
    /// That, evaluated again where an earlier transaction writes what it was computed from.
    StaticLate,
    /// `static` where it names everything, `recon` where it does not.
    Hybrid,
    /// What the block's own access list (EIP-7928) says: every write, and no reader.
    Bal,
    /// What the transactions do touch, from a sequential run of the block.
    Oracle,
}

/// A name that is none of the predictors'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of none, access-list, recon, static, static-late, hybrid, bal, oracle")]
pub struct UnknownPredictor(String);

impl PredictorKind {
    /// Every predictor.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::AccessList,
        Self::Recon,
        Self::Static,
        Self::StaticLate,
        Self::Hybrid,
        Self::Bal,
        Self::Oracle,
    ];

    /// The predictor `static` with the summaries that all predictors by name share.
    pub fn shared_static() -> StaticPredictor {
        STATIC.clone()
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::AccessList => "access-list",
            Self::Recon => "recon",
            Self::Static => "static",
            Self::StaticLate => "static-late",
            Self::Hybrid => "hybrid",
            Self::Bal => "bal",
            Self::Oracle => "oracle",
        }
    }
}

impl<DB: DatabaseRef> Predictor<DB> for PredictorKind {
    fn predict_range(
        &self,
        block: &Block,
        state: &DB,
        txs: Range<usize>,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        match self {
            Self::None => ProtocolPredictor.predict_range(block, state, txs),
            Self::AccessList => AccessListPredictor.predict_range(block, state, txs),
            Self::Recon => ReconPredictor.predict_range(block, state, txs),
            Self::Static => STATIC.predict_range(block, state, txs),
            Self::StaticLate => LatePredictor(STATIC.clone()).predict_range(block, state, txs),
            Self::Hybrid => HybridPredictor(STATIC.clone()).predict_range(block, state, txs),
            Self::Bal => ListPredictor.predict_range(block, state, txs),
            Self::Oracle => OraclePredictor.predict_range(block, state, txs),
        }
    }

    fn is_by_transaction(&self) -> bool {
        !matches!(self, Self::StaticLate | Self::Oracle)
    }

    fn knows_code(&self) -> bool {
        !matches!(self, Self::None | Self::Bal)
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
