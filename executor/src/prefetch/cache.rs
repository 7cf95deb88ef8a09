//! A map that many threads fill, each key once.
//!
//! Protocol: who misses a key *claims* it, reads it without holding any lock,
//! and fills the claim. Who finds a key claimed waits until it is filled, or
//! given up because the read failed, and then claims it. A claim that is
//! dropped unfilled, by an error or a panic, is given up, so nobody waits for
//! ever.

use core::{fmt, hash::BuildHasher, hash::Hash, iter::repeat_with};
use std::sync::{Condvar, Mutex, MutexGuard};

use hashbrown::{DefaultHashBuilder as ShardHasher, HashMap};
use revm::primitives::map::DefaultHashBuilder;

/// Parts of a map with a lock of their own: more than threads that meet.
const SHARDS: usize = 64;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    shards: Box<[Shard<K, V>]>,
    hasher: ShardHasher,
}

#[derive(Debug)]
struct Shard<K, V> {
    part: Mutex<Part<K, V>>,
    /// Some claim of this shard was filled or given up.
    settled: Condvar,
}

#[derive(Debug)]
struct Part<K, V> {
    entries: HashMap<K, Option<V>, DefaultHashBuilder>,
    /// Threads that wait for a claim: to wake nobody costs a system call too.
    waiting: usize,
}

impl<K, V> Shard<K, V> {
    fn new() -> Self {
        let part = Part { entries: HashMap::default(), waiting: 0 };
        Self { part: Mutex::new(part), settled: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Part<K, V>> {
        self.part.lock().expect("nothing panics while it holds this lock")
    }
}

/// What a thread finds at a key that it neither waits for nor reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peek<V> {
    /// The value.
    Known(V),
    /// Somebody reads it now.
    UnderWay,
    /// Nobody has read it.
    Unread,
}

impl<V> Peek<V> {
    /// Whether somebody reads it now.
    pub(super) const fn is_under_way(&self) -> bool {
        matches!(self, Self::UnderWay)
    }
}

/// What a thread finds at a key that it asks for.
#[derive(Debug)]
pub(super) enum Found<'c, K: Eq + Hash, V> {
    /// The value.
    Known(V),
    /// Nothing: whoever asks is to read it.
    Claimed(Claim<'c, K, V>),
}

impl<K: Copy + Eq + Hash, V: Clone> Cache<K, V> {
    pub(super) fn new() -> Self {
        let shards = repeat_with(Shard::new).take(SHARDS).collect();
        Self { shards, hasher: ShardHasher::default() }
    }

    /// The value of a key, waited for if somebody reads it, or else a claim to it.
    pub(super) fn find(&self, key: K) -> Found<'_, K, V> {
        let shard = self.shard(&key);
        let mut part = shard.lock();
        loop {
            match part.entries.get(&key) {
                Some(Some(value)) => return Found::Known(value.clone()),
                Some(None) => {
                    part.waiting += 1;
                    let settled = shard.settled.wait(part);
                    part = settled.expect("nothing panics while it holds this lock");
                    part.waiting -= 1;
                }
                None => {
                    part.entries.insert(key, None);
                    return Found::Claimed(Claim { shard, key, value: None });
                }
            }
        }
    }

    /// What is known of a key, without waiting.
    pub(super) fn peek(&self, key: &K) -> Peek<V> {
        match self.shard(key).lock().entries.get(key) {
            Some(Some(value)) => Peek::Known(value.clone()),
            Some(None) => Peek::UnderWay,
            None => Peek::Unread,
        }
    }

    /// A claim to a key that nobody has read or reads now.
    pub(super) fn claim(&self, key: K) -> Option<Claim<'_, K, V>> {
        let shard = self.shard(&key);
        let is_new = shard.lock().entries.try_insert(key, None).is_ok();
        is_new.then(|| Claim { shard, key, value: None })
    }

    fn shard(&self, key: &K) -> &Shard<K, V> {
        let hash = self.hasher.hash_one(key);
        // The map inside goes by the other end of its hash.
        let shard = usize::try_from(hash >> 32 & (SHARDS as u64 - 1));
        &self.shards[shard.expect("there are fewer than 2^32 shards")]
    }
}

/// The right and the duty to read one key.
pub(super) struct Claim<'c, K: Eq + Hash, V> {
    shard: &'c Shard<K, V>,
    key: K,
    value: Option<V>,
}

impl<K: Copy + Eq + Hash, V> Claim<'_, K, V> {
    /// The key.
    pub(super) const fn key(&self) -> K {
        self.key
    }

    /// Tells everybody the value.
    pub(super) fn fill(mut self, value: V) {
        self.value = Some(value);
    }
}

impl<K: Eq + Hash, V> Drop for Claim<'_, K, V> {
    fn drop(&mut self) {
        let mut part = self.shard.lock();
        match (self.value.take(), part.entries.get_mut(&self.key)) {
            (Some(value), Some(entry)) => *entry = Some(value),
            _ => drop(part.entries.remove(&self.key)),
        }
        if part.waiting > 0 {
            self.shard.settled.notify_all();
        }
    }
}

impl<K: Eq + Hash + fmt::Debug, V> fmt::Debug for Claim<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.key).finish()
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::{panic::AssertUnwindSafe, thread};

    use super::*;

    const THREADS: usize = 8;

    fn find_or_read(cache: &Cache<u64, u64>, key: u64, read: impl FnOnce() -> u64) -> u64 {
        match cache.find(key) {
            Found::Known(value) => value,
            Found::Claimed(claim) => {
                let value = read();
                claim.fill(value);
                value
            }
        }
    }

    #[test]
    fn each_key_is_read_once_however_many_ask() {
        let (cache, reads) = (Cache::new(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for key in 0..200 {
                        let read = || {
                            reads.fetch_add(1, Ordering::Relaxed);
                            thread::yield_now();
                            key * 3
                        };
                        assert_eq!(find_or_read(&cache, key, read), key * 3);
                    }
                });
            }
        });
        assert_eq!(reads.into_inner(), 200);
    }

    #[test]
    fn a_claim_given_up_goes_to_the_next_who_asks() {
        let cache = Cache::new();
        thread::scope(|scope| {
            let Found::Claimed(claim) = cache.find(1) else { panic!("nobody asked before") };
            // To be refused changes nothing, however often.
            assert!(cache.claim(1).is_none() && cache.claim(1).is_none());
            let waiting = scope.spawn(|| find_or_read(&cache, 1, || 7));
            drop(claim);
            assert_eq!(waiting.join().unwrap(), 7);
        });
        assert_eq!(find_or_read(&cache, 1, || 8), 7);
    }

    #[test]
    fn a_read_that_panics_keeps_nobody_waiting() {
        let cache = Cache::new();
        let read = || find_or_read(&cache, 1, || panic!("the disk is gone"));
        assert!(std::panic::catch_unwind(AssertUnwindSafe(read)).is_err());
        assert_eq!(find_or_read(&cache, 1, || 7), 7);
    }
}
