//! The obvious cache of results, to compare with: a result is kept with all that was loaded, as
//! whole accounts and slots, and is the result again where all of it is equal. A few for each
//! transaction. Fees are added to what the beneficiary has, unless it was loaded before them.

use std::collections::HashMap;

use forewave::{Block, MemoryState};
use revm::{
    Context, Database, DatabaseCommit, DatabaseRef, ExecuteEvm, MainBuilder, MainContext,
    MainnetEvm,
    bytecode::Bytecode,
    context::result::ExecutionResult,
    database::CacheDB,
    handler::MainnetContext,
    primitives::{Address, B256, StorageKey, StorageValue, U256},
    state::{AccountInfo, EvmState},
};

/// Results kept of one transaction.
const RESULTS_PER_TX: usize = 5;

/// A result and all that it was computed from.
struct Exact {
    accounts: Vec<(Address, Option<AccountInfo>)>,
    slots: Vec<(Address, StorageKey, StorageValue)>,
    result: ExecutionResult,
    state: EvmState,
    fee: U256,
}

/// Results by the transaction's position in the block.
#[derive(Default)]
pub(crate) struct ExactCache(HashMap<usize, Vec<Exact>>);

/// The state of one order, and what was loaded of it.
struct Loaded<'a> {
    state: CacheDB<&'a MemoryState>,
    accounts: Vec<(Address, Option<AccountInfo>)>,
    slots: Vec<(Address, StorageKey, StorageValue)>,
}

type Error = <MemoryState as DatabaseRef>::Error;

impl Database for Loaded<'_> {
    type Error = Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Error> {
        let info = self.state.basic(address)?;
        self.accounts.push((address, info.clone()));
        Ok(info)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Error> {
        self.state.code_by_hash(code_hash)
    }

    fn storage(&mut self, address: Address, key: StorageKey) -> Result<StorageValue, Error> {
        let value = self.state.storage(address, key)?;
        self.slots.push((address, key, value));
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Error> {
        self.state.block_hash(number)
    }
}

/// One order under way.
pub(crate) struct ExactRun<'a> {
    block: &'a Block,
    evm: MainnetEvm<MainnetContext<Loaded<'a>>>,
    pub(crate) reused: Vec<bool>,
}

impl<'a> ExactRun<'a> {
    pub(crate) fn new(block: &'a Block, state: &'a MemoryState) -> Self {
        let state = CacheDB::new(state);
        let loaded = Loaded { state, accounts: Vec::new(), slots: Vec::new() };
        let evm = Context::mainnet()
            .with_db(loaded)
            .with_block(block.env.clone())
            .with_cfg(block.cfg.clone())
            .build_mainnet();
        Self { block, evm, reused: Vec::new() }
    }

    /// Executes the transaction at this position of the block.
    pub(crate) fn step(&mut self, cache: &mut ExactCache, tx: usize) -> ExecutionResult {
        let beneficiary = self.block.env.beneficiary;
        let results = cache.0.entry(tx).or_default();
        let loaded = &mut self.evm.ctx.journaled_state.database;
        let known = results.iter().find(|exact| holds(exact, &mut loaded.state));
        self.reused.push(known.is_some());
        if let Some(exact) = known {
            loaded.state.commit(exact.state.clone());
            pay(&mut loaded.state, beneficiary, exact.fee);
            return exact.result.clone();
        }
        loaded.accounts.clear();
        loaded.slots.clear();
        let env = self.block.transactions[tx].clone();
        let result = self.evm.transact_one(env).expect("a valid order");
        let mut state = self.evm.finalize();
        let loaded = &mut self.evm.ctx.journaled_state.database;
        let mut accounts = std::mem::take(&mut loaded.accounts);
        let mut fee = U256::ZERO;
        if accounts.last().is_some_and(|(address, _)| *address == beneficiary) {
            accounts.pop();
            if let Some(paid) = state.remove(&beneficiary) {
                fee = paid.info.balance - paid.original_info().balance;
            }
        }
        loaded.state.commit(state.clone());
        pay(&mut loaded.state, beneficiary, fee);
        let slots = std::mem::take(&mut loaded.slots);
        results.insert(0, Exact { accounts, slots, result: result.clone(), state, fee });
        results.truncate(RESULTS_PER_TX);
        result
    }
}

fn holds(exact: &Exact, state: &mut CacheDB<&MemoryState>) -> bool {
    let Exact { accounts, slots, .. } = exact;
    accounts.iter().all(|(address, info)| state.basic(*address).expect("in memory") == *info)
        && slots.iter().all(|(address, key, value)| {
            state.storage(*address, *key).expect("in memory") == *value
        })
}

fn pay(state: &mut CacheDB<&MemoryState>, beneficiary: Address, fee: U256) {
    if !fee.is_zero() {
        let info = &mut state.load_account(beneficiary).expect("in memory").info;
        info.balance += fee;
    }
}
