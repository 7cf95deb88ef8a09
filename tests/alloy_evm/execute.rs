//! Executes a block by a factory over a database that makes the bundle, and keeps all that a node
//! would see of it.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use alloy_consensus::ReceiptEnvelope;
use alloy_evm::{
    EvmFactory, FromRecoveredTx, FromTxWithEncoded,
    block::{BlockExecutionResult, BlockExecutor, BlockExecutorFactory},
    eth::{EthBlockExecutionCtx, EthBlockExecutorFactory, receipt_builder::AlloyReceiptBuilder},
};
use alloy_primitives::{Address, B256, U256};
use forewave::{
    MemoryState, StateError,
    alloy_evm::{Fees, ParallelExecutorFactory, PreparedEvmFactory},
};
use rayon::ThreadPool;
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::{BlockEnv, TxEnv},
    database::{BundleState, State, states::bundle_state::BundleRetention},
    primitives::hardfork::SpecId,
    state::{AccountInfo, EvmState},
};

use super::load::Loaded;

/// What a hook was told of an account that changed.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    info: Option<AccountInfo>,
    is_created: bool,
    slots: BTreeMap<U256, U256>,
}

/// What a node sees of a block.
pub(crate) struct Seen {
    result: Result<BlockExecutionResult<ReceiptEnvelope>, String>,
    bundle: BundleState,
    hooks: Vec<BTreeMap<Address, Told>>,
    /// Reads of accounts by threads of a pool.
    pub(crate) reads_of_threads: usize,
}

impl Seen {
    /// What a slot holds in the bundle.
    pub(crate) fn slot(&self, address: Address, key: U256) -> Option<U256> {
        self.bundle.state.get(&address)?.storage_slot(key)
    }

    pub(crate) fn is_same_bundle(&self, other: &Self) -> bool {
        self.bundle == other.bundle
    }

    pub(crate) fn error(&self) -> Option<&str> {
        self.result.as_ref().err().map(String::as_str)
    }

    pub(crate) fn assert_same(&self, other: &Self, name: &str) {
        assert_eq!(self.result, other.result, "{name}");
        if self.bundle.state != other.bundle.state {
            assert_eq!(self.bundle.state.len(), other.bundle.state.len(), "{name}");
            for (address, account) in &self.bundle.state {
                assert_eq!(Some(account), other.bundle.state.get(address), "{name}, {address}");
            }
        }
        assert_eq!(self.bundle.contracts, other.bundle.contracts, "{name}");
        assert_eq!(self.bundle.reverts, other.bundle.reverts, "{name}");
        assert!(self.bundle == other.bundle, "{name}, bundle");
        assert_eq!(self.hooks.len(), other.hooks.len(), "{name}");
        for (at, (told, other)) in self.hooks.iter().zip(&other.hooks).enumerate() {
            assert_eq!(told, other, "{name}, call {at} of the hook");
        }
    }
}

/// A state that counts what the threads of a pool read of it.
#[derive(Clone, Debug)]
struct Counted(Arc<MemoryState>, Arc<AtomicUsize>);

impl DatabaseRef for Counted {
    type Error = StateError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        let is_of_pool = rayon::current_thread_index().is_some();
        self.1.fetch_add(usize::from(is_of_pool), Ordering::Relaxed);
        self.0.basic_ref(address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, StateError> {
        self.0.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, StateError> {
        self.0.storage_ref(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StateError> {
        self.0.block_hash_ref(number)
    }
}

/// By alloy-evm's own executor.
pub(crate) fn in_order<G>(block: &Loaded, evms: G) -> Seen
where
    G: EvmFactory<Tx = TxEnv, Spec = SpecId, BlockEnv = BlockEnv> + 'static,
{
    let receipts = AlloyReceiptBuilder::default();
    let factory = EthBlockExecutorFactory::new(receipts, block.spec.clone(), evms);
    execute(block, &factory)
}

/// By ours around it, on the threads of a pool.
pub(crate) fn on_threads<G>(block: &Loaded, evms: G, pool: Arc<ThreadPool>) -> Seen
where
    G: EvmFactory<Tx = TxEnv, Spec = SpecId, BlockEnv = BlockEnv> + Sync + 'static,
{
    let (evms, receipts) = (PreparedEvmFactory::new(evms), AlloyReceiptBuilder::default());
    let chain = EthBlockExecutorFactory::new(receipts, block.spec.clone(), evms);
    let reads = Arc::new(AtomicUsize::new(0));
    let state = Counted(Arc::clone(&block.state), Arc::clone(&reads));
    let states = move |_: &EthBlockExecutionCtx<'_>| Some(state.clone());
    let factory = ParallelExecutorFactory::new(chain, pool, Fees::AddedLast, states);
    let seen = execute(block, &factory.on_all_threads());
    Seen { reads_of_threads: reads.load(Ordering::Relaxed), ..seen }
}

fn execute<F>(block: &Loaded, factory: &F) -> Seen
where
    F: BlockExecutorFactory<Receipt = ReceiptEnvelope, Transaction = alloy_consensus::TxEnvelope>,
    F: for<'c> BlockExecutorFactory<ExecutionCtx<'c> = EthBlockExecutionCtx<'c>>,
    F::EvmFactory: EvmFactory<Tx = TxEnv, Spec = SpecId, BlockEnv = BlockEnv>,
    TxEnv: FromRecoveredTx<F::Transaction> + FromTxWithEncoded<F::Transaction>,
{
    let hooks = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&hooks);
    let hook = move |state: EvmState| told.lock().unwrap().push(changes_of(&state));
    let mut db = State::builder()
        .with_database_ref(Arc::clone(&block.state))
        .with_bundle_update()
        .build()
        .with_state_hook(Some(Box::new(hook)));
    let evm = factory.evm_factory().create_evm(&mut db, block.env.clone());
    let ctx = EthBlockExecutionCtx {
        parent_hash: block.header.parent_hash,
        parent_beacon_block_root: block.header.parent_beacon_block_root,
        ommers: &[],
        withdrawals: Some(Cow::Borrowed(&block.withdrawals)),
        extra_data: block.header.extra_data.clone(),
        tx_count_hint: Some(block.transactions.len()),
        slot_number: None,
    };
    let result = factory.create_executor(evm, ctx).execute_block(block.transactions.iter());
    db.merge_transitions(BundleRetention::Reverts);
    let mut bundle = db.take_bundle();
    // They are in no order.
    bundle.reverts.iter_mut().for_each(|reverts| reverts.sort_unstable_by_key(|(at, _)| *at));
    let result = result.map_err(|error| error.to_string());
    let hooks = hooks.lock().unwrap().clone();
    Seen { result, bundle, hooks, reads_of_threads: 0 }
}

/// What changes of the accounts that change.
fn changes_of(state: &EvmState) -> BTreeMap<Address, Told> {
    let touched = state.iter().filter(|(_, account)| account.is_touched());
    let told = touched.map(|(address, account)| {
        let slots = account.changed_storage_slots().map(|(key, slot)| (*key, slot.present_value));
        let is_gone = account.is_selfdestructed();
        let told = Told {
            info: (!is_gone).then(|| account.info.clone()),
            is_created: account.is_created() && !is_gone,
            slots: if is_gone { BTreeMap::new() } else { slots.collect() },
        };
        let is_change = is_gone
            || told.is_created
            || account.is_empty()
            || !told.slots.is_empty()
            || account.info != account.original_info();
        (*address, told, is_change)
    });
    let changed = told.filter(|(.., is_change)| *is_change);
    changed.map(|(address, told, _)| (address, told)).collect()
}
