//! From the overlay to the predicted accesses of the transaction that is at its end.

use revm::{
    DatabaseRef,
    context::TxEnv,
    primitives::{Address, U256},
};

use super::{
    frame::Exit,
    machine::Machine,
    word::Word,
    world::{Content, SlotId},
};
use crate::{
    AccessKind, AccessSetBuilder, KeyOrigin, Location, PredictedAccess, Scope, WidenedAccess,
};

/// Scopes that a prediction names one by one; with more it is widened to everything.
const WIDENED_MAX: usize = 64;

/// Operations that are spent to find out whether a slot ends with another value.
const CERTAIN_COST_MAX: u32 = 64;

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// Everything, and what is certain of a transaction whose analysis was abandoned.
    pub(super) fn widest(&mut self, tx: &TxEnv) -> Result<PredictedAccess, Exit> {
        let prediction = self.predicted(tx.gas_limit)?;
        let everything = WidenedAccess { scope: Scope::Everything, kind: AccessKind::Write };
        Ok(prediction.with_widened([everything]))
    }

    /// Reads the accesses off the overlay.
    pub(super) fn predicted(&mut self, gas: u64) -> Result<PredictedAccess, Exit> {
        let slots = self.world.touched_slots().len();
        let mut set = AccessSetBuilder::with_reads(slots + 2 * self.world.touched_accounts().len());
        let knows_state = self.world.knows_state();
        let mut sees_payer = false;
        for account in self.world.touched_accounts().filter(|account| !account.is_guess) {
            if self.precompiles.get(&account.address).is_none() {
                add_account(&mut set, account, knows_state);
            }
            sees_payer |= account.address == self.tx.origin && account.reads.balance_by_code;
        }
        let mut origins: Vec<(Address, U256, KeyOrigin)> = Vec::with_capacity(slots);
        for at in 0..self.world.touched_slots().len() {
            let id = self.world.touched_slots()[at];
            let slot = *self.world.slot(id);
            let account = self.world.account(slot.account);
            if !slot.used {
                continue;
            }
            // A scope stands for a slot that was named from what may not be read.
            if account.is_guess || (!knows_state && slot.key.provenance.is_unknown()) {
                continue;
            }
            let address = account.address;
            let location = Location::Storage(address, slot.key.value);
            set.read(location);
            if self.is_written(id)? {
                set.write(location);
            }
            if let Some(origin) = self.declared.origin(slot.key) {
                origins.push((address, slot.key.value, origin));
            }
        }
        let everything = WidenedAccess { scope: Scope::Everything, kind: AccessKind::Write };
        let widened = self.widened.drain(..).chain(self.guessed.then_some(everything));
        Ok(PredictedAccess::exact(set.build(), gas)
            .with_widened(widened)
            .with_origins(origins)
            .with_payer_seen(sees_payer))
    }

    /// Whether the slot ends the transaction with another value, as far as is known.
    ///
    /// Where the state may not be read, the start is a guess that stands for
    /// itself. A value that is long to compute is not computed for this: what
    /// comes of a long computation hardly ever is what was there before.
    fn is_written(&mut self, id: SlotId) -> Result<bool, Exit> {
        let slot = self.world.slot(id);
        if slot.now == slot.start {
            return Ok(matches!(slot.now, Content::Word(word) if self.is_unsure(word)));
        }
        if [slot.now, slot.start].iter().any(|content| self.is_dear(*content)) {
            return Ok(true);
        }
        let (now, start) = self.settled(id)?;
        Ok(now.value != start.value || self.is_unsure(now))
    }

    fn is_unsure(&self, word: Word) -> bool {
        word.provenance.is_unknown() && self.world.knows_state()
    }

    /// Whether it takes long to compute what a slot holds.
    fn is_dear(&self, content: Content) -> bool {
        matches!(content, Content::Deferred(id) if self.deferred.cost(id) > CERTAIN_COST_MAX)
    }

    /// Notes that a slot was named from a guess: it stands for its mapping or contract.
    pub(super) fn widen_slot(&mut self, id: SlotId) {
        let slot = self.world.slot(id);
        let address = self.world.account(slot.account).address;
        let scope = match self.declared.origin(slot.key) {
            Some(KeyOrigin::Mapping(slot)) => Scope::Mapping { address, slot },
            _ => Scope::Contract { address },
        };
        self.widen(WidenedAccess { scope, kind: AccessKind::Write });
    }

    /// Notes a scope, once.
    pub(super) fn widen(&mut self, widened: WidenedAccess) {
        if self.widened.contains(&widened) {
            return;
        }
        if self.widened.len() < WIDENED_MAX {
            self.widened.push(widened);
        } else {
            self.guessed = true;
        }
    }
}

fn add_account(set: &mut AccessSetBuilder, account: &super::world::Account, knows_state: bool) {
    let &super::world::Account { address, now, start, reads, .. } = account;
    let balance = Location::Balance(address);
    let (nonce, code) = (Location::Nonce(address), Location::Code(address));
    // Without code and nonce the balance alone decides whether an account is empty.
    let by_balance = !start.has_code() && (start.nonce == 0 || !knows_state);
    if reads.balance || (reads.emptiness && by_balance) {
        set.read(balance);
    }
    if reads.nonce {
        set.read(nonce);
    }
    if reads.code {
        set.read(code);
    }
    if now.destroyed {
        set.write(balance).write(nonce).write(code);
        return;
    }
    match (now.balance != start.balance, reads.balance) {
        (true, true) => set.write(balance),
        (true, false) => set.delta(balance),
        (false, _) => set,
    };
    if now.nonce != start.nonce {
        set.write(nonce);
    }
    if now.code_hash != start.code_hash {
        set.write(code);
    }
}
