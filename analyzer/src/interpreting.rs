//! Abstract interpretation of a block in its order: what exact paths are recorded by.

use core::ops::ControlFlow;
use std::sync::Arc;

use alloy_eips::{eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS};
use revm::{DatabaseRef, primitives::hardfork::SpecId};

use crate::{
    AnalyzeError, Block, Limits, PredictedAccess, Predictor, TemplateCache, TxIndex,
    interpreter::{Knowledge, Machine},
};

/// Interprets each transaction's code in block order, over what the earlier
/// transactions are predicted to write.
///
/// The prediction of a transaction whose analysis would exceed the [`Limits`]
/// is widened to everything.
///
/// With a [`TemplateCache`], it records templates of code for later transactions
/// and for other predictors that share the cache. Without one it records nothing.
#[derive(Clone, Debug, Default)]
pub struct InterpretingPredictor {
    limits: Limits,
    templates: Option<Arc<TemplateCache>>,
}

impl InterpretingPredictor {
    /// A predictor that interprets every transaction.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, templates: None }
    }

    /// A predictor that learns templates and keeps them from block to block.
    pub fn learning() -> Self {
        Self::sharing(Limits::default(), Arc::default())
    }

    /// A predictor that learns templates and shares them with others.
    pub const fn sharing(limits: Limits, templates: Arc<TemplateCache>) -> Self {
        Self { limits, templates: Some(templates) }
    }
}

impl<DB: DatabaseRef> Predictor<DB> for InterpretingPredictor {
    fn predict_each(
        &self,
        block: &Block,
        state: &DB,
        each: &mut dyn FnMut(PredictedAccess) -> ControlFlow<()>,
    ) -> Result<(), AnalyzeError<DB::Error>> {
        let templates = self.templates.as_deref();
        let machine = Machine::new(block, state, Knowledge::State, self.limits, templates);
        predict_each(block, machine, each)
    }
}

/// Runs a machine over its block: system calls, then the transactions.
fn predict_each<DB: DatabaseRef>(
    block: &Block,
    mut machine: Machine<'_, DB>,
    each: &mut dyn FnMut(PredictedAccess) -> ControlFlow<()>,
) -> Result<(), AnalyzeError<DB::Error>> {
    let before_all = |source| AnalyzeError::State { tx: TxIndex::default(), source };
    if block.spec().is_enabled_in(SpecId::PRAGUE) {
        let hash = block.parent_hash.as_slice();
        machine.system_call(HISTORY_STORAGE_ADDRESS, hash).map_err(before_all)?;
    }
    if block.spec().is_enabled_in(SpecId::CANCUN)
        && let Some(root) = block.parent_beacon_block_root
    {
        machine.system_call(BEACON_ROOTS_ADDRESS, root.as_slice()).map_err(before_all)?;
    }
    for (tx, env) in block.indexed() {
        let prediction =
            machine.analyze(env).map_err(|source| AnalyzeError::State { tx, source })?;
        if each(prediction).is_break() {
            break;
        }
    }
    Ok(())
}
