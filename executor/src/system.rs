//! What the protocol does at the two ends of a block, outside transactions.
//!
//! Before: EIP-4788, EIP-2935, and the irregular state change of EIP-779.
//! After: EIP-7002, EIP-7251, EIP-8282, withdrawals (EIP-4895), rewards before the Merge.
//!
//! The calls before the transactions may fail, and their contracts be absent. Those
//! after them may not: a block in which they fail is invalid. Only where the state
//! holds no more than what transactions touch is an absent contract left out; the
//! notes say so in both cases.

use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::BEACON_ROOTS_ADDRESS,
    eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_TYPE},
    eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_TYPE},
    eip7685::Requests,
    eip8282::{
        BUILDER_DEPOSIT_CONTRACT_ADDRESS, BUILDER_DEPOSIT_REQUEST_TYPE,
        BUILDER_EXIT_CONTRACT_ADDRESS, BUILDER_EXIT_REQUEST_TYPE,
    },
};
use alloy_evm::{
    block::calc::{block_reward, ommer_reward},
    eth::dao_fork::{DAO_HARDFORK_ACCOUNTS, DAO_HARDFORK_BENEFICIARY},
};
use forewave_analyzer::{Block, BlockReward, Ommer, StateExtent};
use revm::{
    Context, DatabaseRef, MainBuilder, MainContext, SystemCallCommitEvm,
    context::result::{ExecutionResult, HaltReason},
    context_interface::Cfg,
    primitives::{Address, Bytes, U256, hardfork::SpecId},
    state::AccountInfo,
};

use crate::{
    ExecutionError, OutcomeNote, SystemFailure, SystemOperation,
    flat_state::{FlatState, StateClearing},
    touched::Touched,
};

/// A contract that is asked for requests at the end of a block.
struct RequestContract {
    operation: SystemOperation,
    address: Address,
    request_type: u8,
    since: SpecId,
}

impl RequestContract {
    /// Whether it is asked at the end of this block.
    fn is_asked(&self, block: &Block) -> bool {
        // EIP-8282 came to the fork's test networks after EIP-2780: a configuration without
        // that is of an earlier state of the fork.
        let is_there = self.since < SpecId::AMSTERDAM || block.cfg.is_amsterdam_eip2780_enabled();
        block.spec().is_enabled_in(self.since) && is_there
    }
}

/// In the order in which they are asked, which is that of the types.
const REQUEST_CONTRACTS: [RequestContract; 4] = [
    RequestContract {
        operation: SystemOperation::WithdrawalRequests,
        address: WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
        request_type: WITHDRAWAL_REQUEST_TYPE,
        since: SpecId::PRAGUE,
    },
    RequestContract {
        operation: SystemOperation::ConsolidationRequests,
        address: CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
        request_type: CONSOLIDATION_REQUEST_TYPE,
        since: SpecId::PRAGUE,
    },
    RequestContract {
        operation: SystemOperation::BuilderDepositRequests,
        address: BUILDER_DEPOSIT_CONTRACT_ADDRESS,
        request_type: BUILDER_DEPOSIT_REQUEST_TYPE,
        since: SpecId::AMSTERDAM,
    },
    RequestContract {
        operation: SystemOperation::BuilderExitRequests,
        address: BUILDER_EXIT_CONTRACT_ADDRESS,
        request_type: BUILDER_EXIT_REQUEST_TYPE,
        since: SpecId::AMSTERDAM,
    },
];

/// The contracts that the protocol itself calls at the two ends of blocks.
pub const SYSTEM_CONTRACTS: [Address; 6] = [
    BEACON_ROOTS_ADDRESS,
    HISTORY_STORAGE_ADDRESS,
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    BUILDER_DEPOSIT_CONTRACT_ADDRESS,
    BUILDER_EXIT_CONTRACT_ADDRESS,
];

/// Wei in an ether.
const ETHER: u128 = 1_000_000_000_000_000_000;

/// What the operations at the two ends of a block give.
#[derive(Clone, Debug, Default)]
pub(crate) struct SystemOutput {
    /// What was left out.
    pub(crate) notes: Vec<OutcomeNote>,
    /// What the contracts request of the consensus layer, with the types in front;
    /// none before Prague, nor where one of the contracts was left out.
    pub(crate) requests: Option<Requests>,
    /// What they touched before the transactions and after them, where the block's access
    /// list is made.
    pub(crate) before: Vec<Touched>,
    pub(crate) after: Vec<Touched>,
}

/// Applies what happens before the first transaction.
pub(crate) fn apply_pre_block<DB: DatabaseRef>(
    block: &Block,
    state: &mut FlatState<'_, DB>,
) -> Result<SystemOutput, ExecutionError<DB::Error>> {
    let mut output = SystemOutput::default();
    if block.number() == 0 {
        return Ok(output);
    }
    state.note_touched(block);
    if block.is_dao_fork {
        move_dao_balances(state).map_err(ExecutionError::SystemState)?;
    }
    if block.spec().is_enabled_in(SpecId::CANCUN) {
        let root = block.parent_beacon_block_root.ok_or_else(|| {
            ExecutionError::System("the header has no parent beacon block root (EIP-4788)".into())
        })?;
        let operation = SystemOperation::BeaconRoots;
        let data = Bytes::from(root.0);
        system_call(block, state, (operation, BEACON_ROOTS_ADDRESS), data, &mut output)?;
    }
    if block.spec().is_enabled_in(SpecId::PRAGUE) {
        let operation = SystemOperation::HistoryStorage;
        let data = Bytes::from(block.parent_hash.0);
        system_call(block, state, (operation, HISTORY_STORAGE_ADDRESS), data, &mut output)?;
    }
    output.before = state.take_touched();
    Ok(output)
}

/// Applies what happens after the last transaction.
pub(crate) fn apply_post_block<DB: DatabaseRef>(
    block: &Block,
    state: &mut FlatState<'_, DB>,
    output: &mut SystemOutput,
) -> Result<(), ExecutionError<DB::Error>> {
    state.note_touched(block);
    if block.spec().is_enabled_in(SpecId::PRAGUE) {
        output.requests = contract_requests(block, state, output)?;
    }
    let clearing = if block.spec().is_enabled_in(SpecId::SPURIOUS_DRAGON) {
        StateClearing::Enabled
    } else {
        StateClearing::Disabled
    };
    for (address, wei) in credits(block, &mut output.notes) {
        state.credit(address, wei, clearing).map_err(ExecutionError::SystemState)?;
    }
    // A withdrawal of nothing leaves the account as it is, and yet is an access (EIP-7928).
    let nothing = block.withdrawals.iter().filter(|withdrawal| withdrawal.amount == 0);
    nothing.for_each(|withdrawal| state.note_access(withdrawal.address));
    output.after = state.take_touched();
    Ok(())
}

/// What the system contracts request (EIP-7002, EIP-7251, EIP-8282), unless one is left out.
fn contract_requests<DB: DatabaseRef>(
    block: &Block,
    state: &mut FlatState<'_, DB>,
    output: &mut SystemOutput,
) -> Result<Option<Requests>, ExecutionError<DB::Error>> {
    let mut requests = Some(Requests::default());
    let asked = REQUEST_CONTRACTS.into_iter().filter(|contract| contract.is_asked(block));
    for RequestContract { operation, address, request_type, .. } in asked {
        let failed = |failure| Err(ExecutionError::SystemContract { operation, address, failure });
        let is_listed = state.account(address).map_err(ExecutionError::SystemState)?.is_some();
        match system_call(block, state, (operation, address), Bytes::new(), output)? {
            Some(ExecutionResult::Success { output, .. }) => {
                if let Some(requests) = &mut requests {
                    requests.push_request_with_type(request_type, output.into_data());
                }
            }
            Some(ExecutionResult::Revert { .. }) => return failed(SystemFailure::Reverted),
            Some(ExecutionResult::Halt { reason, .. }) => {
                return failed(SystemFailure::Halted(reason));
            }
            None if is_listed || block.state_extent == StateExtent::Whole => {
                return failed(SystemFailure::NoCode);
            }
            None => requests = None,
        }
    }
    Ok(requests)
}

/// Calls a system contract, or notes that it is not there.
fn system_call<DB: DatabaseRef>(
    block: &Block,
    state: &mut FlatState<'_, DB>,
    (operation, address): (SystemOperation, Address),
    data: Bytes,
    output: &mut SystemOutput,
) -> Result<Option<ExecutionResult<HaltReason>>, ExecutionError<DB::Error>> {
    let account = state.account(address).map_err(ExecutionError::SystemState)?;
    if account.is_none_or(AccountInfo::is_empty_code_hash) {
        output.notes.push(OutcomeNote::SystemContractAbsent { operation, address });
        return Ok(None);
    }
    Context::mainnet()
        .with_db(state)
        .with_block(block.env.clone())
        .with_cfg(block.cfg.clone())
        .build_mainnet()
        .system_call_commit(address, data)
        .map(Some)
        .map_err(ExecutionError::in_system)
}

/// Credits after the transactions: withdrawals, and rewards before the Merge.
fn credits(block: &Block, notes: &mut Vec<OutcomeNote>) -> Vec<(Address, U256)> {
    let mut credits = Vec::new();
    if let Some(base) = base_block_reward(block) {
        for ommer in &block.ommers {
            match *ommer {
                Ommer::Header { number, beneficiary } => {
                    let reward = ommer_reward(base, block.number(), number);
                    credits.push((beneficiary, U256::from(reward)));
                }
                Ommer::Hash(hash) => notes.push(OutcomeNote::OmmerHeaderAbsent { hash }),
            }
        }
        let reward = block_reward(base, block.ommers.len());
        credits.push((block.env.beneficiary, U256::from(reward)));
    }
    let withdrawals = block.withdrawals.iter().filter(|withdrawal| withdrawal.amount > 0);
    credits.extend(withdrawals.map(|withdrawal| (withdrawal.address, withdrawal.amount_wei())));
    credits
}

/// Reward of the block's beneficiary in wei, ommers aside; none from the Merge on.
fn base_block_reward(block: &Block) -> Option<u128> {
    match (block.spec(), block.reward) {
        (spec, _) if spec.is_enabled_in(SpecId::MERGE) => None,
        (_, BlockReward::Unpaid) => None,
        (_, BlockReward::Wei(wei)) => Some(wei.into()),
        // EIP-1234, EIP-649, and the Yellow Paper.
        (spec, _) if spec.is_enabled_in(SpecId::PETERSBURG) => Some(2 * ETHER),
        (spec, _) if spec.is_enabled_in(SpecId::BYZANTIUM) => Some(3 * ETHER),
        _ => Some(5 * ETHER),
    }
}

/// Moves the balances of the DAO and its children to the refund contract (EIP-779).
fn move_dao_balances<DB: DatabaseRef>(state: &mut FlatState<'_, DB>) -> Result<(), DB::Error> {
    let mut total = U256::ZERO;
    for address in DAO_HARDFORK_ACCOUNTS {
        if state.account(address)?.is_some_and(|info| !info.balance.is_zero()) {
            total += state.drain(address)?;
        }
    }
    if total.is_zero() {
        return Ok(());
    }
    state.credit(DAO_HARDFORK_BENEFICIARY, total, StateClearing::Disabled)
}
