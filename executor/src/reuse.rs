//! Results of transactions, for when they run again: in another order, beside others.
//!
//! What a transaction does follows from the block's environment and from what it reads. So a
//! result is kept with all that was looked at, field by field, and is the result again
//! wherever that has the same values. Several results are kept for each transaction.
//!
//! A [`ReuseCache`] is about one block environment; a block of another one begins anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forewave_analyzer::Block;
use hashbrown::HashMap;
use revm::{
    Database,
    context::{BlockEnv, CfgEnv, TxEnv, result::ExecutionResult},
    primitives::{Address, B256, map::DefaultHashBuilder},
};

use crate::{
    reads::{Reads, Seen, stale_field},
    touched::Touched,
    tracking::Record,
};

/// Results kept of one transaction at most.
const RESULTS_PER_TX_MAX: usize = 8;

/// Shards, each with a lock of its own.
const SHARDS: usize = 64;

/// What the results of one shard may hold: locations that were read or changed, logs, and
/// words of data. About a hundred bytes each, so half a gibibyte in all.
const HELD_PER_SHARD_MAX: usize = 80_000;

/// Results of transactions, shared by the threads and the blocks that run them.
///
/// Block hashes are taken to follow from a block's parent hash.
#[derive(Debug, Default)]
pub struct ReuseCache(Mutex<Option<Arc<Results>>>);

/// The results in one environment.
#[derive(Debug)]
pub(crate) struct Results {
    environment: Environment,
    shards: Box<[Mutex<Shard>]>,
}

/// What results depend on apart from the state.
#[derive(Clone, Debug, PartialEq)]
struct Environment {
    cfg: CfgEnv,
    env: BlockEnv,
    parent_hash: B256,
    makes_access_list: bool,
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
    tx: Arc<TxEnv>,
    pub(crate) record: Record,
    pub(crate) result: ExecutionResult,
}

impl ReuseCache {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of results.
    pub fn len(&self) -> usize {
        let Some(results) = &*lock(&self.0) else { return 0 };
        let of_shard =
            |shard: &Mutex<Shard>| -> usize { lock(shard).results.values().map(Vec::len).sum() };
        results.shards.iter().map(of_shard).sum()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The results in the environment of this block. Those of another one are forgotten,
    /// once no run uses them any more.
    pub(crate) fn of(&self, block: &Block) -> Arc<Results> {
        let Block { cfg, env, parent_hash, makes_access_list, .. } = block;
        let (cfg, env, parent_hash) = (cfg.clone(), env.clone(), *parent_hash);
        let makes_access_list = *makes_access_list;
        let environment = Environment { cfg, env, parent_hash, makes_access_list };
        let mut current = lock(&self.0);
        if let Some(results) = current.as_ref().filter(|it| it.environment == environment) {
            return Arc::clone(results);
        }
        let shards = core::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Arc::clone(current.insert(Arc::new(Results { environment, shards })))
    }
}

impl Results {
    /// A result of `tx` on the state that `view` shows, if one is known. Reads of the view
    /// that fail are left to the run, which meets them again.
    pub(crate) fn find(&self, view: &mut impl Database, tx: &TxEnv) -> Option<Arc<Known>> {
        let known = lock(self.shard(tx)).results.get(&(tx.caller, tx.nonce))?.clone();
        known.into_iter().find(|known| *known.tx == *tx && known.holds(view).unwrap_or(false))
    }

    /// Keeps what a run of `tx` gave.
    pub(crate) fn add(&self, tx: &TxEnv, result: ExecutionResult, record: Record) {
        let mut shard = lock(self.shard(tx));
        let of_tx = shard.results.get(&(tx.caller, tx.nonce)).and_then(|known| known.first());
        let same = of_tx.map(|known| &known.tx).filter(|known| ***known == *tx).cloned();
        let tx = same.unwrap_or_else(|| Arc::new(tx.clone()));
        let key = (tx.caller, tx.nonce);
        let known = Known { tx, record, result };
        let held = known.held();
        if shard.held + held > HELD_PER_SHARD_MAX {
            *shard = Shard::default();
        }
        shard.held += held;
        let results = shard.results.entry(key).or_default();
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
        let Self { tx, record, result } = self;
        let Record { reads, transition, touched } = record;
        let logs = result.logs();
        let lists = tx.access_list.iter().map(|item| 1 + item.storage_keys.len()).sum::<usize>()
            + tx.authorization_list.len()
            + tx.blob_hashes.len();
        let bytes = logs.iter().map(|log| log.data.data.len()).sum::<usize>()
            + tx.data.len()
            + transition.code_len()
            + result.output().map_or(0, |output| output.len());
        let locations = reads.accounts.len()
            + reads.storage.len()
            + transition.len()
            + touched.as_ref().map_or(0, Touched::len);
        1 + locations + lists + logs.len() + bytes / 32
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
