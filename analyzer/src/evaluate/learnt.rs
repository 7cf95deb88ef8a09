//! Where a function's summary does not suffice, what real runs of it did.
//!
//! ```text
//! follow the summary ──something widened──> follow what was learnt, as accesses that may be
//!                                           made; keep what is widened less
//! ```
//!
//! What was learnt is a program like any other, of one stretch. Calls in it are followed into
//! the summaries of the called code, and from there again into what was learnt. It is paid
//! from a budget of its own, so that a transaction that has reached a limit has some left.

use std::sync::Arc;

use revm::{DatabaseRef, bytecode::Bytecode, primitives::U256};

use super::{
    Evaluation,
    data::{UNKNOWN, Value},
    frame::{Frame, Running},
};
use crate::{
    Scope, WidenedAccess, WideningCause,
    learnt::{FunctionKey, LearntProgram, Selected},
    program::Span,
};

/// How much was widened and stored when a call began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    widened: usize,
    widenings: u32,
    stores: usize,
}

impl<DB: DatabaseRef> Evaluation<'_, DB> {
    /// How much is widened so far.
    pub(super) const fn mark(&self) -> Mark {
        Mark {
            widened: self.scratch.widened.len(),
            widenings: self.widenings,
            stores: self.scratch.stores.len(),
        }
    }

    /// Follows what was learnt of a function if its summary widened something since, is not
    /// there, or does not say what it answers. Whether it did.
    pub(super) fn ask_learnt(
        &mut self,
        frame: Frame,
        key: FunctionKey,
        (inputs, code): (&[U256], &Bytecode),
        before: Mark,
        [has_summary, has_own_entry]: [bool; 2],
    ) -> bool {
        if self.scratch.learnt_edition == 0 {
            return false;
        }
        let is_widened = self.widenings != before.widenings;
        let lacks_answer = !self.is_answer_known(frame.answer);
        if !is_widened && has_summary && !lacks_answer {
            return false;
        }
        let Some(learnt) = self.learnt_for(key, has_own_entry) else { return false };
        let is_asked = is_widened || !has_summary || learnt.has_answer;
        let has_room = self.depth < self.evaluator.limits.depth_max
            && self.calls_left > 0
            && self.learnt_left > 0;
        if !is_asked || !has_room {
            return false;
        }
        let widened = self.scratch.widened.split_off(before.widened);
        // What was learnt is what happens from the beginning of the call on.
        let after = self.take_back_stores(before.stores);
        self.follow_learnt(frame, &learnt, inputs, code);
        for (slot, value) in after {
            self.scratch.record.slots[slot].value = value;
        }
        // The narrower of both, if runs were seen whole.
        let narrows =
            learnt.is_sure && widest(&self.scratch.widened[before.widened..]) < widest(&widened);
        if !narrows {
            self.scratch.widened.truncate(before.widened);
            self.scratch.widened.extend(widened);
        }
        if self.scratch.widened.len() == before.widened {
            self.widenings = before.widenings;
        }
        true
    }

    /// Gives slots what they held before the stores since; what they held until now.
    fn take_back_stores(&mut self, since: usize) -> Vec<(usize, Option<Value>)> {
        let slots = &mut self.scratch.record.slots;
        let stores = self.scratch.stores[since..].iter().rev();
        let mut after: Vec<_> = stores
            .map(|(slot, before)| (*slot, core::mem::replace(&mut slots[*slot].value, *before)))
            .collect();
        after.reverse();
        after
    }

    fn follow_learnt(
        &mut self,
        frame: Frame,
        learnt: &LearntProgram,
        inputs: &[U256],
        code: &Bytecode,
    ) {
        self.depth += 1;
        self.calls_left -= 1;
        self.may += 1;
        self.learnt_depth += 1;
        let (used, stores) = (self.scratch.data_used, self.scratch.stores.len());
        let answer = self.scratch.open();
        let given = Frame { answer, is_returned: false, ..frame };
        self.follow(given, &learnt.program, inputs, code);
        let is_better = !self.is_answer_known(frame.answer);
        if learnt.has_answer && is_better && self.is_answer_known(answer) {
            self.scratch.data.swap(answer, frame.answer);
        }
        self.scratch.data_used = used;
        self.close_stores(stores, &[]);
        self.learnt_depth -= 1;
        self.may -= 1;
        self.depth -= 1;
    }

    /// Whether all words of an answer are known.
    fn is_answer_known(&self, answer: usize) -> bool {
        let answer = &self.scratch.data[answer];
        (answer.origin(0, answer.len()) | answer.len_origin) & UNKNOWN == 0
    }

    /// What was learnt of a function, or of the fallback if it has no entry of its own.
    fn learnt_for(&mut self, key: FunctionKey, has_own_entry: bool) -> Option<Arc<LearntProgram>> {
        let own = self.learnt(key);
        if own.is_some() || has_own_entry {
            return own;
        }
        self.learnt((key.0, Selected::Fallback))
    }

    /// The hash of more parts than a summary of code has.
    pub(super) fn long_keccak(&mut self, running: &Running<'_>, parts: Span) -> Value {
        let mut bytes = Vec::with_capacity(32 * parts.len as usize);
        let mut origin = 0;
        for (part, word) in parts.of(&running.program.parts) {
            let value = running.value(*word);
            origin |= value.origin;
            let word = value.word.to_be_bytes::<32>();
            bytes.extend(&word[32 - usize::from(*part)..]);
        }
        self.hash(&bytes, origin)
    }

    /// What was learnt of a function, looked up once for each thread and edition.
    fn learnt(&mut self, key: FunctionKey) -> Option<Arc<LearntProgram>> {
        let learnt = self.evaluator.summaries.learnt();
        let known = &mut self.scratch.learnt;
        known.entry(key).or_insert_with(|| learnt.program(&key)).clone()
    }

    /// Forgets what was looked up before something new was learnt.
    pub(super) fn renew_learnt(&mut self) {
        let edition = self.evaluator.summaries.learnt().edition();
        if self.scratch.learnt_edition != edition {
            self.scratch.learnt.clear();
            self.scratch.learnt_edition = edition;
        }
    }
}

/// How far widened accesses reach at most.
fn widest(widened: &[(WidenedAccess, WideningCause)]) -> Option<u8> {
    let reach = widened.iter().map(|(widened, _)| match widened.scope {
        Scope::Mapping { .. } => 0,
        Scope::Contract { .. } => 1,
        Scope::Everything => 2,
    });
    reach.max()
}
