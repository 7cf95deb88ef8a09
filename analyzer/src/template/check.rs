//! Whether a tree that was read from outside can be evaluated.
//!
//! A tree that the compiler made names only what its path has come by before.
//! One from a file is not trusted to: every name is looked at once, so that an
//! evaluation can index without asking.

use super::{
    operation::{Operation, Program, Test},
    trace::AccountRef,
    tree::{Next, Node, NodeId, Roots},
    value::{Operand, Value},
};

/// How much of everything a path has come by.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    values: usize,
    accounts: usize,
    slots: usize,
    checkpoints: usize,
    constants: usize,
}

/// Whether every node that a root leads to names only what is there.
///
/// A node lies behind the one that leads to it, so there is no way in a circle.
pub(super) fn is_sound(
    nodes: &[Node],
    operations: &[Operation],
    roots: Roots,
    constants: usize,
) -> bool {
    let mut known: Vec<Option<Known>> = vec![None; nodes.len()];
    for root in roots.into_iter().flatten() {
        match known.get_mut(root.index()) {
            Some(known) => *known = Some(Known { constants, ..Known::default() }),
            None => return false,
        }
    }
    for (at, node) in nodes.iter().enumerate() {
        let Some(mut here) = known[at] else { return false };
        let Some(operations) = operations.get(node.range()) else { return false };
        if !operations.iter().all(|operation| here.operation(operation)) {
            return false;
        }
        let is_sound = match &node.next {
            Next::Truth(test, ways) => {
                let mut ways = ways.iter().flatten();
                test.is_truth()
                    && here.test(*test)
                    && ways.all(|way| here.way(at, *way, &mut known))
            }
            Next::Guard(test, ways) => {
                let is_other = !test.is_truth();
                is_other
                    && here.test(*test)
                    && ways.iter().all(|way| here.way(at, way.1, &mut known))
            }
            Next::End(_) => true,
        };
        if !is_sound {
            return false;
        }
    }
    true
}

impl Known {
    /// Notes what a way leads to; false if that is not a node behind `at` of its own.
    fn way(self, at: usize, way: NodeId, known: &mut [Option<Self>]) -> bool {
        let to = way.index();
        let is_new = to > at && known.get(to).is_some_and(Option::is_none);
        if is_new {
            known[to] = Some(self);
        }
        is_new
    }

    const fn test(self, test: Test) -> bool {
        match test {
            Test::Truth(value) | Test::Value(value) => self.operand(value),
            Test::Computed(_, [one, other]) => self.operand(one) && self.operand(other),
            Test::Code(account) => self.account(account),
        }
    }

    const fn operand(self, operand: Operand) -> bool {
        let (at, is_constant) = operand.split();
        at < if is_constant { self.constants } else { self.values }
    }

    const fn account(self, account: AccountRef) -> bool {
        (account.0 as usize) < self.accounts
    }

    fn value(self, value: &Value) -> bool {
        let mut is_sound = true;
        value.for_each_operand(|operand| is_sound &= self.operand(operand));
        let fits = match *value {
            Value::Piece { from, to, len, .. } => {
                from.max(to).checked_add(len).is_some_and(|end| end <= 32)
            }
            Value::Digest { ref parts, bytes, .. } => bytes as usize <= parts.len() * 32,
            Value::Found => false,
            Value::Input(_) | Value::Compute(..) | Value::BlockHash(_) => true,
        };
        is_sound && fits
    }

    fn program(self, program: &Program) -> bool {
        let Program { captures, operations, constants } = program;
        let (captured, constants) = (captures.len(), constants.len());
        !operations.is_empty()
            && captures.iter().all(|place| self.operand(*place))
            && operations.iter().zip(captured..).all(|(operation, values)| {
                let known = Self { values, constants, ..Self::default() };
                !matches!(operation, Value::Input(_)) && known.value(operation)
            })
    }

    /// Whether the operation names only what is there; notes what it adds.
    fn operation(&mut self, operation: &Operation) -> bool {
        let slot = |slot: super::trace::SlotRef| (slot.0 as usize) < self.slots;
        let is_sound = match operation {
            Operation::Value(value) => self.value(value),
            Operation::Load(at) => slot(*at),
            Operation::Settle(place) | Operation::Account(place) => self.operand(*place),
            Operation::TransientLoad(account, key) => self.account(*account) && self.operand(*key),
            Operation::Balance(account)
            | Operation::CodeSize(account)
            | Operation::CodeHash(account)
            | Operation::Emptiness(account)
            | Operation::Touch(account)
            | Operation::Deploy(account, _) => self.account(*account),
            Operation::Destroy(account, target) => self.account(*account) && self.account(*target),
            Operation::Pay { from, to, value } => {
                self.account(*from) && self.account(*to) && self.operand(*value)
            }
            Operation::Slot(account, key, declared) => {
                let is_declared = declared.is_none_or(|declared| self.operand(declared));
                self.account(*account) && self.operand(*key) && is_declared
            }
            Operation::Store(at, value) => slot(*at) && self.operand(*value),
            Operation::Defer(at, program) => slot(*at) && self.program(program),
            Operation::TransientStore(account, key, value) => {
                self.account(*account) && self.operand(*key) && self.operand(*value)
            }
            Operation::NewAddress(creator, salted) => {
                let is_salted =
                    salted.is_none_or(|(salt, hash)| self.operand(salt) && self.operand(hash));
                self.account(*creator) && is_salted
            }
            Operation::Create { creator, created, value } => {
                self.account(*creator) && self.account(*created) && self.operand(*value)
            }
            Operation::Checkpoint => true,
            // Exact paths are not saved.
            Operation::Charge(_)
            | Operation::Warm(_)
            | Operation::Fund(_)
            | Operation::Power(_)
            | Operation::GasLeft
            | Operation::Enter { .. }
            | Operation::Leave(_)
            | Operation::Log(_) => false,
            Operation::Revert(checkpoint) => (checkpoint.0 as usize) < self.checkpoints,
        };
        match operation {
            Operation::Value(_)
            | Operation::Load(_)
            | Operation::TransientLoad(..)
            | Operation::Balance(_)
            | Operation::CodeSize(_)
            | Operation::CodeHash(_)
            | Operation::NewAddress(..)
            | Operation::Pay { .. } => self.values += 1,
            Operation::Account(_) => self.accounts += 1,
            Operation::Slot(..) => self.slots += 1,
            Operation::Checkpoint | Operation::Create { .. } => self.checkpoints += 1,
            Operation::Settle(_)
            | Operation::Store(..)
            | Operation::Defer(..)
            | Operation::TransientStore(..)
            | Operation::Emptiness(_)
            | Operation::Touch(_)
            | Operation::Destroy(..)
            | Operation::Deploy(..)
            | Operation::Revert(_)
            | Operation::Charge(_)
            | Operation::Warm(_)
            | Operation::Fund(_)
            | Operation::Power(_)
            | Operation::GasLeft
            | Operation::Enter { .. }
            | Operation::Leave(_)
            | Operation::Log(_) => {}
        }
        is_sound
    }
}
