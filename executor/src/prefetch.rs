//! Reads of a block fetched ahead, for states whose every read takes long: on
//! disk, behind a network.
//!
//! [`with_prefetch`] lends a [`Prefetched`] state, a cache that everybody shares,
//! to whatever works on the block: a predictor, [`execute`](crate::execute),
//! [`sequential`](crate::sequential), or one after the other. Meanwhile fetchers
//! run ahead of it through the block, as many at once as their pool has threads:
//!
//! 1. what the protocol touches is known without any code, and is asked for at
//!    once, in batches if the state takes them ([`StateView`]);
//! 2. what a prediction at hand names exactly is asked for too;
//! 3. a transaction without such a prediction is scouted: executed alone on the
//!    state before the block, for its reads only. Where it waits for a read,
//!    other fetchers go on with other transactions; and where the state takes
//!    batches, several are scouted together and nothing waits for a single read.
//!
//! What the work needs earlier than the fetchers it reads itself, and a read
//! under way is waited for, never repeated. Nothing here can change an outcome:
//! the cache answers what the state answers, and scouts write nothing. An error
//! or panic that a fetcher meets is dropped; who needs the value meets it again.

mod ahead;
mod cache;
mod scout;
mod state;
mod steps;
mod view;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use forewave_analyzer::{Block, PanickedError, PredictedAccess};
use rayon::ThreadPool;

pub use state::{PrefetchStats, Prefetched};
pub use view::{OneByOne, StateView};

use crate::{
    at_work::AtWork,
    instrument::count_prefetch,
    prefetch::{
        ahead::Ahead,
        scout::Scout,
        steps::{Step, Steps},
    },
};

/// Runs `work` on a cached view of `state` while the threads of `fetchers` read
/// ahead what the block will need, and says who read how much.
///
/// `predictions` may be those of the first transactions, of all, or of none.
/// When `work` returns, the fetchers stop with the read they are at. `work` runs
/// on the calling thread, which must not be one of `fetchers`.
pub fn with_prefetch<DB, T>(
    block: &Block,
    state: &DB,
    predictions: &[PredictedAccess],
    fetchers: &ThreadPool,
    work: impl FnOnce(&Prefetched<'_, DB>) -> T,
) -> (T, PrefetchStats)
where
    DB: StateView<Error: Send> + Sync,
{
    let prefetched = Prefetched::new(state);
    let steps = Steps::new(block, predictions, state.batch_reads_max());
    let stopped = AtomicBool::new(false);
    let gas_spent = AtomicU64::new(0);
    let value = fetchers.in_place_scope(|scope| {
        for _ in 0..fetchers.current_num_threads() {
            scope.spawn(|_| {
                let Some(_at_work) = AtWork::of_pool() else { return };
                let fetch = || {
                    let mut scout =
                        Scout::new(block, Ahead::new(&prefetched, &steps, &stopped), &gas_spent);
                    while !stopped.load(Ordering::Relaxed)
                        && let Some(step) = steps.next()
                    {
                        match step {
                            Step::Accounts(addresses) => {
                                prefetched.fetch_accounts(addresses);
                            }
                            Step::Slots(slots) => {
                                prefetched.fetch_slots(slots);
                            }
                            Step::Transactions(txs) => scout.transactions(txs),
                            Step::System => scout.system(),
                        }
                    }
                };
                // Like an error: who needs the value meets it again.
                drop(PanickedError::catch(fetch));
            });
        }
        let _stop = Stop(&stopped);
        work(&prefetched)
    });
    let stats = prefetched.stats();
    count_prefetch(stats);
    (value, stats)
}

/// Stops the fetchers when dropped, be it by a panic.
#[derive(Debug)]
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
