//! A case's chain: every accepted block by its hash, with the state after it.
//!
//! A block is executed on the state of its parent, so side chains and blocks
//! out of order need no care. A block that was rejected leaves nothing behind.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::eip7928::BlockAccessList;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{B256, U256};
use forewave_analyzer::{Block, MemoryState};
use forewave_executor::BlockOutcome;
use hashbrown::HashMap;

use super::{
    Setup, collision, devnet,
    import::{self, WireBlock},
    network::{Network, Place},
    rejection::Rejection,
    run::{Divergence, run},
};
use crate::{
    access_list::judge_access_list,
    compare::{Against, Mismatch, compare_header},
    state_root::{apply_changes, state_root},
};

/// Accounts and slots of all states of one chain, at most. A state is kept for each
/// accepted block, so that a file of some megabytes could ask for many gigabytes.
const KEPT_ENTRIES_MAX: usize = 1 << 22;

/// Why a chain with larger states is not followed.
const TOO_LARGE: &str = "the states after its blocks are larger than is kept";

/// Why a case cannot go on.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    /// Two ways to execute a block differ.
    Diverged(Divergence),
    /// It depends on a rule that nobody here follows.
    Unsupported(&'static str),
}

impl From<Divergence> for Stop {
    fn from(divergence: Divergence) -> Self {
        Self::Diverged(divergence)
    }
}

/// The state after an accepted block.
#[derive(Debug)]
struct Accepted {
    state: MemoryState,
    total_difficulty: U256,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct TestChain {
    network: Network,
    chain_id: u64,
    accepted: HashMap<B256, Accepted>,
    /// Accounts and slots of the states of all accepted blocks.
    kept_entries: usize,
    /// Whether blocks of Amsterdam follow it as it was in its first tests.
    is_of_devnet: bool,
}

impl TestChain {
    /// A chain of nothing but its genesis block.
    pub(super) fn new(
        network: Network,
        chain_id: u64,
        genesis: &Header,
        mut state: MemoryState,
    ) -> Result<Self, Rejection> {
        let hash = genesis.hash_slow();
        check_root(genesis, &state)?;
        state.insert_block_hash(genesis.number, hash);
        let kept_entries = entries(&state);
        let total_difficulty = genesis.difficulty;
        let is_of_devnet = devnet::is_of_devnet(&state);
        let accepted = HashMap::from([(hash, Accepted { state, total_difficulty })]);
        Ok(Self { network, chain_id, accepted, kept_entries, is_of_devnet })
    }

    /// The state after the block with this hash.
    pub(super) fn state_after(&self, hash: &B256) -> Option<&MemoryState> {
        self.accepted.get(hash).map(|accepted| &accepted.state)
    }

    /// Executes a block in every way and accepts or rejects it. Gives the number
    /// of its transactions.
    pub(super) fn import(
        &mut self,
        rlp: &[u8],
        access_list: Option<&BlockAccessList>,
        setup: &Setup<'_>,
    ) -> Result<Result<usize, Rejection>, Stop> {
        let wire = match import::decode(rlp) {
            Ok(wire) => wire,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let (hash, parent_hash) = (wire.header.hash_slow(), wire.header.parent_hash);
        let Some(parent) = self.accepted.get(&parent_hash) else {
            return Ok(Err(Rejection::UnknownParent(parent_hash)));
        };
        let total_difficulty = parent.total_difficulty.saturating_add(wire.header.difficulty);
        let mut state = match self.execute(&wire, access_list, parent, setup)? {
            Ok(state) => state,
            Err(rejection) => return Ok(Err(rejection)),
        };
        self.kept_entries += entries(&state);
        if self.kept_entries > KEPT_ENTRIES_MAX {
            return Err(Stop::Unsupported(TOO_LARGE));
        }
        state.insert_block_hash(wire.header.number, hash);
        self.accepted.insert(hash, Accepted { state, total_difficulty });
        Ok(Ok(wire.body.transactions.len()))
    }

    /// The state after a block, if it is what its header says.
    fn execute(
        &self,
        wire: &WireBlock,
        access_list: Option<&BlockAccessList>,
        parent: &Accepted,
        setup: &Setup<'_>,
    ) -> Result<Result<MemoryState, Rejection>, Stop> {
        let header = &wire.header;
        let fork = self.network.fork(Place {
            number: header.number,
            timestamp: header.timestamp,
            parent_total_difficulty: parent.total_difficulty,
        });
        let state = &parent.state;
        let mut block = match import::block(wire, fork, self.chain_id) {
            Ok(block) => block,
            Err(rejection) => return Ok(Err(rejection)),
        };
        block.access_list = access_list.cloned().map(Arc::new);
        block.is_dao_fork = self.network.is_dao_fork(header.number);
        let is_of_devnet = self.is_of_devnet && fork >= EthereumHardfork::Amsterdam;
        if is_of_devnet {
            devnet::follow(&mut block);
        }
        let outcome = match run(&block, state, setup)? {
            Ok(outcome) => outcome,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let (given, made) = (block.access_list.as_deref(), outcome.access_list.as_deref());
        let faults = match (given, made) {
            (Some(given), Some(made)) => judge_access_list(&block, given, made),
            _ => Vec::new(),
        };
        let gas_differs =
            header.gas_used != outcome.gas_used || header.receipts_root != outcome.receipts_root();
        let is_right_but_for_gas = given.is_some() && faults.iter().all(devnet::is_of_gas);
        if is_of_devnet && gas_differs && is_right_but_for_gas {
            return Err(Stop::Unsupported(devnet::OTHER_GAS));
        }
        if let Some(fault) = faults.into_iter().next() {
            return Ok(Err(Rejection::AccessList(Box::new(fault))));
        }
        let mut after = state.clone();
        apply_changes(&mut after, &outcome.state);
        match check_header(wire, &block, &outcome, &after) {
            Ok(()) => Ok(Ok(after)),
            Err(_) if collision::creates_over_storage(&block, state) => {
                Err(Stop::Unsupported(collision::REASON))
            }
            Err(rejection) => Ok(Err(rejection)),
        }
    }
}

/// How many accounts and slots a state has.
fn entries(state: &MemoryState) -> usize {
    state.accounts().map(|(_, _, storage)| 1 + storage.len()).sum()
}

/// The header says what executing the block gave, and the state after it.
fn check_header(
    wire: &WireBlock,
    block: &Block,
    outcome: &BlockOutcome,
    after: &MemoryState,
) -> Result<(), Rejection> {
    let expected = import::expected_header(&wire.header);
    if let Some(mismatch) = compare_header(outcome, &expected, block.spec()).into_iter().next() {
        return Err(Rejection::Header(mismatch));
    }
    import::check_blob_gas(wire)?;
    check_root(&wire.header, after)
}

/// The root of a state is the one in the header.
fn check_root(header: &Header, state: &MemoryState) -> Result<(), Rejection> {
    let (expected, found) = (header.state_root, state_root(state));
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (expected.to_string(), found.to_string());
    let against = Against::Header;
    Err(Rejection::Header(Mismatch { against, field: "state_root".into(), expected, found }))
}

#[cfg(test)]
mod tests {
    use revm::state::AccountInfo;

    use super::{super::Ways, *};

    #[test]
    fn a_chain_whose_states_grow_beyond_what_is_kept_is_not_followed() {
        let genesis = Header { gas_limit: 1 << 20, ..Header::default() };
        let mut rewarded = MemoryState::default();
        let reward = U256::from(5_000_000_000_000_000_000_u64);
        rewarded.insert_account(genesis.beneficiary, AccountInfo::from_balance(reward));
        let (number, parent_hash) = (1, genesis.hash_slow());
        let state_root = state_root(&rewarded);
        let header = Header { number, parent_hash, state_root, ..genesis.clone() };
        let rlp = alloy_rlp::encode(WireBlock::new(header, alloy_consensus::BlockBody::default()));
        let network: Network = "Frontier".parse().expect("Frontier is a network");
        let setup = Setup { ways: Ways::Usual, predictors: &[], pools: &[] };
        for (kept_entries, is_followed) in [(KEPT_ENTRIES_MAX - 1, true), (KEPT_ENTRIES_MAX, false)]
        {
            let state = MemoryState::default();
            let mut chain = TestChain::new(network, 1, &genesis, state).unwrap();
            chain.kept_entries = kept_entries;
            match chain.import(&rlp, None, &setup) {
                Ok(imported) => assert_eq!((imported, is_followed), (Ok(0), true)),
                Err(Stop::Unsupported(reason)) => {
                    assert_eq!((reason, is_followed), (TOO_LARGE, false));
                }
                Err(Stop::Diverged(divergence)) => panic!("{divergence}"),
            }
        }
    }
}
