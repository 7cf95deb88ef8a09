//! The templates that predictors share: trees by entry, bounded in bytes.
//!
//! Keyed by what the code is, not by where it lies. Threads evaluate a tree
//! together and add to it one at a time; the least recently used trees go first. A
//! tree at which a thread panics is dropped: what came of it may be half done.

use core::ops::Deref;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::panicking,
};

use hashbrown::HashMap;
use revm::{
    context::TxEnv,
    primitives::{B256, hardfork::SpecId, keccak256, map::DefaultHashBuilder},
};
use serde::{Deserialize, Serialize};

use super::{
    answers::Answers,
    learning::{Learning, Lesson, Sightings},
    operation::Outcome,
    path,
    trace::Trace,
    tree::Tree,
};
use crate::{
    Limits,
    interpreter::{RevertingPlaces, Room},
};

/// Bytes of a tree before it has a path, about.
const EMPTY_TREE_BYTES: usize = 256;

/// Rooms that are kept: more than threads that analyse at a time, as a rule.
const ROOMS_MAX: usize = 32;

/// What a tree of templates is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct TemplateKey {
    code_hash: B256,
    /// The first four bytes of the call data, if it has as many.
    selector: Option<[u8; 4]>,
    spec: SpecId,
    /// Whether the code is the init code of a creation.
    is_creation: bool,
}

impl TemplateKey {
    /// The entry of a transaction with this call data into the code with this hash.
    pub(crate) fn new(code_hash: B256, call_data: &[u8], spec: SpecId) -> Self {
        let selector = call_data.first_chunk().copied();
        Self { code_hash, selector, spec, is_creation: false }
    }

    /// The entry of a transaction that creates a contract with this init code.
    pub(crate) fn creation(init_code: &[u8], spec: SpecId) -> Self {
        Self { code_hash: keccak256(init_code), selector: None, spec, is_creation: true }
    }
}

/// One tree, and when it was last asked for.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    tree: RwLock<Tree>,
    /// Whether a thread has panicked while it evaluated the tree.
    is_broken: AtomicBool,
    used: AtomicU64,
    learning: Learning,
}

/// A tree while it is evaluated. A panic meanwhile breaks the entry.
#[derive(Debug)]
pub(crate) struct Reading<'e> {
    tree: RwLockReadGuard<'e, Tree>,
    is_broken: &'e AtomicBool,
}

impl Deref for Reading<'_> {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        &self.tree
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if panicking() {
            self.is_broken.store(true, Ordering::Relaxed);
        }
    }
}

impl Entry {
    /// Notes that a path has served a transaction.
    pub(crate) fn note_used(&self) {
        self.learning.used();
    }

    /// Whether to try if a path fits.
    pub(crate) fn is_worth_trying(&self) -> bool {
        self.learning.is_worth_trying()
    }

    /// Notes that no path has fitted.
    pub(crate) fn note_missed(&self) {
        self.learning.missed();
    }

    /// The tree, for evaluation, unless the entry is broken.
    pub(crate) fn read(&self) -> Option<Reading<'_>> {
        if self.is_broken.load(Ordering::Relaxed) {
            return None;
        }
        let tree = self.tree.read().ok()?;
        Some(Reading { tree, is_broken: &self.is_broken })
    }

    /// Whether a thread has panicked at the tree.
    fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed) || self.tree.is_poisoned()
    }

    /// Bytes of the tree, about.
    pub(super) fn tree_bytes(&self) -> usize {
        self.read().map_or(0, |tree| tree.bytes())
    }
}

/// Templates: what the analysis of earlier transactions has found out about
/// code, for later ones of any block.
///
/// Shared by threads and predictors. What it holds decides how long a prediction
/// takes; what is predicted, only where a success is assumed that was not seen.
#[derive(Debug, Default)]
pub struct TemplateCache {
    trees: RwLock<HashMap<TemplateKey, Arc<Entry>, DefaultHashBuilder>>,
    clock: AtomicU64,
    bytes: AtomicUsize,
    pub(crate) answers: Answers,
    sightings: Sightings,
    lesson: Lesson,
    rooms: Mutex<Vec<Room>>,
}

impl TemplateCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty cache for exact paths.
    pub(super) fn of_exact_paths() -> Self {
        Self { lesson: Lesson::Exact, ..Self::default() }
    }

    /// How many entries (code, selector, fork) have templates.
    pub fn len(&self) -> usize {
        self.trees.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, about.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The tree of an entry, if it has one.
    pub(crate) fn get(&self, key: &TemplateKey) -> Option<Arc<Entry>> {
        let trees = self.trees.read().unwrap_or_else(PoisonError::into_inner);
        let entry = trees.get(key)?;
        if entry.is_broken() {
            drop(trees);
            self.drop_broken();
            return None;
        }
        entry.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(entry))
    }

    /// Drops the entries at which a thread has panicked.
    fn drop_broken(&self) {
        let mut trees = self.write();
        trees.retain(|_, entry| !entry.is_broken());
        let bytes = trees.values().map(|entry| EMPTY_TREE_BYTES + entry.tree_bytes());
        self.bytes.store(bytes.sum(), Ordering::Relaxed);
    }

    /// Adds the path that `trace` took with `tx`.
    pub(crate) fn insert(
        &self,
        key: TemplateKey,
        tx: &TxEnv,
        (trace, places): (&Trace, &mut RevertingPlaces),
        outcome: Outcome,
        limits: &Limits,
    ) {
        let entry = self.get(&key).unwrap_or_else(|| self.create(key));
        let Ok(mut tree) = entry.tree.write() else { return };
        let before = tree.bytes();
        let path = (before <= limits.template_bytes_max).then(|| {
            let operations_max = limits.path_operations_max;
            path::compile(trace, places, &mut tree.constants, outcome, operations_max)
        });
        let was_added = path.flatten().is_some_and(|path| tree.insert(path, limits));
        entry.learning.recorded(was_added);
        if !was_added {
            self.sightings.note_futile(tx);
        }
        self.bytes.fetch_add(tree.bytes() - before, Ordering::Relaxed);
        drop(tree);
        self.bound(limits.cache_bytes_max);
    }

    /// Notes that the recording of `tx` was given up.
    pub(crate) fn note_futile(&self, key: &TemplateKey, tx: &TxEnv) {
        self.sightings.note_futile(tx);
        if let Some(entry) = self.get(key) {
            entry.learning.recorded(false);
        }
    }

    /// Notes that a transaction is interpreted; whether to record it.
    pub(crate) fn wants(
        &self,
        key: TemplateKey,
        entry: Option<&Entry>,
        tx: &TxEnv,
        bytes_max: usize,
    ) -> bool {
        let sighting = self.sightings.note(tx);
        if let Some(entry) = entry {
            return entry.learning.wants(self.lesson, sighting);
        }
        let wants = self.create(key).learning.wants(self.lesson, sighting);
        self.bound(bytes_max);
        wants
    }

    /// A room that another machine has left, or a new one.
    pub(crate) fn room(&self) -> Room {
        self.rooms().pop().unwrap_or_default()
    }

    /// Keeps the room of a machine that has done its work.
    pub(crate) fn keep(&self, room: Room) {
        let mut rooms = self.rooms();
        if rooms.len() < ROOMS_MAX {
            rooms.push(room);
        }
    }

    fn rooms(&self) -> MutexGuard<'_, Vec<Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create(&self, key: TemplateKey) -> Arc<Entry> {
        let mut trees = self.write();
        let entry = trees.entry(key).or_insert_with(|| {
            self.bytes.fetch_add(EMPTY_TREE_BYTES, Ordering::Relaxed);
            let entry = Entry::default();
            entry.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            Arc::new(entry)
        });
        Arc::clone(entry)
    }

    /// Makes room if the bound is exceeded.
    fn bound(&self, bytes_max: usize) {
        if self.bytes() > bytes_max {
            self.evict(bytes_max);
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<TemplateKey, Arc<Entry>, DefaultHashBuilder>> {
        self.trees.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the least recently used trees until half of the bound is free.
    fn evict(&self, bytes_max: usize) {
        let mut trees = self.write();
        let mut by_use: Vec<(u64, TemplateKey, usize)> = trees
            .iter()
            .map(|(key, entry)| {
                let bytes = EMPTY_TREE_BYTES + entry.tree_bytes();
                (entry.used.load(Ordering::Relaxed), *key, bytes)
            })
            .collect();
        by_use.sort_unstable_by_key(|(used, ..)| *used);
        let mut held: usize = by_use.iter().map(|(.., bytes)| bytes).sum();
        for (_, key, bytes) in by_use {
            if held <= bytes_max / 2 {
                break;
            }
            trees.remove(&key);
            held -= bytes;
        }
        self.bytes.store(held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn an_entry_at_which_a_thread_panics_is_dropped_and_made_anew() {
        for writes in [false, true] {
            let cache = TemplateCache::new();
            let [broken, whole] =
                [1, 2].map(|n| TemplateKey::new(B256::repeat_byte(n), &[], SpecId::CANCUN));
            let entry = cache.create(broken);
            cache.create(whole);
            let panics = AssertUnwindSafe(|| {
                let _reading = (!writes).then(|| entry.read());
                let _writing = writes.then(|| entry.tree.write());
                panic!("on purpose");
            });
            assert!(catch_unwind(panics).is_err());
            assert!(entry.read().is_none(), "who holds it does not use it again");
            assert!(cache.get(&broken).is_none() && cache.get(&whole).is_some());
            assert_eq!((cache.len(), cache.bytes()), (1, EMPTY_TREE_BYTES));
            assert!(cache.create(broken).read().is_some());
        }
    }
}
