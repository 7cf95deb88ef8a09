//! Tables of locations and scopes -> every conflict between two transactions,
//! grouped by the later one.
//!
//! Linear in the accesses: each place is passed over once.

use forewave_analyzer::{AccessKind, TxIndex};

use crate::{
    AccessTable, Hazard, LocationId, csr::Csr, frontier::Frontier, scope::ScopeTable, uses::Uses,
};

/// Where a conflict is, in 32 bits: the locations in the order of their
/// identifiers, then the scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u32);

impl Place {
    pub(crate) fn new(position: usize) -> Self {
        Self(u32::try_from(position).expect("a block names fewer than 2^32 places"))
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A conflict as its later transaction sees it. Sorts by the earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Conflict {
    pub(crate) from: TxIndex,
    pub(crate) hazard: Hazard,
    pub(crate) place: Place,
}

/// The conflicts of each of `transactions` with earlier ones, sorted. One may
/// be listed twice.
pub(crate) fn conflicts(
    transactions: usize,
    table: &AccessTable,
    scopes: &ScopeTable,
) -> Csr<Conflict> {
    let mut found: Vec<(TxIndex, Conflict)> = Vec::new();
    let mut frontier = Frontier::default();
    for id in table.ids().filter(|&id| is_shared(table, id)) {
        let place = Place::new(id.index());
        frontier.clear();
        for_each_use(table.readers(id), table.writers(id), |tx, uses| {
            frontier.advance(tx, uses, &mut |from, hazard| {
                found.push((tx, Conflict { from, hazard, place }));
            });
        });
    }
    for scope in 0..scopes.scopes().len() {
        let place = Place::new(table.len() + scope);
        frontier.clear();
        for (tx, uses) in scopes.uses(scope) {
            frontier.advance(tx, uses, &mut |from, hazard| {
                found.push((tx, Conflict { from, hazard, place }));
            });
        }
    }
    let entries = found.iter().map(|&(tx, conflict)| (tx.index(), conflict));
    let mut grouped = Csr::group(transactions, entries);
    for tx in 0..transactions {
        grouped.row_mut(tx).sort_unstable();
    }
    grouped
}

/// Whether anybody changes a location that somebody else uses too.
fn is_shared(table: &AccessTable, id: LocationId) -> bool {
    match table.writers(id) {
        [] => false,
        [(writer, _)] => table.readers(id).iter().any(|reader| reader != writer),
        _ => true,
    }
}

/// Calls `each` once for each transaction that uses a location, in block
/// order: a merge of its readers and its writers.
fn for_each_use(
    mut readers: &[TxIndex],
    mut writers: &[(TxIndex, AccessKind)],
    mut each: impl FnMut(TxIndex, Uses),
) {
    loop {
        let reader = readers.first().copied();
        let writer = writers.first().copied();
        let Some(tx) = reader.into_iter().chain(writer.map(|(tx, _)| tx)).min() else { return };
        let mut uses = Uses::NONE;
        if reader == Some(tx) {
            uses |= Uses::READ;
            readers = &readers[1..];
        }
        if let Some((_, kind)) = writer.filter(|&(writer, _)| writer == tx) {
            uses |= match kind {
                AccessKind::Write => Uses::WRITE,
                AccessKind::Delta | AccessKind::Read => Uses::CREDIT,
            };
            writers = &writers[1..];
        }
        each(tx, uses);
    }
}
