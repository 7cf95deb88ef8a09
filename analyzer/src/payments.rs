//! Predictions -> predictions in which the payments of a sender wait for nobody.
//!
//! A transaction names its nonce, so what its sender's nonce will be is known
//! before anything runs; and it asks of its sender's balance only that it is
//! enough. Where the balance before the block covers the most that all
//! transactions of a sender may cost, neither needs the sender's earlier
//! transactions to have run: what it pays and the bump of its nonce become
//! deltas, unless its code looks at that balance. Execution checks both in block
//! order, by value.

use hashbrown::HashMap;
use revm::{
    DatabaseRef,
    context::TxEnv,
    context_interface::Transaction as _,
    primitives::{Address, U256, map::DefaultHashBuilder},
};

use crate::{AnalyzeError, Block, PredictedAccess};

/// What a sender may pay in the whole block, and whether it has that much, once
/// somebody has asked.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    cost: U256,
    covers: Option<bool>,
}

/// The senders of a block, and which of them can afford all their transactions.
///
/// The state is read when the first prediction of a sender comes, once for each.
#[derive(Debug)]
pub struct Payers<'a, DB> {
    state: &'a DB,
    senders: HashMap<Address, Account, DefaultHashBuilder>,
}

impl<'a, DB: DatabaseRef> Payers<'a, DB> {
    /// The senders of `block`, over the state before it.
    pub fn new(block: &Block, state: &'a DB) -> Self {
        let mut senders: HashMap<Address, Account, DefaultHashBuilder> =
            HashMap::with_capacity_and_hasher(
                block.transactions.len(),
                DefaultHashBuilder::default(),
            );
        for env in &block.transactions {
            // Of a transaction that nobody can pay for, execution says so.
            let cost = env.max_balance_spending().unwrap_or(U256::MAX);
            let account = senders.entry(env.caller).or_default();
            account.cost = account.cost.saturating_add(cost);
        }
        Self { state, senders }
    }

    /// Lets what `tx` pays commute, if its sender can afford everything.
    ///
    /// The prediction is for running the block: a person who asks who reads what
    /// whom wrote wants it as the predictor made it.
    pub fn commute(
        &mut self,
        prediction: &mut PredictedAccess,
        tx: &TxEnv,
    ) -> Result<(), DB::Error> {
        if prediction.sees_payer() {
            return Ok(());
        }
        let Some(account) = self.senders.get_mut(&tx.caller) else { return Ok(()) };
        let covers = if let Some(covers) = account.covers {
            covers
        } else {
            let info = self.state.basic_ref(tx.caller)?.unwrap_or_default();
            *account.covers.insert(info.balance >= account.cost)
        };
        if covers {
            prediction.commute_payment(tx.caller);
        }
        Ok(())
    }
}

/// Lets the payments of senders that can afford all their transactions commute,
/// in the predictions of a whole block: see [`Payers::commute`].
///
/// # Panics
///
/// If there is not one prediction for each transaction.
pub fn commute_payments<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    predictions: &mut [PredictedAccess],
) -> Result<(), AnalyzeError<DB::Error>> {
    assert_eq!(predictions.len(), block.transactions.len(), "one prediction per transaction");
    let mut payers = Payers::new(block, state);
    for ((tx, env), prediction) in block.indexed().zip(predictions) {
        payers.commute(prediction, env).map_err(|source| AnalyzeError::State { tx, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use revm::{
        context::{BlockEnv, CfgEnv, TxEnv},
        primitives::{B256, TxKind},
        state::AccountInfo,
    };

    use super::*;
    use crate::{AccessKind, Location, MemoryState, Predictor, ProtocolPredictor, StateExtent};

    /// Accesses of the transactions of two senders with 100 wei each: one pays
    /// at most 30 and 70, the other at most 30 and 71.
    fn predictions(commute: bool) -> Vec<PredictedAccess> {
        let mut state = MemoryState::default();
        let transactions = [(1, 30), (2, 30), (1, 70), (2, 71)].map(|(sender, value)| {
            let caller = Address::repeat_byte(sender);
            state.insert_account(caller, AccountInfo::from_balance(U256::from(100)));
            let kind = TxKind::Call(Address::repeat_byte(9));
            TxEnv { caller, kind, value: U256::from(value), gas_limit: 0, ..TxEnv::default() }
        });
        let block = Block {
            cfg: CfgEnv::default(),
            env: BlockEnv::default(),
            parent_hash: B256::ZERO,
            parent_beacon_block_root: None,
            deposit_contract: None,
            state_extent: StateExtent::Touched,
            transactions: transactions.to_vec(),
            withdrawals: vec![],
            ommers: vec![],
            reward: crate::BlockReward::OfFork,
            is_dao_fork: false,
            makes_access_list: false,
            access_list: None,
        };
        let mut predictions = ProtocolPredictor.predict(&block, &state).unwrap();
        if commute {
            commute_payments(&block, &state, &mut predictions).unwrap();
        }
        predictions
    }

    #[test]
    fn a_sender_that_can_afford_all_waits_for_nobody() {
        let before = predictions(false);
        for (tx, prediction) in predictions(true).iter().enumerate() {
            if tx % 2 == 1 {
                assert_eq!(*prediction, before[tx], "of one that cannot");
                continue;
            }
            let sender = Address::repeat_byte(1);
            for location in [Location::Balance(sender), Location::Nonce(sender)] {
                let uses = [AccessKind::Read, AccessKind::Write, AccessKind::Delta]
                    .map(|kind| prediction.set().contains(&location, kind));
                assert_eq!(uses, [false, false, true], "{location}");
            }
            assert_eq!(prediction.set().locations(), before[tx].set().locations());
        }
    }
}
