//! What was explored, as a graph of stretches of code with their effects.
//!
//! Only the effects of a stretch count from which some end is reached that is
//! no revert: what a reverting path writes is undone, and what it reads decides
//! nothing but that.

use super::effects::Effect;

/// A stretch of one path, between two places where paths part or meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(u32);

impl NodeId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug, Default)]
struct Node {
    parent: Option<NodeId>,
    effects: Vec<Effect>,
    next: Vec<NodeId>,
    /// Whether it ends, or may end, otherwise than by a revert.
    succeeds: bool,
}

/// The stretches of one exploration.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    /// A new stretch after another.
    pub(super) fn add(&mut self, parent: Option<NodeId>) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).expect("bounded by the steps"));
        self.nodes.push(Node { parent, ..Node::default() });
        if let Some(parent) = parent {
            self.link(parent, id);
        }
        id
    }

    /// The first stretch goes on as the second.
    pub(super) fn link(&mut self, from: NodeId, to: NodeId) {
        self.nodes[from.index()].next.push(to);
    }

    /// The stretch has an effect.
    pub(super) fn push(&mut self, node: NodeId, effect: Effect) {
        let effects = &mut self.nodes[node.index()].effects;
        if !effects.contains(&effect) {
            effects.push(effect);
        }
    }

    /// The stretch ends without a revert, or its end is not known.
    pub(super) fn succeed(&mut self, node: NodeId) {
        self.nodes[node.index()].succeeds = true;
    }

    /// The position of the latest of `ancestors` that the stretch was explored
    /// after, on its own path.
    pub(super) fn nearest(
        &self,
        node: NodeId,
        ancestors: &(impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + Clone),
    ) -> Option<usize> {
        let oldest = ancestors.clone().map(|ancestor| ancestor.0).min()?;
        let mut at = Some(node);
        // A parent is older than its children, so this ends.
        while let Some(id) = at.filter(|id| id.0 >= oldest) {
            if let Some(position) = ancestors.clone().rposition(|ancestor| ancestor == id) {
                return Some(position);
            }
            at = self.nodes[id.index()].parent;
        }
        None
    }

    /// The effects of all stretches from which a success is reached, sorted;
    /// none if there is no success.
    pub(super) fn effects(&self) -> Option<Vec<Effect>> {
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (from, node) in self.nodes.iter().enumerate() {
            for to in &node.next {
                before[to.index()].push(from);
            }
        }
        let mut reached: Vec<bool> = self.nodes.iter().map(|node| node.succeeds).collect();
        let mut work: Vec<usize> = (0..reached.len()).filter(|at| reached[*at]).collect();
        while let Some(at) = work.pop() {
            for &from in &before[at] {
                if !core::mem::replace(&mut reached[from], true) {
                    work.push(from);
                }
            }
        }
        let counted = self.nodes.iter().zip(&reached).filter(|(_, reached)| **reached);
        let mut effects: Vec<Effect> = counted.flat_map(|(node, _)| node.effects.clone()).collect();
        effects.sort_unstable();
        effects.dedup();
        reached.contains(&true).then_some(effects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_reverting_stretch_does_does_not_count() {
        let mut graph = Graph::default();
        let root = graph.add(None);
        graph.push(root, Effect::Create);
        let (fails, succeeds) = (graph.add(Some(root)), graph.add(Some(root)));
        graph.push(fails, Effect::Destroy(crate::expr::ExprId::ZERO));
        assert_eq!(graph.effects(), None);
        graph.succeed(succeeds);
        assert_eq!(graph.effects(), Some(vec![Effect::Create]));
        assert_eq!(graph.nearest(fails, &[root, succeeds].into_iter()), Some(0));
        assert_eq!(graph.nearest(fails, &[succeeds].into_iter()), None);
    }
}
