//! Words and bytes of which some are not known, with what they depend on.

use revm::primitives::U256;

/// What a word depends on: a bit for each of the first reads of the state, the last
/// but one for all others, and the last if it is not known.
pub(super) type Origin = u64;

/// The word is not known.
pub(super) const UNKNOWN: Origin = 1 << 63;

/// Reads of the state that are told apart.
pub(super) const READS_TOLD_APART: u32 = 62;

/// A word, and what it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) word: U256,
    pub(super) origin: Origin,
}

impl Value {
    pub(super) const UNKNOWN: Self = Self { word: U256::ZERO, origin: UNKNOWN };

    pub(super) const fn input(word: U256) -> Self {
        Self { word, origin: 0 }
    }

    pub(super) const fn is_known(&self) -> bool {
        self.origin & UNKNOWN == 0
    }

    /// The number of a byte, or a number of bytes; none if it is not known or large.
    pub(super) fn offset(&self) -> Option<usize> {
        let value = usize::try_from(self.word).ok().filter(|_| self.is_known())?;
        (value <= BYTES_MAX).then_some(value)
    }
}

/// Bytes of one call's data, answer or memory that are followed.
pub(super) const BYTES_MAX: usize = 1 << 18;

/// Where Solidity keeps the pointer to free memory; behind it a word of zeros, then
/// what is allocated.
pub(super) const POINTER: usize = 0x40;

/// Bytes that are left for what was allocated with a length that is not known.
const UNKNOWN_BYTES: usize = 1 << 12;

/// Bytes, and what they depend on. Behind the end are zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Data {
    bytes: Vec<u8>,
    /// Of each byte; those behind its end are inputs or constants.
    origins: Vec<Origin>,
    /// What its length depends on.
    pub(super) len_origin: Origin,
    /// Whether nothing of it is known.
    pub(super) is_lost: bool,
    /// Whether nothing is known of what is behind the end.
    is_open: bool,
}

impl Data {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.origins.clear();
        self.len_origin = 0;
        self.is_lost = false;
        self.is_open = false;
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn assign(&mut self, bytes: &[u8]) {
        self.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// Becomes a copy of another.
    pub(super) fn assign_from(&mut self, other: &Self) {
        self.bytes.clone_from(&other.bytes);
        self.origins.clone_from(&other.origins);
        (self.len_origin, self.is_lost, self.is_open) =
            (other.len_origin, other.is_lost, other.is_open);
    }

    /// Everything depends on something.
    pub(super) fn depend_on(&mut self, origin: Origin) {
        self.mark(0, self.len(), origin);
        self.len_origin |= origin;
    }

    /// A pointer to memory that nothing known lies in.
    pub(super) fn fresh_pointer(&self) -> Value {
        let held = self.word(POINTER).offset().unwrap_or(0);
        let free = held.max(self.len()).next_multiple_of(32) + UNKNOWN_BYTES;
        if free > BYTES_MAX { Value::UNKNOWN } else { Value::input(U256::from(free)) }
    }

    /// Nothing is known any more.
    pub(super) fn lose(&mut self) {
        self.clear();
        self.is_lost = true;
        self.len_origin = UNKNOWN;
    }

    pub(super) fn push(&mut self, value: &Value, bytes: usize) {
        let start = self.bytes.len();
        let word = value.word.to_be_bytes::<32>();
        self.bytes.extend_from_slice(&word[32 - bytes..]);
        self.mark(start, start + bytes, value.origin);
    }

    /// What the bytes from `at` depend on.
    pub(super) fn origin(&self, at: usize, len: usize) -> Origin {
        if self.is_lost {
            return UNKNOWN;
        }
        let end = at.saturating_add(len);
        let marked = self.origins.len();
        let met = &self.origins[at.min(marked)..end.min(marked)];
        let origin = met.iter().fold(0, |all, origin| all | origin);
        // Whether there is a byte depends on the length.
        if end > self.bytes.len() { origin | self.behind() } else { origin }
    }

    /// What the bytes behind the end depend on.
    const fn behind(&self) -> Origin {
        if self.is_open { UNKNOWN } else { self.len_origin }
    }

    /// The word at `at`.
    pub(super) fn word(&self, at: usize) -> Value {
        let mut word = [0; 32];
        let bytes = self.bytes.get(at..).unwrap_or_default();
        let len = bytes.len().min(32);
        word[..len].copy_from_slice(&bytes[..len]);
        Value { word: U256::from_be_bytes(word), origin: self.origin(at, 32) }
    }

    /// The bytes from `at`, as many as there are.
    pub(super) fn slice(&self, at: usize, len: usize) -> &[u8] {
        let at = at.min(self.bytes.len());
        &self.bytes[at..at.saturating_add(len).min(self.bytes.len())]
    }

    fn grow(&mut self, len: usize) {
        let before = self.bytes.len();
        if before < len {
            self.bytes.resize(len, 0);
            if self.is_open {
                self.mark(before, len, UNKNOWN);
            }
        }
    }

    /// Writes the low bytes of a word.
    pub(super) fn store(&mut self, at: usize, value: &Value, bytes: usize) {
        self.grow(at + bytes);
        let word = value.word.to_be_bytes::<32>();
        self.bytes[at..at + bytes].copy_from_slice(&word[32 - bytes..]);
        self.mark(at, at + bytes, value.origin);
    }

    /// Nothing is known from a byte on.
    pub(super) fn lose_from(&mut self, at: usize) {
        self.mark(at, self.bytes.len(), UNKNOWN);
        self.is_open = true;
    }

    /// Bytes are not known, or depend on something.
    pub(super) fn lose_range(&mut self, at: usize, len: usize) {
        self.grow(at + len);
        self.mark(at, at + len, UNKNOWN);
    }

    /// Copies bytes of another, zeros behind its end.
    pub(super) fn copy(&mut self, to: usize, from: &Self, start: usize, len: usize) {
        if len == 0 {
            return;
        }
        self.grow(to + len);
        let bytes = from.slice(start, len);
        self.bytes[to..to + bytes.len()].copy_from_slice(bytes);
        self.bytes[to + bytes.len()..to + len].fill(0);
        self.mark(to, to + len, 0);
        if from.is_lost {
            self.mark(to, to + len, UNKNOWN);
            return;
        }
        let marked = from.origins.len();
        let origins = &from.origins[start.min(marked)..(start + len).min(marked)];
        if !origins.is_empty() {
            let end = to + origins.len();
            if self.origins.len() < end {
                self.origins.resize(end, 0);
            }
            self.origins[to..end].copy_from_slice(origins);
        }
        if start + len > from.len() {
            let first = from.len().saturating_sub(start).min(len);
            self.mark(to + first, to + len, from.behind());
        }
    }

    /// Copies bytes within.
    pub(super) fn copy_within(&mut self, to: usize, from: usize, len: usize, room: &mut Self) {
        room.clear();
        room.copy(0, self, from, len);
        self.copy(to, room, 0, len);
    }

    /// What bytes depend on, in place of what they did before.
    fn mark(&mut self, start: usize, end: usize, origin: Origin) {
        let marked = self.origins.len();
        if start >= end || (origin == 0 && marked <= start) {
            return;
        }
        if origin == 0 {
            self.origins[start..end.min(marked)].fill(0);
        } else {
            if marked < end {
                self.origins.resize(end, 0);
            }
            self.origins[start..end].fill(origin);
        }
    }

    /// Keeps what is the same in both.
    pub(super) fn meet(&mut self, other: &Self) {
        if self.len() == other.len() {
            self.is_lost |= other.is_lost;
            self.len_origin |= other.len_origin;
            self.meet_bytes(other);
        } else {
            self.lose();
        }
    }

    /// The same, of memory: of two pointers to free memory the one behind the other.
    pub(super) fn meet_memory(&mut self, other: &Self, has_pointer: bool) {
        let pointers = [&*self, other].map(|memory| memory.word(POINTER));
        self.grow(other.len());
        self.meet_bytes(other);
        if has_pointer && let [Some(one), Some(other)] = pointers.map(|it| it.offset()) {
            let origin = pointers[0].origin | pointers[1].origin;
            let word = U256::from(one.max(other));
            self.store(POINTER, &Value { word, origin }, 32);
        }
    }

    fn meet_bytes(&mut self, other: &Self) {
        self.is_open |= other.is_open;
        for start in (0..self.len()).step_by(32) {
            let end = (start + 32).min(self.len());
            let is_same = self.slice(start, 32) == other.slice(start, 32)
                && self.origin(start, end - start) == other.origin(start, end - start);
            if is_same {
                continue;
            }
            for at in start..end {
                let is_same = self.slice(at, 1) == other.slice(at, 1);
                let origin = self.origin(at, 1) | other.origin(at, 1);
                self.mark(at, at + 1, if is_same { origin } else { UNKNOWN });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_depends_on_what_was_written_last() {
        let mut data = Data::default();
        let unknown = Value::UNKNOWN;
        data.store(0, &unknown, 32);
        data.store(64, &Value { word: U256::from(7), origin: 4 }, 32);
        assert_eq!(data.word(32), Value::input(U256::ZERO));
        assert_eq!(data.word(64).origin, 4);
        assert_eq!(data.origin(16, 64), UNKNOWN | 4);
        data.store(8, &Value::input(U256::ONE), 8);
        assert_eq!(data.origin(8, 8), 0);
        assert_eq!((data.origin(0, 9), data.origin(15, 2)), (UNKNOWN, UNKNOWN));
    }

    #[test]
    fn behind_the_end_of_what_is_lost_nothing_is_known() {
        let mut data = Data::default();
        data.store(0, &Value::input(U256::ONE), 32);
        data.lose_from(16);
        assert_eq!((data.origin(0, 16), data.origin(16, 1)), (0, UNKNOWN));
        assert_eq!(data.word(96).origin, UNKNOWN);
        data.store(96, &Value::input(U256::ONE), 32);
        assert_eq!((data.origin(64, 32), data.word(96).origin), (UNKNOWN, 0));
    }

    #[test]
    fn a_copy_takes_origins_along_and_zeros_behind_the_end() {
        let mut from = Data::default();
        from.push(&Value::input(U256::MAX), 4);
        from.push(&Value::UNKNOWN, 32);
        let mut to = Data::default();
        to.copy(0, &from, 0, 64);
        assert_eq!((to.origin(0, 4), to.origin(4, 32), to.origin(36, 28)), (0, UNKNOWN, 0));
        assert_eq!(to.slice(0, 4), [0xff; 4]);
        assert_eq!(to.len(), 64);
        let mut room = Data::default();
        to.copy_within(4, 0, 40, &mut room);
        assert_eq!((to.origin(0, 8), to.origin(8, 32), to.origin(40, 4)), (0, UNKNOWN, 0));
        to.copy(1, &from, 0, 6);
        assert_eq!((to.origin(0, 5), to.origin(5, 2), to.origin(7, 1)), (0, UNKNOWN, 0));
    }

    #[test]
    fn what_two_ways_give_differently_is_not_known() {
        let mut one = Data::default();
        one.push(&Value::input(U256::ONE), 32);
        one.push(&Value::input(U256::from(5)), 32);
        let mut other = Data::default();
        other.push(&Value::input(U256::ONE), 32);
        other.push(&Value::input(U256::from(6)), 32);
        one.meet(&other);
        assert_eq!((one.word(0).origin, one.word(32).origin), (0, UNKNOWN));
        one.meet(&Data::default());
        assert!(one.is_lost);
    }
}
