//! Creations: the path knows the init code and what it leaves to the byte, so that
//! neither is run again.

use revm::{bytecode::Bytecode, primitives::B256};

use super::{
    Trace, WORD_BYTES,
    event::{AccountRef, CheckpointRef, Event},
    simplify::ABOVE_ADDRESS,
};
use crate::{
    interpreter::{Word, region::Region},
    template::value::ValueId,
};

impl Trace {
    /// The path depends on each of `len` bytes at `start`.
    pub(crate) fn pin_bytes(&mut self, region: &Region, start: usize, len: usize) {
        if !self.is_on() {
            return;
        }
        if region.dependencies(start, len).is_unknown() {
            self.give_up();
        }
        for at in (start..start + len).step_by(WORD_BYTES) {
            let id = self.word(region, at);
            self.pin(Word { id, ..region.word(at) });
        }
    }

    /// The address that the account's next creation has; with salt and hash of the
    /// init code if it is given them.
    pub(crate) fn new_address(
        &mut self,
        creator: AccountRef,
        salted: Option<(Word, B256)>,
    ) -> ValueId {
        if !self.is_on() {
            return ValueId::CONSTANT;
        }
        let salted = salted
            .map(|(salt, hash)| (self.operand(salt), self.operand(Word::constant(hash.into()))));
        let id = self.found(|id| Event::NewAddress(creator, salted, id));
        if let Some(known) = id.position().and_then(|at| self.known.get_mut(at)) {
            known.zeros = ABOVE_ADDRESS;
        }
        id
    }

    /// A creation begins, with a checkpoint.
    pub(crate) fn create(
        &mut self,
        creator: AccountRef,
        created: AccountRef,
        value: Word,
    ) -> CheckpointRef {
        if !self.is_on() {
            return CheckpointRef::default();
        }
        let checkpoint = CheckpointRef(self.checkpoints);
        let value = self.operand(value);
        self.event(Event::Create { creator, created, value });
        self.checkpoints += 1;
        checkpoint
    }

    /// A creation leaves its code.
    pub(crate) fn deploy(&mut self, account: AccountRef, code: &Bytecode) {
        let code = self.code(code);
        self.event(Event::Deploy(account, code));
    }
}
