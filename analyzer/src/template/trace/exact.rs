//! What an exact path needs besides: the gas of every instruction, and the logs.
//!
//! The gas that the path alone decides is summed up; what the state decides as
//! well is an event of its own. So gas can be followed to the unit on another
//! transaction. What cannot be followed ends the recording.

use super::{
    Trace, WORD_BYTES,
    event::{AccountRef, Event, Exact, Logged},
};
use crate::{
    interpreter::{Ending, Word, region::Region},
    template::value::{Operand, ValueId},
};

impl Trace {
    /// Records gas and logs as well; right after the start.
    pub(crate) fn follow_exactly(&mut self) {
        self.is_exact = self.is_on;
    }

    /// Whether gas and logs are recorded.
    #[inline]
    pub(crate) const fn is_exact(&self) -> bool {
        self.is_on && self.is_exact
    }

    /// Ends an exact recording at what it cannot follow.
    pub(crate) fn refuse_exact(&mut self) {
        if self.is_exact {
            self.give_up();
        }
    }

    fn exact(&mut self, event: Exact) {
        if self.is_exact() {
            self.event(Event::Exact(event));
        }
    }

    /// Gas that the path alone decides.
    pub(crate) fn charge(&mut self, gas: u64) {
        if gas > 0 {
            self.exact(Exact::Charge(gas));
        }
    }

    /// An account is used.
    pub(crate) fn warm(&mut self, account: AccountRef) {
        self.exact(Exact::Warm(account));
    }

    /// Value is sent to an account.
    pub(crate) fn fund(&mut self, account: AccountRef) {
        self.exact(Exact::Fund(account));
    }

    /// `EXP`; its gas is the path's if the exponent is.
    pub(crate) fn power(&mut self, exponent: Word) {
        let exponent = self.operand(exponent);
        self.exact(Exact::Power(exponent));
    }

    /// Somebody looks at the gas that is left.
    pub(crate) fn gas_left(&mut self) -> ValueId {
        self.found(|id| Event::Exact(Exact::GasLeft(id)))
    }

    /// A call begins.
    pub(crate) fn enter(&mut self, gas: Word, has_value: bool, touched: Option<AccountRef>) {
        if self.is_exact() {
            let asked = self.operand(gas);
            self.exact(Exact::Enter { asked, has_value, touched });
        }
    }

    /// A call ends.
    pub(crate) fn leave(&mut self, ending: Ending) {
        self.exact(Exact::Leave(ending));
    }

    /// An exact path depends on the exact value of the word.
    pub(crate) fn pin_exactly(&mut self, word: Word) {
        if self.is_exact() && !self.is_constant(word) {
            let value = self.operand(word);
            self.exact(Exact::Equals(value, word.value));
        }
    }

    /// A precompile has answered with this word at least.
    pub(crate) fn demand(&mut self, id: ValueId) {
        if let Some(at) = id.position() {
            self.exact(Exact::Demand(Operand::value(at)));
        }
    }

    /// A log of `bytes` bytes at `start` of the memory.
    pub(crate) fn log(
        &mut self,
        account: AccountRef,
        topics: &[Word],
        (memory, start, bytes): (&Region, usize, usize),
    ) {
        if !self.is_exact() {
            return;
        }
        if bytes / WORD_BYTES > self.entries_max.saturating_sub(self.values.len()) {
            return self.give_up();
        }
        let topics = topics.iter().map(|topic| self.operand(*topic)).collect();
        let data = (start..start + bytes)
            .step_by(WORD_BYTES)
            .map(|at| {
                let id = self.word(memory, at);
                self.operand(Word { id, ..memory.word(at) })
            })
            .collect();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.logs.push(Logged { account, topics, data, bytes });
        let position = u32::try_from(self.logs.len() - 1).unwrap_or(u32::MAX);
        self.exact(Exact::Log(position));
    }
}
