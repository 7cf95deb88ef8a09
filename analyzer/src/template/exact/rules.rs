//! The rules of the EVM that an exact path needs on its way: what gas things cost,
//! who is warm, how value and gas go from frame to frame.

use revm::{
    Database,
    context_interface::context::SStoreResult,
    primitives::{Address, B256, Bytes, KECCAK_EMPTY, Log, U256, hardfork::SpecId},
    state::AccountInfo,
};

use super::{
    evaluate::{Evaluator, FrameGas},
    used::FoundAccount,
};
use crate::{
    interpreter::Ending,
    keys::AddressKey,
    template::{
        trace::{AccountRef, Logged},
        value::Operand,
    },
};

impl Evaluator<'_> {
    #[inline]
    pub(super) fn charge(&mut self, gas: u64) -> Option<()> {
        self.gas.left = self.gas.left.checked_sub(gas)?;
        Some(())
    }

    /// The account at this address. What is added to a hoard may overflow it, which
    /// no path follows.
    pub(super) fn account(&mut self, state: &mut impl Database, address: Address) -> Option<usize> {
        if let Some(known) = self.used.find(address) {
            return Some(known);
        }
        let info: Option<AccountInfo> = state.basic(address).ok()?;
        let exists = info.is_some();
        let AccountInfo { balance, nonce, code_hash, .. } = info.unwrap_or_default();
        let code_hash = if code_hash.is_zero() { KECCAK_EMPTY } else { code_hash };
        if balance.bit(255) {
            return None;
        }
        let is_warm =
            self.listed_accounts.contains(&AddressKey(address)) || self.is_precompile(&address);
        let found = FoundAccount { exists, balance, nonce, code_hash };
        Some(self.used.add(address, found, is_warm))
    }

    pub(super) fn load(&mut self, state: &mut impl Database, slot: usize) -> Option<U256> {
        let used = &mut self.used.slots[slot];
        if used.found.is_none() {
            let address = self.used.accounts[used.account].address;
            let value = state.storage(address, used.key).ok()?;
            (used.found, used.value) = (Some(value), value);
        }
        Some(used.value)
    }

    pub(super) fn store(
        &mut self,
        state: &mut impl Database,
        slot: usize,
        value: U256,
    ) -> Option<()> {
        let is_istanbul = self.spec.is_enabled_in(SpecId::ISTANBUL);
        // EIP-2200: a call with a stipend cannot store.
        if is_istanbul && self.gas.left <= self.params.call_stipend() {
            return None;
        }
        let present_value = self.load(state, slot)?;
        let original_value = self.used.slots[slot].found?;
        let is_cold = self.used.warm_slot(slot);
        let values = SStoreResult { original_value, present_value, new_value: value };
        self.charge(self.params.sstore_static_gas())?;
        self.charge(self.params.sstore_dynamic_gas(is_istanbul, &values, is_cold))?;
        self.gas.refund += self.params.sstore_refund(is_istanbul, &values);
        self.used.store(slot, value);
        Some(())
    }

    pub(super) fn credit(&mut self, account: usize, value: U256) -> Option<()> {
        let balance = self.used.accounts[account].balance.checked_add(value)?;
        self.used.set_balance(account, balance);
        Some(())
    }

    /// Moves a value; whether it was there.
    pub(super) fn pay(&mut self, from: usize, to: usize, value: U256) -> Option<bool> {
        let payer = &mut self.used.accounts[from];
        payer.looked_at_balance = true;
        let Some(rest) = payer.balance.checked_sub(value) else { return Some(false) };
        self.used.touch(from);
        self.used.touch(to);
        if from != to {
            self.used.set_balance(from, rest);
            self.credit(to, value)?;
        }
        Some(true)
    }

    pub(super) fn enter(
        &mut self,
        asked: U256,
        has_value: bool,
        touched: Option<AccountRef>,
    ) -> Option<()> {
        let asked = u64::try_from(asked).unwrap_or(u64::MAX);
        let given = asked.min(self.params.call_stipend_reduction(self.gas.left));
        self.charge(given)?;
        let stipend = if has_value { self.params.call_stipend() } else { 0 };
        self.callers.push(self.gas);
        self.gas = FrameGas { left: given.checked_add(stipend)?, refund: 0 };
        if let Some(account) = touched {
            self.used.touch(self.accounts[account.0 as usize]);
        }
        Some(())
    }

    pub(super) fn leave(&mut self, ending: Ending) -> Option<()> {
        let callee = self.gas;
        self.gas = self.callers.pop()?;
        if ending != Ending::Halt {
            self.gas.left = self.gas.left.checked_add(callee.left)?;
        }
        if ending == Ending::Success {
            self.gas.refund += callee.refund;
        }
        Some(())
    }

    pub(super) fn log(&mut self, constants: &[U256], log: &Logged<AccountRef>) {
        let address = self.used.accounts[self.accounts[log.account.0 as usize]].address;
        let word = |operand: &Operand| B256::from(self.get(constants, *operand));
        let topics = log.topics.iter().map(word).collect();
        let mut data = Vec::with_capacity(log.data.len() * 32);
        for operand in &log.data {
            data.extend_from_slice(&self.get(constants, *operand).to_be_bytes::<32>());
        }
        data.truncate(log.bytes as usize);
        self.logs.push(Log::new_unchecked(address, topics, Bytes::from(data)));
    }
}
