//! Executes the transactions of an order, one after the other: known results first.

use std::sync::Arc;

use forewave_analyzer::TxIndex;
use revm::{
    DatabaseRef, ExecuteEvm,
    context::result::EVMError,
    primitives::{I256, U256},
};

use super::{
    FillLoop,
    filled::FilledTx,
    order::{Bundle, DropReason, Dropped},
};
use crate::{
    ExecutionError,
    block_gas::NoGasLeft,
    cancel::Deadline,
    reuse::{Known, Placed, TxResults},
    tracking::{Record, discard_record, keep_room, take_record},
};

impl<DB: DatabaseRef> FillLoop<'_, DB> {
    /// Executes the members of a bundle. Gives the one that it cannot do without, if it
    /// cannot be included.
    pub(super) fn run_bundle(
        &mut self,
        bundle: &Bundle,
        left_out: &mut Vec<Dropped>,
    ) -> Result<Option<Dropped>, ExecutionError<DB::Error>> {
        for member in bundle.members() {
            let before = self.now();
            let reason = match self.run(member.tx)? {
                Err(dropped) => dropped.reason,
                Ok(()) if member.may_fail => continue,
                Ok(()) if self.txs.last().is_some_and(FilledTx::is_success) => continue,
                Ok(()) => DropReason::Failed,
            };
            self.restore(before);
            let dropped = Dropped { tx: member.tx, reason };
            if !member.is_optional {
                left_out.clear();
                return Ok(Some(dropped));
            }
            left_out.push(dropped);
        }
        Ok(None)
    }

    /// Executes a transaction. One that does not belong there leaves nothing behind.
    pub(super) fn run(
        &mut self,
        tx: TxIndex,
    ) -> Result<Result<(), Dropped>, ExecutionError<DB::Error>> {
        Deadline::new(self.token.as_ref()).check()?;
        let transactions = self.candidates.len();
        let Some(candidate) = self.candidates.get(tx.index()) else {
            return Err(ExecutionError::UnknownTransaction { tx, transactions });
        };
        let candidate = Arc::clone(candidate);
        let dropped = |reason| Ok(Err(Dropped { tx, reason }));
        if let Err(NoGasLeft { limit, available }) = self.gas.check(self.block, candidate.tx()) {
            return dropped(DropReason::GasLimitExceeded { limit, available });
        }
        let found = candidate.find(self.state_mut());
        let is_reused = found.is_some();
        let known = match found {
            Some(known) => known,
            None => match self.run_code(&candidate) {
                Ok(known) => known,
                Err(EVMError::Transaction(error)) => return dropped(DropReason::Invalid(error)),
                Err(error) => return Err(ExecutionError::at(tx, error)),
            },
        };
        let at = |source| ExecutionError::State { tx, source };
        let payment = self.apply(&known).map_err(at)?;
        self.gas.add(&known.result);
        self.payment = self.payment.wrapping_add(payment);
        self.txs.push(FilledTx {
            tx,
            tx_type: candidate.tx().tx_type,
            known,
            cumulative_gas_used: self.gas.paid(),
            payment,
            is_reused,
        });
        Ok(Ok(()))
    }

    /// Runs a transaction on the state as it is, and keeps its result.
    fn run_code(&mut self, candidate: &TxResults) -> Result<Arc<Known>, EVMError<DB::Error>> {
        let Self { evm, rules, block, .. } = self;
        let (tx, state) = (candidate.tx(), &mut evm.ctx.journaled_state.database.inner);
        let transfer = rules.as_ref().and_then(|rules| rules.transfer(state, tx));
        let (result, record) = if let Some(transfer) = transfer {
            let touched = block.makes_access_list.then(|| transfer.touched());
            (transfer.result(), Record { touched, ..transfer.record() })
        } else {
            let result = evm.transact_one(tx.clone());
            let state = evm.finalize();
            let result = result.inspect_err(|_| discard_record(evm))?;
            let record = take_record(evm, tx, &state);
            keep_room(evm, state);
            (result, record)
        };
        Ok(self.state().results().add(candidate, result, record))
    }

    /// Takes over what a transaction does, and gives what the beneficiary gains.
    fn apply(&mut self, known: &Known) -> Result<I256, DB::Error> {
        let beneficiary = self.beneficiary;
        let state = self.state_mut();
        let before = state.account_at(beneficiary)?.balance;
        state.apply(known)?;
        let after = state.account_at(beneficiary)?.balance;
        Ok(difference(before, after))
    }
}

/// What a balance has gained. All ether there is has fewer than 255 bits, except in tests,
/// where it counts modulo 2^256.
fn difference(before: U256, after: U256) -> I256 {
    I256::from_raw(after.wrapping_sub(before))
}
