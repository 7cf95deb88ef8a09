//! Predictions -> the conflict graph of the block.
//!
//! Invariants: edges lead from a lower to a higher index, so the graph has no
//! cycle and block order is a topological order; there is one edge for each
//! pair that conflicts directly, carrying all hazards of the pair, sorted and without
//! repetition. A pair conflicts directly if no write by a transaction between the two
//! hides the one from the other: of n writes to one slot there are n - 1 edges, not
//! one for each of the n(n - 1) / 2 pairs. Only RAW orders execution: readers see the version they need,
//! so WAR and WAW are for people.

use bitvec::vec::BitVec;
use forewave_analyzer::{PredictedAccess, Scope, TxIndex};
use petgraph::{
    Direction,
    graph::{DiGraph, NodeIndex},
    visit::EdgeRef,
};

use crate::{
    AccessTable, Cause, Hazard, LocationId,
    conflicts::{Conflict, Place, conflicts},
    csr::Csr,
    scope::ScopeTable,
};

/// Which transactions conflict directly with which, and where.
///
/// Where more than [`FAN_IN_MAX`](crate::FAN_IN_MAX) transactions credit a
/// place (or read it) before others read (or credit) it, the first of those
/// others stands for them: the rest meets it instead of each of them, and is
/// ordered after it.
#[derive(Clone, Debug)]
pub struct ConflictGraph {
    accesses: AccessTable,
    scopes: Vec<Scope>,
    /// Nodes weigh their gas. Edges are inserted last to first in the order of
    /// (to, from), because petgraph then walks them in ascending order.
    dag: DiGraph<u64, Labels>,
    hazards: Vec<(Hazard, Place)>,
}

/// Which of the graph's hazards one edge carries.
#[derive(Clone, Copy, Debug)]
struct Labels {
    start: u32,
    end: u32,
    is_raw: bool,
}

/// Two transactions that conflict directly.
#[derive(Clone, Copy, Debug)]
pub struct Edge<'g> {
    /// The earlier transaction.
    pub from: TxIndex,
    /// The later transaction.
    pub to: TxIndex,
    graph: &'g ConflictGraph,
    labels: Labels,
}

impl<'g> Edge<'g> {
    /// Whether `to` must run after `from`: one of the hazards is RAW.
    pub const fn orders_execution(&self) -> bool {
        self.labels.is_raw
    }

    /// How and where the two meet, at least once, sorted by hazard.
    pub fn hazards(&self) -> impl ExactSizeIterator<Item = (Hazard, Cause)> + use<'g> {
        let graph = self.graph;
        let range = self.labels.start as usize..self.labels.end as usize;
        graph.hazards[range].iter().map(|&(hazard, place)| (hazard, graph.cause(place)))
    }
}

/// A set of the block's transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionSet(BitVec);

impl TransactionSet {
    /// Whether the set holds `tx`.
    pub fn contains(&self, tx: TxIndex) -> bool {
        self.0.get(tx.index()).is_some_and(|bit| *bit)
    }

    /// The transactions of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = TxIndex> {
        self.0.iter_ones().map(TxIndex::new)
    }

    /// The number of transactions in the set.
    pub fn len(&self) -> usize {
        self.0.count_ones()
    }

    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.not_any()
    }
}

impl ConflictGraph {
    /// The graph of a block's predictions, given in block order.
    pub fn new(predictions: &[PredictedAccess]) -> Self {
        let accesses = AccessTable::new(predictions);
        let scopes = ScopeTable::new(predictions, &accesses);
        let conflicts = conflicts(predictions.len(), &accesses, &scopes);
        let mut dag = DiGraph::with_capacity(predictions.len(), 0);
        for prediction in predictions {
            dag.add_node(prediction.gas());
        }
        let hazards = link(&mut dag, &conflicts);
        Self { accesses, scopes: scopes.scopes().to_vec(), dag, hazards }
    }

    /// The number of transactions.
    pub fn len(&self) -> usize {
        self.dag.node_count()
    }

    /// Whether the block has no transactions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every transaction, in block order.
    pub fn transactions(&self) -> impl DoubleEndedIterator<Item = TxIndex> + use<> {
        (0..self.len()).map(TxIndex::new)
    }

    /// The locations that the graph's [`LocationId`]s name.
    pub const fn accesses(&self) -> &AccessTable {
        &self.accesses
    }

    /// Estimated gas of one transaction.
    ///
    /// # Panics
    ///
    /// If the block has no such transaction; so do the queries below.
    pub fn gas(&self, tx: TxIndex) -> u64 {
        self.dag[node(tx)]
    }

    /// The number of pairs that conflict directly.
    pub fn edge_count(&self) -> usize {
        self.dag.edge_count()
    }

    /// Every pair that conflicts directly, sorted by the later and then by the earlier
    /// transaction.
    pub fn edges(&self) -> impl Iterator<Item = Edge<'_>> {
        self.dag.raw_edges().iter().rev().map(|edge| Edge {
            from: transaction(edge.source()),
            to: transaction(edge.target()),
            graph: self,
            labels: edge.weight,
        })
    }

    /// The edge between two transactions, if they conflict directly.
    pub fn edge(&self, from: TxIndex, to: TxIndex) -> Option<Edge<'_>> {
        let edge = self.dag.find_edge(node(from), node(to))?;
        Some(Edge { from, to, graph: self, labels: self.dag[edge] })
    }

    /// Whom `tx` must run after (RAW), ascending.
    pub fn predecessors(&self, tx: TxIndex) -> impl Iterator<Item = TxIndex> {
        self.neighbours(tx, Direction::Incoming)
            .filter_map(|(earlier, labels)| labels.is_raw.then_some(earlier))
    }

    /// Who must run after `tx` (RAW), ascending.
    pub fn successors(&self, tx: TxIndex) -> impl Iterator<Item = TxIndex> {
        self.neighbours(tx, Direction::Outgoing)
            .filter_map(|(later, labels)| labels.is_raw.then_some(later))
    }

    /// Earlier transactions that `tx` conflicts with directly, in any way, ascending.
    pub fn conflicts_before(&self, tx: TxIndex) -> impl Iterator<Item = TxIndex> {
        self.neighbours(tx, Direction::Incoming).map(|(earlier, _)| earlier)
    }

    /// Later transactions that `tx` conflicts with directly, in any way, ascending.
    pub fn conflicts_after(&self, tx: TxIndex) -> impl Iterator<Item = TxIndex> {
        self.neighbours(tx, Direction::Outgoing).map(|(later, _)| later)
    }

    /// Everybody whom `tx` must run after, directly or through others.
    pub fn ancestors(&self, tx: TxIndex) -> TransactionSet {
        let mut found = BitVec::repeat(false, tx.index() + 1);
        found.set(tx.index(), true);
        // Edges lead upwards: whoever is found below is reached before it is passed.
        for later in (0..=tx.index()).rev() {
            if found[later] {
                for earlier in self.predecessors(TxIndex::new(later)) {
                    found.set(earlier.index(), true);
                }
            }
        }
        found.set(tx.index(), false);
        TransactionSet(found)
    }

    fn neighbours(
        &self,
        tx: TxIndex,
        direction: Direction,
    ) -> impl Iterator<Item = (TxIndex, Labels)> {
        self.dag.edges_directed(node(tx), direction).map(move |edge| {
            let other = match direction {
                Direction::Incoming => edge.source(),
                Direction::Outgoing => edge.target(),
            };
            (transaction(other), *edge.weight())
        })
    }

    fn cause(&self, place: Place) -> Cause {
        match place.index().checked_sub(self.accesses.len()) {
            None => Cause::Location(LocationId::new(place.index())),
            Some(scope) => Cause::Scope(self.scopes[scope]),
        }
    }
}

/// Adds one edge for each pair that conflicts, and returns the labels.
fn link(dag: &mut DiGraph<u64, Labels>, conflicts: &Csr<Conflict>) -> Vec<(Hazard, Place)> {
    let mut hazards = Vec::new();
    for position in (0..conflicts.len()).rev() {
        let to = TxIndex::new(position);
        for pair in conflicts.row(position).chunk_by(|a, b| a.from == b.from).rev() {
            let start = offset(&hazards);
            let distinct = pair.chunk_by(|a, b| a == b).map(|same| same[0]);
            hazards.extend(distinct.map(|conflict| (conflict.hazard, conflict.place)));
            let is_raw = pair[0].hazard == Hazard::Raw;
            let labels = Labels { start, end: offset(&hazards), is_raw };
            dag.add_edge(node(pair[0].from), node(to), labels);
        }
    }
    hazards
}

fn offset(hazards: &[(Hazard, Place)]) -> u32 {
    u32::try_from(hazards.len()).expect("a block has fewer than 2^32 conflicts")
}

fn node(tx: TxIndex) -> NodeIndex {
    NodeIndex::new(tx.index())
}

fn transaction(node: NodeIndex) -> TxIndex {
    TxIndex::new(node.index())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hot_spots, notation::block};

    /// The graph of a block in short notation, each pair as `earlier-later: hazards`.
    fn check(text: &str, expected: &str) {
        let graph = ConflictGraph::new(&block(text));
        let pairs = graph.edges().map(|edge| {
            let hazards = edge.hazards().map(|(hazard, cause)| match cause {
                Cause::Location(id) => format!("{hazard} {id}"),
                Cause::Scope(Scope::Everything) => format!("{hazard} *"),
                Cause::Scope(Scope::Contract { .. }) => format!("{hazard} []"),
                Cause::Scope(Scope::Mapping { slot, .. }) => format!("{hazard} [{slot}]"),
            });
            let hazards = hazards.collect::<Vec<_>>().join(", ");
            format!("{}-{}: {hazards}", edge.from.index(), edge.to.index())
        });
        assert_eq!(pairs.collect::<Vec<_>>().join("; "), expected, "{text}");
    }

    #[test]
    fn uses_of_one_location_conflict_as_their_kinds_say() {
        for (block, expected) in [
            ("Ra | Ra", ""),
            ("Da | Da | Da", ""),
            ("Wa | Ra", "0-1: RAW loc0"),
            ("Ra | Wa", "0-1: WAR loc0"),
            ("Wa | Wa", "0-1: WAW loc0"),
            ("Ra Wa | Ra Wa", "0-1: RAW loc0, WAW loc0"),
            ("Da | Da | Ra", "0-2: RAW loc0; 1-2: RAW loc0"),
            ("Da | Da | Wa", "0-2: WAW loc0; 1-2: WAW loc0"),
            ("Ra | Da", "0-1: WAR loc0"),
            ("Wa | Da | Ra", "0-1: WAW loc0; 0-2: RAW loc0; 1-2: RAW loc0"),
        ] {
            check(block, expected);
        }
    }

    #[test]
    fn a_write_hides_older_versions_and_older_readers() {
        check("Wa | Wa | Ra", "0-1: WAW loc0; 1-2: RAW loc0");
        check("Ra | Wa | Wa", "0-1: WAR loc0; 1-2: WAW loc0");
    }

    #[test]
    fn one_pair_is_one_edge_with_all_its_hazards() {
        check("Wa Rb Wc | Ra Wb Wc", "0-1: RAW loc0, WAR loc1, WAW loc2");
    }

    #[test]
    fn different_locations_of_one_account_do_not_conflict() {
        check("Wa | Wa.0 | Ra.1 | Rb", "");
    }

    #[test]
    fn a_scope_conflicts_with_what_it_covers_and_nothing_else() {
        for (block, expected) in [
            ("Wa.1m0 | Ra[0]", "0-1: RAW [0]"),
            ("Wa.1m0 | Ra[1]", ""),
            ("Wa.1p | Ra[0]", ""),
            ("Wa.1 | Ra[0]", "0-1: RAW [0]"),
            ("Wb.1 | Ra[0]", ""),
            ("Da | Ra[0] Ra[]", ""),
            ("Wa.1p | Ra[]", "0-1: RAW []"),
            ("Wb.1 | Ra[]", ""),
            ("Da | R*", "0-1: RAW *"),
            ("Wa.1 | Wb | R*", "0-2: RAW *; 1-2: RAW *"),
        ] {
            check(block, expected);
        }
    }

    #[test]
    fn the_origin_of_a_key_is_known_when_any_transaction_knows_it() {
        check("Wa.1 | Ra[0] | Ra.1m1", "0-2: RAW loc0");
        check("Wa.1m0 | Ra[2] | Ra.1m1", "0-1: RAW [2]; 0-2: RAW loc0");
    }

    #[test]
    fn nested_scopes_conflict_and_different_mappings_do_not() {
        check("Wa[0] | Ra[0]", "0-1: RAW [0]");
        check("Wa[0] | Ra[1]", "");
        check("Wa[0] | Ra[]", "0-1: RAW []");
        check("Wa[] | R* | Rb[1]", "0-1: RAW *");
    }

    #[test]
    fn a_widened_write_is_a_read_and_hides_nothing_by_name() {
        check("Wa.1 | Wa[]", "0-1: RAW [], WAW []");
        check("Wa.1 | Wa[] | Ra.1", "0-1: RAW [], WAW []; 0-2: RAW loc0; 1-2: RAW []");
    }

    #[test]
    fn what_a_scope_covers_does_not_conflict_through_it() {
        check("Wa.1 | Ra.2 | Wb | Ra.1 | R*", "0-3: RAW loc0; 0-4: RAW *; 2-4: RAW *");
    }

    #[test]
    fn a_credit_commutes_with_a_widened_write_below_it() {
        check("W* | Da | Ra", "0-1: WAW *; 0-2: RAW *; 1-2: RAW loc0");
    }

    #[test]
    fn queries_walk_the_edges_in_ascending_order() {
        let graph = ConflictGraph::new(&block("Wa | Wb | Rc Wd | Ra Rb Wc | Rc | Wd Rc"));
        let tx = TxIndex::new;
        let indices = |list: Vec<TxIndex>| list.into_iter().map(TxIndex::index).collect::<Vec<_>>();
        assert_eq!(indices(graph.predecessors(tx(3)).collect()), [0, 1]);
        assert_eq!(indices(graph.conflicts_before(tx(3)).collect()), [0, 1, 2]);
        assert_eq!(indices(graph.successors(tx(3)).collect()), [4, 5]);
        assert_eq!(indices(graph.conflicts_after(tx(2)).collect()), [3, 5]);
        let ancestors = graph.ancestors(tx(5));
        assert_eq!(indices(ancestors.iter().collect()), [0, 1, 3]);
        assert!(ancestors.contains(tx(1)) && !ancestors.contains(tx(2)) && !ancestors.is_empty());
    }

    #[test]
    fn a_graph_prints_its_conflicts_and_the_locations_they_name() {
        let graph = ConflictGraph::new(&block("Wa Rb | Ra Rc | Wb W*"));
        let a = "0x6161616161616161616161616161616161616161";
        let expected = format!(
            "conflict graph: transactions 3, edges 3, RAW 2, WAR 3, WAW 1, locations 3\n\
             tx1 after tx0 RAW loc0\n\
             tx2 after tx0 RAW everything WAR loc1 WAR everything WAW everything; \
             tx1 WAR everything\n\
             loc0 = balance({a})\nloc1 = balance({})\n",
            a.replace("61", "62"),
        );
        assert_eq!(graph.to_string(), expected);
    }

    #[test]
    fn hot_spots_come_in_order_of_what_they_cost() {
        let graph = ConflictGraph::new(&block("Wa Wb Wc | Ra Wb | Ra Wb Rc"));
        let spots = hot_spots(&graph);
        let names: Vec<_> = spots.iter().map(|spot| spot.cause.to_string()).collect();
        assert_eq!(names, ["loc0", "loc2", "loc1"]);
        assert_eq!(spots[0].transactions, [0, 1, 2].map(TxIndex::new));
        assert_eq!((spots[0].hazards.raw, spots[2].hazards.waw), (2, 2));
    }
}
