//! The paths of one entry as a tree: shared beginnings, branching at guards.
//!
//! Two paths that answered every guard alike so far did the same so far, since a
//! path's operations depend on nothing after them. Few things lie outside the
//! guards, such as which test a precompile gets; a path that differs there is
//! refused, and its transactions are interpreted. A tree only grows, within bounds.

use core::ops::Range;

use revm::primitives::U256;
use serde::{Deserialize, Serialize};

use super::operation::{Constants, Operation, Outcome, Path, Test};
use crate::Limits;

/// Position of a node in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeId(u32);

/// Operations, and what comes after them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Node {
    /// Where its operations are among those of the tree.
    operations: (u32, u32),
    pub(crate) next: Next,
}

/// Bytes that a node holds beside its operations, with the way to it, about.
const NODE_BYTES: usize = size_of::<Node>() + size_of::<(U256, NodeId)>();

impl Node {
    /// Where its operations are among those of the tree.
    #[inline]
    pub(super) const fn range(&self) -> Range<usize> {
        self.operations.0 as usize..self.operations.1 as usize
    }
}

/// What comes after a node's operations.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Next {
    /// The way on where the guard finds zero, and where it does not.
    Truth(Test, [Option<NodeId>; 2]),
    /// The ways on, sorted by the answer of another guard.
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
    /// By a path on which a frame runs out of gas.
    Exhaustion,
    /// By the interpreter.
    Interpret,
}

impl Attempt {
    /// What is tried after this.
    const fn next(self) -> Self {
        match self {
            Self::Success => Self::Failure,
            Self::Failure => Self::Exhaustion,
            Self::Exhaustion | Self::Interpret => Self::Interpret,
        }
    }
}

/// Where the paths of each attempt begin, except those of the last, which has none.
pub(super) type Roots = [Option<NodeId>; 3];

/// The paths of one entry. Those that fail are apart from those that succeed:
/// the guards that tell them from each other have been dropped there.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// The operations of all nodes.
    operations: Vec<Operation>,
    roots: Roots,
    pub(crate) constants: Constants,
    bytes: usize,
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
        let root = *self.roots.get(attempt as usize)?;
        root.map(|root| self.node(root))
    }

    /// The next attempt for a call with this much gas, from this one on.
    pub(crate) fn attempt(&self, from: Attempt, gas: u64) -> Attempt {
        let mut attempt = from;
        while attempt != Attempt::Interpret && !self.may_fit(attempt, gas) {
            attempt = attempt.next();
        }
        attempt
    }

    /// The next attempt after one that has failed.
    pub(crate) fn attempt_after(&self, failed: Attempt, gas: u64) -> Attempt {
        self.attempt(failed.next(), gas)
    }

    /// Whether there are paths, and for as much gas if they are about that.
    fn may_fit(&self, attempt: Attempt, gas: u64) -> bool {
        match self.root(attempt).map(|root| &root.next) {
            Some(Next::Guard(_, ways)) if attempt == Attempt::Exhaustion => {
                way(ways, U256::from(gas)).is_some()
            }
            root => root.is_some(),
        }
    }

    /// What a node does.
    #[inline]
    pub(crate) fn operations(&self, node: &Node) -> &[Operation] {
        &self.operations[node.range()]
    }

    /// The node that a guard leads to.
    #[inline]
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
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
        let Path { segments, rest, outcome, attempt } = path;
        // The guard that the path leaves the tree at, and its answer there.
        let mut leaves: Option<(usize, U256)> = None;
        let root = attempt as usize;
        let mut at = self.roots[root].map(NodeId::index);
        let is_first = at.is_none();
        let first = NodeId(position(self.nodes.len()));
        let mut segments = segments.into_iter();
        while let Some(here) = at {
            let Some(segment) = segments.next() else { return false };
            let node = &self.nodes[here];
            let (test, way) = match &node.next {
                Next::Truth(test, ways) => (test, ways[usize::from(!segment.answer.is_zero())]),
                Next::Guard(test, ways) if ways.len() < limits.branches_max => {
                    (test, way(ways, segment.answer))
                }
                Next::Guard(..) | Next::End(_) => return false,
            };
            if *test != segment.test || *self.operations(node) != *segment.operations {
                return false;
            }
            leaves = Some((here, segment.answer));
            at = way.map(NodeId::index);
        }
        for segment in segments {
            let next = if segment.test.is_truth() {
                Next::Truth(segment.test, [None; 2])
            } else {
                Next::Guard(segment.test, Vec::new())
            };
            let id = self.add(leaves, segment.operations, next);
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
        self.bytes += NODE_BYTES + operations.iter().map(Operation::bytes).sum::<usize>();
        let start = position(self.operations.len());
        self.operations.extend(operations);
        let node = Node { operations: (start, position(self.operations.len())), next };
        self.nodes.push(node);
        let to = NodeId(position(id));
        match from.map(|(from, answer)| (&mut self.nodes[from].next, answer)) {
            Some((Next::Truth(_, ways), answer)) => {
                ways[usize::from(!answer.is_zero())] = Some(to);
            }
            Some((Next::Guard(_, ways), answer)) => {
                let at = ways.partition_point(|(other, _)| *other < answer);
                ways.insert(at, (answer, to));
            }
            Some((Next::End(_), _)) | None => {}
        }
        id
    }
}

/// The way that a guard's answer leads to.
pub(crate) fn way(ways: &[(U256, NodeId)], answer: U256) -> Option<NodeId> {
    let at = ways.binary_search_by_key(&answer, |(answer, _)| *answer).ok()?;
    Some(ways[at].1)
}

/// A position in a table of the tree, whose size is limited.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
