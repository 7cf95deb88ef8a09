//! Where the bytes of a frame's memory come from.
//!
//! Each byte has the number of the store that wrote it last; zero is a constant, whose value
//! is in the real memory. Words are read back whole, shifted, or put together from a few
//! pieces. Memory beyond a limit is not followed.

use forewave_analyzer::{Trace, Word};
use revm::{bytecode::opcode as op, primitives::U256};

/// Bytes of memory that are followed.
const BYTES_MAX: usize = 1 << 17;

/// Stores that are told apart.
const STORES_MAX: usize = 1 << 16;

/// Pieces of one word that are told apart.
const PIECES_MAX: usize = 6;

/// Parts of what is hashed.
const PARTS_MAX: usize = 64;

/// The store of what is not known.
const UNKNOWN: u32 = 1;

/// What was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Unknown,
    Word(Word),
    /// Call data from an offset on, given as word and value.
    CallData {
        from: Word,
        at: usize,
    },
    /// What the call that was this event answered, from an offset on.
    Answer {
        event: u32,
        at: usize,
    },
}

#[derive(Clone, Copy, Debug)]
struct Store {
    /// Where the first byte of the source is; it may be before memory begins.
    start: isize,
    source: Source,
}

/// Consecutive bytes of one store.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at: usize,
    len: usize,
    store: u32,
}

/// The origin of every byte.
#[derive(Debug, Default)]
pub(super) struct ShadowMemory {
    bytes: Vec<u32>,
    stores: Vec<Store>,
}

impl ShadowMemory {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.stores.clear();
        self.stores.push(Store { start: 0, source: Source::Unknown });
    }

    fn number(&mut self, start: isize, source: Source) -> u32 {
        if source == Source::Unknown || self.stores.len() >= STORES_MAX {
            return UNKNOWN;
        }
        self.stores.push(Store { start, source });
        u32::try_from(self.stores.len()).unwrap_or(UNKNOWN)
    }

    fn put(&mut self, at: usize, len: usize, store: u32) {
        let end = at.saturating_add(len).min(BYTES_MAX);
        if at >= end {
            return;
        }
        if store == 0 {
            let end = end.min(self.bytes.len());
            if at < end {
                self.bytes[at..end].fill(0);
            }
            return;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].fill(store);
    }

    /// Bytes are the same in every run.
    pub(super) fn put_constant(&mut self, at: usize, len: usize) {
        self.put(at, len, 0);
    }

    /// Bytes come from somewhere, from its first on.
    pub(super) fn put_source(&mut self, at: usize, len: usize, source: Source) {
        if at >= BYTES_MAX || len == 0 {
            return;
        }
        let store = self.number(isize::try_from(at).unwrap_or(isize::MAX), source);
        self.put(at, len, store);
    }

    /// A word is stored.
    pub(super) fn put_word(&mut self, at: usize, word: Word) {
        match word {
            Word::CONSTANT => self.put_constant(at, 32),
            Word::UNKNOWN => self.put(at, 32, UNKNOWN),
            word => self.put_source(at, 32, Source::Word(word)),
        }
    }

    /// The low byte of a word is stored.
    pub(super) fn put_byte(&mut self, at: usize, word: Word) {
        match word {
            Word::CONSTANT => self.put_constant(at, 1),
            Word::UNKNOWN => self.put(at, 1, UNKNOWN),
            word if at < BYTES_MAX => {
                let start = isize::try_from(at).unwrap_or(isize::MAX) - 31;
                let store = self.number(start, Source::Word(word));
                self.put(at, 1, store);
            }
            _ => {}
        }
    }

    /// Bytes are copied within.
    pub(super) fn copy(&mut self, to: usize, from: usize, len: usize) {
        if from.saturating_add(len) > BYTES_MAX || to >= BYTES_MAX {
            self.put(to, len, UNKNOWN);
            return;
        }
        let shift = isize::try_from(to).unwrap_or(0) - isize::try_from(from).unwrap_or(0);
        let pieces: Vec<Piece> = self.pieces(from, len).collect();
        let moved: Vec<_> = pieces
            .into_iter()
            .map(|piece| {
                let store = match piece.store {
                    store @ (0 | UNKNOWN) => store,
                    store => {
                        let Store { start, source } = self.stores[store as usize - 1];
                        self.number(start + shift, source)
                    }
                };
                (piece.at - from + to, piece.len, store)
            })
            .collect();
        for (at, len, store) in moved {
            self.put(at, len, store);
        }
    }

    fn store_at(&self, at: usize) -> u32 {
        match self.bytes.get(at) {
            Some(store) => *store,
            None if at >= BYTES_MAX => UNKNOWN,
            None => 0,
        }
    }

    /// The bytes of a range, cut where the store changes.
    fn pieces(&self, at: usize, len: usize) -> impl Iterator<Item = Piece> {
        let end = at.saturating_add(len);
        let mut next = at;
        core::iter::from_fn(move || {
            let start = next;
            if start >= end {
                return None;
            }
            let store = self.store_at(start);
            next += 1;
            while next < end && self.store_at(next) == store {
                // Behind the last byte that was written all is the same, up to the limit.
                next = match next {
                    next if next >= BYTES_MAX => end,
                    next if next >= self.bytes.len() => end.min(BYTES_MAX),
                    next => next + 1,
                };
            }
            next = next.min(end);
            Some(Piece { at: start, len: next - start, store })
        })
    }

    /// Whether the range is the same in every run.
    pub(super) fn is_constant(&self, at: usize, len: usize) -> bool {
        let end = at.saturating_add(len);
        end <= BYTES_MAX
            && self
                .bytes
                .get(at..end.min(self.bytes.len()))
                .unwrap_or_default()
                .iter()
                .all(|store| *store == 0)
    }

    /// Whether the range is one stretch of call data from its first byte on.
    pub(super) fn is_calldata(&self, at: usize, len: usize) -> bool {
        let mut pieces = self.pieces(at, len);
        let (Some(piece), None) = (pieces.next(), pieces.next()) else { return false };
        let Some(Store { start, source }) = self.stores.get((piece.store as usize).wrapping_sub(1))
        else {
            return false;
        };
        let is_first = isize::try_from(at) == Ok(*start);
        matches!(source, Source::CallData { at: 0, .. }) && is_first
    }

    /// The bytes of a range, at most 32, as the low bytes of a word. `real` is the memory.
    pub(super) fn read(&self, trace: &mut Trace, real: &[u8], at: usize, len: usize) -> Word {
        let first = self.store_at(at);
        let same = match self.bytes.get(at..at + len) {
            Some(stores) => stores.iter().all(|store| *store == first),
            None => self.is_constant(at, len),
        };
        match first {
            0 if same => Word::CONSTANT,
            store if same => self.piece(trace, Piece { at, len, store }, true),
            _ => self.put_together(trace, real, at, len),
        }
    }

    fn put_together(&self, trace: &mut Trace, real: &[u8], at: usize, len: usize) -> Word {
        let pieces: Vec<Piece> = self.pieces(at, len).collect();
        if pieces.len() > PIECES_MAX || pieces.iter().any(|piece| piece.store == UNKNOWN) {
            return Word::UNKNOWN;
        }
        let mut constant = U256::ZERO;
        let mut all: Option<Word> = None;
        for piece in pieces {
            let shift = U256::from(8 * (at + len - piece.at - piece.len));
            if piece.store == 0 {
                constant |= word_of(real, piece.at, piece.len) << shift;
                continue;
            }
            let word = self.piece(trace, piece, true);
            let shifted = if shift.is_zero() {
                word
            } else {
                let shift = trace.constant(shift);
                trace.operation(op::SHL, [shift, word, Word::CONSTANT])
            };
            all = Some(match all {
                None => shifted,
                Some(all) => trace.operation(op::OR, [all, shifted, Word::CONSTANT]),
            });
        }
        match all {
            None => Word::CONSTANT,
            Some(all) if constant.is_zero() => all,
            Some(all) => {
                let constant = trace.constant(constant);
                trace.operation(op::OR, [all, constant, Word::CONSTANT])
            }
        }
    }

    /// The parts of what is hashed; none if some is not known.
    pub(super) fn parts(
        &self,
        trace: &mut Trace,
        real: &[u8],
        at: usize,
        len: usize,
    ) -> Option<Vec<(u8, Word)>> {
        let mut parts = Vec::new();
        for piece in self.pieces(at, len) {
            let end = piece.at + piece.len;
            for at in (piece.at..end).step_by(32) {
                let part = Piece { at, len: (end - at).min(32), ..piece };
                let word = match part.store {
                    0 => trace.constant(word_of(real, part.at, part.len)),
                    _ => self.piece(trace, part, false),
                };
                if word == Word::UNKNOWN || parts.len() >= PARTS_MAX {
                    return None;
                }
                parts.push((u8::try_from(part.len).unwrap_or(32), word));
            }
        }
        Some(parts)
    }

    /// Bytes of one store as the low bytes of a word; `is_whole` if the others are to be zero.
    fn piece(&self, trace: &mut Trace, piece: Piece, is_whole: bool) -> Word {
        let Some(Store { start, source }) = self.stores.get(piece.store as usize - 1) else {
            return Word::UNKNOWN;
        };
        let from = isize::try_from(piece.at).ok().and_then(|at| usize::try_from(at - start).ok());
        let Some(from) = from else { return Word::UNKNOWN };
        match *source {
            Source::Unknown => Word::UNKNOWN,
            Source::Word(word) => low_bytes(trace, word, (from, piece.len), is_whole),
            Source::CallData { from: base, at } => {
                let offset = if base == Word::CONSTANT {
                    trace.constant(U256::from(at + from))
                } else if from == 0 {
                    base
                } else {
                    let delta = trace.constant(U256::from(from));
                    trace.operation(op::ADD, [base, delta, Word::CONSTANT])
                };
                let word = trace.calldata(offset);
                low_bytes(trace, word, (0, piece.len), is_whole)
            }
            Source::Answer { event, at } => {
                let (number, first) = ((at + from) / 32, (at + from) % 32);
                if first + piece.len > 32 {
                    return Word::UNKNOWN;
                }
                let word = trace.returned(event, u32::try_from(number).unwrap_or(u32::MAX));
                low_bytes(trace, word, (first, piece.len), is_whole)
            }
        }
    }
}

/// `len` bytes of a word from its byte `first` on, as low bytes.
fn low_bytes(trace: &mut Trace, word: Word, (first, len): (usize, usize), is_whole: bool) -> Word {
    let end = first + len;
    if end > 32 {
        return Word::UNKNOWN;
    }
    let shifted = if end == 32 {
        word
    } else {
        let shift = trace.constant(U256::from(8 * (32 - end)));
        trace.operation(op::SHR, [shift, word, Word::CONSTANT])
    };
    if first == 0 || !is_whole {
        return shifted;
    }
    let mask = trace.constant(U256::MAX >> (8 * (32 - len)));
    trace.operation(op::AND, [shifted, mask, Word::CONSTANT])
}

/// At most 32 bytes of memory as a number; behind its end are zeros.
pub(super) fn word_of(real: &[u8], at: usize, len: usize) -> U256 {
    let mut word = [0; 32];
    for (to, from) in word[32 - len..].iter_mut().zip(at..) {
        *to = real.get(from).copied().unwrap_or(0);
    }
    U256::from_be_bytes(word)
}
