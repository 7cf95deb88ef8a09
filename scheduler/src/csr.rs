//! Lists of items by a dense key, in two flat arrays (compressed sparse rows).
//!
//! Grouping is a counting sort: linear, and stable, so that items which come in
//! transaction order stay in transaction order within their row.

/// The rows.
#[derive(Clone, Debug)]
pub(crate) struct Csr<T> {
    /// Where each row starts, and at the end the number of items.
    starts: Vec<u32>,
    items: Vec<T>,
}

impl<T: Copy> Csr<T> {
    /// Groups `entries` into `rows` rows. The iterator is run twice, and every
    /// key it yields is below `rows`.
    pub(crate) fn group(rows: usize, entries: impl Iterator<Item = (usize, T)> + Clone) -> Self {
        let mut starts = vec![0u32; rows + 1];
        let mut filler = None;
        for (row, item) in entries.clone() {
            let count = &mut starts[row + 1];
            *count = count.checked_add(1).expect("a row holds fewer than 2^32 items");
            filler = filler.or(Some(item));
        }
        for row in 0..rows {
            let sum = starts[row].checked_add(starts[row + 1]);
            starts[row + 1] = sum.expect("a table holds fewer than 2^32 items");
        }
        let Some(filler) = filler else { return Self { starts, items: Vec::new() } };
        let mut items = vec![filler; starts[rows] as usize];
        let mut cursors = starts.clone();
        for (row, item) in entries {
            items[cursors[row] as usize] = item;
            cursors[row] += 1;
        }
        Self { starts, items }
    }

    /// The number of rows.
    pub(crate) const fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The items of one row, in the order in which they came.
    pub(crate) fn row(&self, row: usize) -> &[T] {
        &self.items[self.range(row)]
    }

    /// The items of one row, to be put into another order.
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [T] {
        let range = self.range(row);
        &mut self.items[range]
    }

    fn range(&self, row: usize) -> core::ops::Range<usize> {
        self.starts[row] as usize..self.starts[row + 1] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_the_order_in_which_their_items_came() {
        let csr = Csr::group(4, [(2, 'a'), (0, 'b'), (2, 'c'), (0, 'd')].into_iter());
        assert_eq!(csr.len(), 4);
        assert_eq!([0, 1, 2, 3].map(|row| csr.row(row)), [&['b', 'd'][..], &[], &['a', 'c'], &[]]);
    }

    #[test]
    fn no_entries_are_empty_rows() {
        let csr = Csr::<u8>::group(2, core::iter::empty());
        assert_eq!((csr.len(), csr.row(1)), (2, &[][..]));
    }
}
