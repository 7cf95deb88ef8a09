//! The ready tasks within a window of the block.

use core::ops::Range;

use crate::{
    ready::{ReadySet, Want, bits},
    tasks::Tasks,
};

/// Takes the ready tasks of the lowest ranks within `window`, as many as make one
/// portion of work. Says whether there were any.
pub(crate) fn take(
    tasks: &Tasks,
    ready: &ReadySet,
    window: Range<usize>,
    taken: &mut Vec<usize>,
) -> bool {
    if let Some(only) = only(tasks, &window) {
        let is_taken = ready.take_one(tasks.rank(only));
        taken.extend(is_taken.then_some(only));
        return is_taken;
    }
    let mut portion = tasks.portion();
    let found = ready.take(|rank| {
        if portion == 0 {
            return Want::Enough;
        }
        let want = want(tasks, rank, &window);
        if want == Want::Yes {
            portion = portion.saturating_sub(tasks.weight(tasks.at(rank)));
        }
        want
    });
    if let Some((first, found)) = found {
        taken.extend(bits(found).map(|bit| tasks.at(first + bit)));
    }
    found.is_some()
}

/// Whether there is a ready task within `window`.
pub(crate) fn has(tasks: &Tasks, ready: &ReadySet, window: Range<usize>) -> bool {
    match only(tasks, &window) {
        Some(only) => ready.has_one(tasks.rank(only)),
        None => ready.has(|rank| want(tasks, rank, &window)),
    }
}

/// The task of a window that holds but one.
fn only(tasks: &Tasks, window: &Range<usize>) -> Option<usize> {
    (window.len() == 1 && window.start < tasks.len()).then_some(window.start)
}

fn want(tasks: &Tasks, rank: usize, window: &Range<usize>) -> Want {
    match tasks.at(rank) {
        task if task < window.end => Want::Yes,
        _ if tasks.is_in_block_order() => Want::Enough,
        _ => Want::No,
    }
}
