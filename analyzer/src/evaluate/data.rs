//! Words and bytes of which some are not known, with what they depend on.

use revm::primitives::U256;

/// What a word depends on: a bit for each of the first reads of the state, the last
/// but one for all others, and the last if it is not known.
pub(super) type Origin = u64;

/// The word is not known.
pub(super) const UNKNOWN: Origin = 1 << 63;

/// Reads of the state that are told apart.
pub(super) const READS_TOLD_APART: u32 = 62;

/// Stretches of bytes that are told apart.
const MARKS_MAX: usize = 64;

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

/// Bytes from `start` to `end` depend on something, or are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    start: usize,
    end: usize,
    origin: Origin,
}

/// Bytes; those without a mark are inputs or constants. Behind the end are zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Data {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    /// What its length depends on.
    pub(super) len_origin: Origin,
    /// Whether nothing of it is known.
    pub(super) is_lost: bool,
}

impl Data {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.marks.clear();
        self.len_origin = 0;
        self.is_lost = false;
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn assign(&mut self, bytes: &[u8]) {
        self.clear();
        self.bytes.extend_from_slice(bytes);
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
        let met = self.marks.iter().filter(|mark| mark.start < end && at < mark.end);
        let origin = met.fold(0, |all, mark| all | mark.origin);
        // Whether there is a byte depends on the length.
        if end > self.bytes.len() { origin | self.len_origin } else { origin }
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
        if self.bytes.len() < len {
            self.bytes.resize(len, 0);
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
        self.mark(at, usize::MAX, UNKNOWN);
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
        if from.len_origin != 0 && start + len > from.len() {
            let first = from.len().saturating_sub(start).min(len);
            self.mark(to + first, to + len, from.len_origin);
        }
        for mark in &from.marks {
            let (first, end) = (mark.start.max(start), mark.end.min(start + len));
            if first < end {
                self.mark(to + first - start, to + end - start, mark.origin);
            }
        }
    }

    /// Copies bytes within.
    pub(super) fn copy_within(&mut self, to: usize, from: usize, len: usize, room: &mut Self) {
        room.clear();
        room.copy(0, self, from, len);
        self.copy(to, room, 0, len);
    }

    /// What a stretch of bytes depends on, in place of what it did before.
    fn mark(&mut self, start: usize, end: usize, origin: Origin) {
        if start >= end || (self.marks.is_empty() && origin == 0) {
            return;
        }
        let mut at = 0;
        while let Some(&mark) = self.marks.get(at) {
            if mark.end <= start || end <= mark.start {
                at += 1;
                continue;
            }
            self.marks.swap_remove(at);
            if mark.start < start {
                self.marks.push(Mark { end: start, ..mark });
            }
            if end < mark.end {
                self.marks.push(Mark { start: end, ..mark });
            }
        }
        if origin == 0 {
            return;
        }
        let next_to = |mark: &&mut Mark| mark.origin == origin && mark.end == start;
        if let Some(mark) = self.marks.iter_mut().find(next_to) {
            mark.end = end;
            return;
        }
        self.marks.push(Mark { start, end, origin });
        if self.marks.len() > MARKS_MAX {
            let hull = |all: Mark, mark: &Mark| Mark {
                start: all.start.min(mark.start),
                end: all.end.max(mark.end),
                origin: all.origin | mark.origin,
            };
            let all = self.marks.iter().fold(self.marks[0], hull);
            self.marks.clear();
            self.marks.push(all);
        }
    }

    /// Keeps what is the same in both.
    pub(super) fn meet(&mut self, other: &Self) {
        if self == other {
            return;
        }
        if self.len() != other.len() {
            self.lose();
            return;
        }
        self.is_lost |= other.is_lost;
        let differing: Vec<usize> = (0..self.len())
            .step_by(4)
            .filter(|at| {
                self.slice(*at, 4) != other.slice(*at, 4) || other.origin(*at, 4) & UNKNOWN != 0
            })
            .collect();
        let len = self.len();
        for at in differing {
            self.mark(at, (at + 4).min(len), UNKNOWN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_cut_where_something_else_is_written() {
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
    fn a_copy_takes_marks_along_and_zeros_behind_the_end() {
        let mut from = Data::default();
        from.push(&Value::input(U256::MAX), 4);
        from.push(&Value::UNKNOWN, 32);
        let mut to = Data::default();
        to.copy(0, &from, 2, 64);
        assert_eq!((to.origin(0, 2), to.origin(2, 32), to.origin(34, 30)), (0, UNKNOWN, 0));
        assert_eq!(to.slice(0, 2), [0xff, 0xff]);
        assert_eq!(to.len(), 64);
        let mut room = Data::default();
        to.copy_within(1, 0, 40, &mut room);
        assert_eq!((to.origin(0, 3), to.origin(3, 32)), (0, UNKNOWN));
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
