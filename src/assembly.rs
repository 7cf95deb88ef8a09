//! Transactions with predictions -> orders that a block is assembled from, and back.
//!
//! ```text
//! Block (its transactions: the pool) + state + predictions ──candidates──> Candidates
//!                     Candidates + Limits ──assemble──> Assembly ──block_of──> Block
//! ```
//!
//! The choice itself knows access sets, gas and values ([`assemble`]); here is what a
//! transaction costs and pays under the rules of its block. A builder with bundles or with values of
//! its own makes [`Order`]s of [`order_tx`].

use forewave_analyzer::{Block, PredictedAccess};
use hashbrown::HashMap;
use revm::{
    DatabaseRef,
    context::TxEnv,
    context_interface::{Block as _, Cfg as _, Transaction as _},
    primitives::{Address, TxKind, U256},
};

pub use forewave_scheduler::{
    Assembly, AssemblyError, Candidates, Constraints, GasClaim, LeftOut, Limits, Machine, Order,
    OrderIndex, OrderTx, Resource, Sender, Timed, assemble, assemble_within, trade, value_bound,
};

/// Bytes of a transaction apart from its data and lists, at most: 14 fields with their
/// prefixes, three of them words of 32 bytes and the two of a signature.
const SIZE_OF_FIELDS: usize = 320;

/// Bytes of an access list entry's address, of a storage key or blob hash, and of an
/// authorization, with their prefixes.
const SIZE_OF_ADDRESS: usize = 25;
const SIZE_OF_WORD: usize = 33;
const SIZE_OF_AUTHORIZATION: usize = 140;

/// Candidates could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CandidatesError<E: core::error::Error + 'static> {
    /// The state could not answer.
    #[error("the state could not be read for the account of sender {sender}: {source}")]
    State {
        /// Whose account.
        sender: Address,
        /// What the state answered.
        source: E,
    },
    /// What is asked for cannot be.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// There is not one prediction for each transaction.
    #[error("{predictions} predictions for {transactions} transactions")]
    Predictions {
        /// Predictions.
        predictions: usize,
        /// Transactions.
        transactions: usize,
    },
}

/// Gas that a transaction is estimated to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EstimatedGas {
    /// All of it before Amsterdam; from then on regular gas.
    pub regular: u64,
    /// State gas (EIP-8037).
    pub state: u64,
}

/// Each transaction of `block` as an order of its own, worth its priority fee times the
/// gas of its prediction: `order3` is `tx3`. The block's list is a pool here, in any order.
///
/// Predictions in which the payments of senders wait for no other
/// ([`commute_payments`](crate::commute_payments)) give blocks with a shorter span.
pub fn candidates<'p, DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    predictions: &'p [PredictedAccess],
    constraints: Constraints,
) -> Result<Candidates<'p>, CandidatesError<DB::Error>> {
    let transactions = block.transactions.len();
    if predictions.len() != transactions {
        let predictions = predictions.len();
        return Err(CandidatesError::Predictions { predictions, transactions });
    }
    let orders = block.transactions.iter().zip(predictions).map(|(tx, access)| {
        let gas = EstimatedGas { regular: access.gas(), state: 0 };
        let value = tip(block, tx).unwrap_or(0).saturating_mul(u128::from(access.gas()));
        Order { transactions: vec![order_tx(block, tx, gas, access)], value }
    });
    let orders = orders.collect();
    let mut accounts = HashMap::new();
    for tx in &block.transactions {
        if let hashbrown::hash_map::Entry::Vacant(entry) = accounts.entry(tx.caller) {
            let account = sender(state, tx.caller);
            let error = |source| CandidatesError::State { sender: tx.caller, source };
            entry.insert(account.map_err(error)?);
        }
    }
    Ok(Candidates::new(orders, constraints, |address| accounts[&address])?)
}

/// An account as a sender of transactions.
pub fn sender<DB: DatabaseRef>(state: &DB, address: Address) -> Result<Sender, DB::Error> {
    let info = state.basic_ref(address)?.unwrap_or_default();
    Ok(Sender { nonce: info.nonce, balance: info.balance })
}

/// What the beneficiary of the block is paid for each gas that the transaction uses, in wei. None
/// if the transaction offers less than the base fee or than the price of blobs: the block
/// cannot have it.
pub fn tip(block: &Block, tx: &TxEnv) -> Option<u128> {
    let base_fee = u128::from(block.env.basefee);
    let blob_price = block.env.blob_gasprice().unwrap_or(0);
    let pays_blobs = tx.blob_hashes.is_empty() || tx.max_fee_per_blob_gas >= blob_price;
    tx.effective_gas_price(base_fee).checked_sub(base_fee).filter(|_| pays_blobs)
}

/// What a transaction asks of its block. One that offers too little for the block
/// is one that its sender [cannot pay for](LeftOut::Funds).
pub fn order_tx<'p>(
    block: &Block,
    tx: &TxEnv,
    gas: EstimatedGas,
    access: &'p PredictedAccess,
) -> OrderTx<'p> {
    let is_amsterdam = block.cfg.is_amsterdam_eip8037_enabled();
    // What exceeds the limit of a transaction can only pay for state (EIP-7825, EIP-8037).
    let cap = if is_amsterdam { block.cfg.tx_gas_limit_cap() } else { u64::MAX };
    let state_limit = if is_amsterdam { tx.gas_limit } else { 0 };
    let needs = tip(block, tx).and_then(|_| tx.max_balance_spending().ok());
    OrderTx {
        sender: tx.caller,
        nonce: tx.nonce,
        gas: GasClaim { used: gas.regular, limit: tx.gas_limit.min(cap) },
        state_gas: GasClaim { used: gas.state, limit: state_limit },
        blob_gas: tx.total_blob_gas(),
        size: size_max(tx),
        needs: needs.unwrap_or(U256::MAX),
        spends: spends(block, tx, gas),
        access,
    }
}

/// What a sender has less after its transaction, if that uses so much gas and succeeds.
fn spends(block: &Block, tx: &TxEnv, gas: EstimatedGas) -> U256 {
    let price = tx.effective_gas_price(u128::from(block.env.basefee));
    let gas = U256::from(gas.regular.saturating_add(gas.state));
    let blobs = U256::from(block.env.blob_gasprice().unwrap_or(0))
        .saturating_mul(U256::from(tx.total_blob_gas()));
    let to_itself = tx.kind == TxKind::Call(tx.caller);
    let value = if to_itself { U256::ZERO } else { tx.value };
    U256::from(price).saturating_mul(gas).saturating_add(blobs).saturating_add(value)
}

/// The most bytes that a transaction can have in its block.
fn size_max(tx: &TxEnv) -> u64 {
    let keys: usize = tx.access_list.iter().map(|item| item.storage_keys.len()).sum();
    let size = SIZE_OF_FIELDS
        + tx.data.len()
        + SIZE_OF_ADDRESS * tx.access_list.len()
        + SIZE_OF_WORD * (keys + tx.blob_hashes.len())
        + SIZE_OF_AUTHORIZATION * tx.authorization_list.len();
    size as u64
}

/// The limits that a block's environment sets: gas, of both budgets from Amsterdam on. How
/// many blobs and bytes it may have, and how long it may take, is for the caller to add.
pub const fn limits(block: &Block) -> Limits {
    Limits::of_gas(block.env.gas_limit)
}

/// The block that was assembled of [`candidates`]: `pool` with the transactions that were
/// chosen, in their order.
///
/// # Panics
///
/// If an order of the assembly is not one of those candidates.
pub fn block_of(pool: &Block, assembly: &Assembly) -> Block {
    let chosen = assembly.orders.iter().map(|order| pool.transactions[order.index()].clone());
    Block { transactions: chosen.collect(), ..pool.clone() }
}
