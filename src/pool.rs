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
mod order;
mod senders;
mod watch;

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use forewave_analyzer::{
    Block, LatePredictor, Location, PanickedError, PredictedAccess, Predictor,
};
use forewave_executor::{CancelToken, Cancellable};
use forewave_scheduler::ConflictRule;
use rayon::{
    ThreadPool,
    iter::{IntoParallelIterator, ParallelIterator},
};
use revm::{DatabaseRef, primitives::Address};

use self::book::{Book, Looked};
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

impl<DB, P> Pool<DB, P>
where
    DB: DatabaseRef<Error: Send + Sync> + Send + Sync + 'static,
    P: for<'a> Predictor<Cancellable<'a, DB>> + Send + Sync,
{
    /// Predicts an order on the calling thread and takes it in.
    pub fn insert(&self, order: Order) -> Result<Inserted, PoolError<DB::Error>> {
        self.insert_until(order, &CancelToken::new())
    }

    /// The same, but once the token is set the order is not taken, unless it is predicted.
    ///
    /// ```
    /// use std::{sync::Arc, time::{Duration, Instant}};
    /// use forewave::{CancelToken, pool::{Order, Pool, PoolError, PoolLimits}};
    /// # use forewave_fixtures::Scenario;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let workload = Scenario::Transfers.generate(1, 1);
    /// # let (block, state) = (workload.block, workload.state);
    /// # let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build()?);
    /// let pool = Pool::new(&block, state, threads, PoolLimits::default());
    /// let order = Order::transaction(block.transactions[0].clone());
    /// let passed = CancelToken::at(Instant::now());
    /// assert_eq!(pool.insert_until(order.clone(), &passed), Err(PoolError::Cancelled));
    /// pool.insert_until(order, &CancelToken::at(Instant::now() + Duration::from_secs(60)))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn insert_until(
        &self,
        order: Order,
        token: &CancelToken,
    ) -> Result<Inserted, PoolError<DB::Error>> {
        self.check_members(&order)?;
        let order = Arc::new(order);
        let head = self.head();
        let looked = self.look(&head, &order, token);
        self.take(&head, order, looked, token)
    }

    /// Predicts orders on the threads of the pool and takes them in, one after the other.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use forewave::{CancelToken, pool::{Order, Pool, PoolError, PoolLimits}};
    /// # use forewave_fixtures::Scenario;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let workload = Scenario::Transfers.generate(2, 1);
    /// # let (block, state) = (workload.block, workload.state);
    /// # let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build()?);
    /// let pool = Pool::new(&block, state, threads, PoolLimits::default());
    /// let twice = block.transactions.iter().chain(&block.transactions);
    /// let orders = twice.cloned().map(Order::transaction).collect();
    /// let results = pool.insert_all(orders, &CancelToken::new());
    /// assert!(results[0].is_ok() && results[1].is_ok());
    /// assert!(matches!(results[2], Err(PoolError::Underpriced { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn insert_all(
        &self,
        orders: Vec<Order>,
        token: &CancelToken,
    ) -> Vec<Result<Inserted, PoolError<DB::Error>>> {
        let head = self.head();
        let look = |order: Order| {
            let looked = self.check_members(&order).and_then(|()| self.look(&head, &order, token));
            (Arc::new(order), looked)
        };
        let looked: Vec<_> = self.threads.install(|| orders.into_par_iter().map(look).collect());
        looked.into_iter().map(|(order, looked)| self.take(&head, order, looked, token)).collect()
    }

    /// Takes in an order with what the caller knows its transactions to touch, for instance
    /// because it has simulated them. They are predicted once what they read has changed.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use forewave::{AccessSetBuilder, Location, PredictedAccess, pool::{Order, Pool, PoolLimits}};
    /// # use forewave_fixtures::Scenario;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let workload = Scenario::Transfers.generate(1, 1);
    /// # let (block, state) = (workload.block, workload.state);
    /// # let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build()?);
    /// let pool = Pool::new(&block, state, threads, PoolLimits::default());
    /// let tx = block.transactions[0].clone();
    /// let paid = Location::Balance(tx.caller);
    /// let measured = AccessSetBuilder::new().read(paid).write(paid).clone().build();
    /// let measured = PredictedAccess::exact(measured, 21_000);
    /// let inserted = pool.insert_measured(Order::transaction(tx), vec![measured])?;
    /// assert_eq!(pool.readers(&paid), [inserted.id]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn insert_measured(
        &self,
        order: Order,
        predictions: Vec<PredictedAccess>,
    ) -> Result<Inserted, PoolError<DB::Error>> {
        self.check_members(&order)?;
        let (order, token) = (Arc::new(order), CancelToken::new());
        let mut head = self.head();
        let mut looked = look_up(&head, &order, predictions, &token)?;
        let mut is_stale = false;
        loop {
            let mut book = self.write();
            // The head does not change while the book is locked.
            let now = self.head();
            if now.number == head.number {
                let inserted = book.insert(&self.limits, order, looked)?;
                if is_stale {
                    book.stale.insert(inserted.id);
                }
                return Ok(inserted);
            }
            drop(book);
            // What was measured on another head may hold no more.
            is_stale = true;
            looked = look_up(&now, &order, looked.predictions, &token)?;
            head = now;
        }
    }

    /// Takes in what was predicted on `head`; predicts it again if that is the head no more.
    fn take(
        &self,
        head: &Head<DB>,
        order: Arc<Order>,
        looked: Result<Looked, PoolError<DB::Error>>,
        token: &CancelToken,
    ) -> Result<Inserted, PoolError<DB::Error>> {
        let mut looked = looked?;
        let mut number = head.number;
        loop {
            let mut book = self.write();
            // The head does not change while the book is locked.
            let now = self.head();
            if now.number == number {
                return book.insert(&self.limits, order, looked);
            }
            drop(book);
            number = now.number;
            looked = self.look(&now, &order, token)?;
        }
    }

    /// Predicts an order, and asks for the nonces of its senders.
    fn look(
        &self,
        head: &Head<DB>,
        order: &Order,
        token: &CancelToken,
    ) -> Result<Looked, PoolError<DB::Error>> {
        let transactions = order.members().iter().map(|member| member.tx().clone()).collect();
        let block = Block { transactions, ..head.block.clone() };
        let state = Cancellable::new(&head.state, token);
        let predictions = PanickedError::catch(|| self.predictor.predict(&block, &state))??;
        look_up(head, order, predictions, token)
    }

    fn check_members(&self, order: &Order) -> Result<(), PoolError<DB::Error>> {
        let (found, max) = (order.members().len(), self.limits.members_max);
        if found == 0 || found > max { Err(PoolError::Members { found, max }) } else { Ok(()) }
    }
}

/// Predictions of an order, with the nonces of its senders.
fn look_up<DB: DatabaseRef<Error: Send + Sync>>(
    head: &Head<DB>,
    order: &Order,
    predictions: Vec<PredictedAccess>,
    token: &CancelToken,
) -> Result<Looked, PoolError<DB::Error>> {
    let (found, expected) = (predictions.len(), order.members().len());
    if found != expected {
        return Err(PoolError::Predictions { found, expected });
    }
    let state = Cancellable::new(&head.state, token);
    let mut nexts: Vec<(Address, u64)> = Vec::with_capacity(1);
    for (member, of) in order.members().iter().enumerate() {
        let caller = of.tx().caller;
        if nexts.iter().all(|(sender, _)| *sender != caller) {
            let info = PanickedError::catch(|| state.basic_ref(caller))?
                .map_err(|error| PoolError::of_state(member, error))?;
            nexts.push((caller, info.map_or(0, |info| info.nonce)));
        }
    }
    Ok(Looked { predictions, nexts, number: head.block.number() })
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
