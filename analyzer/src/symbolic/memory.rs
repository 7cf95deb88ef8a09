//! Memory as pieces of words, byte-precise where offsets are known.
//!
//! A place is an offset in a region: absolute memory, or what lies behind an
//! unknown pointer, which is the free memory pointer once something of unknown
//! length was allocated. **Assumption**: pointers that differ by something
//! unknown do not overlap, as compilers allocate. What is written at a place
//! of which not even that can be said makes all of memory unknown.

use std::collections::BTreeMap;

use revm::{bytecode::opcode as op, primitives::U256};

use crate::expr::{ExprArena, ExprId, HASHED_PARTS_MAX, KECCAK_PARTS_MAX, KeccakPart};

const WORD_BYTES: u32 = 32;

/// Scratch space, the free memory pointer and the zero word of Solidity's layout.
const FIXED_BYTES: u32 = 0x80;

/// Where Solidity keeps the pointer to free memory.
pub(super) const FREE_POINTER: Place = Place { base: None, offset: 0x40 };

/// A region's base and an offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) base: Option<ExprId>,
    pub(super) offset: u32,
}

impl Place {
    /// The place that a pointer leads to; none if nothing can be said about it.
    pub(super) fn of(arena: &ExprArena, pointer: ExprId) -> Option<Self> {
        let (base, offset) = arena.as_sum(pointer);
        let offset = u32::try_from(offset).ok()?;
        (base != Some(ExprId::UNKNOWN)).then_some(Self { base, offset })
    }

    pub(super) fn plus(self, bytes: u32) -> Option<Self> {
        Some(Self { base: self.base, offset: self.offset.checked_add(bytes)? })
    }
}

/// Bytes `skip..skip + len` of a big-endian word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    word: ExprId,
    skip: u8,
    len: u8,
}

/// Where a copy of unknown length begins, and what it copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bulk {
    from: u32,
    /// Whether it is the whole call data, from its first byte.
    is_calldata: bool,
}

/// The memory of one path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pieces: BTreeMap<Place, Piece>,
    bulks: BTreeMap<Option<ExprId>, Bulk>,
    /// Whether absolute memory that was never written may hold anything.
    is_unknown: bool,
}

impl Memory {
    /// Pieces held.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The whole words that are stored, each with its place.
    pub(super) fn words(&self) -> impl Iterator<Item = (Place, ExprId)> {
        let is_whole = |piece: &&Piece| piece.skip == 0 && piece.len == 32;
        let pieces = self.pieces.iter().filter(move |(_, piece)| is_whole(piece));
        pieces.map(|(place, piece)| (*place, piece.word))
    }

    /// The whole word that was stored at a place.
    pub(super) fn whole(&self, at: Place) -> Option<ExprId> {
        let piece = self.pieces.get(&at).filter(|piece| piece.skip == 0 && piece.len == 32);
        piece.map(|piece| piece.word)
    }

    /// Bytes that are known word by word, if they are and are no more than `max`.
    pub(super) fn known_words(
        &self,
        arena: &mut ExprArena,
        at: Place,
        len: u32,
        max: u32,
    ) -> Option<Box<[(u8, ExprId)]>> {
        if len > max {
            return None;
        }
        let parts = self.read(arena, at, len).into_iter().map(|(bytes, word)| {
            let word = word.filter(|word| *word != ExprId::UNKNOWN)?;
            Some((u8::try_from(bytes).ok()?, word))
        });
        parts.collect()
    }

    /// Whether something is known of places whose base `is_stale`.
    pub(super) fn has_base(&self, mut is_stale: impl FnMut(ExprId) -> bool) -> bool {
        let of_pieces = self.pieces.keys().filter_map(|place| place.base);
        let mut bases: Vec<ExprId> =
            of_pieces.chain(self.bulks.keys().copied().flatten()).collect();
        bases.dedup();
        bases.into_iter().any(&mut is_stale)
    }

    /// Forgets what is known of places whose base `is_stale`.
    pub(super) fn forget_bases(&mut self, is_stale: impl Fn(ExprId) -> bool) {
        self.pieces.retain(|place, _| !place.base.is_some_and(&is_stale));
        self.bulks.retain(|base, _| !base.is_some_and(&is_stale));
    }

    /// All of memory becomes unknown.
    pub(super) fn forget(&mut self) {
        *self = Self { is_unknown: true, ..Self::default() };
    }

    /// Stores a whole word.
    pub(super) fn store(&mut self, arena: &ExprArena, at: Place, word: ExprId) {
        self.store_prefix(arena, at, word, WORD_BYTES);
    }

    /// Stores the lowest byte of a word.
    pub(super) fn store_byte(&mut self, at: Place, word: ExprId) {
        self.put(at, Piece { word, skip: 31, len: 1 });
    }

    /// Stores the first bytes of a word: by what it was put together from, so that one
    /// part that is not known when the code is evaluated does not lose the others.
    pub(super) fn store_prefix(&mut self, arena: &ExprArena, at: Place, word: ExprId, len: u32) {
        let Ok(len @ 1..=32) = u8::try_from(len) else { return };
        let parts = arena.composition(word);
        if parts.is_empty() {
            self.put(at, Piece { word, skip: 0, len });
            return;
        }
        let mut done = 0;
        for &(bytes, word) in parts {
            let taken = bytes.min(len - done);
            if let Some(at) = at.plus(done.into()).filter(|_| taken > 0) {
                self.put(at, Piece { word, skip: 32 - bytes, len: taken });
            }
            done += taken;
        }
    }

    /// Something of unknown length is written from here on.
    pub(super) fn store_bulk(&mut self, at: Place, is_calldata: bool) {
        let end = Place { base: at.base, offset: u32::MAX };
        let gone: Vec<Place> = self.pieces.range(at..=end).map(|(place, _)| *place).collect();
        for place in gone {
            self.pieces.remove(&place);
        }
        let from = self.bulks.get(&at.base).map_or(at.offset, |bulk| bulk.from.min(at.offset));
        let is_calldata = is_calldata && from == at.offset;
        self.bulks.insert(at.base, Bulk { from, is_calldata });
    }

    /// Whether the whole call data was copied to here.
    pub(super) fn holds_calldata(&self, at: Place) -> bool {
        let bulk = self.bulks.get(&at.base);
        bulk.is_some_and(|bulk| bulk.is_calldata && bulk.from == at.offset)
            && self.pieces.range(at..).next().is_none_or(|(place, _)| place.base != at.base)
    }

    /// The word that begins here.
    pub(super) fn load(&self, arena: &mut ExprArena, at: Place) -> ExprId {
        if let Some(Piece { word, skip: 0, len: 32 }) = self.pieces.get(&at) {
            return *word;
        }
        let mut word = ExprId::ZERO;
        let mut position = 0;
        let mut parts = Vec::new();
        for (bytes, part) in self.read(arena, at, WORD_BYTES) {
            position += bytes;
            let Some(part) = part else { return ExprId::UNKNOWN };
            parts.push((u8::try_from(bytes).unwrap_or(0), part));
            let mask = arena.constant(U256::MAX >> (8 * (WORD_BYTES - bytes) as usize));
            let part = arena.operation(op::AND, [part, mask, ExprId::ZERO]);
            let shift = arena.constant(U256::from(8 * (WORD_BYTES - position)));
            let shifted = arena.operation(op::SHL, [shift, part, ExprId::ZERO]);
            word = arena.operation(op::OR, [word, shifted, ExprId::ZERO]);
        }
        if parts.len() > 1 {
            arena.compose(word, parts.into());
        }
        word
    }

    /// The first four bytes from here, where known.
    pub(super) fn selector(&self, arena: &mut ExprArena, at: Place) -> Option<u32> {
        // What was never written is no selector.
        self.pieces.get(&at)?;
        match self.read(arena, at, 4)[..] {
            [(4, Some(word))] => arena.offset(word),
            _ => None,
        }
    }

    /// The input of a hash.
    pub(super) fn parts(&self, arena: &mut ExprArena, at: Place, len: u32) -> Box<[KeccakPart]> {
        let part = |(bytes, word): (u32, Option<ExprId>)| KeccakPart {
            word: word.unwrap_or(ExprId::UNKNOWN),
            bytes: u8::try_from(bytes).unwrap_or(0),
        };
        let whole = WORD_BYTES * u32::try_from(KECCAK_PARTS_MAX).unwrap_or(0);
        if len > whole {
            return self.last_word(arena, at.plus(len - WORD_BYTES));
        }
        let words = self.read(arena, at, len);
        // Bytes that were stored one by one are a part each.
        if words.len() > HASHED_PARTS_MAX {
            return self.last_word(arena, at.plus(len - WORD_BYTES));
        }
        words.into_iter().map(part).collect()
    }

    /// The input of a hash of which only the last word is known.
    pub(super) fn last_word(&self, arena: &mut ExprArena, at: Option<Place>) -> Box<[KeccakPart]> {
        let last = at.map_or(ExprId::UNKNOWN, |at| self.load(arena, at));
        Box::new([
            KeccakPart { word: ExprId::UNKNOWN, bytes: 0 },
            KeccakPart { word: last, bytes: 32 },
        ])
    }

    /// Copies a known number of bytes within memory.
    pub(super) fn copy(&mut self, arena: &mut ExprArena, to: Place, from: Place, len: u32) {
        let mut words = Vec::new();
        let mut done = 0;
        while done < len {
            let bytes = WORD_BYTES.min(len - done);
            words.push((done, bytes, from.plus(done).map(|at| self.load(arena, at))));
            done += bytes;
        }
        for (start, bytes, word) in words {
            if let Some(at) = to.plus(start) {
                self.store_prefix(arena, at, word.unwrap_or(ExprId::UNKNOWN), bytes);
            }
        }
    }

    /// Keeps what is the same in both: a word stored in both at one place becomes
    /// what `vary` gives for it, the rest unknown. Whether something was lost.
    pub(super) fn meet(
        &mut self,
        other: &Self,
        vary: &mut impl FnMut(Place, [ExprId; 2]) -> ExprId,
    ) -> bool {
        let mut changed = other.is_unknown && !self.is_unknown;
        self.is_unknown |= other.is_unknown;
        for (&base, &bulk) in &other.bulks {
            let joined = self.bulks.get(&base).map_or(
                Bulk { from: bulk.from, is_calldata: false },
                |mine| Bulk {
                    from: mine.from.min(bulk.from),
                    is_calldata: mine.is_calldata && bulk == *mine,
                },
            );
            changed |= self.bulks.insert(base, joined) != Some(joined);
        }
        for (base, bulk) in &mut self.bulks {
            changed |= bulk.is_calldata && !other.bulks.contains_key(base);
            bulk.is_calldata &= other.bulks.contains_key(base);
        }
        let mut differing = pieces_without(&other.pieces, &self.pieces);
        differing.extend(pieces_without(&self.pieces, &other.pieces));
        for (place, piece) in differing {
            let (mine, theirs) = (self.pieces.get(&place), other.pieces.get(&place));
            let words = match (mine, theirs) {
                (
                    Some(Piece { word: mine, skip: 0, len: 32 }),
                    Some(Piece { word: theirs, skip: 0, len: 32 }),
                ) if *mine != ExprId::UNKNOWN && *theirs != ExprId::UNKNOWN => {
                    Some([*mine, *theirs])
                }
                _ => None,
            };
            if let Some(words) = words {
                let word = vary(place, words);
                if word != words[0] {
                    self.put(place, Piece { word, skip: 0, len: 32 });
                    changed = true;
                }
            } else if place.base.is_some() {
                // What is not stored behind a pointer is not known anyway.
                changed |= self.pieces.remove(&place).is_some();
            } else if !self.is_unknown_at(place, piece.len) {
                self.put(place, Piece { word: ExprId::UNKNOWN, skip: 0, len: piece.len });
                changed = true;
            }
        }
        changed
    }

    /// Keeps only what is the same in both, but for the words that compilers keep
    /// at fixed places; the rest is read when the code is evaluated.
    pub(super) fn narrow(&mut self, other: &Self) {
        let mut first = u32::MAX;
        self.pieces.retain(|place, piece| {
            let is_fixed = place.base.is_none() && place.offset < FIXED_BYTES;
            let stays = is_fixed || other.pieces.get(place) == Some(piece);
            if !stays && place.base.is_none() {
                first = first.min(place.offset);
            }
            stays
        });
        if first < u32::MAX {
            let from = self.bulks.get(&None).map_or(first, |bulk| bulk.from.min(first));
            self.bulks.insert(None, Bulk { from, is_calldata: false });
        }
    }

    /// Whether every one of these bytes is known to be unknown.
    fn is_unknown_at(&self, at: Place, len: u8) -> bool {
        let end = at.offset.saturating_add(u32::from(len));
        let first = Place { base: at.base, offset: at.offset.saturating_sub(WORD_BYTES - 1) };
        let mut position = at.offset;
        for (place, piece) in self.pieces.range(first..Place { base: at.base, offset: end }) {
            let piece_end = place.offset + u32::from(piece.len);
            if piece_end <= position {
                continue;
            }
            if place.offset > position || piece.word != ExprId::UNKNOWN {
                return false;
            }
            position = piece_end;
        }
        position >= end
    }

    /// Replaces what lies under a new piece.
    fn put(&mut self, at: Place, piece: Piece) {
        let end = at.offset.saturating_add(u32::from(piece.len));
        let first = Place { base: at.base, offset: at.offset.saturating_sub(WORD_BYTES - 1) };
        let last = Place { base: at.base, offset: end };
        let overlapping: Vec<(Place, Piece)> =
            self.pieces.range(first..last).map(|(place, old)| (*place, *old)).collect();
        for (place, old) in overlapping {
            let old_end = place.offset + u32::from(old.len);
            if old_end <= at.offset {
                continue;
            }
            self.pieces.remove(&place);
            if place.offset < at.offset {
                let len = u8::try_from(at.offset - place.offset).expect("within a word");
                self.pieces.insert(place, Piece { len, ..old });
            }
            if old_end > end {
                let cut = u8::try_from(end - place.offset).expect("within a word");
                let rest = Piece { word: old.word, skip: old.skip + cut, len: old.len - cut };
                self.pieces.insert(Place { base: at.base, offset: end }, rest);
            }
        }
        self.pieces.insert(at, piece);
    }

    /// The bytes from here in order: how many, and the word of which they are
    /// the low ones; none where they are not known.
    fn read(&self, arena: &mut ExprArena, at: Place, len: u32) -> Vec<(u32, Option<ExprId>)> {
        let end = at.offset.saturating_add(len);
        let mut parts = Vec::new();
        let mut position = at.offset;
        let first = Place { base: at.base, offset: at.offset.saturating_sub(WORD_BYTES - 1) };
        let last = Place { base: at.base, offset: end };
        let gap = |parts: &mut Vec<_>, from: u32, to: u32| {
            let bulk = self.bulks.get(&at.base).is_some_and(|bulk| to > bulk.from);
            let is_zero = at.base.is_none() && !self.is_unknown && !bulk;
            let mut from = from;
            while from < to {
                let bytes = WORD_BYTES.min(to - from);
                parts.push((bytes, is_zero.then_some(ExprId::ZERO)));
                from += bytes;
            }
        };
        for (place, piece) in self.pieces.range(first..last) {
            let piece_end = place.offset + u32::from(piece.len);
            if piece_end <= position {
                continue;
            }
            let from = place.offset.max(position);
            gap(&mut parts, position, from);
            let to = piece_end.min(end);
            let skip = u32::from(piece.skip) + (from - place.offset);
            // A part of what is not known is not known.
            let is_known = piece.word != ExprId::UNKNOWN;
            let word = is_known.then(|| slice(arena, piece.word, skip, to - from));
            parts.push((to - from, word));
            position = to;
        }
        gap(&mut parts, position, end);
        parts
    }
}

/// The pieces of one memory that another does not have, in one pass over both.
fn pieces_without(
    one: &BTreeMap<Place, Piece>,
    other: &BTreeMap<Place, Piece>,
) -> Vec<(Place, Piece)> {
    let mut others = other.iter().peekable();
    let pieces = one.iter().filter(|(place, piece)| {
        while others.next_if(|(other, _)| other < place).is_some() {}
        others.next_if(|(other, _)| other == place).is_none_or(|(_, other)| other != *piece)
    });
    pieces.map(|(place, piece)| (*place, *piece)).collect()
}

/// Bytes `skip..skip + len` of a word as its low bytes; those above are not cleared
/// but for constants.
fn slice(arena: &mut ExprArena, word: ExprId, skip: u32, len: u32) -> ExprId {
    let shift = arena.constant(U256::from(8 * (WORD_BYTES - skip - len)));
    let low = arena.operation(op::SHR, [shift, word, ExprId::ZERO]);
    match arena.value(low) {
        Some(value) if len < WORD_BYTES => {
            let mask = (U256::ONE << (8 * len)) - U256::ONE;
            arena.constant(value & mask)
        }
        _ => low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::KeyExpr;

    fn at(offset: u32) -> Place {
        Place { base: None, offset }
    }

    #[test]
    fn words_that_overlap_are_cut() {
        let mut arena = ExprArena::new(64);
        let mut memory = Memory::default();
        let caller = arena.intern(KeyExpr::Environment(op::CALLER));
        let seed = arena.constant(U256::from(0x87a2_11a2_u64));
        memory.store(&arena, at(12), seed);
        memory.store(&arena, at(0), caller);
        let parts = memory.parts(&mut arena, at(12), 32);
        let expected =
            [KeccakPart { word: caller, bytes: 20 }, KeccakPart { word: seed, bytes: 12 }];
        assert_eq!(*parts, expected);
        assert_eq!(memory.load(&mut arena, at(0)), caller);
    }

    #[test]
    fn constants_are_read_at_any_offset() {
        let mut arena = ExprArena::new(64);
        let mut memory = Memory::default();
        let word = arena.constant(U256::from(0xa905_9cbb_u64) << 224);
        memory.store(&arena, at(64), word);
        memory.store(&arena, at(68), ExprId::ONE);
        assert_eq!(memory.selector(&mut arena, at(64)), Some(0xa905_9cbb));
        let shifted = memory.load(&mut arena, at(69));
        assert_eq!(arena.value(shifted), Some(U256::from(256)));
        assert_eq!(memory.load(&mut arena, at(200)), ExprId::ZERO);
    }

    #[test]
    fn behind_a_copy_of_unknown_length_nothing_is_known() {
        let mut arena = ExprArena::new(64);
        let mut memory = Memory::default();
        memory.store(&arena, at(64), ExprId::ONE);
        memory.store_bulk(at(64), true);
        assert_eq!(memory.load(&mut arena, at(64)), ExprId::UNKNOWN);
        assert_eq!(memory.load(&mut arena, at(32)), ExprId::ZERO);
        assert!(memory.holds_calldata(at(64)));
        memory.store(&arena, at(96), ExprId::ONE);
        assert!(!memory.holds_calldata(at(64)));
    }

    #[test]
    fn where_two_ways_meet_only_what_is_the_same_is_known() {
        let mut arena = ExprArena::new(64);
        let (mut one, mut other) = (Memory::default(), Memory::default());
        one.store(&arena, at(0), ExprId::ONE);
        one.store(&arena, at(32), ExprId::ONE);
        other.store(&arena, at(0), ExprId::ONE);
        assert!(one.meet(&other, &mut |_, _| ExprId::UNKNOWN));
        assert_eq!(one.load(&mut arena, at(0)), ExprId::ONE);
        assert_eq!(one.load(&mut arena, at(32)), ExprId::UNKNOWN);
        assert!(!one.meet(&other, &mut |_, _| ExprId::UNKNOWN));
    }
}
