//! The predictors that execute: `recon` runs each transaction alone on the
//! state before the block, `hybrid` those that are not known without, `oracle`
//! runs the whole block and knows.

use core::ops::Range;

use forewave_analyzer::{
    AccessSet, AnalyzeError, Block, Confidence, PanickedError, PredictedAccess, Predictor,
    StaticPredictor, TxIndex, predict_each,
};
use rayon::{
    ThreadPool,
    iter::{IntoParallelRefIterator, ParallelIterator},
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

/// Parts of a block for each thread, predicted one after the other: so many that threads
/// end at about the same time, and so few that what a part sets up is used again.
const PARTS_PER_THREAD: usize = 4;

/// Predicts all transactions of a block on the threads of a pool, if the predictor looks at
/// each by itself; else on the calling thread.
///
/// A panic of the state's or of the predictor's is an error.
pub fn predict_on_threads<DB>(
    block: &Block,
    state: &DB,
    predictor: &(impl Predictor<DB> + Sync + ?Sized),
    pool: &ThreadPool,
) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let (transactions, threads) = (block.transactions.len(), pool.current_num_threads());
    PanickedError::catch(|| {
        if threads == 1 || !predictor.is_by_transaction() {
            return predictor.predict(block, state);
        }
        let part = transactions.div_ceil(PARTS_PER_THREAD * threads).max(1);
        let starts: Vec<usize> = (0..transactions).step_by(part).collect();
        let of_part = |start: &usize| {
            predictor.predict_range(block, state, *start..transactions.min(start + part))
        };
        let parts = pool.install(|| starts.par_iter().map(of_part).collect::<Result<Vec<_>, _>>());
        Ok(parts?.into_iter().flatten().collect())
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
    fn predict_range(
        &self,
        block: &Block,
        state: &DB,
        transactions: Range<usize>,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        let mut simulator = Simulator::new(block, state);
        predict_each(block, transactions, |tx| simulator.simulate(tx))
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
    fn predict_range(
        &self,
        block: &Block,
        state: &DB,
        transactions: Range<usize>,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        let mut simulator = Simulator::new(block, state);
        self.0.with_scratch(|scratch| {
            predict_each(block, transactions, |tx| {
                let prediction = self.0.predict_tx(scratch, block, state, tx)?;
                let is_complete = prediction.accesses().all(|(.., is_must)| is_must);
                if prediction.confidence() == Confidence::Exact && is_complete {
                    return Ok(prediction);
                }
                simulator.simulate(tx)
            })
        })
    }
}

/// The actual sets themselves, from a sequential run of the block. A block that
/// does not execute has no actual sets: everything is predicted of each of its
/// transactions.
#[derive(Clone, Copy, Debug, Default)]
pub struct OraclePredictor;

impl<DB: DatabaseRef> Predictor<DB> for OraclePredictor {
    fn predict_range(
        &self,
        block: &Block,
        state: &DB,
        transactions: Range<usize>,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        let Range { start, end } = transactions;
        match observe(block, state) {
            Ok(observation) => {
                let runs = observation.accesses.into_iter().zip(&observation.outcome.receipts);
                let runs = runs.zip(observation.payers_seen).take(end).skip(start);
                let predictions = runs.map(|((access, receipt), payer_seen)| {
                    PredictedAccess::exact(access.0, receipt.gas_used).with_payer_seen(payer_seen)
                });
                Ok(predictions.collect())
            }
            Err(ExecutionError::State { tx, source }) => Err(AnalyzeError::State { tx, source }),
            Err(ExecutionError::SystemState(source)) => {
                Err(AnalyzeError::State { tx: TxIndex::default(), source })
            }
            Err(ExecutionError::Panicked(panicked)) => Err(panicked.into()),
            Err(_) => {
                let gas = |env: &TxEnv| PredictedAccess::everything(env.gas_limit);
                Ok(block.transactions[start..end].iter().map(gas).collect())
            }
        }
    }

    fn is_by_transaction(&self) -> bool {
        false
    }
}
