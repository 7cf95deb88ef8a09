//! What declaring its accesses in advance (EIP-2930) saves or costs each transaction of a block.
//!
//! ```text
//! state at its place ── run as it is ──────────────> accounts and slots that were cold
//!        ├──────────── run without its list ───────> gas
//!        └──────────── run with the list that pays ─> gas
//! ```
//!
//! A list warms what it names for less than the first access costs, but an account must be named
//! for its slots to be. Which of them pay follows from the prices of the fork; what the list saves is
//! not computed but measured: refunds, the floor of EIP-7623 and what code does with the gas
//! that it has left all count.

use forewave_analyzer::{Block, TxIndex};
use hashbrown::HashMap;
use revm::{
    Context, DatabaseCommit, DatabaseRef, ExecuteEvm, MainBuilder, MainContext,
    context::{
        TxEnv,
        transaction::{AccessList, AccessListItem},
    },
    context_interface::{
        Cfg,
        transaction::{AuthorizationTr, TransactionType},
    },
    handler::EthPrecompiles,
    primitives::{Address, AddressSet, B256, StorageKey, TxKind, hardfork::SpecId},
    state::EvmState,
};

use crate::{
    ExecutionError,
    committed::Committed,
    flat_state::FlatState,
    system::{apply_post_block, apply_pre_block},
};

/// A transaction's accesses, declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The transaction.
    pub tx: TxIndex,
    /// Gas that it uses with the list that it has.
    pub gas_used: u64,
    /// Gas that it would use without a list.
    pub gas_without: u64,
    /// The list that costs least: empty if none saves anything.
    pub list: AccessList,
    /// Gas that it would use with that list.
    pub gas_with: u64,
    /// Accounts and slots that its own list names, and that it did not touch.
    pub unused: usize,
}

/// The declarations that pay, for each transaction of a block at its place. Before Berlin
/// there are none to make, and no transaction has one.
pub fn declarations<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
) -> Result<Vec<Declaration>, ExecutionError<DB::Error>> {
    let mut flat = FlatState::for_block(state, block);
    let mut system = apply_pre_block(block, &mut flat)?;
    let mut evm = Context::mainnet()
        .with_db(flat)
        .with_block(block.env.clone())
        .with_cfg(block.cfg.clone())
        .build_mainnet();
    let mut committed = Committed::none_of(block);
    let mut declared = Vec::with_capacity(block.transactions.len());
    for (tx, env) in block.indexed() {
        committed.check(block, tx)?;
        let run = evm.transact(env.clone()).map_err(|error| ExecutionError::at(tx, error))?;
        let mut gas_of = |list: &AccessList| -> Option<u64> {
            let run = evm.transact(with_list(env, list)).ok()?;
            Some(run.result.tx_gas_used())
        };
        let gas_used = run.result.tx_gas_used();
        let nothing = AccessList::default();
        let has_list = !env.access_list.is_empty();
        let gas_without = if has_list { gas_of(&nothing).unwrap_or(gas_used) } else { gas_used };
        let list = paying(block, env, &run.state);
        let with = if list.is_empty() { None } else { gas_of(&list) };
        // What the gas left decides can make a list cost more than it seemed to save.
        let (list, gas_with) = match with {
            Some(gas) if gas < gas_without => (list, gas),
            _ => (nothing, gas_without),
        };
        let unused = unused(&env.access_list, &run.state);
        declared.push(Declaration { tx, gas_used, gas_without, list, gas_with, unused });
        evm.ctx.journaled_state.database.commit(run.state);
        committed.add(env.tx_type, run.result, None);
    }
    let mut flat = evm.ctx.journaled_state.database;
    apply_post_block(block, &mut flat, &mut system)?;
    Ok(declared)
}

/// The transaction with another list; one of the first type becomes one of the second.
fn with_list(env: &TxEnv, list: &AccessList) -> TxEnv {
    let is_legacy = TransactionType::from(env.tx_type) == TransactionType::Legacy;
    let tx_type = if is_legacy { TransactionType::Eip2930 as u8 } else { env.tx_type };
    TxEnv { access_list: list.clone(), tx_type, ..env.clone() }
}

/// What a run touched that a list would have made cheaper than it costs to name.
fn paying(block: &Block, env: &TxEnv, state: &EvmState) -> AccessList {
    if !block.spec().is_enabled_in(SpecId::BERLIN) {
        return AccessList::default();
    }
    let prices = block.cfg.gas_params();
    let (name_account, name_slot) =
        (prices.tx_access_list_address_cost(), prices.tx_access_list_storage_key_cost());
    let (cold_account, cold_slot) =
        (prices.cold_account_additional_cost(), prices.cold_storage_additional_cost());
    let warm = warm_accounts(block, env);
    let mut items: Vec<AccessListItem> = Vec::new();
    for (address, account) in state {
        // What is created in the transaction is warm from then on.
        if account.is_created() {
            continue;
        }
        let mut slots: Vec<StorageKey> = account.storage.keys().copied().collect();
        slots.sort_unstable();
        if name_slot >= cold_slot {
            slots.clear();
        }
        let saved_account = if warm.contains(address) { 0 } else { cold_account };
        let saved = saved_account + slots.len() as u64 * (cold_slot - name_slot.min(cold_slot));
        if saved > name_account {
            let storage_keys = slots.into_iter().map(B256::from).collect();
            items.push(AccessListItem { address: *address, storage_keys });
        }
    }
    items.sort_unstable_by_key(|item| item.address);
    AccessList(items)
}

/// The accounts that are warm when a transaction begins (EIP-2929, EIP-3651).
fn warm_accounts(block: &Block, env: &TxEnv) -> AddressSet {
    let precompiles = EthPrecompiles::new(block.spec());
    let mut warm = precompiles.warm_addresses().clone();
    warm.insert(env.caller);
    warm.insert(match env.kind {
        TxKind::Call(to) => to,
        TxKind::Create => env.caller.create(env.nonce),
    });
    if block.spec().is_enabled_in(SpecId::SHANGHAI) {
        warm.insert(block.env.beneficiary);
    }
    warm.extend(env.authorization_list.iter().filter_map(AuthorizationTr::authority));
    warm
}

/// How many accounts and slots of a list a run did not touch.
fn unused(list: &AccessList, state: &EvmState) -> usize {
    let mut named: HashMap<Address, Vec<StorageKey>> = HashMap::new();
    for item in &list.0 {
        let keys = item.storage_keys.iter().map(|key| StorageKey::from_be_bytes(key.0));
        named.entry(item.address).or_default().extend(keys);
    }
    let of_account = |(address, mut keys): (Address, Vec<StorageKey>)| {
        keys.sort_unstable();
        keys.dedup();
        let account = state.get(&address);
        let untouched =
            keys.iter().filter(|key| account.is_none_or(|it| !it.storage.contains_key(*key)));
        usize::from(account.is_none()) + untouched.count()
    };
    named.into_iter().map(of_account).sum()
}
