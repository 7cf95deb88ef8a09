//! Plain transfers: from two accounts without code in between to the accesses.
//!
//! Half of many blocks is nothing else, and nothing of what the general way
//! guards against can happen: no frame that fails, no code, no list. So there is
//! no journal, and no overlay to read the accesses off. What does not fit goes the
//! general way, which decides the same.

use revm::{
    DatabaseRef,
    context::TxEnv,
    context_interface::Transaction as _,
    primitives::{KECCAK_EMPTY, TxKind, U256, hardfork::SpecId},
};

use super::{machine::Machine, world::AccountId};
use crate::{AccessSet, Location, PredictedAccess};

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// The prediction of a plain transfer; none if the transaction is anything else,
    /// and then nothing has changed.
    pub(super) fn transfer(&mut self, tx: &TxEnv) -> Result<Option<PredictedAccess>, DB::Error> {
        let TxKind::Call(to) = tx.kind else { return Ok(None) };
        let beneficiary = self.block.env.beneficiary;
        let is_plain = tx.data.is_empty()
            && tx.access_list.is_empty()
            && tx.authorization_list.is_empty()
            && tx.blob_hashes.is_empty()
            && self.world.knows_state();
        let parties = [tx.caller, to, beneficiary];
        if !is_plain || tx.caller == to || parties.iter().any(|party| self.is_precompile(party)) {
            return Ok(None);
        }
        let gas = self.call_data_gas.of(&self.gas_params, tx);
        let gas = gas.initial_regular_gas().max(gas.floor_gas());
        if tx.gas_limit < gas || tx.gas_limit > self.limits.gas_max.min(self.block_gas) {
            return Ok(None);
        }
        let recipient = self.world.load(to)?;
        if self.world.account(recipient).now.code_hash != KECCAK_EMPTY {
            return Ok(None);
        }
        let [sender, beneficiary] = [self.world.load(tx.caller)?, self.world.load(beneficiary)?];
        self.block_gas -= gas;
        Ok(Some(self.pay_for_transfer(tx, [sender, recipient, beneficiary], gas)))
    }

    fn pay_for_transfer(
        &mut self,
        tx: &TxEnv,
        [sender, recipient, beneficiary]: [AccountId; 3],
        gas: u64,
    ) -> PredictedAccess {
        let base_fee = self.block.env.basefee;
        let price = U256::from(tx.effective_gas_price(u128::from(base_fee)));
        let tip = if self.spec.is_enabled_in(SpecId::LONDON) {
            price.saturating_sub(U256::from(base_fee))
        } else {
            price
        };
        // A payment that the sender cannot afford takes what there is, as on the general way.
        let deposit = price.saturating_mul(U256::from(tx.gas_limit));
        let unused = price.saturating_mul(U256::from(tx.gas_limit - gas));
        let fee = tip.saturating_mul(U256::from(gas));
        self.world.settle_account(sender, |values| {
            let rest = values.balance.saturating_sub(deposit).saturating_sub(tx.value);
            values.balance = rest.saturating_add(unused);
            values.nonce = tx.nonce.saturating_add(1);
            values.exists = true;
        });
        for (payee, amount) in [(recipient, tx.value), (beneficiary, fee)] {
            self.world.settle_account(payee, |values| {
                values.balance = values.balance.saturating_add(amount);
                values.exists = true;
            });
        }
        let payer = self.world.account(sender);
        let (from, to) = (payer.address, self.world.account(recipient).address);
        let is_written =
            [payer.now.balance != payer.start.balance, payer.now.nonce != payer.start.nonce];
        // Who builds the block may pay, and be paid.
        let is_apart = beneficiary != sender && beneficiary != recipient;
        let mut credited = [(recipient, true), (beneficiary, is_apart)].map(|(id, is_another)| {
            let payee = self.world.account(id);
            (payee.address, is_another && payee.now.balance != payee.start.balance)
        });
        credited.sort_unstable();
        let own = [Location::Balance(from), Location::Nonce(from)];
        let codes = [from.min(to), from.max(to)].map(Location::Code);
        let payees = credited.map(|(address, _)| Location::Balance(address));
        let set = AccessSet::from_sorted(
            &[own[0], own[1], codes[0], codes[1]],
            changed(&own, is_written),
            changed(&payees, credited.map(|(_, is_changed)| is_changed)),
        );
        PredictedAccess::exact(set, gas)
    }
}

/// Those of two locations that are changed.
const fn changed(both: &[Location; 2], is_changed: [bool; 2]) -> &[Location] {
    let (first, second) = both.split_at(1);
    match is_changed {
        [true, true] => both,
        [true, false] => first,
        [false, true] => second,
        [false, false] => &[],
    }
}
