//! Conflict graph -> its critical path: the heaviest path of RAW edges, which no number of
//! threads can pass.

use forewave_analyzer::TxIndex;

use crate::{ConflictGraph, remaining_gas};

/// The transactions of the heaviest path of RAW edges, in order; where several are as heavy,
/// the one whose transactions come first.
pub fn critical_path(graph: &ConflictGraph) -> Vec<TxIndex> {
    let remaining = remaining_gas(graph);
    let heaviest =
        |transactions: &mut dyn Iterator<Item = TxIndex>| {
            // The first of those that are as heavy: later ones have to be heavier.
            transactions.reduce(|best, tx| {
                if remaining[tx.index()] > remaining[best.index()] { tx } else { best }
            })
        };
    let mut path = Vec::new();
    let mut next = heaviest(&mut graph.transactions());
    while let Some(tx) = next {
        path.push(tx);
        next = heaviest(&mut graph.successors(tx));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{notation::block, schedule};

    #[test]
    fn the_path_is_as_heavy_as_the_span() {
        for (text, expected) in [
            ("Wa #5 | Wb #7 | Ra Wc #1 | Rb #1", vec![1, 3]),
            ("Wa #5 | Ra #2 | Ra #2", vec![0, 1]),
            ("Ra #1 | Rb #9 | Rc #9", vec![1]),
        ] {
            let graph = ConflictGraph::new(&block(text));
            let path = critical_path(&graph);
            assert_eq!(path, expected.into_iter().map(TxIndex::new).collect::<Vec<_>>(), "{text}");
            let gas: u64 = path.iter().map(|tx| graph.gas(*tx)).sum();
            assert_eq!(gas, schedule(&graph).span(), "{text}");
        }
        assert_eq!(critical_path(&ConflictGraph::new(&[])), []);
    }
}
