//! Work on many things by several threads, its results one by one in the order of the things.
//!
//! Plain threads rather than a pool: what is done may wait for a node, and a pool's thread
//! that waits begins something else in between.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// Hands `take` what `work` gives for each number below `count`, in order, each as soon as it
/// and those before it are there. The first error of `take` ends the work.
pub(super) fn in_order<T: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(usize, T) -> io::Result<()>,
) -> io::Result<()> {
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, count.max(1)) {
            let (sender, work, next, stopped) = (sender.clone(), &work, &next, &stopped);
            scope.spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count || sender.send((at, work(at))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut taken = 0;
        for (at, value) in &receiver {
            early.insert(at, value);
            while let Some(value) = early.remove(&taken) {
                if let Err(error) = take(taken, value) {
                    stopped.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                taken += 1;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_however_the_threads_finish() {
        for threads in [1, 3, 64] {
            let mut taken = Vec::new();
            let slow_first = |at: usize| {
                if at == 0 {
                    thread::sleep(std::time::Duration::from_millis(20));
                }
                at * at
            };
            in_order(20, threads, slow_first, |at, square| {
                taken.push((at, square));
                Ok(())
            })
            .unwrap();
            assert_eq!(taken, (0..20).map(|at| (at, at * at)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_ends_the_work() {
        let begun = AtomicUsize::new(0);
        let count = |_| begun.fetch_add(1, Ordering::Relaxed);
        let broken = |_, _| Err(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(in_order(1_000_000, 2, count, broken).is_err());
        assert!(begun.load(Ordering::Relaxed) < 1_000_000);
        assert!(in_order(0, 4, |_| (), |_, ()| Ok(())).is_ok());
    }
}
