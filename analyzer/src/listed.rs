//! The predictor `bal`: what a block's own access list (EIP-7928) says of each transaction.
//!
//! A list names every change with its transaction, but no reader: what is only read is listed for the
//! block as a whole. So predictions from it hold every write, and no read but those that come with
//! a write or that the protocol makes.

use core::ops::Range;

use alloy_eips::eip7928::{AccountChanges, BlockAccessIndex};
use revm::{DatabaseRef, primitives::U256};

use crate::{
    AccessKind, AccessSetBuilder, AnalyzeError, Block, Location, PredictedAccess, Predictor,
    TxIndex, protocol::Protocol,
};

/// See the module's documentation. Of a block without a list it says what the protocol does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListPredictor;

impl<DB: DatabaseRef> Predictor<DB> for ListPredictor {
    fn predict_range(
        &self,
        block: &Block,
        state: &DB,
        transactions: Range<usize>,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        let protocol = Protocol::new(block, state);
        let mut sets: Vec<AccessSetBuilder> = Vec::with_capacity(transactions.len());
        for tx in transactions.clone().map(TxIndex::new) {
            let mut set = AccessSetBuilder::new();
            let touched =
                protocol.accesses(&block.transactions[tx.index()], &mut |kind, location| {
                    set.add(kind, location);
                });
            touched.map_err(|source| AnalyzeError::State { tx, source })?;
            sets.push(set);
        }
        for account in block.access_list.iter().flat_map(|list| list.iter()) {
            let tx = TxIndex::new(transactions.start);
            let at = |source| AnalyzeError::State { tx, source };
            let before = match account.balance_changes.first() {
                Some(_) => {
                    state.basic_ref(account.address).map_err(at)?.unwrap_or_default().balance
                }
                None => U256::ZERO,
            };
            listed(block, account, before, &mut |index, kind, location| {
                let tx = usize::try_from(index.get()).ok().and_then(|index| index.checked_sub(1));
                let set = tx.and_then(|tx| tx.checked_sub(transactions.start));
                if let Some(set) = set.and_then(|set| sets.get_mut(set)) {
                    set.add(kind, location);
                }
            });
        }
        let gas = block.transactions[transactions].iter().map(|tx| tx.gas_limit);
        let sets = sets.into_iter().zip(gas);
        Ok(sets.map(|(set, gas)| PredictedAccess::exact(set.build(), gas)).collect())
    }

    fn knows_code(&self) -> bool {
        false
    }
}

/// Hands out every access that an account's entry names, with its index. `balance` is what the
/// account had before the block.
fn listed(
    block: &Block,
    account: &AccountChanges,
    mut balance: U256,
    touch: &mut impl FnMut(BlockAccessIndex, AccessKind, Location),
) {
    let address = account.address;
    for change in &account.balance_changes {
        // What grows was most likely credited, by a transaction that did not look at it.
        let (index, location) = (change.block_access_index, Location::Balance(address));
        if change.post_balance > balance || address == block.env.beneficiary {
            touch(index, AccessKind::Delta, location);
        } else {
            touch(index, AccessKind::Read, location);
            touch(index, AccessKind::Write, location);
        }
        balance = change.post_balance;
    }
    let nonces = account.nonce_changes.iter();
    let nonces = nonces.map(|change| (change.block_access_index, Location::Nonce(address)));
    let codes = account.code_changes.iter();
    let codes = codes.map(|change| (change.block_access_index, Location::Code(address)));
    let slots = account.storage_changes.iter().flat_map(|slot| {
        let location = Location::Storage(address, slot.slot);
        slot.changes.iter().map(move |change| (change.block_access_index, location))
    });
    for (index, location) in nonces.chain(codes).chain(slots) {
        touch(index, AccessKind::Read, location);
        touch(index, AccessKind::Write, location);
    }
}
