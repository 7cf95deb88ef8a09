//! Who needs whom, as the threads of a run look it up: in a graph that is
//! ready, in what has been published while the block runs, or by who sends and
//! who is paid, where nobody predicts.
//!
//! Nothing that is said here can make an outcome wrong; it decides what a
//! transaction sees ahead of its turn.

use std::sync::OnceLock;

use forewave_analyzer::{AccessKind, Block, Location, PredictedAccess, TxIndex};
use forewave_scheduler::ConflictGraph;
use revm::primitives::{Address, AddressMap, TxKind};

use crate::tasks::calls;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) enum Needs<'a> {
    /// By who sends and who is paid alone.
    Senders(Earlier),
    /// By the graph of the whole block.
    Graph(&'a ConflictGraph),
    /// By what was published of each transaction before it ran, if anything was.
    Published(Vec<OnceLock<Publication>>),
}

/// Of each transaction the last one before it that its sender sent, or that paid
/// its sender.
#[derive(Debug, Default)]
pub(crate) struct Earlier(Vec<Option<TxIndex>>);

impl Earlier {
    pub(crate) fn new(block: &Block) -> Self {
        let transactions = block.transactions.len();
        let mut last = AddressMap::<TxIndex>::default();
        last.reserve(transactions);
        let earlier = block.indexed().map(|(tx, env)| {
            let earlier = last.insert(env.caller, tx);
            if let TxKind::Call(to) = env.kind
                && !env.value.is_zero()
                && !calls(env)
            {
                last.insert(to, tx);
            }
            earlier
        });
        Self(earlier.collect())
    }

    pub(crate) fn of(&self, tx: TxIndex) -> Option<TxIndex> {
        self.0[tx.index()]
    }
}

/// What is published of one transaction.
#[derive(Debug)]
pub(crate) struct Publication {
    /// Those that it needs, ascending.
    needed: Box<[TxIndex]>,
    /// Whose balances it replaces.
    replaced: Box<[Address]>,
}

impl Publication {
    pub(crate) fn new(prediction: &PredictedAccess, needed: &[TxIndex]) -> Self {
        let replaced = prediction.set().writes().iter().filter_map(|location| match location {
            Location::Balance(address) => Some(*address),
            _ => None,
        });
        Self { needed: needed.into(), replaced: replaced.collect() }
    }
}

impl Needs<'_> {
    /// Nothing published yet of so many transactions.
    pub(crate) fn unpublished(transactions: usize) -> Self {
        Self::Published(core::iter::repeat_with(OnceLock::new).take(transactions).collect())
    }

    /// Publishes what is known of a transaction, before it can be run by that.
    pub(crate) fn publish(&self, tx: TxIndex, publication: Publication) {
        if let Self::Published(published) = self {
            published[tx.index()].set(publication).expect("a transaction is published once");
        }
    }

    /// Calls `each` for those that `tx` needs, in ascending order, unless they are
    /// before the first `settled` transactions.
    pub(crate) fn for_each(&self, tx: TxIndex, settled: usize, mut each: impl FnMut(TxIndex)) {
        let each = |needed: TxIndex| {
            if needed.index() >= settled {
                each(needed);
            }
        };
        match self {
            Self::Senders(earlier) => {
                let chain = core::iter::successors(earlier.of(tx), |&needed| earlier.of(needed));
                let chain: Vec<_> = chain.take_while(|needed| needed.index() >= settled).collect();
                chain.into_iter().rev().for_each(each);
            }
            Self::Graph(graph) => graph.predecessors(tx).for_each(each),
            Self::Published(published) => {
                let needed = published[tx.index()].get().map(|publication| &publication.needed);
                needed.into_iter().flatten().copied().for_each(each);
            }
        }
    }

    /// Whether a transaction is predicted to replace the balance, and so to have
    /// waited for what it was before: whoever needs it need not look further back.
    pub(crate) fn replaces_balance(&self, tx: TxIndex, address: Address) -> bool {
        match self {
            Self::Senders(_) => false,
            Self::Graph(graph) => {
                let table = graph.accesses();
                let id = table.id_used_by(tx, &Location::Balance(address));
                let write = (tx, AccessKind::Write);
                id.is_some_and(|id| table.writers(id).binary_search(&write).is_ok())
            }
            Self::Published(published) => {
                let publication = published[tx.index()].get();
                publication.is_some_and(|publication| publication.replaced.contains(&address))
            }
        }
    }
}
