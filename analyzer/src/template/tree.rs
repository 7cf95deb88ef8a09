//! The paths of one entry as a tree: shared beginnings, branching at guards.
//!
//! Two paths that answered every guard alike so far did the same so far, since a
//! path's operations depend on nothing after them. Few things lie outside the
//! guards, such as which test a precompile gets; a path that differs there is
//! refused, and its transactions are interpreted. A tree only grows, within bounds.

use revm::primitives::U256;
use serde::{Deserialize, Serialize};

use super::{
    check,
    operation::{Constants, Operation, Outcome, Path, Test},
};
use crate::{Limits, interpreter::Ending};

/// Position of a node in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeId(u32);

/// Operations, and what comes after them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) operations: Box<[Operation]>,
    pub(crate) next: Next,
}

impl Node {
    /// Bytes that the node holds, with the way to it, about.
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of::<(U256, NodeId)>()
            + self.operations.iter().map(Operation::bytes).sum::<usize>()
    }
}

/// What comes after a node's operations.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Next {
    /// The way on, by the answer of a guard.
    Guard(Test, Vec<(U256, NodeId)>),
    End(Outcome),
}

/// How a transaction is analysed, in the order in which it is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// By a path that succeeds.
    #[default]
    Success,
    /// By a path that fails.
    Failure,
    /// By the interpreter.
    Interpret,
}

/// The paths of one entry. Those that fail are apart from those that succeed:
/// the guards that tell them from each other have been dropped there.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    roots: [Option<NodeId>; 2],
    pub(crate) constants: Constants,
    bytes: usize,
}

/// A tree as it is saved.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedTree<N, C> {
    nodes: N,
    roots: [Option<NodeId>; 2],
    constants: C,
}

impl NodeId {
    /// The position, for indexing.
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Tree {
    /// The node that every path of an attempt begins with, once there is a path.
    pub(crate) fn root(&self, attempt: Attempt) -> Option<&Node> {
        let root = match attempt {
            Attempt::Success => self.roots[0],
            Attempt::Failure => self.roots[1],
            Attempt::Interpret => None,
        };
        root.map(|root| self.node(root))
    }

    /// The node that a guard leads to.
    #[inline]
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The tree as it is saved.
    pub(crate) fn saved(&self) -> SavedTree<&[Node], &[U256]> {
        SavedTree { nodes: &self.nodes, roots: self.roots, constants: &self.constants.words }
    }

    /// A tree that was saved, if it is sound.
    pub(crate) fn restore(saved: SavedTree<Vec<Node>, Vec<U256>>) -> Option<Self> {
        let SavedTree { nodes, roots, constants } = saved;
        check::is_sound(&nodes, roots, constants.len()).then(|| {
            let bytes = nodes.iter().map(Node::bytes).sum::<usize>();
            let bytes = bytes + constants.len() * 2 * size_of::<U256>();
            Self { nodes, roots, constants: Constants::new(constants), bytes }
        })
    }

    /// Bytes that the tree holds, about.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a path, unless a bound is reached or it contradicts the others; whether it did.
    pub(crate) fn insert(&mut self, path: Path, limits: &Limits) -> bool {
        if self.bytes > limits.template_bytes_max {
            return false;
        }
        let Path { segments, rest, outcome } = path;
        // The guard that the path leaves the tree at, and its answer there.
        let mut leaves: Option<(usize, U256)> = None;
        let root = usize::from(outcome.ending != Ending::Success);
        let mut at = self.roots[root].map(|id| id.0 as usize);
        let is_first = at.is_none();
        let first = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let mut segments = segments.into_iter();
        while let Some(here) = at {
            let Some(segment) = segments.next() else { return false };
            let node = &self.nodes[here];
            let Next::Guard(test, ways) = &node.next else { return false };
            let is_same = *test == segment.test && *node.operations == *segment.operations;
            if !is_same || ways.len() >= limits.branches_max {
                return false;
            }
            leaves = Some((here, segment.answer));
            at = ways
                .iter()
                .find(|(answer, _)| *answer == segment.answer)
                .map(|(_, way)| way.0 as usize);
        }
        for segment in segments {
            let id = self.add(leaves, segment.operations, Next::Guard(segment.test, Vec::new()));
            leaves = Some((id, segment.answer));
        }
        self.add(leaves, rest, Next::End(outcome));
        if is_first {
            self.roots[root] = Some(first);
        }
        self.bytes = self.bytes.max(self.constants.words.len() * 2 * size_of::<U256>());
        true
    }

    fn add(
        &mut self,
        from: Option<(usize, U256)>,
        operations: Vec<Operation>,
        next: Next,
    ) -> usize {
        let id = self.nodes.len();
        let node = Node { operations: operations.into(), next };
        self.bytes += node.bytes();
        self.nodes.push(node);
        if let Some((from, answer)) = from
            && let Next::Guard(_, ways) = &mut self.nodes[from].next
        {
            ways.push((answer, NodeId(u32::try_from(id).unwrap_or(u32::MAX))));
        }
        id
    }
}
