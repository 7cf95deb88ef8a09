//! What was explored, as a graph of stretches of code.
//!
//! A [`Node`] is a stretch between two places where paths part or meet: what
//! happens in it in order ([`Event`]), and how it goes on ([`Exit`]). Where paths
//! meet, an [`Edge`] says what each word that differs between them is
//! ([`KeyExpr::Varying`](crate::KeyExpr::Varying)), as arguments of a basic block do.
//!
//! Only what is on a way to some end that is no revert counts: what a reverting
//! path writes is undone, and what it reads decides nothing but that.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    GaveUp,
    effects::{CallKind, Effect, Target},
};
use crate::expr::ExprId;

/// A stretch of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(u32);

impl NodeId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Bytes of memory that leave the frame: call data, init code, an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// All the call data that the frame was given.
    CallData,
    /// Words of known place: the low bytes of each.
    Words(Box<[(u8, ExprId)]>),
    /// What memory holds then.
    Memory {
        /// Where it begins.
        at: ExprId,
        /// How many bytes.
        len: ExprId,
    },
}

/// Where bytes are copied from into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    CallData,
    Code,
    Answer,
    Memory,
    /// What the analysis does not follow: another account's code.
    Unknown,
}

/// One thing that a stretch does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Load(ExprId),
    Store {
        key: ExprId,
        value: ExprId,
    },
    TransientLoad(ExprId),
    TransientStore {
        key: ExprId,
        value: ExprId,
    },
    /// `BALANCE`, `EXTCODESIZE`, `EXTCODEHASH` or `EXTCODECOPY` of an account.
    Account {
        code: u8,
        of: ExprId,
    },
    Call(Box<Call>),
    /// A word of the latest answer is taken, where paths met that called differently.
    Answer {
        site: u32,
    },
    Create {
        site: u32,
        value: ExprId,
        init: Bytes,
        salt: Option<ExprId>,
    },
    Destroy(ExprId),
    StoreMemory {
        at: ExprId,
        word: ExprId,
        is_byte: bool,
    },
    CopyMemory {
        source: Source,
        to: ExprId,
        from: ExprId,
        len: ExprId,
    },
    LoadMemory {
        site: u32,
        at: ExprId,
    },
    HashMemory {
        site: u32,
        at: ExprId,
        len: ExprId,
    },
}

/// A call, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) site: u32,
    /// The instruction.
    pub(crate) code: u8,
    pub(crate) kind: CallKind,
    pub(crate) target: ExprId,
    pub(crate) value: Option<ExprId>,
    pub(crate) selector: Option<u32>,
    /// Whether it goes to a precompile.
    pub(crate) is_precompile: bool,
    pub(crate) input: Bytes,
    /// Where the answer goes in memory, and how much of it.
    pub(crate) output: [ExprId; 2],
}

/// The way from one stretch to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) to: NodeId,
    /// What varies where paths meet, and what it is on this way; all at once.
    pub(crate) binds: Vec<(ExprId, ExprId)>,
}

impl Edge {
    pub(crate) const fn new(to: NodeId) -> Self {
        Self { to, binds: Vec::new() }
    }
}

/// How a stretch ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It reverts, or is not explored yet.
    Revert,
    /// It goes on.
    Goto(Edge),
    /// It goes on one way if the condition is not zero, the other way if it is.
    Branch { condition: ExprId, ways: Box<[Edge; 2]> },
    /// It succeeds with an answer.
    Return(Bytes),
    /// It was not explored to its end.
    GaveUp(GaveUp),
}

/// A stretch of one path, between two places where paths part or meet.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The stretch that it was first reached from; older than this one.
    parent: Option<NodeId>,
    pub(crate) events: Vec<Event>,
    pub(crate) exit: Exit,
    /// Gas of its instructions, without what depends on the state.
    pub(crate) gas: u32,
}

/// The stretches of one exploration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    /// What varies of the pointer to free memory.
    pub(crate) pointers: BTreeSet<ExprId>,
}

impl Graph {
    /// A new stretch, first reached from another.
    pub(crate) fn add(&mut self, parent: Option<NodeId>) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).expect("bounded by the steps"));
        self.nodes.push(Node { parent, events: Vec::new(), exit: Exit::Revert, gas: 0 });
        id
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.index()]
    }

    /// The stretches, from the first on.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn push(&mut self, node: NodeId, event: Event) {
        self.nodes[node.index()].events.push(event);
    }

    pub(crate) fn exit(&mut self, node: NodeId, exit: Exit) {
        self.nodes[node.index()].exit = exit;
    }

    /// Whether the stretch was explored after `ancestor`, on its own path.
    pub(super) fn is_after(&self, node: NodeId, ancestor: NodeId) -> bool {
        let mut at = Some(node);
        // A parent is older than its children, so this ends.
        while let Some(id) = at.filter(|id| *id >= ancestor) {
            if id == ancestor {
                return true;
            }
            at = self.nodes[id.index()].parent;
        }
        false
    }

    /// Which stretches can come to an end that is no revert.
    pub(crate) fn live(&self) -> Vec<bool> {
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (from, node) in self.nodes.iter().enumerate() {
            for edge in node.exit.edges() {
                before[edge.to.index()].push(from);
            }
        }
        let ends = |exit: &Exit| matches!(exit, Exit::Return(_) | Exit::GaveUp(_));
        let mut live: Vec<bool> = self.nodes.iter().map(|node| ends(&node.exit)).collect();
        let mut work: Vec<usize> = (0..live.len()).filter(|at| live[*at]).collect();
        while let Some(at) = work.pop() {
            for &from in &before[at] {
                if !core::mem::replace(&mut live[from], true) {
                    work.push(from);
                }
            }
        }
        live
    }

    /// The stretches that are reached from the first and can succeed.
    pub(crate) fn reached(&self) -> Vec<bool> {
        let live = self.live();
        let mut reached = vec![false; self.nodes.len()];
        let mut work = vec![0_usize];
        while let Some(at) = work.pop() {
            if live.get(at) == Some(&true) && !core::mem::replace(&mut reached[at], true) {
                work.extend(self.nodes[at].exit.edges().map(|edge| edge.to.index()));
            }
        }
        reached
    }

    /// The effects of all stretches from which a success is reached, sorted;
    /// none if there is no success.
    pub(super) fn effects(&self) -> Option<Vec<Effect>> {
        let reached = self.reached();
        let counted = self.nodes.iter().zip(&reached).filter(|(_, reached)| **reached);
        let mut effects: Vec<Effect> =
            counted.flat_map(|(node, _)| node.events.iter().filter_map(effect)).collect();
        effects.sort_unstable();
        effects.dedup();
        reached.contains(&true).then_some(effects)
    }
}

impl Exit {
    /// The ways on.
    pub(crate) fn edges(&self) -> impl Iterator<Item = &Edge> {
        let edges = match self {
            Self::Goto(edge) => core::slice::from_ref(edge),
            Self::Branch { ways, .. } => &ways[..],
            _ => &[],
        };
        edges.iter()
    }
}

/// What an event does to the world, in the vocabulary of people.
fn effect(event: &Event) -> Option<Effect> {
    use revm::bytecode::opcode as op;
    Some(match *event {
        Event::Load(key) => Effect::Read(Target::Storage(key)),
        Event::Store { key, .. } => Effect::Write(Target::Storage(key)),
        Event::Account { code: op::BALANCE, of } => Effect::Read(Target::Balance(of)),
        Event::Account { of, .. } => Effect::Read(Target::Code(of)),
        Event::Call(ref call) if !call.is_precompile => Effect::Call {
            kind: call.kind,
            target: call.target,
            selector: call.selector,
            forwards: call.input == Bytes::CallData,
            value: call.value,
        },
        Event::Create { .. } => Effect::Create,
        Event::Destroy(to) => Effect::Destroy(to),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_reverting_stretch_does_does_not_count() {
        let mut graph = Graph::default();
        let root = graph.add(None);
        let to = ExprId::ZERO;
        graph.push(root, Event::Load(to));
        let (fails, succeeds) = (graph.add(Some(root)), graph.add(Some(root)));
        let ways = Box::new([Edge::new(fails), Edge::new(succeeds)]);
        graph.exit(root, Exit::Branch { condition: ExprId::UNKNOWN, ways });
        graph.push(fails, Event::Destroy(to));
        assert_eq!(graph.effects(), None);
        graph.exit(succeeds, Exit::Return(Bytes::Words(Box::default())));
        assert_eq!(graph.effects(), Some(vec![Effect::Read(Target::Storage(to))]));
        assert!(graph.is_after(fails, root) && !graph.is_after(fails, succeeds));
    }
}
