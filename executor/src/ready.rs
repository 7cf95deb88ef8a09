//! The set of tasks that are ready, by rank, for many threads at once: a thread that
//! takes from it gets the lowest ranks, and no rank is given out twice.
//!
//! One bit for each rank, 64 to a word, and one bit for each word in a summary,
//! so that finding the lowest takes a few loads however many ranks there are.
//!
//! # Protocol
//!
//! [`ReadySet::insert`] sets the rank's bit, then its word's bit in the summary.
//! A thread that finds a word empty clears its summary bit, then looks at the word
//! again and sets the summary bit if another rank has come in between. So a rank
//! that was inserted is found by every thread that looks later.

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

    /// Takes low ranks out of one word, in ascending order until `wants` says no. Gives
    /// the first rank of the word, and a bit for each rank taken; `None` if nothing that is
    /// wanted was found.
    pub(crate) fn take(&self, mut wants: impl FnMut(usize) -> bool) -> Option<(usize, u64)> {
        for (at, summary) in self.summary.iter().enumerate() {
            for word in bits(summary.load(Ordering::Acquire)) {
                let word = at * WORD + word;
                if let Some(taken) = self.take_from(word, &mut wants) {
                    return (taken != 0).then_some((word * WORD, taken));
                }
            }
        }
        None
    }

    /// Whether no rank is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.summary.iter().enumerate().all(|(at, summary)| {
            let mut words = bits(summary.load(Ordering::Acquire)).map(|word| at * WORD + word);
            words.all(|word| self.words[word].load(Ordering::Acquire) == 0)
        })
    }

    /// Takes what is wanted of one word: a bit for each, none if the first is not wanted.
    /// `None` if the word is empty.
    fn take_from(&self, word: usize, wants: &mut impl FnMut(usize) -> bool) -> Option<u64> {
        loop {
            let there = self.words[word].load(Ordering::Acquire);
            if there == 0 {
                self.mark_empty(word);
                return None;
            }
            let wanted = bits(there).take_while(|bit| wants(word * WORD + bit));
            let wanted = wanted.fold(0, |wanted, bit| wanted | 1 << bit);
            if wanted == 0 {
                return Some(0);
            }
            let before = self.words[word].fetch_and(!wanted, Ordering::AcqRel);
            if before & !wanted == 0 {
                self.mark_empty(word);
            }
            // Others may have been faster.
            if before & wanted != 0 {
                return Some(before & wanted);
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

    fn take_all(set: &ReadySet) -> Vec<usize> {
        let mut all = Vec::new();
        while let Some((first, taken)) = set.take(|_| true) {
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
        assert!(set.is_empty());
    }

    #[test]
    fn what_is_not_wanted_stays() {
        let set = ReadySet::new(200);
        (65..200).for_each(|rank| set.insert(rank));
        assert_eq!(set.take(|_| false), None);
        let mut left = 2;
        let two = |_| {
            left -= 1;
            left >= 0
        };
        assert_eq!(set.take(two), Some((64, 0b110)));
        assert!(!set.is_empty());
        assert_eq!(take_all(&set).len(), 133);
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
                    count += set.take(|_| true).map_or(0, |(_, taken)| taken.count_ones());
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
