//! A function's graph to the places that it meets for any caller and any arguments:
//! what makes calls of a contract conflict with one another.
//!
//! A place is met *always* if every way to a success passes it. What was not explored to its
//! end may pass anything, so of a function that was given up nothing is met always.

use revm::bytecode::opcode as op;

use super::{
    EntrySummary,
    graph::{Event, Exit, Graph, Node},
};
use crate::expr::{ExprArena, ExprId, KeyExpr};

/// A place that is the same for every caller and all arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SharedPlace {
    /// A slot, by its key.
    Slot(ExprId),
    /// The nonce of the account, which each creation raises.
    Nonce,
    /// The balance of the account, which ether that is sent comes from.
    Balance,
}

/// Whether something happens in every run that succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frequency {
    /// In some runs, as far as is known.
    Sometimes,
    /// In every run.
    Always,
}

/// How a place is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WriteKind {
    /// Several times, to constants alone: a lock against reentry, which is at the end as it was.
    Lock,
    /// To itself and something more or less: a counter or a total.
    Added,
    /// To any value.
    Set,
}

/// What a function does at a place that every caller meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharedUse {
    /// The place.
    pub place: SharedPlace,
    /// How often it is read and not written; none if it is only written.
    pub reads: Option<Frequency>,
    /// How often and how it is written, if it is.
    pub writes: Option<(Frequency, WriteKind)>,
}

impl EntrySummary {
    /// What it does at places that every caller meets, by place.
    pub fn shared_uses(&self, exprs: &ExprArena) -> Vec<SharedUse> {
        let reached = self.graph.reached();
        let nodes = || self.graph.nodes().iter().zip(&reached).filter(|(_, reached)| **reached);
        let events = || nodes().flat_map(|(node, _)| &node.events);
        let mut places: Vec<SharedPlace> =
            events().filter_map(|event| place(exprs, event)).collect();
        places.sort_unstable();
        places.dedup();
        let used = |place| {
            let is_read = |event: &Event| read(exprs, event) == Some(place);
            let is_written = |event: &Event| written(exprs, event) == Some(place);
            let often = |is: &dyn Fn(&Event) -> bool| {
                let some = events().any(is);
                some.then(|| frequency(&self.graph, &reached, is))
            };
            let kind = || write_kind(exprs, events().filter(|event| is_written(event)));
            SharedUse {
                place,
                reads: often(&is_read),
                writes: often(&is_written).map(|often| (often, kind())),
            }
        };
        places.into_iter().map(used).collect()
    }
}

/// How often an event happens that is in some stretch.
fn frequency(graph: &Graph, reached: &[bool], is: &dyn Fn(&Event) -> bool) -> Frequency {
    let mut seen = vec![false; reached.len()];
    let mut work = vec![0_usize];
    while let Some(at) = work.pop() {
        let Node { events, exit, .. } = &graph.nodes()[at];
        if !reached[at] || core::mem::replace(&mut seen[at], true) || events.iter().any(is) {
            continue;
        }
        if matches!(exit, Exit::Return(_) | Exit::GaveUp(_)) {
            return Frequency::Sometimes;
        }
        work.extend(exit.edges().map(|edge| edge.to.index()));
    }
    Frequency::Always
}

fn place(exprs: &ExprArena, event: &Event) -> Option<SharedPlace> {
    read(exprs, event).or_else(|| written(exprs, event))
}

fn read(exprs: &ExprArena, event: &Event) -> Option<SharedPlace> {
    match *event {
        Event::Load(key) => is_shared(exprs, key).then_some(SharedPlace::Slot(key)),
        Event::Account { code: op::BALANCE, of } => {
            let is_own = *exprs.get(of) == KeyExpr::Environment(op::ADDRESS);
            is_own.then_some(SharedPlace::Balance)
        }
        _ => None,
    }
}

fn written(exprs: &ExprArena, event: &Event) -> Option<SharedPlace> {
    match event {
        Event::Store { key, .. } => is_shared(exprs, *key).then_some(SharedPlace::Slot(*key)),
        Event::Create { .. } => Some(SharedPlace::Nonce),
        Event::Call(call) => call.value.map(|_| SharedPlace::Balance),
        Event::Destroy(_) => Some(SharedPlace::Balance),
        _ => None,
    }
}

/// How the events write their place, all of them together.
fn write_kind<'a>(exprs: &ExprArena, events: impl Iterator<Item = &'a Event>) -> WriteKind {
    let stores: Option<Vec<(ExprId, ExprId)>> = events
        .map(|event| match event {
            Event::Store { key, value } => Some((*key, *value)),
            _ => None,
        })
        .collect();
    let Some(stores) = stores else { return WriteKind::Set };
    let is_added = |(key, value): &(ExprId, ExprId)| match *exprs.get(*value) {
        KeyExpr::Operation(op::ADD | op::SUB, [a, b, _]) => {
            let is_itself = |of| *exprs.get(of) == KeyExpr::Load(*key);
            is_itself(a) || is_itself(b)
        }
        _ => false,
    };
    let mut values: Vec<ExprId> = stores.iter().map(|(_, value)| *value).collect();
    values.sort_unstable();
    values.dedup();
    if values.len() > 1 && values.iter().all(|value| exprs.value(*value).is_some()) {
        WriteKind::Lock
    } else if stores.iter().all(is_added) {
        WriteKind::Added
    } else {
        WriteKind::Set
    }
}

/// Whether a key is the same for every caller and all arguments, within a block.
fn is_shared(exprs: &ExprArena, key: ExprId) -> bool {
    match exprs.get(key) {
        KeyExpr::Constant(_) | KeyExpr::Immutable(_) => true,
        KeyExpr::Environment(code) => matches!(
            *code,
            op::ADDRESS
                | op::CHAINID
                | op::COINBASE
                | op::NUMBER
                | op::TIMESTAMP
                | op::DIFFICULTY
                | op::GASLIMIT
                | op::BASEFEE
                | op::BLOBBASEFEE
                | op::SLOTNUM
        ),
        KeyExpr::Operation(_, operands) => operands.iter().all(|part| is_shared(exprs, *part)),
        KeyExpr::Keccak(parts) => parts.iter().all(|part| is_shared(exprs, part.word)),
        _ => false,
    }
}
