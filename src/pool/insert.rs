//! An order that arrives: predicted without a lock, then taken in on the head that is.

use std::sync::Arc;

use forewave_analyzer::{Block, PanickedError, PredictedAccess, Predictor};
use forewave_executor::{CancelToken, Cancellable};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use revm::{DatabaseRef, primitives::Address};

use super::{Head, Inserted, Order, Pool, PoolError, book::Looked};

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
    pub(super) fn look(
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
