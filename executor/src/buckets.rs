//! Which settled transactions changed something in which bucket, the latest first.
//! The synchronising core of the [`history`](crate::history): knows transactions and
//! buckets by number and nothing of the state.
//!
//! # Protocol
//!
//! Each bucket names the last settled transaction that changed something in it, and
//! each change is linked to the one before it in its bucket. Only the thread whose
//! turn it is to settle adds, one transaction after the other; others look meanwhile.
//! A transaction is shown in its buckets once its runs are published and all its
//! changes are linked, wherever they are (release). So whoever finds it in one of them
//! (acquire) may read its runs, and go on by any of its links there. What a link names
//! was shown earlier, so the same holds of it.

use crate::sync::atomic::{AtomicU32, Ordering};

/// Where a change stands in its bucket: how many transactions precede and include
/// the last one that changed something there before; zero for none.
#[derive(Debug, Default)]
pub(crate) struct Link(AtomicU32);

impl Link {
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, before: u32) {
        self.0.store(before, Ordering::Relaxed);
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Buckets {
    /// One more than the last transaction that changed something in the bucket.
    last: Box<[AtomicU32]>,
}

impl Buckets {
    /// So many, with nothing changed in any.
    pub(crate) fn new(len: usize) -> Self {
        Self { last: core::iter::repeat_with(AtomicU32::default).take(len).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.last.len()
    }

    /// Adds the next transaction to be settled, with the changes that `links` gives
    /// each time.
    pub(crate) fn add<'l, L>(&self, tx: u32, links: impl Fn() -> L)
    where
        L: Iterator<Item = (usize, &'l Link)>,
    {
        for (bucket, link) in links() {
            link.set(self.last[bucket].load(Ordering::Relaxed));
        }
        for (bucket, _) in links() {
            self.show(tx, bucket);
        }
    }

    /// Lets others find a transaction whose changes are linked.
    pub(crate) fn show(&self, tx: u32, bucket: usize) {
        self.last[bucket].store(tx + 1, Ordering::Release);
    }

    /// One more than the last transaction that changed something in a bucket.
    pub(crate) fn last(&self, bucket: usize) -> u32 {
        self.last[bucket].load(Ordering::Acquire)
    }

    /// Goes through the transactions from `since` on that changed something in a
    /// bucket, the latest first, as long as `each` gives a link of theirs there.
    pub(crate) fn walk<'l>(
        &self,
        bucket: usize,
        since: u32,
        mut each: impl FnMut(u32) -> Option<&'l Link>,
    ) {
        let mut after = self.last(bucket);
        while after > since {
            let Some(link) = each(after - 1) else { return };
            after = link.get();
        }
    }
}

/// A link in a bucket, of a transaction that was found there: any will do.
pub(crate) fn link_in<'l>(
    bucket: usize,
    mut links: impl Iterator<Item = (usize, &'l Link)>,
) -> &'l Link {
    let link = links.find(|(other, _)| *other == bucket);
    link.expect("what is in a bucket is linked").1
}
