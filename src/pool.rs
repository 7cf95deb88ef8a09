//! Transactions and bundles that wait for a block, with what each is predicted to touch: for
//! mempools and block builders.
//!
//! ```text
//! order ──predict (no lock held)──> predictions ──book──> nonces, fees, limits
//!                                                    └──> conflict groups, by location
//! head  ──changes──> nonces passed: orders dropped
//!                └─> deciding reads changed: those orders predicted again
//! ```
//!
//! A prediction says what a transaction touches if it runs on the state of the head. It stays
//! until a block changes what it was computed from. A wrong one costs time, never correctness.
//!
//! All methods take `&self` and may be called from any thread. Predicting holds no lock;
//! insertions, removals and new heads hold one for microseconds for each order that they change;
//! questions are answered side by side.
//!
//! This module executes nothing, and does not choose what goes into a block.

mod book;
mod error;
mod head;
mod insert;
mod order;
mod senders;
mod watch;

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use forewave_analyzer::{Block, LatePredictor, Location};
use forewave_scheduler::ConflictRule;
use rayon::ThreadPool;
use revm::primitives::Address;

use self::book::Book;
pub use self::{
    error::PoolError,
    head::HeadReport,
    order::{Order, OrderId, OrderMember, PooledOrder},
    senders::Readiness,
};

/// What a pool holds at most, and how it ranks.
///
/// ```
/// use forewave::pool::PoolLimits;
///
/// let limits = PoolLimits { bytes_max: 64 << 20, ..PoolLimits::default() };
/// assert_eq!(limits.price_bump_percent, 10);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Orders.
    pub orders_max: usize,
    /// Bytes of all orders with their predictions and what finds them, about.
    pub bytes_max: usize,
    /// Transactions of one order.
    pub members_max: usize,
    /// How far a nonce may be ahead of its sender's next one.
    pub nonces_ahead_max: u64,
    /// By how many per cent a transaction must exceed the fees of the one that it replaces.
    pub price_bump_percent: u8,
    /// Which orders conflict.
    pub rule: ConflictRule,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            orders_max: 200_000,
            bytes_max: 2 << 30,
            members_max: 64,
            nonces_ahead_max: 64,
            price_bump_percent: 10,
            rule: ConflictRule::Strict,
        }
    }
}

/// What an insertion did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inserted {
    /// The new order.
    pub id: OrderId,
    /// The transaction of the same sender and nonce that it took the place of.
    pub replaced: Option<OrderId>,
    /// Orders that left because the pool was full.
    pub evicted: Vec<OrderId>,
}

/// The state that orders are predicted on, and the block that is to follow it.
#[derive(Debug)]
struct Head<DB> {
    /// Without transactions.
    block: Block,
    state: DB,
    /// Heads before this one.
    number: u64,
}

/// A pool of predicted orders: see the [module](self).
///
/// Orders enter with [`insert`](Self::insert) and leave with [`remove`](Self::remove), with
/// [`on_head`](Self::on_head) when a nonce of theirs is passed, when a transaction of the same
/// sender and nonce offers fees that are higher by [`PoolLimits::price_bump_percent`], and, when
/// the pool is full, by the lowest [fee](Order::fee) first, of the same fee the latest first. A
/// bundle leaves as a whole. What is new does not stay if it pays no more than those that
/// would have to leave for it.
///
/// The balance of the block's beneficiary joins no orders, since all of them credit it.
///
/// `P` predicts an order as if it were a block: by default `static`, which for the later
/// transactions of a bundle looks at what the earlier ones leave. It may be any other, such as
/// [`HybridPredictor`](crate::HybridPredictor), which simulates what is not known otherwise.
///
/// ```
/// use std::sync::Arc;
/// use forewave::{CancelToken, MemoryState, pool::{Order, Pool, PoolLimits, Readiness}};
/// use forewave_fixtures::Scenario;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let workload = Scenario::HotPool.generate(3, 1);
/// # let (block, state) = (workload.block, workload.state);
/// // A block's environment, the state that it follows, and threads.
/// let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build()?);
/// let pool = Pool::new(&block, state, threads, PoolLimits::default());
/// for tx in &block.transactions {
///     pool.insert(Order::transaction(tx.clone()))?;
/// }
/// let ids = pool.ids();
/// assert_eq!(pool.group_of(ids[0]), ids); // Three swaps in one exchange.
/// assert_eq!(pool.readiness(ids[0]), Some(Readiness::Next));
/// pool.remove(ids[1]);
/// assert_eq!(pool.conflicts_of(ids[0]), [ids[2]]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pool<DB, P = LatePredictor> {
    limits: PoolLimits,
    predictor: P,
    threads: Arc<ThreadPool>,
    head: RwLock<Arc<Head<DB>>>,
    /// Held while a new head is followed: one after the other.
    following: Mutex<()>,
    book: RwLock<Book>,
}

impl<DB> Pool<DB> {
    /// An empty pool for the block that follows `state`, whose transactions are not looked at.
    /// Predicts with [`PredictorKind::Static`](crate::PredictorKind)'s summaries, which all
    /// pools share, on the caller's thread, and where there are several orders on `threads`.
    pub fn new(block: &Block, state: DB, threads: Arc<ThreadPool>, limits: PoolLimits) -> Self {
        let predictor = LatePredictor(crate::PredictorKind::shared_static());
        Self::with_predictor(block, state, threads, limits, predictor)
    }
}

impl<DB, P> Pool<DB, P> {
    /// A pool whose orders are predicted by `predictor`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use forewave::{HybridPredictor, StaticPredictor, pool::{Pool, PoolLimits}};
    /// # use forewave_fixtures::Scenario;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let workload = Scenario::Transfers.generate(1, 1);
    /// # let (block, state) = (workload.block, workload.state);
    /// let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build()?);
    /// let predictor = HybridPredictor(StaticPredictor::default());
    /// let pool = Pool::with_predictor(&block, state, threads, PoolLimits::default(), predictor);
    /// assert!(pool.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_predictor(
        block: &Block,
        state: DB,
        threads: Arc<ThreadPool>,
        limits: PoolLimits,
        predictor: P,
    ) -> Self {
        let book = Book::new(limits.rule, block.env.beneficiary);
        let head = Head { block: without_transactions(block), state, number: 0 };
        Self {
            limits,
            predictor,
            threads,
            head: RwLock::new(Arc::new(head)),
            following: Mutex::default(),
            book: RwLock::new(book),
        }
    }

    /// Removes an order, and gives it back if it was here.
    pub fn remove(&self, id: OrderId) -> Option<PooledOrder> {
        self.write().remove(id)
    }

    /// An order with its predictions.
    pub fn get(&self, id: OrderId) -> Option<PooledOrder> {
        self.read().entries.get(&id).map(|entry| entry.pooled.clone())
    }

    /// All orders, in the order in which they came.
    pub fn ids(&self) -> Vec<OrderId> {
        self.read().entries.keys().copied().collect()
    }

    /// How many orders there are.
    pub fn len(&self) -> usize {
        self.read().entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes the orders hold.
    pub fn bytes(&self) -> usize {
        self.read().bytes
    }

    /// The orders that read a location, or may.
    pub fn readers(&self, location: &Location) -> Vec<OrderId> {
        self.read().groups.readers(location)
    }

    /// The orders that replace or credit a location, or may.
    pub fn writers(&self, location: &Location) -> Vec<OrderId> {
        self.read().groups.writers(location)
    }

    /// The orders that an order conflicts with.
    pub fn conflicts_of(&self, id: OrderId) -> Vec<OrderId> {
        self.read().groups.conflicts_of(&id)
    }

    /// The orders that an order conflicts with, directly or through others, and itself.
    pub fn group_of(&self, id: OrderId) -> Vec<OrderId> {
        self.read().groups.group_of(&id)
    }

    /// The orders in groups of which none conflicts with another, by their first orders. Orders
    /// that may touch anything, which would join all groups, are in none of them but given apart.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use forewave::pool::{Order, Pool, PoolLimits};
    /// # use forewave_fixtures::Scenario;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let workload = Scenario::Transfers.generate(2, 1);
    /// # let (block, state) = (workload.block, workload.state);
    /// # let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build()?);
    /// # let pool = Pool::new(&block, state, threads, PoolLimits::default());
    /// let [one, other] = [0, 1].map(|at| Order::transaction(block.transactions[at].clone()));
    /// let (one, other) = (pool.insert(one)?.id, pool.insert(other)?.id);
    /// assert_eq!(pool.groups(), (vec![vec![one], vec![other]], vec![]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn groups(&self) -> (Vec<Vec<OrderId>>, Vec<OrderId>) {
        let book = self.read();
        (book.groups.bounded_groups(), book.groups.unbounded().collect())
    }

    /// Whether an order can be executed as far as nonces go.
    pub fn readiness(&self, id: OrderId) -> Option<Readiness> {
        let book = self.read();
        let entry = book.entries.get(&id)?;
        Some(book.senders.readiness(id, &entry.pooled.order))
    }

    /// The orders of a sender, each with the nonce of its transaction there, by nonce.
    pub fn orders_of(&self, sender: &Address) -> Vec<(u64, OrderId)> {
        self.read().senders.of(sender)
    }

    fn read(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Book> {
        self.book.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self) -> Arc<Head<DB>> {
        self.head.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a block says of itself.
fn without_transactions(block: &Block) -> Block {
    let Block { cfg, env, deposit_contract, .. } = block;
    Block {
        cfg: cfg.clone(),
        env: env.clone(),
        parent_hash: block.parent_hash,
        parent_beacon_block_root: block.parent_beacon_block_root,
        deposit_contract: *deposit_contract,
        state_extent: block.state_extent,
        transactions: Vec::new(),
        withdrawals: Vec::new(),
        ommers: Vec::new(),
        reward: block.reward,
        is_dao_fork: block.is_dao_fork,
        makes_access_list: block.makes_access_list,
        access_list: None,
    }
}
