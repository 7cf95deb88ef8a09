//! The predictor `static`: bytecode, call data and state, by abstract interpretation.

use std::sync::Arc;

use alloy_eips::{eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS};
use revm::{DatabaseRef, primitives::hardfork::SpecId};

use crate::{
    AnalyzeError, Block, Limits, PredictedAccess, Predictor, TemplateCache, TxIndex,
    interpreter::Machine,
};

/// Interprets each transaction's code in block order, over what the earlier
/// transactions are predicted to write.
///
/// The prediction of a transaction whose analysis would exceed the [`Limits`]
/// is widened to everything.
///
/// What it learns of code it keeps in a [`TemplateCache`], for the later
/// transactions of the block and for whoever shares the cache.
#[derive(Clone, Debug, Default)]
pub struct StaticPredictor {
    limits: Limits,
    templates: Arc<TemplateCache>,
}

impl StaticPredictor {
    /// A predictor with limits of its own.
    pub fn new(limits: Limits) -> Self {
        Self::sharing(limits, Arc::default())
    }

    /// A predictor that shares its templates with others.
    pub const fn sharing(limits: Limits, templates: Arc<TemplateCache>) -> Self {
        Self { limits, templates }
    }

    /// The templates.
    pub const fn templates(&self) -> &Arc<TemplateCache> {
        &self.templates
    }
}

impl<DB: DatabaseRef> Predictor<DB> for StaticPredictor {
    fn predict(
        &self,
        block: &Block,
        state: &DB,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        let mut machine = Machine::new(block, state, self.limits, &self.templates);
        let before_all = |source| AnalyzeError { tx: TxIndex::default(), source };
        if block.spec().is_enabled_in(SpecId::PRAGUE) {
            let hash = block.parent_hash.as_slice();
            machine.system_call(HISTORY_STORAGE_ADDRESS, hash).map_err(before_all)?;
        }
        if block.spec().is_enabled_in(SpecId::CANCUN)
            && let Some(root) = block.parent_beacon_block_root
        {
            machine.system_call(BEACON_ROOTS_ADDRESS, root.as_slice()).map_err(before_all)?;
        }
        block
            .indexed()
            .map(|(tx, env)| machine.analyze(env).map_err(|source| AnalyzeError { tx, source }))
            .collect()
    }
}
