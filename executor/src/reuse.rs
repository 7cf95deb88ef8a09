//! Results of transactions, for when they run again: in another order, beside others.
//!
//! What a transaction does follows from the block's environment and from what it reads. So a
//! result is kept with all that was looked at, field by field, and is the result again
//! wherever that has the same values. Many results are kept for each transaction.
//!
//! ```text
//! (sender, nonce) ──> TxResults ── Tree of what must hold ──> Known: result, changes by place
//! ```
//!
//! A [`ReuseCache`] is about one block environment; a block of another one begins anew.

mod places;
mod tree;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicUsize, Ordering},
};

use forewave_analyzer::Block;
use hashbrown::HashMap;
use revm::{
    Database,
    context::{BlockEnv, CfgEnv, TxEnv, result::ExecutionResult},
    primitives::{Address, B256, StorageValue, map::DefaultHashBuilder},
};

use self::tree::{Check, Tree};
pub(crate) use self::{
    places::{AccountPlace, Places, SlotPlace},
    tree::Placed,
};
use crate::{
    reads::{Reads, Seen},
    touched::Touched,
    tracking::Record,
    transition::AccountTransition,
};

/// Results kept of one transaction at most: once there are more, it begins anew. With
/// `examples/orders`, 25 orders of real blocks give up to 45.
const RESULTS_PER_TX_MAX: usize = 128;

/// Shards, each with a lock of its own.
const SHARDS: usize = 64;

/// What all results together may hold: locations that were read or changed, logs, and
/// words of data. About two hundred bytes each, so a gibibyte in all.
const HELD_MAX: usize = 5_000_000;

/// Places from which on a new run begins with none, since none is taken away.
const PLACES_MAX: usize = 5_000_000;

/// Results of transactions, shared by the threads and the blocks that run them.
///
/// Block hashes are taken to follow from a block's parent hash.
///
/// ```
/// use forewave_executor::ReuseCache;
///
/// let cache = ReuseCache::new();
/// assert!(cache.is_empty());
/// ```
#[derive(Debug, Default)]
pub struct ReuseCache(Mutex<Option<Arc<Results>>>);

/// The results in one environment.
#[derive(Debug)]
pub(crate) struct Results {
    environment: Environment,
    places: RwLock<Places>,
    shards: Box<[Mutex<Shard>]>,
    held: AtomicUsize,
}

/// What results depend on apart from the state.
#[derive(Clone, Debug, PartialEq)]
struct Environment {
    cfg: CfgEnv,
    env: BlockEnv,
    parent_hash: B256,
    makes_access_list: bool,
}

/// Transactions by sender and nonce.
type Shard = HashMap<(Address, u64), Vec<Arc<TxResults>>, DefaultHashBuilder>;

/// The results of one transaction.
#[derive(Debug)]
pub(crate) struct TxResults {
    tx: TxEnv,
    /// Searched without the lock, since a read of the state may do anything.
    tree: Mutex<Arc<Tree>>,
}

/// A result, and what it depends on.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) record: Record,
    pub(crate) result: ExecutionResult,
    /// Where the accounts are that the transition is about.
    accounts: Box<[AccountPlace]>,
    /// The slots that it changes.
    pub(crate) slots: Box<[(SlotPlace, StorageValue)]>,
}

impl ReuseCache {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of results.
    pub fn len(&self) -> usize {
        let Some(results) = &*lock(&self.0) else { return 0 };
        let of_shard = |shard: &Mutex<Shard>| -> usize {
            lock(shard).values().flatten().map(|of_tx| lock(&of_tx.tree).len()).sum()
        };
        results.shards.iter().map(of_shard).sum()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The results in the environment of this block. Those of another one are forgotten,
    /// once no run uses them any more, and so are too many.
    pub(crate) fn of(&self, block: &Block) -> Arc<Results> {
        let Block { cfg, env, parent_hash, makes_access_list, .. } = block;
        let (cfg, env, parent_hash) = (cfg.clone(), env.clone(), *parent_hash);
        let makes_access_list = *makes_access_list;
        let environment = Environment { cfg, env, parent_hash, makes_access_list };
        let mut current = lock(&self.0);
        let is_usable = |it: &&Arc<Results>| it.environment == environment && !it.is_full();
        if let Some(results) = current.as_ref().filter(is_usable) {
            return Arc::clone(results);
        }
        Arc::clone(current.insert(Arc::new(Results {
            environment,
            places: RwLock::default(),
            shards: core::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            held: AtomicUsize::new(0),
        })))
    }
}

impl Results {
    /// Whether there are so many places that it is better to begin anew.
    pub(crate) fn is_full(&self) -> bool {
        self.places().len() > PLACES_MAX
    }

    pub(crate) fn places(&self) -> RwLockReadGuard<'_, Places> {
        self.places.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn places_mut(&self) -> RwLockWriteGuard<'_, Places> {
        self.places.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The results of a transaction, none so far if it is a new one.
    pub(crate) fn of(&self, tx: &TxEnv) -> Arc<TxResults> {
        let mut shard = lock(&self.shards[usize::from(tx.caller[19]) % SHARDS]);
        let alike = shard.entry((tx.caller, tx.nonce)).or_default();
        if let Some(known) = alike.iter().find(|known| known.tx == *tx) {
            return Arc::clone(known);
        }
        let results = Arc::new(TxResults { tx: tx.clone(), tree: Mutex::default() });
        alike.push(Arc::clone(&results));
        drop(shard);
        // Transactions that are always dropped have no results, but take room as well.
        if self.held.fetch_add(lists_len(tx) + 1, Ordering::Relaxed) > HELD_MAX {
            self.forget();
        }
        results
    }

    /// Keeps what a run of a transaction gave.
    pub(crate) fn add(
        &self,
        of_tx: &TxResults,
        result: ExecutionResult,
        record: Record,
    ) -> Arc<Known> {
        let (known, checks) = {
            let places = &mut *self.places_mut();
            let checks = checks(places, &record.reads, of_tx.tx.caller);
            (Arc::new(Known::new(places, result, record)), checks)
        };
        let held = known.held() + checks.len();
        if self.held.fetch_add(held, Ordering::Relaxed) > HELD_MAX {
            self.forget();
        }
        let mut tree = lock(&of_tx.tree);
        if tree.len() >= RESULTS_PER_TX_MAX {
            *tree = Arc::default();
        }
        Arc::make_mut(&mut tree).add(checks, Arc::clone(&known));
        known
    }

    /// Forgets all results, and the transactions that no run uses.
    fn forget(&self) {
        self.held.store(0, Ordering::Relaxed);
        for shard in &self.shards {
            lock(shard).retain(|_, alike| {
                alike.retain(|of_tx| Arc::strong_count(of_tx) > 1);
                for of_tx in &*alike {
                    *lock(&of_tx.tree) = Arc::default();
                }
                !alike.is_empty()
            });
        }
    }
}

/// A result of a transaction on the state that `view` shows, if one is known.
pub(crate) fn find(
    results: Option<&Results>,
    of_tx: Option<&TxResults>,
    view: &mut impl Database,
) -> Option<Arc<Known>> {
    of_tx?.find(&mut ByAddress { view, results: results? })
}

impl TxResults {
    /// The transaction.
    pub(crate) const fn tx(&self) -> &TxEnv {
        &self.tx
    }

    /// A result on the state as it is, if one is known. Reads that fail are left to the run,
    /// which meets them again.
    pub(crate) fn find(&self, state: &mut impl Placed) -> Option<Arc<Known>> {
        let tree = Arc::clone(&lock(&self.tree));
        tree.find(state).ok().flatten().cloned()
    }
}

impl Known {
    fn new(places: &mut Places, result: ExecutionResult, record: Record) -> Self {
        let (mut accounts, mut slots) = (Vec::new(), Vec::new());
        for (address, change) in record.transition.accounts() {
            let account = places.account(*address);
            accounts.push(account);
            let changed = change.slots().iter();
            slots.extend(changed.map(|slot| (places.slot(account, slot.key), slot.value)));
        }
        Self { record, result, accounts: accounts.into(), slots: slots.into() }
    }

    /// What it does to accounts, slots aside.
    pub(crate) fn changed_accounts(
        &self,
    ) -> impl Iterator<Item = (AccountPlace, &AccountTransition)> {
        let changes = self.record.transition.accounts().iter().map(|(_, change)| change);
        self.accounts.iter().copied().zip(changes)
    }

    /// How much it holds, in terms of [`HELD_MAX`].
    fn held(&self) -> usize {
        let Self { record, result, accounts, slots } = self;
        let Record { reads, transition, touched } = record;
        let logs = result.logs();
        let bytes = logs.iter().map(|log| log.data.data.len()).sum::<usize>()
            + transition.code_len()
            + result.output().map_or(0, |output| output.len());
        let locations = reads.accounts.len()
            + reads.storage.len()
            + accounts.len()
            + slots.len()
            + touched.as_ref().map_or(0, Touched::len);
        1 + locations + logs.len() + bytes / 32
    }
}

/// What must hold for a result: what tells states apart first, then slots in the order in which
/// they were loaded, which decide what else is.
fn checks(places: &mut Places, reads: &Reads, sender: Address) -> Vec<Check> {
    let Reads { accounts, storage, .. } = reads;
    let looked_at = || accounts.iter().filter(|read| !read.looked.is_empty());
    let is_sender = |address: Address| address == sender;
    let mut checks = Vec::with_capacity(accounts.len() + storage.len());
    let senders = looked_at().filter(|read| is_sender(read.address));
    checks.extend(senders.map(|read| Check::Account(places.account(read.address), (*read).into())));
    for read in storage {
        let account = places.account(read.address);
        checks.push(Check::Slot(places.slot(account, read.key), read.value));
    }
    let others = looked_at().filter(|read| !is_sender(read.address));
    checks.extend(others.map(|read| Check::Account(places.account(read.address), (*read).into())));
    checks
}

/// How much the parts of a transaction hold that have no fixed size.
fn lists_len(tx: &TxEnv) -> usize {
    tx.access_list.iter().map(|item| 1 + item.storage_keys.len()).sum::<usize>()
        + tx.authorization_list.len()
        + tx.blob_hashes.len()
        + tx.data.len() / 32
}

/// A state that knows no places.
struct ByAddress<'a, V> {
    view: &'a mut V,
    results: &'a Results,
}

impl<V: Database> Placed for ByAddress<'_, V> {
    type Error = V::Error;

    fn slot_at(&mut self, place: SlotPlace) -> Result<StorageValue, V::Error> {
        let (address, key) = {
            let places = self.results.places();
            let (account, key) = places.slot_of(place);
            (places.address_of(account), key)
        };
        self.view.storage(address, key)
    }

    fn account_at(&mut self, place: AccountPlace) -> Result<Seen, V::Error> {
        let address = self.results.places().address_of(place);
        let info = self.view.basic(address)?;
        Ok(Seen::new(info.as_ref()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
