//! The stack of a frame.
//!
//! Whether an instruction finds its operands and room for its result is checked
//! once, from the table, before it runs; what is missing here is never asked for.

use super::word::Word;

/// Words that a stack holds at most.
pub(crate) const STACK_WORDS_MAX: u16 = 1024;

/// A stack of words.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    /// All the room there is; what lies at `len` and above is meaningless.
    words: Box<[Word; STACK_WORDS_MAX as usize]>,
    len: usize,
}

impl Default for Stack {
    fn default() -> Self {
        let words = vec![Word::default(); usize::from(STACK_WORDS_MAX)].into_boxed_slice();
        Self { words: words.try_into().expect("a stack has STACK_WORDS_MAX words"), len: 0 }
    }
}

impl Stack {
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn clear(&mut self) {
        self.len = 0;
    }

    #[inline]
    pub(crate) fn push(&mut self, word: Word) {
        if let Some(top) = self.words.get_mut(self.len) {
            *top = word;
            self.len += 1;
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Word {
        self.len = self.len.saturating_sub(1);
        self.words[self.len]
    }

    #[inline]
    pub(crate) fn pop_many<const N: usize>(&mut self) -> [Word; N] {
        core::array::from_fn(|_| self.pop())
    }

    /// The top word, to be replaced by a result.
    #[inline]
    pub(crate) fn top(&mut self) -> &mut Word {
        &mut self.words[self.len.saturating_sub(1)]
    }

    /// `DUPn`; the table has checked that there are `n` words.
    #[inline]
    pub(crate) fn duplicate(&mut self, n: usize) {
        self.push(self.words[self.len - n]);
    }

    /// `SWAPn`; the table has checked that there are `n + 1` words.
    #[inline]
    pub(crate) fn swap(&mut self, n: usize) {
        let last = self.len - 1;
        self.words.swap(last, last - n);
    }
}
