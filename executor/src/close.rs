//! The end of a block whose transactions are done: what the protocol does after
//! them, and the net changes, worked out by all threads where there are many.

use forewave_analyzer::Block;
use rayon::{
    ThreadPool,
    iter::{IntoParallelIterator, ParallelIterator},
};
use revm::DatabaseRef;

use crate::{
    ExecutionError, StateChanges,
    flat_state::{FlatState, Share},
    system::{SystemOutput, apply_post_block},
};

/// Transactions, or accounts, from which on all threads work out the net changes.
pub(crate) const SHARED_CLOSING_MIN: usize = 2_048;

/// The net changes of a block whose transactions are done, those of the
/// protocol at its end included. `states` are the threads', the calling thread's
/// first: each works out a share of the address space.
pub(crate) fn close<DB>(
    block: &Block,
    mut states: Vec<FlatState<'_, DB>>,
    system: &mut SystemOutput,
    pool: &ThreadPool,
) -> Result<StateChanges, ExecutionError<DB::Error>>
where
    DB: DatabaseRef<Error: Send> + Sync,
{
    let in_system = ExecutionError::SystemState;
    let parts = states.len();
    let shares = |parts| (0..parts).map(move |part| Share { part, parts });
    let open = states.iter_mut().zip(shares(parts)).collect();
    on_each(open, pool, |(state, share)| state.absorb(share)).map_err(in_system)?;
    let (own, others) = states.split_first_mut().expect("the calling thread has a state");
    apply_post_block(block, own, system)?;
    for (other, share) in others.iter_mut().zip(shares(parts).skip(1)) {
        other.take_late(share, own).map_err(in_system)?;
    }
    let is_large = pool.current_num_threads() > 1 && states[0].len() >= SHARED_CLOSING_MIN;
    let changes = match &*states {
        [one] if is_large => pool.install(|| one.changes_by_all().map(|changes| vec![changes])),
        states => {
            let done = states.iter().zip(shares(parts)).collect();
            on_each(done, pool, |(state, share)| state.changes_of(share))
        }
    };
    let changes = changes.map_err(in_system)?;
    let collect = || changes.into_iter().flatten().collect();
    Ok(if is_large || parts > 1 { pool.join(collect, || drop(states)).0 } else { collect() })
}

/// Does something with each item: on the calling thread if there is one, else on
/// those of the pool.
fn on_each<T: Send, R: Send, E: Send>(
    items: Vec<T>,
    pool: &ThreadPool,
    each: impl Fn(T) -> Result<R, E> + Sync + Send,
) -> Result<Vec<R>, E> {
    if items.len() == 1 {
        return items.into_iter().map(each).collect();
    }
    pool.install(|| items.into_par_iter().map(each).collect())
}
