//! The RAW edges of a graph -> chains, and the waves in which they could run
//! at the earliest.
//!
//! A chain is a maximal run of transactions in which each is the only one that
//! the next needs, and the next the only one that needs it. Nothing can run
//! between or beside them, so a chain is one task. Chains are numbered by their
//! first transaction, which is a topological order: whoever a chain needs is
//! below its first transaction, and so is the first of that one's chain.

use forewave_analyzer::TxIndex;

use crate::{Chain, ConflictGraph};

/// The chains of a graph, and which of them each transaction is in.
#[derive(Debug)]
pub(crate) struct Chains {
    pub(crate) chains: Vec<Chain>,
    chain_of: Vec<u32>,
}

impl Chains {
    pub(crate) fn new(graph: &ConflictGraph) -> Self {
        let mut chains: Vec<Chain> = Vec::new();
        let mut chain_of: Vec<u32> = Vec::with_capacity(graph.len());
        for tx in graph.transactions() {
            let before = sole(graph.predecessors(tx))
                .filter(|&before| sole(graph.successors(before)).is_some());
            let chain = if let Some(before) = before {
                chain_of[before.index()]
            } else {
                chains.push(Chain::default());
                u32::try_from(chains.len() - 1).expect("there are no more chains than transactions")
            };
            chains[chain as usize].push(tx, graph.gas(tx));
            chain_of.push(chain);
        }
        Self { chains, chain_of }
    }

    /// The chains that must be done before this one starts.
    pub(crate) fn before(
        &self,
        graph: &ConflictGraph,
        chain: usize,
    ) -> impl Iterator<Item = usize> {
        graph.predecessors(self.chains[chain].first()).map(|tx| self.of(tx))
    }

    /// The chains that start after this one is done.
    pub(crate) fn after(&self, graph: &ConflictGraph, chain: usize) -> impl Iterator<Item = usize> {
        graph.successors(self.chains[chain].last()).map(|tx| self.of(tx))
    }

    fn of(&self, tx: TxIndex) -> usize {
        self.chain_of[tx.index()] as usize
    }
}

/// The earliest feasible level of each chain: one above the highest that it needs.
pub(crate) fn levels(graph: &ConflictGraph, chains: &Chains) -> Vec<u32> {
    let mut levels: Vec<u32> = Vec::with_capacity(chains.chains.len());
    for chain in 0..chains.chains.len() {
        let below = chains.before(graph, chain).map(|before| levels[before] + 1);
        levels.push(below.max().unwrap_or(0));
    }
    levels
}

/// The only item, if there is exactly one.
fn sole(mut items: impl Iterator<Item = TxIndex>) -> Option<TxIndex> {
    items.next().filter(|_| items.next().is_none())
}
