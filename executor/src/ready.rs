//! The set of tasks that are ready, by rank, for many threads at once: whoever
//! takes from it gets the lowest ranks, and no rank is given out twice.
//!
//! One bit for each rank, 64 to a word, and one bit for each word in a summary,
//! so that finding the lowest takes a few loads however many ranks there are.
//!
//! # Protocol
//!
//! [`ReadySet::insert`] sets the rank's bit, then its word's bit in the summary.
//! Whoever finds a word empty clears its summary bit, then looks at the word
//! again and sets the summary bit if somebody has come in between. So a rank
//! that was inserted is found by everybody who looks later.

use crate::sync::atomic::{AtomicU64, Ordering};

/// Ranks in a word.
const WORD: usize = u64::BITS as usize;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct ReadySet {
    words: Vec<AtomicU64>,
    summary: Vec<AtomicU64>,
}

impl ReadySet {
    /// An empty set with room for ranks below `len`.
    pub(crate) fn new(len: usize) -> Self {
        let words: Vec<_> =
            core::iter::repeat_with(AtomicU64::default).take(len.div_ceil(WORD)).collect();
        let summary = core::iter::repeat_with(AtomicU64::default);
        let summary = summary.take(words.len().div_ceil(WORD)).collect();
        Self { words, summary }
    }

    /// Adds a rank.
    pub(crate) fn insert(&self, rank: usize) {
        let word = rank / WORD;
        self.words[word].fetch_or(1 << (rank % WORD), Ordering::AcqRel);
        self.summary[word / WORD].fetch_or(1 << (word % WORD), Ordering::AcqRel);
    }

    /// Takes low ranks out of one word: those that `wants`, which is asked in
    /// ascending order. Gives the first rank of the word, and a bit for each
    /// rank taken; `None` if nothing that is wanted was found.
    pub(crate) fn take(&self, mut wants: impl FnMut(usize) -> Want) -> Option<(usize, u64)> {
        for summary in 0..self.summary.len() {
            let mut candidates = self.summary[summary].load(Ordering::Acquire);
            while candidates != 0 {
                let word = summary * WORD + candidates.trailing_zeros() as usize;
                match self.take_from(word, &mut wants) {
                    Taken::Some(taken) => return Some((word * WORD, taken)),
                    Taken::Nothing => candidates &= candidates - 1,
                    Taken::Enough => return None,
                }
            }
        }
        None
    }

    /// Takes one rank, if it is there.
    pub(crate) fn take_one(&self, rank: usize) -> bool {
        let (word, bit) = (rank / WORD, 1 << (rank % WORD));
        let is_there = self.has_one(rank);
        let before = if is_there { self.words[word].fetch_and(!bit, Ordering::AcqRel) } else { 0 };
        if before == bit {
            self.mark_empty(word);
        }
        before & bit != 0
    }

    /// Whether one rank is there.
    pub(crate) fn has_one(&self, rank: usize) -> bool {
        self.words[rank / WORD].load(Ordering::Acquire) & (1 << (rank % WORD)) != 0
    }

    /// Whether a rank is there that `wants`, as [`take`](Self::take) would find it.
    pub(crate) fn has(&self, mut wants: impl FnMut(usize) -> Want) -> bool {
        for (summary, candidates) in self.summary.iter().enumerate() {
            for word in bits(candidates.load(Ordering::Acquire)) {
                let word = summary * WORD + word;
                for bit in bits(self.words[word].load(Ordering::Acquire)) {
                    match wants(word * WORD + bit) {
                        Want::Yes => return true,
                        Want::No => {}
                        Want::Enough => return false,
                    }
                }
            }
        }
        false
    }

    fn take_from(&self, word: usize, wants: &mut impl FnMut(usize) -> Want) -> Taken {
        loop {
            let there = self.words[word].load(Ordering::Acquire);
            if there == 0 {
                self.mark_empty(word);
                return Taken::Nothing;
            }
            let (mut wanted, mut left) = (0, Taken::Nothing);
            for bit in bits(there) {
                match wants(word * WORD + bit) {
                    Want::Yes => wanted |= 1 << bit,
                    Want::No => {}
                    Want::Enough => {
                        left = Taken::Enough;
                        break;
                    }
                }
            }
            if wanted == 0 {
                return left;
            }
            let before = self.words[word].fetch_and(!wanted, Ordering::AcqRel);
            if before & !wanted == 0 {
                self.mark_empty(word);
            }
            // Others may have been faster.
            if before & wanted != 0 {
                return Taken::Some(before & wanted);
            }
        }
    }

    fn mark_empty(&self, word: usize) {
        let bit = 1 << (word % WORD);
        self.summary[word / WORD].fetch_and(!bit, Ordering::AcqRel);
        if self.words[word].load(Ordering::Acquire) != 0 {
            self.summary[word / WORD].fetch_or(bit, Ordering::AcqRel);
        }
    }
}

/// What somebody who takes says of a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Takes it.
    Yes,
    /// Leaves it.
    No,
    /// Leaves it and all higher ones.
    Enough,
}

/// What was found in a word.
#[derive(Clone, Copy, Debug)]
enum Taken {
    Some(u64),
    Nothing,
    /// Nothing, and all higher ranks are to be left.
    Enough,
}

/// The positions of the bits that are set, ascending.
pub(crate) fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros() as usize;
            word &= word - 1;
            bit
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(set: &ReadySet, rank: usize) -> bool {
        let found = set.has(|there| if there == rank { Want::Yes } else { Want::No });
        assert_eq!(found, set.has_one(rank));
        found
    }

    fn take_all(set: &ReadySet) -> Vec<usize> {
        let mut all = Vec::new();
        while let Some((first, taken)) = set.take(|_| Want::Yes) {
            all.extend(bits(taken).map(|bit| first + bit));
        }
        all
    }

    #[test]
    fn ranks_come_out_once_and_in_ascending_order() {
        let set = ReadySet::new(10_000);
        for rank in [9_999, 4_096, 0, 63, 64, 65, 127, 4_095] {
            set.insert(rank);
        }
        assert_eq!(take_all(&set), [0, 63, 64, 65, 127, 4_095, 4_096, 9_999]);
        assert!(!set.has(|_| Want::Yes));
    }

    #[test]
    fn what_is_not_wanted_stays() {
        let set = ReadySet::new(200);
        (0..200).for_each(|rank| set.insert(rank));
        let one = |rank: usize| if rank.is_multiple_of(70) { Want::Yes } else { Want::No };
        assert_eq!(set.take(one), Some((0, 1)));
        assert_eq!(set.take(one), Some((64, 1 << 6)));
        let mut left = 2;
        let two = |_| {
            left -= 1;
            if left < 0 { Want::Enough } else { Want::Yes }
        };
        assert_eq!(set.take(two), Some((0, 0b110)));
        assert!(has(&set, 199) && !has(&set, 70));
        assert_eq!(take_all(&set).len(), 196);
    }

    #[test]
    fn threads_share_the_ranks_out_among_them() {
        let set = ReadySet::new(5_000);
        let counts: Vec<usize> = std::thread::scope(|scope| {
            let taker = || {
                let mut count = 0;
                for rank in 0..5_000 {
                    if rank % 2 == 0 {
                        set.insert(rank);
                    }
                    count += set.take(|_| Want::Yes).map_or(0, |(_, taken)| taken.count_ones());
                }
                count as usize
            };
            // Both insert the same ranks, so each is there once or twice.
            let threads = [scope.spawn(taker), scope.spawn(taker)];
            threads.map(|thread| thread.join().unwrap()).into()
        });
        let rest = take_all(&set).len();
        assert!((2_500..=5_000).contains(&(counts.iter().sum::<usize>() + rest)));
    }
}
