//! Instructions that look at accounts and storage, through the overlay.

use revm::{
    DatabaseRef,
    bytecode::opcode as op,
    context_interface::context::SStoreResult,
    primitives::{B256, U256, hardfork::SpecId},
};

use super::{
    control,
    frame::{Exit, Frame},
    machine::{Machine, Run, Step, charge},
    memory::saturating,
    word::{Provenance, Word},
    world::{AccountId, Content, SlotId},
};
use crate::template::{AccountRef, SlotRef};

/// The function of a state opcode.
pub(super) fn function<DB: DatabaseRef>(code: u8) -> Run<DB> {
    match code {
        op::BALANCE => balance,
        op::SELFBALANCE => self_balance,
        op::EXTCODESIZE => ext_code_size,
        op::EXTCODECOPY => ext_code_copy,
        op::EXTCODEHASH => ext_code_hash,
        op::SLOAD => sload,
        op::SSTORE => sstore,
        op::TLOAD => tload,
        op::TSTORE => tstore,
        _ => control::halt,
    }
}

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// The account that an instruction names, with the surcharge if it is cold (EIP-2929).
    pub(super) fn named_account(
        &mut self,
        frame: &mut Frame,
        name: Word,
    ) -> Result<(AccountId, AccountRef), Exit> {
        let name = self.resolve(name)?;
        if name.provenance.is_unknown() {
            self.trace.give_up();
            self.guessed = true;
        }
        self.bound_touched()?;
        let loaded = self.world.load(name.to_address());
        let account = self.known(loaded)?;
        if name.provenance.is_unknown() {
            self.world.note_guess(account);
        }
        self.meter(frame);
        if self.warm(account) {
            charge(frame, self.gas_params.cold_account_additional_cost())?;
            frame.metered = frame.gas;
        }
        let traced = self.trace.account(name);
        self.trace.warm(traced);
        Ok((account, traced))
    }

    /// Makes an account warm; true if it was cold. Precompiles always are warm.
    pub(super) fn warm(&mut self, account: AccountId) -> bool {
        let was_cold = self.world.warm(account);
        was_cold && self.precompiles.get(&self.world.account(account).address).is_none()
    }

    /// The slot at `key`, and whether it is cold. A cold slot that the gas does
    /// not suffice to load is not loaded (EIP-2929).
    fn named_slot(
        &mut self,
        frame: &Frame,
        key: Word,
        cold_cost: u64,
    ) -> Result<(SlotId, SlotRef, bool), Exit> {
        self.bound_touched()?;
        let slot = self.world.find_slot(frame.account, key);
        if !self.world.slot(slot).warm && frame.gas < cold_cost {
            return Err(Exit::OutOfGas);
        }
        if key.provenance.is_unknown() {
            self.trace.give_up();
            self.widen_slot(slot);
        }
        let declared = self.declared.declared_at(key);
        let traced = self.trace.slot(frame.traced, key, declared);
        Ok((slot, traced, self.world.use_slot(slot)))
    }
}

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// A template stores only what is known.
    fn record_store(&mut self, word: Word) {
        if word.provenance.is_unknown() {
            self.trace.give_up();
        }
    }

    /// What a slot holds and held at the start of the transaction, read or
    /// computed if it has to be.
    pub(crate) fn settled(&mut self, id: SlotId) -> Result<(Word, Word), Exit> {
        let slot = self.world.slot(id);
        let (now, start) = (slot.now, slot.start);
        if let (Content::Word(now), Content::Word(start)) = (now, start) {
            return Ok((now, start));
        }
        let start_word = self.content(id, start)?;
        let now_word = if now == start { start_word } else { self.content(id, now)? };
        self.world.settle_slot(id, now_word, start_word);
        Ok((now_word, start_word))
    }

    /// The word that a slot with this content holds.
    fn content(&mut self, id: SlotId, content: Content) -> Result<Word, Exit> {
        match content {
            Content::Word(word) => Ok(word),
            Content::Unread => {
                let read = self.world.read_slot(id);
                self.known(read)
            }
            Content::Deferred(id) => self.deferred_word(id),
        }
    }
}

const fn state_word(value: U256) -> Word {
    Word::new(value, Provenance::STATE)
}

/// What a word depends on that lay in storage. Whether it is what was stored
/// before depends on which keys are equal, so it is neither constant nor known
/// to point anywhere.
const fn loaded(word: Word) -> Provenance {
    word.provenance.join(Provenance::STATE)
}

fn balance<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let name = frame.stack.pop();
    let (account, traced) = machine.named_account(frame, name)?;
    let id = machine.trace.balance(traced);
    let balance = machine.world.read_balance(account);
    frame.stack.push(Word::new(balance, machine.world.balance_provenance()).with_id(id));
    Ok(())
}

fn self_balance<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let id = machine.trace.balance(frame.traced);
    let balance = machine.world.read_balance(frame.account);
    frame.stack.push(Word::new(balance, machine.world.balance_provenance()).with_id(id));
    Ok(())
}

fn ext_code_size<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let name = frame.stack.pop();
    let (account, traced) = machine.named_account(frame, name)?;
    let code = machine.world.read_code(account);
    let code = machine.known(code)?;
    let id = machine.trace.code_size(traced);
    frame.stack.push(state_word(U256::from(code.len())).with_id(id));
    Ok(())
}

fn ext_code_copy<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let [name, to, from, len] = frame.stack.pop_many();
    let bytes = usize::try_from(len.value).map_err(|_| Exit::OutOfGas)?;
    charge(frame, machine.gas_params.extcodecopy(bytes))?;
    let range = machine.expand(frame, to, len)?;
    let (account, traced) = machine.named_account(frame, name)?;
    machine.trace.pin(from);
    machine.trace.pin_code(traced, machine.world.account(account).now.code_hash);
    let code = machine.world.read_code(account);
    let code = machine.known(code)?;
    let code = code.original_byte_slice();
    let rest = &code[saturating(from).min(code.len())..];
    frame.memory.set_bytes(range.start, bytes, rest, Provenance::STATE);
    Ok(())
}

/// EIP-1052; the hash of an account that is empty is zero.
fn ext_code_hash<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let name = frame.stack.pop();
    let (account, traced) = machine.named_account(frame, name)?;
    let id = machine.trace.code_hash(traced);
    machine.world.note_code_read(account);
    machine.world.note_emptiness_read(account);
    let now = machine.world.account(account).now;
    let hash = if now.is_empty() { B256::ZERO } else { now.code_hash };
    let provenance =
        if now.has_code() { Provenance::STATE } else { machine.world.balance_provenance() };
    frame.stack.push(Word::new(hash.into(), provenance).with_id(id));
    Ok(())
}

fn sload<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let key = frame.stack.pop();
    let cold_cost = machine.gas_params.cold_storage_additional_cost();
    let (slot, traced, is_cold) = machine.named_slot(frame, key, cold_cost)?;
    machine.meter(frame);
    if is_cold {
        charge(frame, cold_cost)?;
        frame.metered = frame.gas;
    }
    let (word, _) = machine.settled(slot)?;
    // A guessed key reads a guessed value.
    let provenance = loaded(word).join(key.provenance.guess());
    if provenance.is_unknown() {
        machine.trace.give_up();
    }
    let id = machine.trace.load(traced);
    frame.stack.push(Word::new(word.value, provenance).with_id(id));
    Ok(())
}

fn sstore<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let [key, word] = frame.stack.pop_many();
    let is_istanbul = machine.spec.is_enabled_in(SpecId::ISTANBUL);
    // EIP-2200: a call with a stipend cannot store.
    if frame.is_static {
        return Err(Exit::Halt);
    }
    if is_istanbul && frame.gas <= machine.gas_params.call_stipend() {
        return Err(Exit::OutOfGas);
    }
    machine.meter(frame);
    charge(frame, machine.gas_params.sstore_static_gas())?;
    let cold_cost = machine.gas_params.cold_storage_cost();
    let (id, traced, is_cold) = machine.named_slot(frame, key, cold_cost)?;
    machine.record_store(word);
    machine.trace.store(traced, word);
    let (now, start) = machine.settled(id)?;
    let values = SStoreResult {
        original_value: start.value,
        present_value: now.value,
        new_value: word.value,
    };
    charge(frame, machine.gas_params.sstore_dynamic_gas(is_istanbul, &values, is_cold))?;
    frame.metered = frame.gas;
    frame.refund += machine.gas_params.sstore_refund(is_istanbul, &values);
    let provenance = word.provenance.join(key.provenance.guess());
    machine.world.store(id, Content::Word(Word::new(word.value, provenance)));
    Ok(())
}

fn tload<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let key = frame.stack.pop();
    let id = machine.trace.transient_load(frame.traced, key);
    let word = machine.world.transient(frame.account, key.value);
    if word.provenance.is_unknown() {
        machine.trace.give_up();
    }
    frame.stack.push(Word::new(word.value, loaded(word)).with_id(id));
    Ok(())
}

fn tstore<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let [key, word] = frame.stack.pop_many();
    if frame.is_static {
        return Err(Exit::Halt);
    }
    machine.bound_touched()?;
    machine.record_store(word);
    machine.trace.transient_store(frame.traced, key, word);
    machine.world.store_transient(frame.account, key.value, word);
    Ok(())
}
