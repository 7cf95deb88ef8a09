//! Results of transactions, for when they run again: in another order, beside others.
//!
//! What a transaction does follows from the block's environment and from what it reads. So a
//! result is kept with all that was looked at, field by field, and is the result again
//! wherever that has the same values. Several results are kept for each transaction.
//!
//! A [`ReuseCache`] is about one block environment; a block of another one empties it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use forewave_analyzer::Block;
use hashbrown::HashMap;
use revm::{
    Database,
    context::{BlockEnv, CfgEnv, TxEnv, result::ExecutionResult},
    primitives::{Address, B256, map::DefaultHashBuilder},
};

use crate::tracking::{Reads, Record, Seen, stale_field};

/// Results kept of one transaction at most.
const RESULTS_PER_TX_MAX: usize = 8;

/// Shards, each with a lock of its own.
const SHARDS: usize = 64;

/// What the results of one shard may hold: locations that were read or changed, logs, and
/// words of data. About a hundred bytes each, so half a gibibyte in all.
const HELD_PER_SHARD_MAX: usize = 80_000;

/// Results of transactions, shared by the threads and the blocks that run them.
#[derive(Debug, Default)]
pub struct ReuseCache {
    environment: RwLock<Option<Environment>>,
    shards: Box<[Mutex<Shard>]>,
}

/// What results depend on apart from the state.
#[derive(Clone, Debug, PartialEq)]
struct Environment {
    cfg: CfgEnv,
    env: BlockEnv,
    /// What the block hashes are follows from it.
    parent_hash: B256,
}

/// Results by sender and nonce.
#[derive(Debug, Default)]
struct Shard {
    results: HashMap<(Address, u64), Vec<Arc<Known>>, DefaultHashBuilder>,
    held: usize,
}

/// A result, and what it depends on.
#[derive(Debug)]
pub(crate) struct Known {
    tx: TxEnv,
    pub(crate) record: Record,
    pub(crate) result: ExecutionResult,
}

impl ReuseCache {
    /// Nothing is known yet.
    pub fn new() -> Self {
        let shards = core::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { environment: RwLock::default(), shards }
    }

    /// The number of results.
    pub fn len(&self) -> usize {
        let results =
            |shard: &Mutex<Shard>| lock(shard).results.values().map(Vec::len).sum::<usize>();
        self.shards.iter().map(results).sum()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Prepares for a block: forgets all results if its environment is another one.
    pub(crate) fn open(&self, block: &Block) {
        let Block { cfg, env, parent_hash, .. } = block;
        let is_it = |known: &Environment| {
            known.env == *env && known.cfg == *cfg && known.parent_hash == *parent_hash
        };
        let known = self.environment.read().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(is_it) {
            return;
        }
        drop(known);
        let mut known = self.environment.write().unwrap_or_else(PoisonError::into_inner);
        self.shards.iter().for_each(|shard| *lock(shard) = Shard::default());
        let (cfg, env, parent_hash) = (cfg.clone(), env.clone(), *parent_hash);
        *known = Some(Environment { cfg, env, parent_hash });
    }

    /// A result of `tx` on the state that `view` shows, if one is known. Reads of the view
    /// that fail are left to the run, which meets them again.
    pub(crate) fn find(&self, view: &mut impl Database, tx: &TxEnv) -> Option<Arc<Known>> {
        let known = lock(self.shard(tx)).results.get(&(tx.caller, tx.nonce))?.clone();
        known.into_iter().find(|known| known.tx == *tx && known.holds(view).unwrap_or(false))
    }

    /// Keeps what a run of `tx` gave.
    pub(crate) fn add(&self, tx: TxEnv, result: ExecutionResult, record: Record) {
        let known = Known { tx, record, result };
        let held = known.held();
        let mut shard = lock(self.shard(&known.tx));
        if shard.held + held > HELD_PER_SHARD_MAX {
            *shard = Shard::default();
        }
        shard.held += held;
        let results = shard.results.entry((known.tx.caller, known.tx.nonce)).or_default();
        results.insert(0, Arc::new(known));
        let dropped = results.split_off(results.len().min(RESULTS_PER_TX_MAX));
        shard.held -= dropped.iter().map(|known| known.held()).sum::<usize>();
    }

    fn shard(&self, tx: &TxEnv) -> &Mutex<Shard> {
        &self.shards[usize::from(tx.caller[19]) % SHARDS]
    }
}

impl Known {
    /// Whether all that was looked at is as it was.
    fn holds<D: Database>(&self, view: &mut D) -> Result<bool, D::Error> {
        let Reads { accounts, storage, cost, .. } = &self.record.reads;
        for read in storage {
            if view.storage(read.address, read.key)? != read.value {
                return Ok(false);
            }
        }
        for read in accounts.iter().filter(|read| !read.looked.is_empty()) {
            let now = Seen::new(view.basic(read.address)?.as_ref());
            if stale_field(read, *cost, &now).is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How much it holds, in terms of [`HELD_PER_SHARD_MAX`].
    fn held(&self) -> usize {
        let logs = self.result.logs();
        let data = logs.iter().map(|log| log.data.data.len()).sum::<usize>()
            + self.tx.data.len()
            + self.result.output().map_or(0, |output| output.len());
        let Record { reads, transition } = &self.record;
        1 + reads.accounts.len() + reads.storage.len() + transition.len() + logs.len() + data / 32
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
