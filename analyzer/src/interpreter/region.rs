//! Byte-precise memory, call data and return data, with the provenance of words.
//!
//! Every 32 bytes carry one tag: the provenance of the last whole word that was
//! stored beginning there, and what the bytes around it depend on. A word read
//! where one was stored has exactly its provenance; any other read joins the
//! dependencies of the bytes it spans, never fewer.
//!
//! Beside that lies a shadow: for each byte, the value of the trace that it is
//! part of. It is exact, and reaches only as far as bytes that are not constant.

use revm::primitives::U256;

use super::word::{Provenance, Word};
use crate::template::ValueId;

const WORD_BYTES: usize = 32;

/// No whole word begins here.
const NO_WORD: u8 = u8::MAX;

#[derive(Clone, Copy, Debug)]
struct Tag {
    /// Provenance of the word that begins at `shift` bytes into this tag's 32.
    word: Provenance,
    /// Dependencies of the other bytes.
    around: Provenance,
    shift: u8,
}

impl Tag {
    const CONSTANT: Self =
        Self { word: Provenance::CONSTANT, around: Provenance::CONSTANT, shift: NO_WORD };

    const fn all(self) -> Provenance {
        self.word.join(self.around)
    }

    /// The word is no longer whole.
    const fn break_word(&mut self) {
        self.around = self.all();
        self.word = Provenance::CONSTANT;
        self.shift = NO_WORD;
    }
}

/// Bits of a byte's shadow that say which byte of the value it is.
const BYTE_BITS: u32 = 5;

/// Shadow of the last byte of a value, beside the value.
const LAST_BYTE: u32 = (1 << BYTE_BITS) - 1;

/// Which values of the trace the 32 bytes at some place belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shadow {
    /// The bytes are constant.
    Constant,
    /// They are this value.
    Whole(ValueId),
    /// Each is constant, or some byte of some value: [`Region::shadow_bytes`].
    Mixed,
}

/// Bytes that grow at the end, with provenance. Reads beyond the end are zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Region {
    bytes: Vec<u8>,
    tags: Vec<Tag>,
    /// For each byte up to the last that is not constant, the value that it is
    /// part of and which of its bytes; 0 where it is constant.
    shadow: Vec<u32>,
    /// The bytes are the transaction's call data; they have no shadow.
    is_input: bool,
}

impl Region {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that the region could hold without growing.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Empties the region; its allocation stays.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.tags.clear();
        self.shadow.clear();
        self.is_input = false;
    }

    /// Marks the bytes as the transaction's call data.
    pub(crate) fn mark_input(&mut self) {
        self.is_input = true;
    }

    /// Whether the bytes are the transaction's call data.
    #[inline]
    pub(crate) const fn is_input(&self) -> bool {
        self.is_input
    }

    /// Which values of the trace the 32 bytes at `start` belong to.
    #[inline]
    pub(crate) fn shadow(&self, start: usize) -> Shadow {
        let rest = self.shadow.get(start..).unwrap_or_default();
        let Some(word) = rest.first_chunk::<WORD_BYTES>() else {
            return if rest.is_empty() { Shadow::Constant } else { Shadow::Mixed };
        };
        let first = word[0];
        if word.iter().all(|byte| *byte == 0) {
            return Shadow::Constant;
        }
        let is_whole = first != 0
            && first.trailing_zeros() >= BYTE_BITS
            && word.iter().zip(first..).all(|(byte, expected)| *byte == expected);
        if is_whole {
            Shadow::Whole(ValueId::from_number(first >> BYTE_BITS))
        } else {
            Shadow::Mixed
        }
    }

    /// For each of the 32 bytes at `start`, which byte of which value it is.
    pub(crate) fn shadow_bytes(&self, start: usize) -> [Option<(ValueId, u8)>; WORD_BYTES] {
        let mut named = [None; WORD_BYTES];
        let bytes = self.shadow.get(start..).unwrap_or_default();
        for (named, byte) in named.iter_mut().zip(bytes) {
            let index = u8::try_from(byte % (1 << BYTE_BITS)).unwrap_or_default();
            *named = (*byte != 0).then(|| (ValueId::from_number(byte >> BYTE_BITS), index));
        }
        named
    }

    /// Says that the `len` bytes at `start` are the first of a value.
    pub(crate) fn set_shadow(&mut self, start: usize, len: usize, id: ValueId) {
        if id.is_constant() {
            self.clear_shadow(start, len);
        } else {
            self.grow_shadow(start + len);
            let first = id.number() << BYTE_BITS;
            for (byte, number) in self.shadow[start..start + len].iter_mut().zip(first..) {
                *byte = number;
            }
        }
    }

    fn clear_shadow(&mut self, start: usize, len: usize) {
        let end = start.saturating_add(len).min(self.shadow.len());
        if start < end {
            self.shadow[start..end].fill(0);
        }
    }

    fn grow_shadow(&mut self, len: usize) {
        if self.shadow.len() < len {
            self.shadow.resize(len.next_multiple_of(WORD_BYTES), 0);
        }
    }

    /// Grows to at least `len` bytes.
    pub(crate) fn grow(&mut self, len: usize) {
        if len > self.bytes.len() {
            self.bytes.resize(len, 0);
            self.tags.resize(len.div_ceil(WORD_BYTES), Tag::CONSTANT);
        }
    }

    /// Replaces the content by `bytes` of one provenance.
    pub(crate) fn fill(&mut self, bytes: &[u8], provenance: Provenance) {
        self.clear();
        self.bytes.extend_from_slice(bytes);
        let tag = Tag { around: provenance.flags(), ..Tag::CONSTANT };
        self.tags.resize(bytes.len().div_ceil(WORD_BYTES), tag);
    }

    /// The bytes from `start`, at most `len` of them.
    pub(crate) fn slice(&self, start: usize, len: usize) -> &[u8] {
        let start = start.min(self.bytes.len());
        let end = start.saturating_add(len).min(self.bytes.len());
        &self.bytes[start..end]
    }

    /// The 32 bytes at `start`.
    pub(crate) fn word(&self, start: usize) -> Word {
        if let Some(bytes) = self.bytes.get(start..).and_then(<[u8]>::first_chunk::<WORD_BYTES>) {
            return Word::new(U256::from_be_bytes(*bytes), self.word_provenance(start));
        }
        let mut bytes = [0; WORD_BYTES];
        let rest = self.slice(start, WORD_BYTES);
        bytes[..rest.len()].copy_from_slice(rest);
        Word::new(U256::from_be_bytes(bytes), self.word_provenance(start))
    }

    fn word_provenance(&self, start: usize) -> Provenance {
        let (first, shift) = (start / WORD_BYTES, start % WORD_BYTES);
        match self.tags.get(first) {
            None => Provenance::CONSTANT,
            Some(tag) if usize::from(tag.shift) == shift => tag.word,
            Some(_) => self.dependencies(start, WORD_BYTES),
        }
    }

    /// What the `len` bytes at `start` depend on.
    pub(crate) fn dependencies(&self, start: usize, len: usize) -> Provenance {
        let first = (start / WORD_BYTES).min(self.tags.len());
        let end = start.saturating_add(len).div_ceil(WORD_BYTES).min(self.tags.len());
        // A word that begins in the tag before reaches into the first.
        let before = first.checked_sub(1).map_or(Provenance::CONSTANT, |at| self.tags[at].word);
        self.tags[first..end.max(first)].iter().fold(before.flags(), |all, tag| all.join(tag.all()))
    }

    /// Stores a word at `start`; the region has been grown to hold it.
    pub(crate) fn set_word(&mut self, start: usize, word: Word) {
        self.bytes[start..start + WORD_BYTES]
            .copy_from_slice(&word.value.to_be_bytes::<WORD_BYTES>());
        self.tag_word(start, word.provenance);
        self.set_shadow(start, WORD_BYTES, word.id);
    }

    fn tag_word(&mut self, start: usize, provenance: Provenance) {
        self.break_reaching(start);
        let (first, shift) = (start / WORD_BYTES, start % WORD_BYTES);
        let around = if shift == 0 { Provenance::CONSTANT } else { self.tags[first].all() };
        let shift_byte = u8::try_from(shift).unwrap_or(NO_WORD);
        self.tags[first] = Tag { word: provenance, around, shift: shift_byte };
        if shift > 0
            && let Some(next) = self.tags.get_mut(first + 1)
        {
            if next.shift < shift_byte {
                next.break_word();
            }
            next.around = next.around.join(provenance);
        }
    }

    /// Tags `len` bytes at `start` as overwritten by bytes of `provenance`, which
    /// maps an offset into them to what the 32 bytes from there depend on.
    fn tag_bytes(&mut self, start: usize, len: usize, provenance: impl Fn(usize) -> Provenance) {
        self.break_reaching(start);
        let end = start + len;
        for at in start / WORD_BYTES..end.div_ceil(WORD_BYTES) {
            let (from, to) = (at * WORD_BYTES, (at + 1) * WORD_BYTES);
            let written = provenance(from.max(start) - start).flags();
            let tag = &mut self.tags[at];
            if start <= from && to <= end {
                *tag = Tag { around: written, ..Tag::CONSTANT };
                continue;
            }
            let word_from = from + usize::from(tag.shift);
            if tag.shift != NO_WORD && start < word_from + WORD_BYTES && word_from < end {
                tag.break_word();
            }
            tag.around = tag.around.join(written);
        }
    }

    /// A word that begins in the 32 bytes before those of `start` and reaches
    /// `start` is about to be overwritten. What is left of it is noted already:
    /// a word that crosses into the next tag's bytes is noted in both.
    fn break_reaching(&mut self, start: usize) {
        let Some(before) = (start / WORD_BYTES).checked_sub(1) else { return };
        let tag = &mut self.tags[before];
        if tag.shift != NO_WORD && usize::from(tag.shift) > start % WORD_BYTES {
            tag.break_word();
        }
    }

    /// Stores one byte; the region has been grown to hold it.
    pub(crate) fn set_byte(&mut self, at: usize, word: Word) {
        self.bytes[at] = word.value.byte(0);
        self.tag_bytes(at, 1, |_| word.provenance);
        self.clear_shadow(at, 1);
        if !word.id.is_constant() {
            self.grow_shadow(at + 1);
            self.shadow[at] = (word.id.number() << BYTE_BITS) | LAST_BYTE;
        }
    }

    /// Stores `len` bytes at `start` from `bytes`, zero beyond its end; the
    /// region has been grown to hold them.
    pub(crate) fn set_bytes(
        &mut self,
        start: usize,
        len: usize,
        bytes: &[u8],
        provenance: Provenance,
    ) {
        if len == 0 {
            return;
        }
        let (held, zeros) = self.bytes[start..start + len].split_at_mut(bytes.len().min(len));
        held.copy_from_slice(&bytes[..held.len()]);
        zeros.fill(0);
        self.tag_bytes(start, len, |_| provenance);
        self.clear_shadow(start, len);
    }

    /// Copies `len` bytes with their provenance, zero beyond the end of `from`;
    /// the region has been grown to hold them.
    pub(crate) fn copy(&mut self, start: usize, from: &Self, from_start: usize, len: usize) {
        if len == 0 {
            return;
        }
        let source = from.slice(from_start, len);
        let (held, zeros) = self.bytes[start..start + len].split_at_mut(source.len());
        held.copy_from_slice(source);
        zeros.fill(0);
        self.copy_shadow(start, from, from_start, len);
        let from_start = from_start.min(from.bytes.len());
        self.tag_bytes(start, len, |at| {
            let at = from_start.saturating_add(at);
            from.dependencies(at, WORD_BYTES.min(from.len().saturating_sub(at)))
        });
        let first = from_start / WORD_BYTES;
        let last = (from_start + source.len()) / WORD_BYTES;
        for (at, tag) in from.tags.iter().enumerate().take(last).skip(first) {
            let word_start = at * WORD_BYTES + usize::from(tag.shift);
            let whole =
                word_start >= from_start && word_start + WORD_BYTES <= from_start + source.len();
            if tag.shift != NO_WORD && whole {
                self.tag_word(start + word_start - from_start, tag.word);
            }
        }
    }

    fn copy_shadow(&mut self, start: usize, from: &Self, from_start: usize, len: usize) {
        let source = from.shadow.get(from_start..).unwrap_or_default();
        let source = &source[..source.len().min(len)];
        self.clear_shadow(start, len);
        if source.iter().any(|byte| *byte != 0) {
            self.grow_shadow(start + source.len());
            self.shadow[start..start + source.len()].copy_from_slice(source);
        }
    }

    /// The whole words of the `len` bytes at `start`, and what is left over, appended to `words`.
    pub(crate) fn words(&self, start: usize, len: usize, words: &mut Vec<Word>) {
        let rest = len % WORD_BYTES;
        if rest > 0 {
            words.push(Word::new(
                U256::ZERO,
                self.dependencies(start, rest).join(Provenance::INPUT),
            ));
        }
        words.extend((0..len / WORD_BYTES).map(|at| self.word(start + rest + at * WORD_BYTES)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word(n: u64, provenance: Provenance) -> Word {
        Word::new(U256::from(n), provenance)
    }

    fn grown(len: usize) -> Region {
        let mut region = Region::default();
        region.grow(len);
        region
    }

    #[test]
    fn a_word_read_where_it_was_stored_has_its_provenance() {
        let mut region = grown(128);
        for start in [0, 4, 37, 96] {
            let stored = word(start as u64, Provenance::STATE);
            region.set_word(start, stored);
            assert_eq!(region.word(start), stored);
        }
    }

    #[test]
    fn a_word_read_across_two_depends_on_both() {
        let mut region = grown(96);
        region.set_word(0, word(1, Provenance::INPUT));
        region.set_word(32, word(2, Provenance::UNKNOWN));
        assert!(region.word(31).provenance.is_unknown());
        assert!(region.word(63).provenance.is_unknown());
        assert!(!region.word(0).provenance.is_unknown());
    }

    #[test]
    fn an_overwritten_word_no_longer_counts_as_stored() {
        let mut region = grown(96);
        region.set_word(36, word(1, Provenance::UNKNOWN));
        region.set_word(32, word(2, Provenance::CONSTANT));
        assert_eq!(region.word(32), word(2, Provenance::CONSTANT));
        assert!(region.word(36).provenance.is_unknown());
        region.set_bytes(0, 96, &[], Provenance::CONSTANT);
        assert_eq!(region.word(36), word(0, Provenance::CONSTANT));
    }

    #[test]
    fn a_copy_carries_words_to_another_alignment() {
        let mut from = grown(100);
        from.set_word(4, word(7, Provenance::STATE));
        from.set_word(36, word(8, Provenance::INPUT));
        let mut to = grown(128);
        to.copy(32, &from, 4, 64);
        assert_eq!(to.word(32), word(7, Provenance::STATE));
        assert_eq!(to.word(64), word(8, Provenance::INPUT));
        to.copy(0, &from, 4, 128);
        assert_eq!(to.word(0), word(7, Provenance::STATE));
        assert_eq!(to.word(96), word(0, Provenance::CONSTANT));
    }

    /// One store: where, how long (a word if none), and whether it is a guess.
    type Store = (usize, Option<usize>, bool);

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_word_depends_on_at_least_what_its_bytes_depend_on(
            stores in prop::collection::vec((0_usize..96, prop::option::of(0_usize..70), any::<bool>()), 0..12),
            copies in prop::collection::vec((0_usize..96, 0_usize..160, 0_usize..96), 0..4),
        ) {
            let mut region = grown(192);
            let mut guessed = [false; 256];
            for (start, len, is_guess) in stores as Vec<Store> {
                let provenance = if is_guess { Provenance::UNKNOWN } else { Provenance::INPUT };
                match len {
                    Some(len) => region.set_bytes(start, len, &[7], provenance),
                    None => region.set_word(start, word(7, provenance)),
                }
                guessed[start..start + len.unwrap_or(WORD_BYTES)].fill(is_guess);
            }
            for (to, from, len) in copies {
                let source = region.clone();
                region.copy(to, &source, from, len);
                let moved: Vec<bool> = guessed[from..from + len].to_vec();
                guessed[to..to + len].copy_from_slice(&moved);
            }
            for start in 0..160 {
                let has_guess = guessed[start..start + WORD_BYTES].contains(&true);
                prop_assert!(region.word(start).provenance.is_unknown() || !has_guess, "at {start}");
            }
        }
    }
}
