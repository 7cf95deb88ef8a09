//! The predictors that execute: `recon` runs each transaction alone on the
//! state before the block, `oracle` runs the whole block and knows.

use core::ops::ControlFlow;

use forewave_analyzer::{AccessSet, AnalyzeError, Block, PredictedAccess, Predictor, TxIndex};
use revm::{
    DatabaseRef, ExecuteEvm,
    context::{TxEnv, result::EVMError},
    database_interface::WrapDatabaseRef,
    handler::EthPrecompiles,
};

use crate::{
    ExecutionError,
    observation::{observe, observed_access},
    tracking::{discard_record, take_record, tracking_evm},
};

/// Full execution of each transaction alone on the state before the block: what
/// `eth_createAccessList` and simulation-based hints give, and as dear as
/// execution. A transaction that cannot be executed there, for instance for a
/// nonce that an earlier one has yet to reach, is executed with that check
/// lifted; one that still cannot is predicted to touch nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReconPredictor;

impl<DB: DatabaseRef> Predictor<DB> for ReconPredictor {
    fn predict_each(
        &self,
        block: &Block,
        state: &DB,
        each: &mut dyn FnMut(PredictedAccess) -> ControlFlow<()>,
    ) -> Result<(), AnalyzeError<DB::Error>> {
        let mut lenient = block.clone();
        lenient.transactions = Vec::new();
        lenient.cfg.disable_nonce_check = true;
        let precompiles = EthPrecompiles::new(block.spec());
        let mut evm = tracking_evm(&lenient, WrapDatabaseRef(state));
        for (tx, env) in block.indexed() {
            let prediction = match evm.transact(env.clone()) {
                Ok(run) => {
                    let record = take_record(&mut evm, env, &run.state);
                    let excluded = |address: &_| precompiles.contains(address);
                    let access = observed_access(&record, &run.state, excluded);
                    PredictedAccess::exact(access.0, run.result.tx_gas_used())
                        .with_payer_seen(record.sees_payer(env.caller))
                }
                Err(EVMError::Database(source)) => return Err(AnalyzeError::State { tx, source }),
                Err(_) => {
                    discard_record(&mut evm);
                    PredictedAccess::exact(AccessSet::default(), env.gas_limit)
                }
            };
            if each(prediction).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The actual sets themselves, from a sequential run of the block. A block that
/// does not execute has no actual sets: everything is predicted of each of its
/// transactions.
#[derive(Clone, Copy, Debug, Default)]
pub struct OraclePredictor;

impl<DB: DatabaseRef> Predictor<DB> for OraclePredictor {
    fn predict_each(
        &self,
        block: &Block,
        state: &DB,
        each: &mut dyn FnMut(PredictedAccess) -> ControlFlow<()>,
    ) -> Result<(), AnalyzeError<DB::Error>> {
        let _ended = match observe(block, state) {
            Ok(observation) => observation
                .accesses
                .into_iter()
                .zip(&observation.outcome.receipts)
                .zip(observation.payers_seen)
                .map(|((access, receipt), payer_seen)| {
                    PredictedAccess::exact(access.0, receipt.gas_used).with_payer_seen(payer_seen)
                })
                .try_for_each(each),
            Err(ExecutionError::State { tx, source }) => {
                return Err(AnalyzeError::State { tx, source });
            }
            Err(ExecutionError::SystemState(source)) => {
                return Err(AnalyzeError::State { tx: TxIndex::default(), source });
            }
            Err(ExecutionError::Panicked(panicked)) => return Err(panicked.into()),
            Err(_) => {
                let gas = |env: &TxEnv| PredictedAccess::everything(env.gas_limit);
                block.transactions.iter().map(gas).try_for_each(each)
            }
        };
        Ok(())
    }
}
