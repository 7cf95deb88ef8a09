//! A random block, predicted well, badly or with malice, in parallel against
//! sequential execution; and what is left of it when a difference is found.

mod blocks;
mod choices;
mod program;
mod stage;

use core::fmt;
use std::{fs, io, path::Path};

use forewave::{
    AccessKind, AccessSet, AccessSetBuilder, Block, BlockOutcome, ExecutionError, Location, Plan,
    PredictedAccess, PredictorKind, ReuseCache, RunPlan, Scope, StateError, WidenedAccess, Workers,
    compare::compare_outcomes, execute, predict, sequential,
};
use forewave_fixtures::{SampleFiles, Workload};
use rayon::ThreadPool;
use revm::primitives::U256;

pub(crate) use self::{blocks::Drawn, choices::Choices};
use self::{choices::anybody, stage::person};

/// How a block is predicted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Prediction {
    /// By one of the predictors.
    By(PredictorKind),
    /// Nothing at all.
    Empty,
    /// Half of what a predictor says, some of it for another use.
    Subset(PredictorKind),
    /// What a predictor says of the next transaction.
    Shifted(PredictorKind),
    /// Everything, of every transaction.
    Everything,
    /// Some of each of the others, and things that no transaction touches.
    Malicious,
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::By(kind) => write!(f, "{kind}"),
            Self::Subset(kind) => write!(f, "half of {kind}"),
            Self::Shifted(kind) => write!(f, "{kind}, shifted"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl Prediction {
    pub(crate) fn drawn(choices: &mut Choices<'_>) -> Self {
        use PredictorKind as Kind;
        let cheap = [Kind::None, Kind::AccessList, Kind::Recon];
        let any = [Kind::Static, Kind::Hybrid, Kind::Recon, Kind::Oracle];
        match choices.below(16) {
            0..=2 => Self::By(Kind::Static),
            3 | 4 => Self::By(Kind::Hybrid),
            5 | 6 => Self::By(Kind::Oracle),
            7 => Self::By(choices.of(&cheap)),
            8 | 9 => Self::Empty,
            10 | 11 => Self::Subset(choices.of(&any)),
            12 | 13 => Self::Shifted(choices.of(&any)),
            14 => Self::Everything,
            _ => Self::Malicious,
        }
    }

    fn make(self, drawn: &Drawn, choices: &mut Choices<'_>) -> Vec<PredictedAccess> {
        let Drawn { block, state } = drawn;
        let by = |kind| predict(block, state, &kind).expect("the state is in memory");
        let gas = block.transactions.iter().map(|tx| tx.gas_limit);
        match self {
            Self::By(kind) => by(kind),
            Self::Empty => {
                gas.map(|gas| PredictedAccess::exact(AccessSet::default(), gas)).collect()
            }
            Self::Subset(kind) => by(kind).iter().map(|p| subset(p, choices)).collect(),
            Self::Shifted(kind) => {
                let predictions = by(kind);
                let next = predictions.iter().cycle().skip(1).take(predictions.len());
                next.cloned().collect()
            }
            Self::Everything => gas.map(PredictedAccess::everything).collect(),
            Self::Malicious => {
                by(PredictorKind::Oracle).iter().map(|p| malicious(p, choices)).collect()
            }
        }
    }
}

/// How a block is run from its prediction.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// By all conflicts, on all threads.
    Conflicts,
    /// By those that are left where payments commute, on all threads.
    Commuting,
    /// In block order, whatever is predicted, on all threads.
    InOrder,
    /// The same with the results of a run before.
    Reusing,
    /// On as many threads as are estimated to pay.
    AsItPays,
}

/// Weights by repetition.
const WAYS: [Way; 10] = [
    Way::Conflicts,
    Way::Conflicts,
    Way::Commuting,
    Way::Commuting,
    Way::Commuting,
    Way::InOrder,
    Way::InOrder,
    Way::Reusing,
    Way::Reusing,
    Way::AsItPays,
];

const KINDS: [AccessKind; 3] = [AccessKind::Read, AccessKind::Write, AccessKind::Delta];

fn subset(prediction: &PredictedAccess, choices: &mut Choices<'_>) -> PredictedAccess {
    let mut set = AccessSetBuilder::new();
    for (kind, location) in prediction.set().iter() {
        match choices.below(16) {
            0..7 => {
                set.add(kind, *location);
            }
            7 => {
                set.add(choices.of(&KINDS), *location);
            }
            _ => {}
        }
    }
    PredictedAccess::exact(set.build(), u64::from(choices.byte()) * 1000)
}

fn malicious(truth: &PredictedAccess, choices: &mut Choices<'_>) -> PredictedAccess {
    let gas = choices.of(&[0, 1, u64::MAX, 21_000]);
    match choices.below(4) {
        0 => PredictedAccess::everything(gas),
        1 => PredictedAccess::exact(AccessSet::default(), gas),
        2 => truth.clone(),
        _ => {
            let mut set = AccessSetBuilder::new();
            for _ in 0..choices.below(12) {
                let address =
                    if choices.one_in(2) { anybody(choices) } else { person(choices.byte()) };
                let location = match choices.below(4) {
                    0 => Location::Balance(address),
                    1 => Location::Nonce(address),
                    2 => Location::Code(address),
                    _ => Location::Storage(address, U256::from(choices.below(4))),
                };
                set.add(choices.of(&KINDS), location);
            }
            let scope = match choices.below(3) {
                0 => return PredictedAccess::exact(set.build(), gas),
                1 => Scope::Contract { address: anybody(choices) },
                _ => Scope::Mapping { address: anybody(choices), slot: U256::from(1) },
            };
            let kind = choices.of(&[AccessKind::Read, AccessKind::Write]);
            let widened = WidenedAccess { scope, kind };
            PredictedAccess::exact(set.build(), gas).with_widened([widened])
        }
    }
}

/// A parallel run that is not as the sequential one.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) prediction: Prediction,
    threads: usize,
    way: Way,
    what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prediction, threads, way, what } = self;
        write!(f, "{prediction} on {threads} threads, {way:?}: {what}")
    }
}

/// What a block amounted to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ran {
    /// Transactions that were executed, up to the first invalid one.
    pub(crate) txs: usize,
    /// Of those, plain transfers.
    pub(crate) transfers: usize,
    /// Of those, the ones that succeeded.
    pub(crate) successes: usize,
    /// Transactions that ran more than once.
    pub(crate) reexecuted: usize,
    /// Whether the block was invalid.
    pub(crate) is_invalid: bool,
}

/// The block that the choices decide.
pub(crate) fn drawn(choices: &mut Choices<'_>, txs_max: u8) -> Drawn {
    blocks::drawn(choices, txs_max)
}

/// Executes a block from this prediction and compares.
pub(crate) fn check(
    drawn: &Drawn,
    prediction: Prediction,
    choices: &mut Choices<'_>,
    pool: &ThreadPool,
) -> Result<Ran, Difference> {
    let Drawn { block, state } = drawn;
    let truth = sequential(block, state);
    let predictions = prediction.make(drawn, choices);
    let commuting = |predictions| Plan::to_run(block, state, predictions).expect("in memory");
    let way = choices.of(&WAYS);
    let plan = match way {
        Way::Conflicts => Plan::new(predictions).run_plan(block).on_all_threads(),
        Way::Commuting => commuting(predictions).run_plan(block).on_all_threads(),
        Way::InOrder | Way::Reusing => RunPlan::in_block_order(block).on_all_threads(),
        Way::AsItPays => commuting(predictions).run_plan(block),
    };
    let known = ReuseCache::new();
    let workers = match way {
        Way::Reusing => Workers::new(pool).reusing(&known),
        _ => Workers::new(pool),
    };
    let mut found = execute(block, state, &plan, workers);
    if matches!(way, Way::Reusing) && difference(&found, &truth).is_none() {
        found = execute(block, state, &plan, workers);
    }
    if let Some(what) = difference(&found, &truth) {
        let threads = pool.current_num_threads();
        return Err(Difference { prediction, threads, way, what });
    }
    Ok(ran(block, &found, &truth))
}

type Executed = Result<BlockOutcome, ExecutionError<StateError>>;

fn difference(found: &Executed, truth: &Executed) -> Option<String> {
    match (found, truth) {
        (Ok(found), Ok(truth)) => compare_outcomes(found, truth).map(|m| format!("{m:?}")),
        (Err(found), Err(truth)) if found == truth => None,
        (found, truth) => {
            let brief = |executed: &Executed| executed.as_ref().map(|_| ()).map_err(Clone::clone);
            Some(format!("{:?}, sequentially {:?}", brief(found), brief(truth)))
        }
    }
}

fn ran(block: &Block, found: &Executed, truth: &Executed) -> Ran {
    let txs = match truth {
        Ok(outcome) => outcome.receipts.len(),
        Err(
            ExecutionError::InvalidTransaction { tx, .. }
            | ExecutionError::GasLimitExceeded { tx, .. },
        ) => tx.index(),
        Err(_) => 0,
    };
    let executed = &block.transactions[..txs];
    Ran {
        txs,
        transfers: executed.iter().filter(|tx| tx.gas_limit < 60_000 && tx.data.is_empty()).count(),
        successes: truth
            .as_ref()
            .map_or(0, |truth| truth.receipts.iter().filter(|receipt| receipt.status).count()),
        reexecuted: found.as_ref().map_or(0, |found| found.stats.reexecuted.len()),
        is_invalid: truth.is_err(),
    }
}

/// Leaves out transactions as long as `differs` holds of the rest.
pub(crate) fn shrink(drawn: &Drawn, differs: impl Fn(&Drawn) -> bool) -> Drawn {
    let mut least = drawn.clone();
    let mut step = least.block.transactions.len().div_ceil(2);
    while step > 0 {
        let mut at = 0;
        while at < least.block.transactions.len() {
            let mut fewer = least.clone();
            let end = (at + step).min(fewer.block.transactions.len());
            fewer.block.transactions.drain(at..end);
            if differs(&fewer) {
                least = fewer;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    least
}

/// Writes a block directory that `forewave run --compare` can open.
pub(crate) fn write(drawn: &Drawn, directory: &Path) -> io::Result<()> {
    let Drawn { block, state } = drawn.clone();
    let hashes: std::collections::BTreeMap<u64, _> = state.block_hashes().into_iter().collect();
    let files = SampleFiles::new(&Workload { block, state });
    fs::create_dir_all(directory)?;
    fs::write(directory.join("block.json"), files.block)?;
    fs::write(directory.join("pre_state.json"), files.pre_state)?;
    let hashes = serde_json::to_string(&hashes).map_err(io::Error::other)?;
    fs::write(directory.join("block_hashes.json"), hashes)
}
