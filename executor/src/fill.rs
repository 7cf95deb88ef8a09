//! The fill loop: orders of the same transactions, executed again and again.
//!
//! ```text
//! order ── common beginning: stays ── item ──> known? ──> apply ──> FilledTx
//!     └── what is left of the last one: undone     └─ no ─> run, keep ┘
//! ```
//!
//! A [`FillLoop`] executes one transaction after the other, as [`sequential`](crate::sequential)
//! does: a fill ends as the sequential execution of what it includes. It differs in what it does
//! with transactions that do not belong there, which are dropped, and with bundles; and it runs
//! code only where no [result](crate::ReuseCache) is known for the state as it is.

mod filled;
mod order;
mod run;
mod state;

use std::sync::Arc;

use forewave_analyzer::{Block, TxIndex};
use revm::{
    DatabaseRef,
    context::TxEnv,
    primitives::{Address, I256, StorageKey, StorageValue},
    state::AccountInfo,
};

use self::{
    filled::Before,
    state::{Ended, FillState},
};
use crate::{
    BlockOutcome, CancelToken, ExecutionError, ExecutionStats, ReuseCache, StateChanges, TxReceipt,
    block_gas::BlockGas,
    cancel::Deadline,
    committed::Committed,
    flat_state::FlatState,
    reuse::{AccountPlace, TxResults},
    system::{SystemOutput, apply_post_block, apply_pre_block},
    tracking::{TrackingEvm, is_recorded, tracking_evm},
    transfer::TransferRules,
};

pub use self::{
    filled::{FilledItem, FilledTx},
    order::{Bundle, DropReason, Dropped, Member, OrderItem},
};

/// Executes orders of the same transactions on the state before a block.
///
/// It holds one order: [`fill`](Self::fill) replaces it, [`push`](Self::push) and
/// [`pop`](Self::pop) change its end. What was executed before a change stays.
///
/// ```
/// use forewave_analyzer::{Block, BlockReward, MemoryState, StateExtent, TxIndex};
/// use forewave_executor::{Bundle, FillLoop, Member, ReuseCache};
/// use revm::{
///     context::{BlockEnv, CfgEnv, TxEnv},
///     primitives::{Address, I256, TxKind, U256, hardfork::SpecId},
///     state::AccountInfo,
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Two senders, each of whom pays 21,000 * 3 wei to the beneficiary and one wei to 0x30.
/// let [alice, bob] = [0x10, 0x20].map(Address::repeat_byte);
/// let mut state = MemoryState::default();
/// for sender in [alice, bob] {
///     state.insert_account(sender, AccountInfo::from_balance(U256::from(1_000_000)));
/// }
/// let tx = |caller, nonce| TxEnv {
///     caller,
///     nonce,
///     kind: TxKind::Call(Address::repeat_byte(0x30)),
///     value: U256::ONE,
///     gas_limit: 21_000,
///     gas_price: 3,
///     chain_id: None,
///     ..TxEnv::default()
/// };
/// let block = Block {
///     cfg: CfgEnv::new_with_spec(SpecId::SHANGHAI),
///     env: BlockEnv { number: U256::from(17_500_000), ..BlockEnv::default() },
///     # parent_hash: Default::default(),
///     # parent_beacon_block_root: None,
///     # deposit_contract: None,
///     # state_extent: StateExtent::Touched,
///     transactions: vec![tx(alice, 0), tx(alice, 1), tx(bob, 0)],
///     # withdrawals: vec![],
///     # ommers: vec![],
///     # reward: BlockReward::OfFork,
///     # is_dao_fork: false,
///     # makes_access_list: false,
///     # access_list: None,
///     // ...
/// };
///
/// let cache = ReuseCache::new();
/// let mut fill = FillLoop::new(&block, &state, &cache)?;
/// let [first, second, other] = [0, 1, 2].map(TxIndex::new);
///
/// fill.fill(&[first.into(), second.into(), other.into()])?;
/// assert_eq!(fill.payment(), I256::try_from(3 * 21_000 * 3)?);
///
/// // In another order nothing runs again, and what does not belong there is dropped.
/// fill.fill(&[other.into(), second.into(), first.into()])?;
/// assert!(fill.transactions().iter().all(|tx| tx.is_reused()));
/// let dropped = fill.items()[1].dropped().expect("the nonce is too high");
/// assert!(dropped.to_string().starts_with("tx1 is invalid: nonce"), "{dropped}");
///
/// // Probing: one more, and back.
/// assert!(fill.push(Bundle::new([Member::new(second)]))?.is_included());
/// fill.pop();
/// assert_eq!(fill.gas_used(), 42_000);
///
/// // What the best one is as a block.
/// let sealed = fill.seal()?;
/// assert_eq!(sealed.receipts.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FillLoop<'a, DB: DatabaseRef> {
    block: &'a Block,
    cache: &'a ReuseCache,
    rules: Option<TransferRules<'a>>,
    token: Option<CancelToken>,
    evm: TrackingEvm<FillState<'a, DB>>,
    /// Where the beneficiary is.
    beneficiary: AccountPlace,
    /// What may be named in orders.
    candidates: Vec<Arc<TxResults>>,
    /// What the protocol does before the transactions.
    before: StateChanges,
    system: SystemOutput,
    items: Vec<FilledItem>,
    txs: Vec<FilledTx>,
    gas: BlockGas,
    payment: I256,
}

impl<'a, DB: DatabaseRef> FillLoop<'a, DB> {
    /// An empty order on `state`, which is only read, each place once. The transactions of
    /// `block` can be named in orders; of the rest of it the environment counts, and what the
    /// protocol does at its two ends.
    ///
    /// Fails where the protocol fails before the first transaction.
    pub fn new(
        block: &'a Block,
        state: &'a DB,
        cache: &'a ReuseCache,
    ) -> Result<Self, ExecutionError<DB::Error>> {
        if !is_recorded(block) {
            return Err(ExecutionError::NotRecorded);
        }
        let mut flat = FlatState::with_room(state, 0);
        let system = apply_pre_block(block, &mut flat)?;
        let before = flat.changes().map_err(ExecutionError::SystemState)?;
        let results = cache.of(block);
        let candidates = block.transactions.iter().map(|tx| results.of(tx)).collect();
        let mut flat = FillState::new(state, results);
        let beneficiary = flat.account_place(block.env.beneficiary);
        flat.apply_changes(&before).map_err(ExecutionError::SystemState)?;
        Ok(Self {
            block,
            cache,
            rules: TransferRules::new(block),
            token: None,
            evm: tracking_evm(block, flat),
            beneficiary,
            candidates,
            before,
            system,
            items: Vec::new(),
            txs: Vec::new(),
            gas: BlockGas::default(),
            payment: I256::ZERO,
        })
    }

    /// The same, but once `token` is set, or its time has come, no more transactions are
    /// executed: what would, ends with [`ExecutionError::Cancelled`], and the order is what it
    /// was up to then.
    #[must_use]
    pub fn until(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Adds a transaction that orders can name by what this gives.
    pub fn add(&mut self, tx: &TxEnv) -> TxIndex {
        let results = self.state().results().of(tx);
        self.candidates.push(results);
        TxIndex::new(self.candidates.len() - 1)
    }

    /// A transaction that orders can name.
    pub fn candidate(&self, tx: TxIndex) -> Option<&TxEnv> {
        self.candidates.get(tx.index()).map(|results| results.tx())
    }

    /// Makes this the order: keeps what it has in common with the last one, from the
    /// beginning on, undoes what follows there, and executes the rest.
    ///
    /// After an error the order is as far as it was executed.
    pub fn fill(&mut self, order: &[OrderItem]) -> Result<(), ExecutionError<DB::Error>> {
        let both = self.items.iter().zip(order);
        let common = both.take_while(|(filled, item)| filled.item == **item).count();
        // What begins anew has nothing in common with what was.
        let common = if self.state().results().is_full() { 0 } else { common };
        self.truncate(common);
        for item in &order[common..] {
            self.push(item.clone())?;
        }
        Ok(())
    }

    /// Executes one more item after those so far. One that is dropped leaves nothing behind
    /// but its place in the order. After an error the order is as it was.
    pub fn push(
        &mut self,
        item: impl Into<OrderItem>,
    ) -> Result<&FilledItem, ExecutionError<DB::Error>> {
        if self.items.is_empty() && self.state().results().is_full() {
            self.begin_anew()?;
        }
        let (item, before) = (item.into(), self.now());
        let mut left_out = Vec::new();
        let dropped = match &item {
            OrderItem::Tx(tx) => self.run(*tx).map(Result::err),
            OrderItem::Bundle(bundle) => self.run_bundle(bundle, &mut left_out),
        };
        if !matches!(dropped, Ok(None)) {
            self.restore(before);
        }
        let dropped = dropped?;
        let included = before.transactions..self.txs.len();
        let filled = FilledItem { item, before, included, dropped, left_out };
        Ok(self.items.push_mut(filled))
    }

    /// Executes one more transaction, which must belong there.
    pub(crate) fn push_valid(
        &mut self,
        tx: TxIndex,
        deadline: Deadline<'_>,
    ) -> Result<(), ExecutionError<DB::Error>> {
        deadline.check()?;
        match self.push(tx)?.dropped() {
            None => Ok(()),
            Some(dropped) => Err(dropped.clone().into()),
        }
    }

    /// Takes the last item back, and what it did.
    pub fn pop(&mut self) -> Option<OrderItem> {
        let filled = self.items.pop()?;
        self.restore(filled.before);
        Some(filled.item)
    }

    /// Takes back all items but the first `len`: a checkpoint is the
    /// [number of items](Self::items) at the time.
    pub fn truncate(&mut self, len: usize) {
        if let Some(first) = self.items.get(len) {
            let before = first.before;
            self.items.truncate(len);
            self.restore(before);
        }
    }

    /// What became of each item of the order.
    pub fn items(&self) -> &[FilledItem] {
        &self.items
    }

    /// The transactions that are included.
    pub fn transactions(&self) -> &[FilledTx] {
        &self.txs
    }

    /// The receipts of the transactions that are included.
    pub fn receipts(&self) -> impl Iterator<Item = TxReceipt> {
        self.txs.iter().map(FilledTx::receipt)
    }

    /// Gas used, as a block's header has it: under Amsterdam the larger of the two budgets'
    /// (EIP-8037).
    pub fn gas_used(&self) -> u64 {
        self.gas.of_header(self.block)
    }

    /// What all transactions together added to the balance of the beneficiary, in wei.
    pub const fn payment(&self) -> I256 {
        self.payment
    }

    /// An account after the order.
    pub fn account(
        &mut self,
        address: Address,
    ) -> Result<Option<AccountInfo>, ExecutionError<DB::Error>> {
        self.state_mut().account(address).map_err(ExecutionError::SystemState)
    }

    /// A slot after the order.
    pub fn slot(
        &mut self,
        address: Address,
        key: StorageKey,
    ) -> Result<StorageValue, ExecutionError<DB::Error>> {
        self.state_mut().slot(address, key).map_err(ExecutionError::SystemState)
    }

    /// Net changes of the state by the order, and by the protocol before it.
    pub fn changes(&self) -> StateChanges {
        self.state().changes()
    }

    /// The order as a block: what the protocol does after it included. The loop can go on.
    pub fn seal(&mut self) -> Result<BlockOutcome, ExecutionError<DB::Error>> {
        let in_system = ExecutionError::SystemState;
        let (block, mut system) = (self.block, self.system.clone());
        let mark = self.state().mark();
        let later = {
            let state = Ended::new(self.state_mut());
            let mut flat = FlatState::with_room(&state, block.withdrawals.len());
            apply_post_block(block, &mut flat, &mut system)?;
            flat.changes().map_err(in_system)?
        };
        let state = self.state_mut();
        let applied = state.apply_changes(&later);
        let changes = state.changes();
        state.undo(mark);
        applied.map_err(in_system)?;
        let receipts: Vec<_> = self.receipts().collect();
        let touched = self.txs.iter().filter_map(|tx| tx.touched().cloned()).collect();
        let reused = self.txs.iter().filter(|tx| tx.is_reused).count();
        let committed = Committed { receipts, gas: self.gas, touched, reused };
        let stats = ExecutionStats { threads: 1, reused, ..ExecutionStats::default() };
        let state = self.state();
        BlockOutcome::new(block, committed, changes, system, stats, |touched| {
            touched.access_list(|address| state.original_balance(address))
        })
    }

    fn now(&self) -> Before {
        let Self { gas, payment, .. } = *self;
        Before { mark: self.state().mark(), gas, payment, transactions: self.txs.len() }
    }

    fn restore(&mut self, before: Before) {
        let Before { mark, gas, payment, transactions } = before;
        self.state_mut().undo(mark);
        self.txs.truncate(transactions);
        (self.gas, self.payment) = (gas, payment);
    }

    /// Goes on with fresh results, since the old ones have seen too many places.
    fn begin_anew(&mut self) -> Result<(), ExecutionError<DB::Error>> {
        let results = self.cache.of(self.block);
        let mut state = FillState::new(self.state().base(), Arc::clone(&results));
        let beneficiary = state.account_place(self.block.env.beneficiary);
        state.apply_changes(&self.before).map_err(ExecutionError::SystemState)?;
        // Candidates, beneficiary and state are numbered alike: all of them change, or none.
        for candidate in &mut self.candidates {
            *candidate = results.of(candidate.tx());
        }
        self.beneficiary = beneficiary;
        *self.state_mut() = state;
        Ok(())
    }

    const fn state(&self) -> &FillState<'a, DB> {
        &self.evm.ctx.journaled_state.database.inner
    }

    const fn state_mut(&mut self) -> &mut FillState<'a, DB> {
        &mut self.evm.ctx.journaled_state.database.inner
    }
}
