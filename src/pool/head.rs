//! A new head: what is dropped, and what is predicted again.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use forewave_analyzer::{Block, Location, PanickedError, Predictor};
use forewave_executor::{CancelToken, Cancellable, StateChanges};
use hashbrown::HashSet;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use revm::{DatabaseRef, state::AccountInfo};

use super::{
    Head, Order, OrderId, Pool, PoolError, book::Book, watch::Decider, without_transactions,
};

/// Orders that are predicted again before the book is locked for them: few, so that others wait
/// for a fraction of a millisecond, and so many that the threads have enough to share.
const RENEWED_AT_ONCE: usize = 128;

/// What a new head did to a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeadReport<E: core::error::Error + 'static> {
    /// Orders that left, as a nonce of theirs is passed: they were included, or never can be.
    pub dropped: Vec<OrderId>,
    /// Orders that were predicted again.
    pub predicted: Vec<OrderId>,
    /// Orders that could not be predicted again. They keep their predictions, and
    /// [`Pool::refresh`] tries again.
    pub stale: Vec<OrderId>,
    /// Why not, of the first that failed.
    pub failure: Option<PoolError<E>>,
}

impl<DB, P> Pool<DB, P>
where
    DB: DatabaseRef<Error: Send + Sync> + Send + Sync + 'static,
    P: for<'a> Predictor<Cancellable<'a, DB>> + Send + Sync,
{
    /// Follows the chain: `block` is the one to be built on `state`, and `changes` says in what
    /// `state` differs from the one before, the changes of several blocks and of a
    /// reorganisation included.
    ///
    /// Drops the orders of which a nonce is passed. Predicts those again, on the threads of the
    /// pool, that have a deciding read among the changes ([`PredictedAccess::deciding_reads`];
    /// where a prediction does not state them, any read), that call an account whose code has
    /// changed or that is new no more, or that may touch anything and do not state what decided it;
    /// and all, if the fork or the beneficiary is another. Looks at the accounts that changed in the
    /// state before as well, which must answer as it did.
    /// Of what was computed from the block's own fields, such as its
    /// time, it does not know; nor of senders that can no longer pay.
    ///
    /// Once the token is set no more is predicted: the head is followed nevertheless, and what is
    /// left is [stale](HeadReport::stale).
    ///
    /// [`PredictedAccess::deciding_reads`]: crate::PredictedAccess::deciding_reads
    ///
    /// ```
    /// use std::sync::Arc;
    /// use forewave::{CancelToken, pool::{Order, Pool, PoolLimits}, sequential};
    /// # use forewave_fixtures::Scenario;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let workload = Scenario::Transfers.generate(2, 1);
    /// # let (block, state) = (workload.block, workload.state);
    /// # let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build()?);
    /// let pool = Pool::new(&block, state.clone(), threads, PoolLimits::default());
    /// for tx in &block.transactions {
    ///     pool.insert(Order::transaction(tx.clone()))?;
    /// }
    /// // A block with both transactions is the new head.
    /// let outcome = sequential(&block, &state)?;
    /// let report = pool.on_head(&block, state, &outcome.state, &CancelToken::new());
    /// assert_eq!(report.dropped.len(), 2);
    /// assert!(pool.is_empty() && report.failure.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_head(
        &self,
        block: &Block,
        state: DB,
        changes: &StateChanges,
        token: &CancelToken,
    ) -> HeadReport<DB::Error> {
        let _following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.head();
        let fields = changed_fields(&before.state, changes);
        let mut book = self.write();
        let mut dropped = BTreeSet::new();
        for (address, change) in changes {
            if let Some(info) = &change.info {
                dropped.extend(book.advance(address, info.nonce));
            }
        }
        for id in &dropped {
            book.remove(*id);
        }
        if is_alike(&before.block, block) {
            let turned = turned(&book, &fields, changes);
            book.stale.extend(turned);
        } else {
            book.groups.ignore(Location::Balance(block.env.beneficiary));
            let Book { stale, entries, .. } = &mut *book;
            stale.extend(entries.keys());
        }
        {
            let mut head = self.head.write().unwrap_or_else(PoisonError::into_inner);
            let (block, number) = (without_transactions(block), head.number + 1);
            *head = Arc::new(Head { block, state, number });
        }
        drop(book);
        HeadReport { dropped: dropped.into_iter().collect(), ..self.refresh(token) }
    }

    /// Predicts again what is stale, as far as the token allows.
    pub fn refresh(&self, token: &CancelToken) -> HeadReport<DB::Error> {
        let (head, stale) = {
            let book = self.read();
            let order = |id: &OrderId| (*id, book.entries[id].pooled.order.clone());
            let stale: Vec<(OrderId, Arc<Order>)> = book.stale.iter().map(order).collect();
            (self.head(), stale)
        };
        let mut report =
            HeadReport { dropped: vec![], predicted: vec![], stale: vec![], failure: None };
        for part in stale.chunks(RENEWED_AT_ONCE) {
            self.renew(&head, part, token, &mut report);
        }
        report.stale = self.read().stale.iter().copied().collect();
        report
    }

    /// Predicts some orders again, then locks the book once for all of them.
    fn renew(
        &self,
        head: &Head<DB>,
        part: &[(OrderId, Arc<Order>)],
        token: &CancelToken,
        report: &mut HeadReport<DB::Error>,
    ) {
        let look = |(id, order): &(OrderId, Arc<Order>)| (*id, self.look(head, order, token));
        let looked: Vec<_> = self.threads.install(|| part.par_iter().map(look).collect());
        let mut book = self.write();
        let is_head = self.head().number == head.number;
        for (id, looked) in looked {
            match looked {
                // Another head may have come meanwhile, or the order gone.
                Ok(looked) if is_head => {
                    report.predicted.extend(book.renew(id, looked).then_some(id));
                }
                Ok(_) => {}
                Err(error) => report.failure = report.failure.take().or(Some(error)),
            }
        }
    }
}

/// Whether predictions for one block hold for the other as well, if they touch the same.
fn is_alike(one: &Block, other: &Block) -> bool {
    one.spec() == other.spec() && one.env.beneficiary == other.env.beneficiary
}

/// What of the accounts that have changed is not what it was. Where the state before does not
/// answer, all counts as changed.
fn changed_fields<DB: DatabaseRef>(before: &DB, changes: &StateChanges) -> Vec<Location> {
    let mut changed = Vec::new();
    for (address, change) in changes {
        let old = PanickedError::catch(|| before.basic_ref(*address)).ok().and_then(Result::ok);
        let old = old.map(Option::unwrap_or_default);
        let new = change.info.clone().unwrap_or_default();
        let differs = |same: fn(&AccountInfo, &AccountInfo) -> bool| {
            old.as_ref().is_none_or(|old| !same(old, &new))
        };
        let fields = [
            (Location::Balance(*address), differs(|old, new| old.balance == new.balance)),
            (Location::Nonce(*address), differs(|old, new| old.nonce == new.nonce)),
            (Location::Code(*address), differs(is_called_alike)),
        ];
        changed.extend(fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field));
    }
    changed
}

/// Whether a call finds the same: the same code, and an account, a new one or none.
fn is_called_alike(old: &AccountInfo, new: &AccountInfo) -> bool {
    old.code_hash == new.code_hash
        && (old.nonce == 0) == (new.nonce == 0)
        && old.is_empty() == new.is_empty()
}

/// The orders whose predictions the changes may turn.
fn turned(book: &Book, fields: &[Location], changes: &StateChanges) -> BTreeSet<OrderId> {
    let mut turned: BTreeSet<OrderId> = BTreeSet::new();
    let mut cleared = HashSet::new();
    if !changes.is_empty() {
        turned.extend(book.watch.decided_by(&Decider::Everything));
    }
    for field in fields {
        turned.extend(book.watch.decided_by(&Decider::Location(*field)));
        // What a transaction calls decides it, and so does the nonce of an account that creates
        // or delegates, although neither is among its deciding reads. Its sender's nonce it names.
        match field {
            Location::Code(_) => turned.extend(book.groups.readers(field)),
            Location::Nonce(account) => {
                let readers = book.groups.readers(field);
                turned.extend(readers.iter().filter(|id| book.has_other_sender(**id, account)));
            }
            _ => {}
        }
    }
    for (address, change) in changes {
        if change.storage_cleared {
            cleared.insert(*address);
        }
        for key in change.storage.keys() {
            let slot = Decider::Location(Location::Storage(*address, *key));
            turned.extend(book.watch.decided_by(&slot));
        }
        if change.storage_cleared || !change.storage.is_empty() {
            turned.extend(book.watch.decided_by(&Decider::Contract(*address)));
        }
    }
    if !cleared.is_empty() {
        turned.extend(book.watch.decided_by_slots(&cleared));
    }
    turned
}
