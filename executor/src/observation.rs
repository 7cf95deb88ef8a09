//! Sequential execution with every access recorded: the actual sets that a
//! prediction is scored against.
//!
//! What counts as an access is laid down in [`observed_access`]; predictors
//! follow the same convention.

use forewave_analyzer::{AccessSetBuilder, Block, Location, ObservedAccess};
use revm::{
    DatabaseRef, ExecuteEvm, handler::EthPrecompiles, primitives::Address, state::EvmState,
};

use crate::{
    BlockOutcome, ExecutionError, ExecutionStats,
    committed::Committed,
    flat_state::FlatState,
    looks::Looked,
    reads::AccountRead,
    system::{apply_post_block, apply_pre_block},
    tracking::{Record, take_record, tracking_evm},
};

/// A sequential run and what each transaction touched.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The outcome, equal to that of [`sequential`](crate::sequential).
    pub outcome: BlockOutcome,
    /// One set for each transaction, in block order.
    pub accesses: Vec<ObservedAccess>,
    /// For each transaction, whether code looked at its sender's balance.
    pub payers_seen: Vec<bool>,
}

/// Executes the block sequentially and records what each transaction touches.
pub fn observe<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
) -> Result<Observation, ExecutionError<DB::Error>> {
    let mut flat = FlatState::for_block(state, block);
    let mut system = apply_pre_block(block, &mut flat)?;
    let precompiles = EthPrecompiles::new(block.spec());
    let mut evm = tracking_evm(block, flat);
    let mut committed = Committed::none_of(block);
    let mut accesses = Vec::with_capacity(block.transactions.len());
    let mut payers_seen = Vec::with_capacity(block.transactions.len());
    for (tx, env) in block.indexed() {
        committed.check(block, tx)?;
        let run = evm.transact(env.clone()).map_err(|error| ExecutionError::at(tx, error))?;
        let record = take_record(&mut evm, env, &run.state);
        let excluded = |address: &Address| precompiles.contains(address);
        accesses.push(observed_access(&record, &run.state, excluded));
        payers_seen.push(record.sees_payer(env.caller));
        let flat = &mut evm.ctx.journaled_state.database.inner;
        flat.apply(&record.transition).map_err(|source| ExecutionError::State { tx, source })?;
        committed.add(env.tx_type, run.result, record.touched);
    }
    let mut flat = evm.ctx.journaled_state.database.inner;
    apply_post_block(block, &mut flat, &mut system)?;
    let changes = flat.changes().map_err(ExecutionError::SystemState)?;
    let stats = ExecutionStats { threads: 1, ..ExecutionStats::default() };
    let outcome = BlockOutcome::new(block, committed, changes, system, stats, |touched| {
        touched.access_list(|address| flat.original_balance(address))
    })?;
    Ok(Observation { outcome, accesses, payers_seen })
}

/// The access set of one executed transaction, without `excluded` accounts.
///
/// Reads are the account fields that were looked at and the slots that were
/// loaded, those of accounts created on the way included; writes are net
/// changes; deltas are balances that grew without having been looked at. An
/// account that was only tested for emptiness counts as a balance read if it has
/// neither code nor nonce: then the balance alone decides (EIP-161).
pub(crate) fn observed_access(
    record: &Record,
    state: &EvmState,
    excluded: impl Fn(&Address) -> bool,
) -> ObservedAccess {
    let mut set = AccessSetBuilder::new();
    for read in record.reads.accounts.iter().filter(|read| !excluded(&read.address)) {
        observed_fields(&mut set, read);
    }
    for (address, account) in state {
        for key in account.storage.keys() {
            set.read(Location::Storage(*address, *key));
        }
    }
    for (kind, location) in record.transition.changes().filter(|(_, at)| !excluded(&at.address())) {
        set.add(kind, location);
    }
    ObservedAccess(set.build())
}

/// The fields of one account that were looked at.
pub(crate) fn observed_fields(set: &mut AccessSetBuilder, read: &AccountRead) {
    let looked = read.looked;
    let by_balance = read.seen.has_no_code_and_nonce();
    let fields = [
        (looked.intersects(Looked::BALANCE | Looked::COVER), Location::Balance(read.address)),
        (looked.contains(Looked::EMPTINESS) && by_balance, Location::Balance(read.address)),
        (looked.contains(Looked::NONCE), Location::Nonce(read.address)),
        (looked.contains(Looked::CODE), Location::Code(read.address)),
    ];
    for (_, location) in fields.into_iter().filter(|(looked_at, _)| *looked_at) {
        set.read(location);
    }
}
