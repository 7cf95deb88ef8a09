//! From the overlay to the predicted accesses of the transaction that is at its end.
//!
//! What was touched is sorted once, by account and key; everything is then
//! listed in the order that access sets have.

use revm::{
    DatabaseRef,
    context::TxEnv,
    primitives::{Address, U256},
};

use super::{
    frame::Exit,
    machine::Machine,
    word::Word,
    world::{Account, Content, SlotId},
};
use crate::{AccessKind, AccessSet, KeyOrigin, Location, PredictedAccess, Scope, WidenedAccess};

/// Scopes that a prediction names one by one; with more it is widened to everything.
const WIDENED_MAX: usize = 64;

/// What is spent to find out whether a slot ends with another value, in simple instructions.
const CERTAIN_COST_MAX: u32 = 96;

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// Everything, and what is certain of a transaction whose analysis was abandoned.
    pub(super) fn widest(&mut self, tx: &TxEnv) -> Result<PredictedAccess, Exit> {
        let prediction = self.predicted(tx.gas_limit)?;
        let everything = WidenedAccess { scope: Scope::Everything, kind: AccessKind::Write };
        Ok(prediction.with_widened([everything]))
    }

    /// Reads the accesses off the overlay.
    pub(super) fn predicted(&mut self, gas: u64) -> Result<PredictedAccess, Exit> {
        let mut lists = core::mem::take(&mut self.lists);
        lists.clear();
        self.world.sort_touched();
        let sees_payer = self.list_accounts(&mut lists);
        let listed = self.list_slots(&mut lists);
        let set = AccessSet::from_sorted(&lists.reads, &lists.writes, &lists.deltas);
        let mut predicted =
            PredictedAccess::from_sorted(set, &lists.origins, gas).with_payer_seen(sees_payer);
        self.lists = lists;
        if self.guessed || !self.widened.is_empty() {
            let everything = WidenedAccess { scope: Scope::Everything, kind: AccessKind::Write };
            let widened = self.widened.drain(..).chain(self.guessed.then_some(everything));
            predicted = predicted.with_widened(widened);
        }
        listed.map(|()| predicted)
    }

    /// Lists what the transaction did with accounts; whether its code looked at
    /// the balance of the sender.
    fn list_accounts(&self, lists: &mut Lists) -> bool {
        let knows_state = self.world.knows_state();
        let mut sees_payer = false;
        for account in self.world.touched_accounts().filter(|account| !account.is_guess) {
            if !self.is_precompile(&account.address) {
                lists.uses.push(AccountUse::new(account, knows_state));
            }
            sees_payer |= account.address == self.tx.origin && account.reads.balance_by_code;
        }
        let Lists { uses, reads, writes, deltas, .. } = lists;
        for field in [Field::Balance, Field::Nonce, Field::Code] {
            for AccountUse { address, fields } in &*uses {
                let (list, location) = (fields[field as usize], field.of(*address));
                if list.read {
                    reads.push(location);
                }
                match list.change {
                    Some(Change::Write) => writes.push(location),
                    Some(Change::Delta) => deltas.push(location),
                    None => {}
                }
            }
        }
        sees_payer
    }

    /// Lists what the transaction did with slots.
    fn list_slots(&mut self, lists: &mut Lists) -> Result<(), Exit> {
        let knows_state = self.world.knows_state();
        for at in 0..self.world.touched_slots().len() {
            let id = self.world.touched_slots()[at];
            let slot = self.world.slot(id);
            let (key, is_used) = (slot.key, slot.used);
            let account = self.world.account(slot.account);
            // A scope stands for a slot that was named from what may not be read.
            if !is_used || account.is_guess || (!knows_state && key.provenance.is_unknown()) {
                continue;
            }
            let address = account.address;
            let location = Location::Storage(address, key.value);
            lists.reads.push(location);
            if self.is_written(id)? {
                lists.writes.push(location);
            }
            if let Some(origin) = self.declared.origin(key) {
                lists.origins.push((address, key.value, origin));
            }
        }
        Ok(())
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
        if let Content::Deferred(now) = slot.now
            && let Some(differs) = self.deferred.differs(now, id, slot.start)
        {
            return Ok(differs);
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

/// Accesses on their way to a prediction, sorted. The room is used again.
#[derive(Debug, Default)]
pub(super) struct Lists {
    uses: Vec<AccountUse>,
    reads: Vec<Location>,
    writes: Vec<Location>,
    deltas: Vec<Location>,
    origins: Vec<(Address, U256, KeyOrigin)>,
}

impl Lists {
    fn clear(&mut self) {
        self.uses.clear();
        self.reads.clear();
        self.writes.clear();
        self.deltas.clear();
        self.origins.clear();
    }
}

/// Fields of an account, in the order of their locations.
#[derive(Clone, Copy, Debug)]
enum Field {
    Balance,
    Nonce,
    Code,
}

impl Field {
    const fn of(self, address: Address) -> Location {
        match self {
            Self::Balance => Location::Balance(address),
            Self::Nonce => Location::Nonce(address),
            Self::Code => Location::Code(address),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Write,
    Delta,
}

/// What happened to one field.
#[derive(Clone, Copy, Debug)]
struct FieldUse {
    read: bool,
    change: Option<Change>,
}

/// What a transaction did with an account, by [`Field`].
#[derive(Clone, Copy, Debug)]
struct AccountUse {
    address: Address,
    fields: [FieldUse; 3],
}

impl AccountUse {
    fn new(account: &Account, knows_state: bool) -> Self {
        let &Account { address, ref now, ref start, reads, .. } = account;
        // Without code and nonce the balance alone decides whether an account is empty.
        let by_balance = !start.has_code() && (start.nonce == 0 || !knows_state);
        let written = |is_changed: bool| (is_changed || now.destroyed).then_some(Change::Write);
        let unseen_credit = now.balance != start.balance && !reads.balance && !now.destroyed;
        let balance = FieldUse {
            read: reads.balance || (reads.emptiness && by_balance),
            change: if unseen_credit {
                Some(Change::Delta)
            } else {
                written(now.balance != start.balance)
            },
        };
        let nonce = FieldUse { read: reads.nonce, change: written(now.nonce != start.nonce) };
        let code = FieldUse { read: reads.code, change: written(now.code_hash != start.code_hash) };
        Self { address, fields: [balance, nonce, code] }
    }
}
