//! What the interpreter did in one transaction, as values and the events that need them.
//!
//! Every word that the code alone does not decide has a [`ValueId`]: where it
//! came from, or how it was computed from others. Constants fold and have none,
//! and a value that an event pins down is constant from there on. Stack, memory,
//! call data and return data are resolved while recording, so that the trace is
//! one straight line across all contracts. The recorder must never lose a
//! dependency: an instruction that it cannot express ends the recording.

mod bytes;
mod creation;
mod event;
mod exact;
mod guards;
mod simplify;

use revm::{
    bytecode::{Bytecode, opcode as op},
    primitives::U256,
};

pub(crate) use self::event::{
    AccountRef, Branch, CheckpointRef, CodeRef, Event, Exact, Logged, SlotRef, Truth,
};
use self::simplify::{ByteSet, Simpler, zeros_of_input};
use super::value::{Input, Operand, Value, ValueId};
use crate::interpreter::Word;

/// Bytes of a word.
const WORD_BYTES: usize = 32;

/// Bytes of call data that choose a template.
const SELECTOR_BYTES: u32 = 4;

/// Values and events that a trace may have room for and be kept for the next block.
const KEPT_ENTRIES_MAX: usize = 1 << 15;

/// What is known of a value on this path.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The path is left unless it is exactly what was recorded.
    pinned: bool,
    /// The path is left unless it is zero, or not, as was recorded.
    decided: bool,
    /// Bytes at its front that are constant.
    lead: u8,
    /// Bytes that are zero whatever the transaction and the state.
    zeros: ByteSet,
}

/// Records one transaction. While it is off, everything counts as constant.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Debug, Default)]
pub(crate) struct Trace {
    is_on: bool,
    entries_max: usize,
    pub(super) values: Vec<Value>,
    known: Vec<Known>,
    constants: Vec<U256>,
    pub(super) events: Vec<Event>,
    codes: Vec<Bytecode>,
    accounts: u32,
    slots: u32,
    checkpoints: u32,
    /// Gas that the transaction's own call was given.
    pub(crate) gas: u64,
    /// Whether memory has grown as the path does not say.
    has_grown_freely: bool,
    /// Whether a frame has run out of gas.
    is_exhausted: bool,
    /// Whether the first four bytes of the call data are those that chose the template.
    has_selector: bool,
    /// Whether gas and logs are recorded as well.
    is_exact: bool,
    pub(super) logs: Vec<Logged<AccountRef>>,
}

impl Trace {
    /// Starts recording, at most `entries_max` values and events.
    pub(crate) fn start(&mut self, entries_max: usize, gas: u64, has_selector: bool) {
        self.clear();
        // What stands where an instruction has no operand.
        self.constants.push(U256::ZERO);
        (self.is_on, self.entries_max, self.gas) = (true, entries_max, gas);
        (self.has_grown_freely, self.is_exhausted) = (false, false);
        (self.has_selector, self.is_exact) = (has_selector, false);
    }

    /// Stops recording; what was recorded is discarded.
    pub(crate) fn give_up(&mut self) {
        self.is_on = false;
    }

    /// Lets go of what was recorded, and of room that is too large to keep.
    pub(crate) fn tidy(&mut self) {
        self.clear();
        self.is_on = false;
        if self.values.capacity() + self.events.capacity() > KEPT_ENTRIES_MAX {
            *self = Self::default();
        }
    }

    /// Whether the transaction is recorded so far.
    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        self.is_on
    }

    fn clear(&mut self) {
        self.values.clear();
        self.known.clear();
        self.constants.clear();
        self.events.clear();
        self.codes.clear();
        self.logs.clear();
        (self.accounts, self.slots, self.checkpoints) = (0, 0, 0);
    }

    /// The constant at this position.
    pub(super) fn constant(&self, at: usize) -> U256 {
        self.constants.get(at).copied().unwrap_or_default()
    }

    fn known(&self, id: ValueId) -> Known {
        id.position().and_then(|at| self.known.get(at)).copied().unwrap_or_default()
    }

    /// Whether nothing but the code and the path decides the word.
    #[inline]
    pub(crate) fn is_constant(&self, word: Word) -> bool {
        !self.is_on || word.id.is_constant() || self.known(word.id).pinned
    }

    /// The word as an operand of a value or an event.
    fn operand(&mut self, word: Word) -> Operand {
        if let Some(at) = word.id.position().filter(|_| !self.known(word.id).pinned) {
            return Operand::value(at);
        }
        self.constants.push(word.value);
        Operand::constant(self.constants.len() - 1)
    }

    fn value(&mut self, value: Value) -> ValueId {
        if !self.is_on {
            return ValueId::CONSTANT;
        }
        if self.values.len() + self.events.len() >= self.entries_max {
            self.give_up();
            return ValueId::CONSTANT;
        }
        self.values.push(value);
        self.known.push(Known::default());
        ValueId::at(self.values.len() - 1)
    }

    fn event(&mut self, event: Event) {
        if self.values.len() + self.events.len() >= self.entries_max {
            self.give_up();
        }
        if self.is_on {
            self.events.push(event);
        }
    }

    /// Notes that memory grows to where these words say.
    pub(crate) fn grow_freely(&mut self, start: Word, len: Word) {
        self.has_grown_freely |= !self.is_constant(start) || !self.is_constant(len);
    }

    /// Somebody looks at the size of the memory.
    pub(crate) fn memory_size(&mut self) {
        if self.has_grown_freely {
            self.give_up();
        }
    }

    /// Something that the transaction, the call or the block gives.
    pub(crate) fn input(&mut self, input: Input) -> ValueId {
        let id = self.value(Value::Input(input));
        if let Some(known) = id.position().and_then(|at| self.known.get_mut(at)) {
            known.zeros = zeros_of_input(input);
            if let Input::CallData(at @ 0..SELECTOR_BYTES) = input
                && self.has_selector
            {
                known.lead = u8::try_from(SELECTOR_BYTES - at).unwrap_or(0);
            }
        }
        id
    }

    /// The word computed by the instruction `code` from its operands.
    #[inline]
    pub(crate) fn compute<const N: usize>(&mut self, code: u8, words: [Word; N]) -> ValueId {
        if words.iter().all(|word| word.id.is_constant()) {
            return ValueId::CONSTANT;
        }
        self.compute_value(code, &words)
    }

    fn compute_value(&mut self, code: u8, words: &[Word]) -> ValueId {
        if words.iter().all(|word| self.is_constant(*word)) || self.is_front(code, words) {
            return ValueId::CONSTANT;
        }
        match self.simpler(code, words) {
            Simpler::No => {}
            Simpler::Is(id) => return id,
            Simpler::Compute(code, words) => return self.compute_value(code, &words),
        }
        let zeros = self.zeros_of(code, words);
        let mut args = [Operand::ZERO; 3];
        for (arg, word) in args.iter_mut().zip(words) {
            *arg = self.operand(*word);
        }
        let id = self.value(Value::Compute(code, args));
        if let Some(known) = id.position().and_then(|at| self.known.get_mut(at)) {
            known.zeros = zeros;
        }
        id
    }

    /// Whether an instruction keeps only the constant bytes at the front of a word.
    fn is_front(&self, code: u8, words: &[Word]) -> bool {
        let (word, bits) = match (code, words) {
            (op::SHR, [shift, word]) if self.is_constant(*shift) => {
                (word, usize::try_from(shift.value).unwrap_or(256))
            }
            (op::DIV, [word, divisor])
                if self.is_constant(*divisor) && divisor.value.is_power_of_two() =>
            {
                (word, divisor.value.trailing_zeros())
            }
            _ => return false,
        };
        bits + 8 * usize::from(self.known(word.id).lead) >= 256
    }

    /// The hash of the block with this number.
    pub(crate) fn block_hash(&mut self, number: Word) -> ValueId {
        if !self.is_on {
            return ValueId::CONSTANT;
        }
        let number = self.operand(number);
        self.value(Value::BlockHash(number))
    }

    /// Names an account.
    pub(crate) fn account(&mut self, name: Word) -> AccountRef {
        if !self.is_on {
            return AccountRef::default();
        }
        let address = self.operand(name);
        self.event(Event::Account(self.address_under(address)));
        self.accounts += 1;
        AccountRef(self.accounts - 1)
    }

    /// Names a piece of code.
    pub(crate) fn code(&mut self, code: &Bytecode) -> CodeRef {
        if !self.is_on {
            return CodeRef::default();
        }
        self.codes.push(code.clone());
        CodeRef(u32::try_from(self.codes.len() - 1).unwrap_or(u32::MAX))
    }

    /// A piece of code that was named.
    pub(super) fn code_at(&self, code: CodeRef) -> Option<&Bytecode> {
        self.codes.get(code.0 as usize)
    }

    /// Names a slot.
    pub(crate) fn slot(
        &mut self,
        account: AccountRef,
        key: Word,
        declared: Option<U256>,
    ) -> SlotRef {
        if !self.is_on {
            return SlotRef::default();
        }
        let key = self.operand(key);
        self.event(Event::Slot(account, key, declared));
        self.slots += 1;
        SlotRef(self.slots - 1)
    }

    /// An event with a value: what was found.
    fn found(&mut self, event: impl FnOnce(ValueId) -> Event) -> ValueId {
        let id = self.value(Value::Found);
        self.event(event(id));
        id
    }

    pub(crate) fn load(&mut self, slot: SlotRef) -> ValueId {
        self.found(|id| Event::Load(slot, id))
    }

    pub(crate) fn store(&mut self, slot: SlotRef, word: Word) {
        if self.is_on {
            let word = self.operand(word);
            self.event(Event::Store(slot, word));
        }
    }

    pub(crate) fn transient_load(&mut self, account: AccountRef, key: Word) -> ValueId {
        if !self.is_on {
            return ValueId::CONSTANT;
        }
        let key = self.operand(key);
        self.found(|id| Event::TransientLoad(account, key, id))
    }

    pub(crate) fn transient_store(&mut self, account: AccountRef, key: Word, word: Word) {
        if self.is_on {
            let (key, word) = (self.operand(key), self.operand(word));
            self.event(Event::TransientStore(account, key, word));
        }
    }

    pub(crate) fn balance(&mut self, account: AccountRef) -> ValueId {
        self.found(|id| Event::Balance(account, id))
    }

    pub(crate) fn code_size(&mut self, account: AccountRef) -> ValueId {
        self.found(|id| Event::CodeSize(account, id))
    }

    pub(crate) fn code_hash(&mut self, account: AccountRef) -> ValueId {
        self.found(|id| Event::CodeHash(account, id))
    }

    pub(crate) fn emptiness(&mut self, account: AccountRef) {
        self.event(Event::Emptiness(account));
    }

    pub(crate) fn touch(&mut self, account: AccountRef) {
        self.event(Event::Touch(account));
    }

    pub(crate) fn destroy(&mut self, account: AccountRef, target: AccountRef) {
        self.event(Event::Destroy(account, target));
    }

    /// A frame runs out of gas.
    pub(crate) fn exhaust(&mut self) {
        self.is_exhausted = true;
    }

    /// Whether a frame has run out of gas.
    pub(crate) const fn is_exhausted(&self) -> bool {
        self.is_exhausted
    }

    /// A payment, and whether it could be made.
    pub(crate) fn pay(&mut self, from: AccountRef, to: AccountRef, value: Word, was_paid: bool) {
        if self.is_on {
            let value = self.operand(value);
            let id = self.found(|paid| Event::Pay { from, to, value, paid });
            self.decide(Word { id, value: U256::from(u8::from(was_paid)), ..Word::default() });
        }
    }

    pub(crate) fn checkpoint(&mut self) -> CheckpointRef {
        let checkpoint = CheckpointRef(self.checkpoints);
        self.event(Event::Checkpoint);
        self.checkpoints += 1;
        checkpoint
    }

    pub(crate) fn revert(&mut self, checkpoint: CheckpointRef) {
        self.event(Event::Revert(checkpoint));
    }
}
