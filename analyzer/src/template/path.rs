//! From a trace to a path: a straight line of operations, cut at its guards.
//!
//! Operations are emitted on demand: an event stays, a value only once an event
//! needs it. So nothing dead is left, and what a path does up to a guard depends
//! on nothing after it, which is what lets paths share their beginnings. Equal
//! values, accounts and slots are computed and looked up once.

use hashbrown::{HashMap, HashSet};
use revm::{
    bytecode::opcode,
    primitives::{U256, map::DefaultHashBuilder},
};

use super::{
    trace::{AccountRef, CheckpointRef, Event, SlotRef, Trace, Truth},
    value::{Input, Operand, Value, ValueId},
};
use crate::interpreter::reverts_straight;

/// Room that a compilation starts with: what an ordinary path has.
const OPERATIONS_ABOUT: usize = 512;

/// One step of a path. Those that give a value give it the next number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Input(Input),
    Compute(u8, [Operand; 3]),
    Piece {
        of: Operand,
        from: u8,
        to: u8,
        len: u8,
    },
    Digest {
        function: u8,
        parts: Box<[Operand]>,
        bytes: u32,
    },
    Load(SlotRef),
    TransientLoad(AccountRef, Operand),
    Balance(AccountRef),
    CodeSize(AccountRef),
    CodeHash(AccountRef),
    Pay {
        from: AccountRef,
        to: AccountRef,
        value: Operand,
    },
    /// Names the next account.
    Account(Operand),
    /// Names the next slot; the constant that is its declared slot, if any.
    Slot(AccountRef, Operand, Option<Operand>),
    Store(SlotRef, Operand),
    TransientStore(AccountRef, Operand, Operand),
    Emptiness(AccountRef),
    Touch(AccountRef),
    /// Takes the next checkpoint.
    Checkpoint,
    Revert(CheckpointRef),
}

/// What a guard looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// Whether the value is zero: 0, or 1.
    Truth(Operand),
    /// The value.
    Value(Operand),
    /// The hash of the account's code.
    Code(AccountRef),
}

/// How the transaction's own call ends on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) succeeds: bool,
    /// Gas that the recorded run took, before refunds.
    pub(crate) gas: u64,
    pub(crate) refund: i64,
}

/// Operations up to a guard, and how the recorded run answered it.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) operations: Vec<Operation>,
    pub(crate) test: Test,
    pub(crate) answer: U256,
}

/// A path: its segments, and the operations after the last guard.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) segments: Vec<Segment>,
    pub(crate) rest: Vec<Operation>,
    pub(crate) outcome: Outcome,
}

/// The constants of a tree's paths, each once.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    pub(crate) words: Vec<U256>,
    positions: HashMap<U256, usize, DefaultHashBuilder>,
}

impl Constants {
    fn intern(&mut self, word: U256) -> Operand {
        let words = &mut self.words;
        Operand::constant(*self.positions.entry(word).or_insert_with(|| {
            words.push(word);
            words.len() - 1
        }))
    }
}

/// The path that `trace` took; none if it has more than `operations_max`
/// operations, or went where a success was to be assumed.
pub(crate) fn compile(
    trace: &Trace,
    constants: &mut Constants,
    outcome: Outcome,
    operations_max: usize,
) -> Option<Path> {
    let mut compiler = Compiler::new(trace, constants, operations_max);
    for event in &trace.events {
        compiler.event(event)?;
    }
    Some(Path { segments: compiler.segments, rest: compiler.operations, outcome })
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
    /// What slots hold, as long as nothing was stored.
    held: HashMap<SlotRef, Operand, DefaultHashBuilder>,
    decided: HashSet<Operand, DefaultHashBuilder>,
    coded: HashSet<AccountRef, DefaultHashBuilder>,
    pending: Vec<usize>,
}

impl<'a> Compiler<'a> {
    fn new(trace: &'a Trace, constants: &'a mut Constants, operations_max: usize) -> Self {
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
            held: HashMap::default(),
            decided: HashSet::default(),
            coded: HashSet::default(),
            pending: Vec::new(),
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
                let held = held.unwrap_or_else(|| self.found(Operation::Load(slot)));
                self.held.insert(slot, held);
                self.place(id, held);
            }
            Event::Store(slot, word) => {
                let (slot, word) = (self.slots[slot.0 as usize], self.demand(word));
                self.held.clear();
                self.emit(Operation::Store(slot, word));
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
            Event::Pay { from, to, value, paid } => {
                let value = self.demand(value);
                let [from, to] = [from, to].map(|account| self.account_at(account));
                let found = self.found(Operation::Pay { from, to, value });
                self.place(paid, found);
            }
            Event::Checkpoint => self.emit(Operation::Checkpoint),
            Event::Revert(checkpoint) => {
                self.held.clear();
                self.emit(Operation::Revert(checkpoint));
            }
            Event::Truth(truth) => return self.truth(truth),
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
        }
        Some(())
    }

    /// A guard whose other way can only revert is dropped, and success assumed,
    /// unless its value is at hand.
    fn truth(&mut self, truth: Truth) -> Option<()> {
        let Truth { mut value, mut is_true, branch } = truth;
        while let Some(Value::Compute(code, [of, ..])) =
            value.position().map(|at| &self.trace.values[at])
            && *code == opcode::ISZERO
        {
            (value, is_true) = (*of, !is_true);
        }
        if let Some(branch) = branch
            && value.position().is_some_and(|at| self.places[at].is_none())
        {
            let code = self.trace.code_of(branch);
            let [taken, left] = [branch.taken, branch.left].map(|pc| reverts_straight(code, pc));
            if taken != left {
                return left.then_some(());
            }
        }
        let value = self.demand(value);
        if self.decided.insert(value) {
            self.guard(Test::Truth(value), U256::from(u8::from(is_true)));
        }
        Some(())
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
                let word = self.trace.constants.get(at).copied().unwrap_or_default();
                Some(self.constants.intern(word))
            }
        }
    }

    /// Emits what `operand` needs, and returns where it is on the path.
    fn demand(&mut self, operand: Operand) -> Operand {
        let trace = self.trace;
        let mut pending = core::mem::take(&mut self.pending);
        pending.extend(operand.position());
        while let Some(&at) = pending.last() {
            if self.places[at].is_some() {
                pending.pop();
                continue;
            }
            let before = pending.len();
            for_each_operand(&trace.values[at], |operand| {
                pending.extend(operand.position().filter(|at| self.places[*at].is_none()));
            });
            if pending.len() == before {
                pending.pop();
                self.places[at] = Some(self.compute(&trace.values[at]));
            }
        }
        self.pending = pending;
        self.placed(operand).expect("what was demanded has been emitted")
    }

    /// Emits a value whose operands are on the path, unless an equal one is.
    fn compute(&mut self, value: &Value) -> Operand {
        let mut at = |operand| self.placed(operand).expect("operands are emitted first");
        let operation = match value {
            Value::Input(input) => Operation::Input(*input),
            Value::Compute(code, args) => Operation::Compute(*code, args.map(&mut at)),
            Value::Piece { of, from, to, len } => {
                Operation::Piece { of: at(*of), from: *from, to: *to, len: *len }
            }
            Value::Digest { function, parts, bytes } => {
                let parts = parts.iter().map(|part| at(*part)).collect();
                Operation::Digest { function: *function, parts, bytes: *bytes }
            }
            Value::Found => unreachable!("what was found is emitted by its event"),
        };
        if let Some(known) = self.known_values.get(&operation) {
            return *known;
        }
        let place = self.found(operation.clone());
        self.known_values.insert(operation, place);
        place
    }
}

fn for_each_operand(value: &Value, mut each: impl FnMut(Operand)) {
    match value {
        Value::Input(_) | Value::Found => {}
        Value::Compute(_, args) => args.iter().copied().for_each(each),
        Value::Piece { of, .. } => each(*of),
        Value::Digest { parts, .. } => parts.iter().copied().for_each(each),
    }
}
