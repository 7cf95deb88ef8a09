//! The predictors that execute: `recon` runs each transaction alone on the
//! state before the block, `hybrid` those that are not known without, `oracle`
//! runs the whole block and knows.

use core::ops::ControlFlow;

use forewave_analyzer::{
    AccessSet, AnalyzeError, Block, Confidence, PanickedError, PredictedAccess, Predictor, Scratch,
    StaticPredictor, TxIndex,
};
use rayon::{
    ThreadPool,
    iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator},
};
use revm::{
    DatabaseRef, ExecuteEvm,
    context::{TxEnv, result::EVMError},
    database_interface::WrapDatabaseRef,
    handler::EthPrecompiles,
};

use crate::{
    ExecutionError,
    observation::{observe, observed_access},
    tracking::{TrackingEvm, discard_record, take_record, tracking_evm},
};

/// Predicts all transactions of a block on the threads of a pool, each by itself, from
/// summaries of the code that they call: what [`StaticPredictor`] predicts one after the
/// other. Summaries that are missing are made, each code's on one thread.
///
/// A panic of the state's is an error.
pub fn predict_on_threads<DB>(
    block: &Block,
    state: &DB,
    predictor: &StaticPredictor,
    pool: &ThreadPool,
) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    PanickedError::catch(|| {
        pool.install(|| {
            let txs = block.transactions.par_iter().enumerate();
            txs.map_init(Scratch::default, |scratch, (position, tx)| {
                let prediction = predictor.predict_tx(scratch, block, state, tx);
                let tx = TxIndex::new(position);
                prediction.map_err(|source| AnalyzeError::State { tx, source })
            })
            .collect()
        })
    })?
}

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
        let mut simulator = Simulator::new(block, state);
        for (tx, env) in block.indexed() {
            let simulated = simulator.simulate(env);
            let prediction = simulated.map_err(|source| AnalyzeError::State { tx, source })?;
            if each(prediction).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Runs single transactions on the state before the block.
struct Simulator<'a, DB: DatabaseRef> {
    evm: TrackingEvm<WrapDatabaseRef<&'a DB>>,
    precompiles: EthPrecompiles,
}

impl<'a, DB: DatabaseRef> Simulator<'a, DB> {
    fn new(block: &Block, state: &'a DB) -> Self {
        let mut lenient = block.clone();
        lenient.transactions = Vec::new();
        lenient.cfg.disable_nonce_check = true;
        let evm = tracking_evm(&lenient, WrapDatabaseRef(state));
        Self { evm, precompiles: EthPrecompiles::new(block.spec()) }
    }

    fn simulate(&mut self, tx: &TxEnv) -> Result<PredictedAccess, DB::Error> {
        let evm = &mut self.evm;
        match evm.transact(tx.clone()) {
            Ok(run) => {
                let record = take_record(evm, tx, &run.state);
                let excluded = |address: &_| self.precompiles.contains(address);
                let access = observed_access(&record, &run.state, excluded);
                Ok(PredictedAccess::exact(access.0, run.result.tx_gas_used())
                    .with_payer_seen(record.sees_payer(tx.caller)))
            }
            Err(EVMError::Database(source)) => Err(source),
            Err(_) => {
                discard_record(evm);
                Ok(PredictedAccess::exact(AccessSet::default(), tx.gas_limit))
            }
        }
    }
}

/// The predictor `hybrid`: [`StaticPredictor`] where it names every location that a
/// transaction touches in every run, one simulated run on the state before the block
/// where it does not. For mempools, where no other transaction is before it.
#[derive(Clone, Debug, Default)]
pub struct HybridPredictor(pub StaticPredictor);

impl<DB: DatabaseRef> Predictor<DB> for HybridPredictor {
    fn predict_each(
        &self,
        block: &Block,
        state: &DB,
        each: &mut dyn FnMut(PredictedAccess) -> ControlFlow<()>,
    ) -> Result<(), AnalyzeError<DB::Error>> {
        let mut simulator = Simulator::new(block, state);
        let mut failure = None;
        let mut position = 0;
        self.0.predict_each(block, state, &mut |prediction| {
            let tx = TxIndex::new(position);
            position += 1;
            let is_complete = prediction.accesses().all(|(.., is_must)| is_must);
            if prediction.confidence() == Confidence::Exact && is_complete {
                return each(prediction);
            }
            match simulator.simulate(&block.transactions[tx.index()]) {
                Ok(simulated) => each(simulated),
                Err(source) => {
                    failure = Some(AnalyzeError::State { tx, source });
                    ControlFlow::Break(())
                }
            }
        })?;
        failure.map_or(Ok(()), Err)
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
