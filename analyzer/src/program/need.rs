//! Which expressions and which branches of a graph decide an access.
//!
//! Keys, targets and arguments are needed, and what they are computed from. A
//! branch is needed if something needed lies between it and the place where its
//! two ways meet again (its immediate post-dominator), or if a word that is
//! needed there differs between them. Both grow together until nothing is added.

use petgraph::{
    algo::dominators::simple_fast,
    graph::{DiGraph, NodeIndex},
};
use revm::bytecode::opcode as op;

use crate::{
    expr::{ExprArena, ExprId, KeyExpr},
    symbolic::graph::{Bytes, Edge, Event, Exit, Graph},
};

/// Expressions that a stored value may add to what is needed anyway.
const STORED_COST_MAX: u32 = 12;

/// What of a graph is needed.
pub(super) struct Needed {
    /// Stretches that are reached and can succeed.
    pub(super) reached: Vec<bool>,
    /// Expressions, by their number.
    pub(super) exprs: Vec<bool>,
    /// Where the ways of a branch meet again; the end is none.
    pub(super) joins: Vec<Option<usize>>,
    /// Branches of which either way does the same.
    pub(super) skipped: Vec<bool>,
    /// Whether memory is followed.
    pub(super) memory: bool,
}

/// Finds what is needed.
pub(super) fn needed(arena: &ExprArena, graph: &Graph) -> Needed {
    let reached = graph.reached();
    let joins = joins(graph, &reached);
    let mut finder = Finder {
        arena,
        graph,
        needed: Needed {
            exprs: vec![false; arena.len()],
            skipped: vec![true; reached.len()],
            joins,
            memory: false,
            reached,
        },
        work: Vec::new(),
        grew: true,
    };
    while finder.grew {
        finder.grew = false;
        finder.events();
        finder.branches();
        finder.binds();
    }
    finder.stored_values();
    finder.needed
}

/// The ways of a branch that can succeed.
pub(super) fn live_ways<'g, 'r>(
    exit: &'g Exit,
    reached: &'r [bool],
) -> impl Iterator<Item = &'g Edge> + Clone + use<'g, 'r> {
    let edges = match exit {
        Exit::Goto(edge) => core::slice::from_ref(edge),
        Exit::Branch { ways, .. } => &ways[..],
        _ => &[],
    };
    edges.iter().filter(|edge| reached[edge.to.index()])
}

/// The immediate post-dominator of each stretch that is reached.
fn joins(graph: &Graph, reached: &[bool]) -> Vec<Option<usize>> {
    let count = reached.len();
    let mut backwards: DiGraph<(), ()> = DiGraph::with_capacity(count + 1, 2 * count);
    for _ in 0..=count {
        backwards.add_node(());
    }
    let end = NodeIndex::new(count);
    for (from, node) in graph.nodes().iter().enumerate().filter(|(from, _)| reached[*from]) {
        let mut ways = live_ways(&node.exit, reached).peekable();
        if ways.peek().is_none() {
            backwards.add_edge(end, NodeIndex::new(from), ());
        }
        for edge in ways {
            backwards.add_edge(NodeIndex::new(edge.to.index()), NodeIndex::new(from), ());
        }
    }
    let dominators = simple_fast(&backwards, end);
    let join = |at| dominators.immediate_dominator(NodeIndex::new(at)).map(NodeIndex::index);
    (0..count).map(|at| join(at).filter(|join| *join < count)).collect()
}

struct Finder<'a> {
    arena: &'a ExprArena,
    graph: &'a Graph,
    needed: Needed,
    work: Vec<ExprId>,
    grew: bool,
}

impl Finder<'_> {
    /// An expression is needed, and what it is computed from.
    fn need(&mut self, id: ExprId) {
        self.work.push(id);
        while let Some(id) = self.work.pop() {
            if core::mem::replace(&mut self.needed.exprs[id.number()], true) {
                continue;
            }
            self.grew = true;
            match self.arena.get(id) {
                KeyExpr::Memory(_) | KeyExpr::MemoryHash { .. } => self.needed.memory = true,
                _ => self.work.extend(self.arena.parts(id)),
            }
        }
    }

    fn need_bytes(&mut self, bytes: &Bytes) {
        match bytes {
            Bytes::CallData => {}
            Bytes::Words(words) => words.iter().for_each(|(_, word)| self.need(*word)),
            Bytes::Memory { at, len } => {
                self.needed.memory = true;
                self.need(*at);
                self.need(*len);
            }
        }
    }

    fn events(&mut self) {
        let graph = self.graph;
        for (at, node) in graph.nodes().iter().enumerate() {
            if !self.needed.reached[at] {
                continue;
            }
            node.events.iter().for_each(|event| self.event(event));
            if let Exit::Return(bytes) = &node.exit {
                self.need_bytes(bytes);
            }
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Load(key) | Event::Store { key, .. } => self.need(*key),
            Event::Account { of, .. } | Event::Destroy(of) => self.need(*of),
            Event::Call(call) => {
                self.need(call.target);
                call.value.into_iter().for_each(|value| self.need(value));
                self.need_bytes(&call.input);
                if self.needed.memory {
                    call.output.iter().for_each(|at| self.need(*at));
                }
            }
            Event::Create { value, init, salt, .. } => {
                self.need(*value);
                self.need_bytes(init);
                if let Some(salt) = salt {
                    self.need(*salt);
                }
            }
            Event::StoreMemory { at, word, .. } if self.needed.memory => {
                self.need(*at);
                self.need(*word);
            }
            Event::CopyMemory { to, from, len, .. } if self.needed.memory => {
                for word in [to, from, len] {
                    self.need(*word);
                }
            }
            Event::LoadMemory { at, .. } if self.needed.memory => self.need(*at),
            Event::HashMemory { at, len, .. } if self.needed.memory => {
                self.need(*at);
                self.need(*len);
            }
            Event::TransientStore { key, value } => {
                self.need(*key);
                self.need(*value);
            }
            _ => {}
        }
    }

    /// Whether an event does something that is evaluated.
    fn counts(&self, event: &Event) -> bool {
        match event {
            Event::StoreMemory { .. }
            | Event::CopyMemory { .. }
            | Event::LoadMemory { .. }
            | Event::HashMemory { .. } => self.needed.memory,
            Event::TransientLoad(_) | Event::Answer { .. } => false,
            _ => true,
        }
    }

    fn branches(&mut self) {
        let graph = self.graph;
        for (at, node) in graph.nodes().iter().enumerate() {
            let Exit::Branch { condition, .. } = node.exit else { continue };
            if !self.needed.reached[at] || !self.needed.skipped[at] {
                continue;
            }
            if live_ways(&node.exit, &self.needed.reached).count() < 2 {
                continue;
            }
            if self.matters(at) {
                self.needed.skipped[at] = false;
                self.grew = true;
                self.need(condition);
            }
        }
    }

    /// Whether something that is needed lies on the ways of a branch.
    fn matters(&self, branch: usize) -> bool {
        let join = self.needed.joins[branch];
        let mut seen = hashbrown::HashSet::new();
        let mut work = vec![branch];
        while let Some(at) = work.pop() {
            let node = &self.graph.nodes()[at];
            if at != branch || !seen.is_empty() {
                if node.events.iter().any(|event| self.counts(event)) {
                    return true;
                }
                match &node.exit {
                    Exit::GaveUp(_) => return true,
                    Exit::Return(bytes) if *bytes != Bytes::Words(Box::default()) => return true,
                    _ => {}
                }
            }
            for edge in live_ways(&node.exit, &self.needed.reached) {
                if edge.binds.iter().any(|(varying, _)| self.needed.exprs[varying.number()]) {
                    return true;
                }
                let to = edge.to.index();
                if Some(to) != join && seen.insert(to) {
                    work.push(to);
                }
            }
        }
        false
    }

    /// What is needed where paths meet is needed on the ways there.
    fn binds(&mut self) {
        let graph = self.graph;
        for (at, node) in graph.nodes().iter().enumerate() {
            if !self.needed.reached[at] {
                continue;
            }
            for edge in node.exit.edges() {
                for (varying, word) in &edge.binds {
                    if self.needed.exprs[varying.number()] {
                        self.need(*word);
                    }
                }
            }
        }
    }

    /// Values that are stored are needed where that adds little: what is loaded
    /// after it was stored is known then.
    fn stored_values(&mut self) {
        let graph = self.graph;
        for (at, node) in graph.nodes().iter().enumerate() {
            if !self.needed.reached[at] {
                continue;
            }
            for event in &node.events {
                if let Event::Store { value, .. } = event
                    && self.cost(*value, STORED_COST_MAX).is_some()
                {
                    self.need(*value);
                }
            }
        }
    }

    /// Expressions that are not needed yet, up to `max`.
    fn cost(&self, id: ExprId, max: u32) -> Option<u32> {
        if self.needed.exprs[id.number()] {
            return Some(0);
        }
        let own = match self.arena.get(id) {
            KeyExpr::Keccak(_)
            | KeyExpr::Varying(_)
            | KeyExpr::Memory(_)
            | KeyExpr::MemoryHash { .. }
            | KeyExpr::Unknown
            | KeyExpr::Operation(op::EXP | op::MULMOD | op::ADDMOD, _) => return None,
            KeyExpr::Constant(_) => 0,
            _ => 1,
        };
        let mut total: u32 = own;
        for part in self.arena.parts(id) {
            total += self.cost(part, max.checked_sub(total)?)?;
        }
        (total <= max).then_some(total)
    }
}
