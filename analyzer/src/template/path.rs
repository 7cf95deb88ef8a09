//! From a trace to a path: a straight line of operations, cut at its guards.
//!
//! Operations are emitted on demand: an event stays, a value only once an event
//! needs it. So nothing dead is left, and what a path does up to a guard depends
//! on nothing after it, which is what lets paths share their beginnings. Equal
//! values, accounts and slots are computed and looked up once.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use revm::{
    bytecode::opcode,
    primitives::{U256, map::DefaultHashBuilder},
};

use super::{
    assembly::Assembly,
    operation::{Constants, Deployment, Operation, Outcome, Path, Program, Segment, Test},
    signer::is_verified,
    trace::{AccountRef, Branch, Event, SlotRef, Trace, Truth},
    tree::Attempt,
    value::{Input, Operand, Value, ValueId},
};
use crate::interpreter::{Ending, RevertingPlaces};

mod creation;
mod exact;

/// Room that a compilation starts with: what an ordinary path has.
const OPERATIONS_ABOUT: usize = 512;

/// The path that `trace` took; none if it has more than `operations_max` operations.
pub(crate) fn compile(
    trace: &Trace,
    places: &mut RevertingPlaces,
    constants: &mut Constants,
    outcome: Outcome,
    operations_max: usize,
) -> Option<Path> {
    let mut compiler = Compiler::new(trace, places, constants, operations_max);
    let attempt = match outcome.ending {
        // Without a guard that is dropped, one beginning serves all.
        _ if compiler.is_exact => Attempt::Success,
        _ if trace.is_exhausted() => Attempt::Exhaustion,
        Ending::Success => Attempt::Success,
        Ending::Revert | Ending::Halt => Attempt::Failure,
    };
    if attempt == Attempt::Exhaustion {
        // A template does not follow the gas. So it only fits what has as much.
        let gas = compiler.found(Operation::Value(Value::Input(Input::Gas(0))));
        compiler.guard(Test::Value(gas), U256::from(trace.gas));
    }
    for event in &trace.events {
        compiler.event(event)?;
    }
    compiler.flush();
    Some(Path { segments: compiler.segments, rest: compiler.operations, outcome, attempt })
}

struct Compiler<'a> {
    trace: &'a Trace,
    constants: &'a mut Constants,
    operations_max: usize,
    emitted: usize,
    operations: Vec<Operation>,
    segments: Vec<Segment>,
    /// Where each value of the trace is on the path, once it is.
    places: Vec<Option<Operand>>,
    accounts: Vec<AccountRef>,
    slots: Vec<SlotRef>,
    values: u32,
    known_values: HashMap<Operation, Operand, DefaultHashBuilder>,
    known_accounts: HashMap<Operand, AccountRef, DefaultHashBuilder>,
    known_slots: HashMap<(AccountRef, Operand), SlotRef, DefaultHashBuilder>,
    /// Values of the path that were loaded, and are not known yet.
    loaded: HashSet<Operand, DefaultHashBuilder>,
    /// What slots hold, as long as nothing was stored.
    held: HashMap<SlotRef, Operand, DefaultHashBuilder>,
    decided: HashSet<Test, DefaultHashBuilder>,
    coded: HashSet<AccountRef, DefaultHashBuilder>,
    pending: Vec<usize>,
    /// The last walk over missing values that came to each value.
    seen: Vec<u32>,
    walks: u32,
    reverting: &'a mut RevertingPlaces,
    assembly: Assembly,
    /// Whether gas and logs are followed, and no guard is dropped.
    is_exact: bool,
    /// Gas to be charged before somebody looks at what is left.
    charged: u64,
    /// Accounts that are warm whatever they are.
    warmed: HashSet<AccountRef, DefaultHashBuilder>,
}

impl<'a> Compiler<'a> {
    fn new(
        trace: &'a Trace,
        reverting: &'a mut RevertingPlaces,
        constants: &'a mut Constants,
        operations_max: usize,
    ) -> Self {
        Self {
            trace,
            constants,
            operations_max,
            emitted: 0,
            operations: Vec::new(),
            segments: Vec::with_capacity(OPERATIONS_ABOUT / 8),
            places: vec![None; trace.values.len()],
            accounts: Vec::new(),
            slots: Vec::new(),
            values: 0,
            known_values: HashMap::with_capacity_and_hasher(
                OPERATIONS_ABOUT,
                DefaultHashBuilder::default(),
            ),
            known_accounts: HashMap::default(),
            known_slots: HashMap::default(),
            loaded: HashSet::default(),
            held: HashMap::default(),
            decided: HashSet::default(),
            coded: HashSet::default(),
            pending: Vec::new(),
            seen: vec![0; trace.values.len()],
            walks: 0,
            reverting,
            assembly: Assembly::default(),
            is_exact: trace.is_exact(),
            charged: 0,
            warmed: HashSet::default(),
        }
    }

    fn event(&mut self, event: &Event) -> Option<()> {
        if self.emitted > self.operations_max {
            return None;
        }
        match *event {
            Event::Account(address) => self.account(address),
            Event::Slot(account, key, declared) => self.slot(account, key, declared),
            Event::Load(slot, id) => {
                let slot = self.slots[slot.0 as usize];
                let held = self.held.get(&slot).copied();
                let held = held.unwrap_or_else(|| {
                    let held = self.found(Operation::Load(slot));
                    if !self.is_exact {
                        self.loaded.insert(held);
                    }
                    held
                });
                self.held.insert(slot, held);
                self.place(id, held);
            }
            Event::Store(slot, word) => {
                let slot = self.slots[slot.0 as usize];
                self.held.clear();
                self.flush();
                let is_input = |at: usize| matches!(self.trace.values[at], Value::Input(_));
                if self.is_exact || word.position().is_some_and(is_input) {
                    self.demand(word);
                }
                let store = match self.placed(word) {
                    Some(word) => Operation::Store(slot, word),
                    None => Operation::Defer(slot, Arc::new(self.program(word))),
                };
                self.emit(store);
            }
            Event::TransientLoad(account, key, id) => {
                let (account, key) = (self.account_at(account), self.demand(key));
                let found = self.found(Operation::TransientLoad(account, key));
                self.place(id, found);
            }
            Event::TransientStore(account, key, word) => {
                let (key, word) = (self.demand(key), self.demand(word));
                self.emit(Operation::TransientStore(self.account_at(account), key, word));
            }
            Event::Balance(account, id) => {
                let found = self.found(Operation::Balance(self.account_at(account)));
                self.place(id, found);
            }
            Event::CodeSize(account, id) => {
                let found = self.found(Operation::CodeSize(self.account_at(account)));
                self.place(id, found);
            }
            Event::CodeHash(account, id) => {
                let found = self.found(Operation::CodeHash(self.account_at(account)));
                self.place(id, found);
            }
            Event::Emptiness(account) => {
                self.emit(Operation::Emptiness(self.account_at(account)));
            }
            Event::Touch(account) => self.emit(Operation::Touch(self.account_at(account))),
            Event::Destroy(account, target) => {
                let [account, target] = [account, target].map(|account| self.account_at(account));
                self.emit(Operation::Destroy(account, target));
            }
            Event::Pay { from, to, value, paid } => {
                let value = self.demand(value);
                let [from, to] = [from, to].map(|account| self.account_at(account));
                let found = self.found(Operation::Pay { from, to, value });
                self.place(paid, found);
            }
            Event::NewAddress(..) | Event::Create { .. } | Event::Deploy(..) => {
                self.creation_event(*event)?;
            }
            Event::Checkpoint => self.emit(Operation::Checkpoint),
            Event::Revert(checkpoint) => {
                self.held.clear();
                self.warmed.clear();
                self.emit(Operation::Revert(checkpoint));
            }
            Event::Truth(truth) => self.truth(truth),
            Event::Equals(value, answer) => {
                let value = self.demand(value);
                self.guard(Test::Value(value), answer);
            }
            Event::Code(account, hash) => {
                let account = self.account_at(account);
                if self.coded.insert(account) {
                    self.guard(Test::Code(account), hash.into());
                }
            }
            Event::Exact(event) => self.exact_event(event)?,
        }
        Some(())
    }

    /// A guard whose other way can only revert is dropped, and success assumed.
    fn truth(&mut self, truth: Truth) {
        let Truth { mut value, mut is_true, branch } = truth;
        while let Some(Value::Compute(code, [of, ..])) =
            value.position().map(|at| &self.trace.values[at])
            && *code == opcode::ISZERO
        {
            (value, is_true) = (*of, !is_true);
        }
        if !self.is_exact && is_verified(self.trace, value, is_true) {
            return;
        }
        if !self.is_exact
            && let Some(branch) = branch
            && self.reverts(branch, branch.left)
            && !self.reverts(branch, branch.taken)
        {
            return;
        }
        let test = self.test(value);
        if self.decided.insert(test) {
            self.guard(test, U256::from(u8::from(is_true)));
        }
    }

    /// The test of whether a value is zero. What is computed for nothing else is
    /// not kept: a path that has decided a comparison knows what it is.
    fn test(&mut self, value: Operand) -> Test {
        let before = self.values as usize;
        let place = self.demand(value);
        let is_last =
            place.position().is_some_and(|at| at >= before && at + 1 == self.values as usize);
        match (value.position(), self.operations.last()) {
            (Some(at), Some(Operation::Value(Value::Compute(code, [one, other, _]))))
                if is_last && matches!(*code, opcode::LT..=opcode::EQ | opcode::AND) =>
            {
                let test = Test::Computed(*code, [*one, *other]);
                let operation = self.operations.pop().expect("there is a last operation");
                self.known_values.remove(&operation);
                self.places[at] = None;
                self.values -= 1;
                test
            }
            _ => Test::Truth(place),
        }
    }

    /// Whether the code of a branch can only revert from `pc` on, as far as is seen.
    fn reverts(&mut self, branch: Branch, pc: usize) -> bool {
        self.trace.code_at(branch.code).is_some_and(|code| self.reverting.reverts(code, pc))
    }

    fn guard(&mut self, test: Test, answer: U256) {
        let operations = core::mem::take(&mut self.operations);
        self.segments.push(Segment { operations, test, answer });
    }

    fn account_at(&self, account: AccountRef) -> AccountRef {
        self.accounts[account.0 as usize]
    }

    fn account(&mut self, address: Operand) {
        let address = self.demand(address);
        let account = if let Some(known) = self.known_accounts.get(&address) {
            *known
        } else {
            let next = AccountRef(u32::try_from(self.known_accounts.len()).unwrap_or(u32::MAX));
            self.known_accounts.insert(address, next);
            self.emit(Operation::Account(address));
            next
        };
        self.accounts.push(account);
    }

    fn slot(&mut self, account: AccountRef, key: Operand, declared: Option<U256>) {
        let (account, key) = (self.account_at(account), self.demand(key));
        let slot = if let Some(known) = self.known_slots.get(&(account, key)) {
            *known
        } else {
            let next = SlotRef(u32::try_from(self.known_slots.len()).unwrap_or(u32::MAX));
            self.known_slots.insert((account, key), next);
            let declared = declared.map(|slot| self.constants.intern(slot));
            self.emit(Operation::Slot(account, key, declared));
            next
        };
        self.slots.push(slot);
    }

    fn emit(&mut self, operation: Operation) {
        self.emitted += 1;
        self.operations.push(operation);
    }

    /// Emits an operation that gives a value.
    fn found(&mut self, operation: Operation) -> Operand {
        self.emit(operation);
        self.values += 1;
        Operand::value(self.values as usize - 1)
    }

    fn place(&mut self, id: ValueId, at: Operand) {
        if let Some(position) = id.position() {
            self.places[position] = Some(at);
        }
    }

    /// Where an operand of the trace is on the path, if it is there yet.
    fn placed(&mut self, operand: Operand) -> Option<Operand> {
        match operand.split() {
            (at, false) => self.places[at],
            (at, true) => {
                let word = self.trace.constant(at);
                Some(self.constants.intern(word))
            }
        }
    }

    /// Emits what `operand` needs, and returns where it is on the path.
    fn demand(&mut self, operand: Operand) -> Operand {
        if let Some(at) = operand.position() {
            for at in self.missing(at) {
                self.places[at] = Some(self.compute(at));
            }
        }
        let place = self.placed(operand).expect("what was demanded has been emitted");
        self.settle(place);
        place
    }

    /// The values that are not on the path yet and that the one at `at` needs,
    /// itself included, in an order in which they can be computed.
    fn missing(&mut self, at: usize) -> Vec<usize> {
        let mut order = Vec::new();
        self.walks += 1;
        let Self { seen, places, walks, trace, .. } = self;
        let mut pending = core::mem::take(&mut self.pending);
        pending.push(at);
        while let Some(&at) = pending.last() {
            if places[at].is_some() || seen[at] == *walks {
                pending.pop();
                continue;
            }
            let before = pending.len();
            trace.values[at].for_each_operand(|operand| {
                let is_missing = |at: &usize| places[*at].is_none() && seen[*at] != *walks;
                pending.extend(operand.position().filter(is_missing));
            });
            if pending.len() == before {
                pending.pop();
                seen[at] = *walks;
                order.push(at);
            }
        }
        self.pending = pending;
        order
    }

    /// Emits a value whose operands are on the path, unless an equal one is.
    fn compute(&mut self, at: usize) -> Operand {
        let trace = self.trace;
        let value = trace.values[at].map_operands(|operand| {
            let place = self.placed(operand).expect("operands are emitted first");
            self.settle(place);
            place
        });
        let operation = Operation::Value(value);
        if let Some(known) = self.known_values.get(&operation) {
            return *known;
        }
        let place = self.found(operation.clone());
        self.known_values.insert(operation, place);
        place
    }

    /// Makes a value known that was loaded.
    fn settle(&mut self, place: Operand) {
        if self.loaded.remove(&place) {
            self.emit(Operation::Settle(place));
        }
    }

    /// What computes a value that is not on the path. What the transaction gives
    /// is put on the path, since the program runs when it is over.
    fn program(&mut self, operand: Operand) -> Program {
        let missing = operand.position().map(|at| self.missing(at)).unwrap_or_default();
        let (inputs, missing): (Vec<usize>, Vec<usize>) =
            missing.into_iter().partition(|at| matches!(self.trace.values[*at], Value::Input(_)));
        for at in inputs {
            self.places[at] = Some(self.compute(at));
        }
        let mut assembly = core::mem::take(&mut self.assembly);
        assembly.clear();
        for at in &missing {
            self.trace.values[*at].for_each_operand(|operand| {
                if let Some(place) = operand.position().and_then(|at| self.places[at]) {
                    assembly.capture(place);
                }
            });
        }
        for at in missing {
            let trace = self.trace;
            let value = trace.values[at].map_operands(|operand| match operand.split() {
                (at, false) => match self.places[at] {
                    Some(place) => assembly.capture(place),
                    None => assembly.computed[&at],
                },
                (at, true) => assembly.constant(trace.constant(at)),
            });
            let place = Operand::value(assembly.captures.len() + assembly.operations.len());
            assembly.operations.push(value);
            assembly.computed.insert(at, place);
        }
        self.emitted += assembly.operations.len();
        let program = assembly.finish();
        self.assembly = assembly;
        program
    }
}
