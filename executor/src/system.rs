//! What the protocol does at the two ends of a block, outside transactions.
//!
//! Before: EIP-4788, EIP-2935, and the irregular state change of EIP-779.
//! After: EIP-7002, EIP-7251, withdrawals (EIP-4895), rewards before the Merge.
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
};
use alloy_evm::{
    block::calc::{block_reward, ommer_reward},
    eth::dao_fork::{DAO_HARDFORK_ACCOUNTS, DAO_HARDFORK_BENEFICIARY},
};
use forewave_analyzer::{Block, BlockReward, Ommer, StateExtent, TxIndex};
use revm::{
    Context, DatabaseRef, MainBuilder, MainContext, SystemCallCommitEvm,
    context::result::{ExecutionResult, HaltReason},
    primitives::{Address, Bytes, U256, hardfork::SpecId},
    state::AccountInfo,
};

use crate::{
    ExecutionError, OutcomeNote, SystemFailure, SystemOperation,
    flat_state::{FlatState, StateClearing},
};

/// Wei in an ether.
const ETHER: u128 = 1_000_000_000_000_000_000;

/// What the operations at the two ends of a block give.
#[derive(Debug, Default)]
pub(crate) struct SystemOutput {
    /// What was left out.
    pub(crate) notes: Vec<OutcomeNote>,
    /// What the contracts request of the consensus layer, with the types in front;
    /// none before Prague, nor where one of the contracts was left out.
    pub(crate) requests: Option<Requests>,
}

/// Refuses a transaction whose gas limit exceeds what the block has left.
pub(crate) fn check_gas_limit<E: core::error::Error>(
    block: &Block,
    tx: TxIndex,
    gas_used: u64,
) -> Result<(), ExecutionError<E>> {
    let limit = block.transactions[tx.index()].gas_limit;
    let available = block.env.gas_limit.saturating_sub(gas_used);
    if limit > available {
        return Err(ExecutionError::GasLimitExceeded { tx, limit, available });
    }
    Ok(())
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
    Ok(output)
}

/// Applies what happens after the last transaction.
pub(crate) fn apply_post_block<DB: DatabaseRef>(
    block: &Block,
    state: &mut FlatState<'_, DB>,
    output: &mut SystemOutput,
) -> Result<(), ExecutionError<DB::Error>> {
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
    Ok(())
}

/// What the system contracts request (EIP-7002, EIP-7251), unless one is left out.
fn contract_requests<DB: DatabaseRef>(
    block: &Block,
    state: &mut FlatState<'_, DB>,
    output: &mut SystemOutput,
) -> Result<Option<Requests>, ExecutionError<DB::Error>> {
    let contracts = [
        (
            SystemOperation::WithdrawalRequests,
            WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
            WITHDRAWAL_REQUEST_TYPE,
        ),
        (
            SystemOperation::ConsolidationRequests,
            CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
            CONSOLIDATION_REQUEST_TYPE,
        ),
    ];
    let mut requests = Some(Requests::default());
    for (operation, address, request_type) in contracts {
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
