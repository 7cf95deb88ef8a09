//! ethereum/tests through the parallel executor.
//!
//! A case of `BlockchainTests` is a genesis state and blocks, some of them
//! invalid. [`run_file`] runs each block on the state after its parent,
//! sequentially and with every predictor of a [`Setup`] on every pool; all must
//! agree with each other, with the header (gas, bloom, blob gas, receipts root
//! since Byzantium, state root) and in the end with the expected state. An
//! invalid block must be rejected for its fault, except for faults that belong
//! to consensus outside the executor: those are counted as not judged, each
//! with its reason. Nothing is left out without being counted.
//!
//! Where the files come from is left to the caller; [`source`] walks directories and
//! release archives.

mod case_json;
mod chain;
mod collision;
mod devnet;
mod fault;
pub(crate) mod import;
pub(crate) mod network;
mod rejection;
mod run;
#[cfg(feature = "archives")]
pub mod source;

pub use network::{UnknownFork, fork_by_name, fork_names};

use core::fmt::Display;
use std::collections::BTreeMap;

use alloy_primitives::B256;
use forewave_analyzer::MemoryState;
use rayon::ThreadPool;
use serde::Serialize;

use self::{
    case_json::{StatedCase, StatedCases},
    chain::{Stop, TestChain},
    fault::{Judgement, judge},
    network::Network,
};
use crate::{
    PredictorKind,
    input::{InputError, SourceFile, json},
    state_root::state_root,
};

/// The chain id of a case that states none: mainnet's.
const CHAIN_ID_DEFAULT: u64 = 1;

/// Which ways there are to execute a block, with one predictor on one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ways {
    /// On all threads by a plan and in block order, however small the block, and the usual one.
    #[default]
    All,
    /// The one that [`execute_block`](crate::execute_block) chooses.
    Usual,
}

/// In how many ways each block is executed.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// With each predictor on each pool.
    pub ways: Ways,
    /// Who predicts: each of them.
    pub predictors: &'a [PredictorKind],
    /// On which threads: each pool.
    pub pools: &'a [ThreadPool],
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "snake_case")]
pub enum Verdict {
    /// Everything that the executor judges is as it must be.
    Passed,
    /// What is not.
    Failed(String),
    /// Why nothing of it was judged.
    Skipped(String),
}

/// One case, run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// Name of the case.
    pub case: String,
    /// Its network, as it states it.
    pub network: String,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Valid blocks that were accepted.
    pub valid_blocks: usize,
    /// Transactions in them.
    pub txs: usize,
    /// Invalid blocks that were rejected.
    pub rejected_blocks: usize,
    /// Invalid blocks that nobody here is to reject, by the reason.
    pub not_judged: BTreeMap<&'static str, usize>,
    /// Root of the state after the last block.
    pub state_root: Option<B256>,
}

/// Runs the cases of a file whose names are `wanted`.
pub fn run_file(
    file: &SourceFile,
    setup: &Setup<'_>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<CaseReport>, InputError> {
    let cases: StatedCases = json::parse(file)?;
    let cases = cases.into_iter().filter(|(name, _)| wanted(name));
    Ok(cases.map(|(name, case)| run_case(name, case, setup)).collect())
}

fn run_case(case: String, stated: StatedCase, setup: &Setup<'_>) -> CaseReport {
    let mut report = CaseReport {
        case,
        network: stated.network.clone(),
        verdict: Verdict::Passed,
        valid_blocks: 0,
        txs: 0,
        rejected_blocks: 0,
        not_judged: BTreeMap::new(),
        state_root: None,
    };
    report.verdict = match stated.network.parse::<Network>() {
        Err(unknown) => Verdict::Skipped(unknown.to_string()),
        Ok(network) => match run_blocks(network, stated, setup, &mut report) {
            Err(verdict) => verdict,
            Ok(()) if report.valid_blocks + report.rejected_blocks > 0 => Verdict::Passed,
            Ok(()) => {
                let reasons: Vec<_> = report.not_judged.keys().copied().collect();
                Verdict::Skipped(format!("no block to judge ({})", reasons.join("; ")))
            }
        },
    };
    report
}

/// Runs a case's blocks and compares the state they end in. An error is what
/// became of the case.
fn run_blocks(
    network: Network,
    mut stated: StatedCase,
    setup: &Setup<'_>,
    report: &mut CaseReport,
) -> Result<(), Verdict> {
    let in_genesis = |rejection| Verdict::Failed(format!("genesis: {rejection}"));
    let genesis = import::decode(&stated.genesis_rlp).map_err(in_genesis)?;
    let state = core::mem::take(&mut stated.pre.0);
    let chain_id = stated.config.chainid.map_or(CHAIN_ID_DEFAULT, |id| id.to());
    let mut chain =
        TestChain::new(network, chain_id, &genesis.header, state).map_err(in_genesis)?;
    for (position, block) in stated.blocks.iter().enumerate() {
        let at = |problem: &dyn Display| Verdict::Failed(format!("blocks[{position}]: {problem}"));
        let imported =
            chain.import(&block.rlp, block.access_list(), setup).map_err(|stop| match stop {
                Stop::Diverged(divergence) => at(&divergence),
                Stop::Unsupported(reason) => Verdict::Skipped(reason.to_owned()),
            })?;
        let Some(exception) = block.exception() else {
            report.txs += imported.map_err(|rejection| at(&rejection))?;
            report.valid_blocks += 1;
            continue;
        };
        match judge(exception, imported.as_ref().err()) {
            Judgement::Rejected => report.rejected_blocks += 1,
            Judgement::NotJudged(reason) => *report.not_judged.entry(reason).or_default() += 1,
            Judgement::Wrong(problem) => return Err(at(&problem)),
        }
    }
    check_end(&chain, &stated, report).map_err(Verdict::Failed)
}

/// Compares the state after the last block with the expected one.
fn check_end(
    chain: &TestChain,
    stated: &StatedCase,
    report: &mut CaseReport,
) -> Result<(), String> {
    let last = stated.last_block_hash;
    let state =
        chain.state_after(&last).ok_or_else(|| format!("the last block {last} is not there"))?;
    let root = state_root(state);
    report.state_root = Some(root);
    match (&stated.post_state, stated.post_state_hash) {
        (Some(expected), _) => match first_difference(state, &expected.0) {
            Some(difference) => Err(format!("state after the last block: {difference}")),
            None => Ok(()),
        },
        (None, Some(expected)) if expected == root => Ok(()),
        (None, Some(expected)) => Err(format!("state root {root} must be {expected}")),
        (None, None) => Err("neither `postState` nor `postStateHash` says how it ends".to_owned()),
    }
}

/// The first account in which a state is not what it must be.
fn first_difference(found: &MemoryState, expected: &MemoryState) -> Option<String> {
    let by_address = |state: &MemoryState| -> BTreeMap<_, _> {
        let accounts = state.accounts().map(|(address, info, storage)| {
            (address, (info.balance, info.nonce, info.code_hash, storage))
        });
        accounts.collect()
    };
    let (found, expected) = (by_address(found), by_address(expected));
    let mut addresses = expected.keys().chain(found.keys());
    let address = *addresses.find(|at| expected.get(*at) != found.get(*at))?;
    let (found, expected) = (found.get(&address), expected.get(&address));
    Some(format!("{address} is {found:?}, must be {expected:?}"))
}
