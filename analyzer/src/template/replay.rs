//! Evaluates a tree of templates on a transaction and the overlay.
//!
//! A straight line of operations between guards, in buffers that are reused;
//! accesses and stored values go to the overlay as the interpreter's do. Where
//! no way leads on from a guard the transaction is to be undone and interpreted.

use revm::{
    DatabaseRef,
    context::TxEnv,
    primitives::{Address, B256, KECCAK_EMPTY, U256},
};

use super::{
    buffers::{Replay, Source, word},
    deferred::Cell,
    host::evaluate,
    inputs::{Inputs, word_at},
    operation::{Deployment, Operation, Outcome, Test},
    trace::AccountRef,
    tree::{Attempt, Next, Tree, way},
    value::{Input, Operand, Value},
};
use crate::alu::compute_of;
use crate::interpreter::{
    Abandoned, AccountId, Content, Ending, Exit, Machine, Provenance, SlotId, Word,
};

/// What came of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replayed {
    /// The accesses are in the overlay.
    Done(Outcome),
    /// No path fits; the overlay holds part of one.
    Missed,
}

/// An evaluation under way.
struct Evaluation<'m, 'a, 't, DB: DatabaseRef> {
    machine: &'m mut Machine<'a, DB>,
    buffers: Replay,
    constants: &'t [U256],
    tx: &'t TxEnv,
    to: Address,
    gas: u64,
}

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// Evaluates `tree` for the call of `tx` to `to` with this much gas.
    pub(crate) fn replay(
        &mut self,
        tree: &Tree,
        attempt: Attempt,
        tx: &TxEnv,
        to: Address,
        gas: u64,
    ) -> Result<Replayed, Exit> {
        let mut buffers = core::mem::take(&mut self.replay);
        buffers.clear();
        let constants = &tree.constants.words;
        let mut evaluation = Evaluation { machine: self, buffers, constants, tx, to, gas };
        let replayed = evaluation.walk(tree, attempt);
        self.replay = evaluation.buffers;
        replayed
    }
}

impl<DB: DatabaseRef> Evaluation<'_, '_, '_, DB> {
    fn walk(&mut self, tree: &Tree, attempt: Attempt) -> Result<Replayed, Exit> {
        let Some(mut node) = tree.root(attempt) else { return Ok(Replayed::Missed) };
        loop {
            for operation in tree.operations(node) {
                if !self.step(operation)? {
                    return Ok(Replayed::Missed);
                }
            }
            let way = match &node.next {
                Next::Truth(test, ways) => {
                    let is_true = match *test {
                        Test::Computed(code, args) => self.is_true(code, args),
                        test => !self.answer(test).is_zero(),
                    };
                    ways[usize::from(is_true)]
                }
                Next::Guard(test, ways) => {
                    let answer = self.answer(*test);
                    way(ways, answer)
                }
                Next::End(outcome) if outcome.ending == Ending::Halt => {
                    return Ok(Replayed::Done(Outcome { gas: self.gas, ..*outcome }));
                }
                Next::End(outcome) if outcome.gas <= self.gas => {
                    return Ok(Replayed::Done(*outcome));
                }
                Next::End(_) => return Ok(Replayed::Missed),
            };
            let Some(way) = way else { return Ok(Replayed::Missed) };
            node = tree.node(way);
        }
    }

    fn answer(&mut self, test: Test) -> U256 {
        match test {
            Test::Truth(value) | Test::Value(value) => self.get(value),
            Test::Computed(code, args) => U256::from(u8::from(self.is_true(code, args))),
            Test::Code(account) => {
                let id = self.buffers.account(account);
                let world = &mut self.machine.world;
                world.note_code_read(id);
                let account = world.account(id);
                let hash = account.now.code_hash;
                // A precompile has no code, but is not like an account without.
                let address = account.address;
                let is_precompile = hash == KECCAK_EMPTY && self.machine.is_precompile(&address);
                if is_precompile { U256::ZERO } else { hash.into() }
            }
        }
    }

    /// Whether what the instruction computes is not zero.
    #[inline]
    fn is_true(&self, code: u8, args: [Operand; 2]) -> bool {
        let get = |at: usize| args.get(at).map_or(U256::ZERO, |arg| self.get(*arg));
        compute_of(code, get, |word| !word.is_zero()).unwrap_or_default()
    }

    #[inline]
    fn get(&self, operand: Operand) -> U256 {
        word(&self.buffers.values, self.constants, operand)
    }

    #[inline]
    fn cell(&self, operand: Operand) -> Cell {
        self.buffers.cell(self.constants, operand)
    }

    #[inline]
    fn push(&mut self, value: U256) {
        self.buffers.push(value, Source::Known);
    }

    /// One operation; false if it finds what a template cannot go on with.
    #[allow(clippy::inline_always, reason = "a call costs as much as most operations do")]
    #[inline(always)]
    fn step(&mut self, operation: &Operation) -> Result<bool, Exit> {
        match operation {
            Operation::Value(Value::Compute(code, args)) => {
                self.buffers.compute(self.constants, *code, args);
            }
            Operation::Value(Value::Input(Input::CallData(at))) => {
                *self.buffers.next() = word_at(&self.tx.data, *at as usize);
            }
            Operation::Value(Value::Input(input)) => {
                let value = self.input(*input);
                self.push(value);
            }
            Operation::Value(value) => {
                let Replay { values, bytes, .. } = &mut self.buffers;
                let get = |operand| word(values, self.constants, operand);
                let Some(value) = evaluate(self.machine, value, bytes, get) else {
                    return Ok(false);
                };
                self.push(value);
            }
            &Operation::Slot(account, key, declared) => self.slot(account, key, declared)?,
            &Operation::Load(slot) => {
                let slot = self.buffers.slot(slot);
                match &self.machine.world.slot(slot).now {
                    Content::Word(word) if word.provenance.is_unknown() => return Ok(false),
                    Content::Word(word) => self.buffers.push(word.value, Source::Known),
                    Content::Unread => self.buffers.push(U256::ZERO, Source::Unread(slot)),
                    Content::Deferred(id) => {
                        self.buffers.push(U256::ZERO, Source::Deferred(*id));
                    }
                }
            }
            &Operation::Settle(place) => return self.settle(place),
            &Operation::Store(slot, value) => {
                let content = match self.cell(value) {
                    Cell::Known(value) => Content::Word(Word::new(value, Provenance::STATE)),
                    Cell::Deferred(id) => Content::Deferred(id),
                    Cell::Unread(from) => self.unread(from, self.buffers.slot(slot))?,
                };
                self.machine.world.store(self.buffers.slot(slot), content);
            }
            Operation::Defer(slot, program) => {
                let captured = |operand| self.buffers.cell(self.constants, operand);
                let id = self.machine.deferred.defer(program, captured);
                self.machine.world.store(self.buffers.slot(*slot), Content::Deferred(id));
            }
            &Operation::Account(address) => self.account(address)?,
            operation => return self.rare_step(operation),
        }
        Ok(true)
    }

    #[inline(never)]
    fn rare_step(&mut self, operation: &Operation) -> Result<bool, Exit> {
        let world = &mut self.machine.world;
        match *operation {
            Operation::TransientLoad(account, key) => {
                let key = self.get(key);
                let word = self.machine.world.transient(self.buffers.account(account), key);
                self.push(word.value);
                return Ok(!word.provenance.is_unknown());
            }
            Operation::TransientStore(account, key, value) => {
                let (key, word) = (self.get(key), Word::new(self.get(value), Provenance::STATE));
                let account = self.buffers.account(account);
                self.machine.world.store_transient(account, key, word);
            }
            Operation::Balance(account) => {
                let balance = world.read_balance(self.buffers.account(account));
                self.push(balance);
            }
            Operation::CodeSize(account) => {
                let code = world.read_code(self.buffers.account(account));
                let code = self.machine.known(code)?;
                self.push(U256::from(code.len()));
            }
            Operation::CodeHash(account) => {
                let account = self.buffers.account(account);
                world.note_code_read(account);
                world.note_emptiness_read(account);
                let now = world.account(account).now;
                self.push(if now.is_empty() { U256::ZERO } else { now.code_hash.into() });
            }
            Operation::Emptiness(account) => {
                world.note_emptiness_read(self.buffers.account(account));
            }
            Operation::Touch(account) => world.credit(self.buffers.account(account), U256::ZERO),
            Operation::Destroy(account, target) => {
                let [account, target] =
                    [account, target].map(|account| self.buffers.account(account));
                self.machine.destroy(account, target);
            }
            Operation::Pay { from, to, value } => {
                let [from, to] = [from, to].map(|account| self.buffers.account(account));
                let was_paid = self.pay(from, to, value);
                self.push(U256::from(u8::from(was_paid)));
            }
            Operation::NewAddress(creator, salted) => {
                let salted = salted.map(|(salt, hash)| (self.get(salt), self.get(hash)));
                let creator = self.machine.world.account(self.buffers.account(creator));
                let address = match salted {
                    None => creator.address.create(creator.now.nonce),
                    Some((salt, hash)) => {
                        creator.address.create2(B256::from(salt), B256::from(hash))
                    }
                };
                self.push(address.into_word().into());
            }
            Operation::Create { creator, created, value } => {
                return self.create(creator, created, value);
            }
            Operation::Deploy(account, ref deployment) => {
                let Deployment { code, hash } = &**deployment;
                world.set_code(self.buffers.account(account), code.clone(), *hash);
            }
            Operation::Checkpoint => self.buffers.checkpoints.push(world.checkpoint()),
            Operation::Revert(checkpoint) => {
                world.revert(self.buffers.checkpoints[checkpoint.0 as usize]);
            }
            _ => {}
        }
        Ok(true)
    }

    /// Makes a loaded value known; false if it cannot be.
    fn settle(&mut self, place: Operand) -> Result<bool, Exit> {
        let (at, false) = place.split() else { return Ok(true) };
        let word = match self.buffers.sources[at] {
            Source::Known => return Ok(true),
            Source::Deferred(id) => self.machine.deferred_word(id)?,
            Source::Unread(slot) => {
                let read = self.machine.world.read_slot(slot);
                self.machine.known(read)?
            }
        };
        self.buffers.values[at] = word.value;
        self.buffers.sources[at] = Source::Known;
        Ok(!word.provenance.is_unknown())
    }

    /// What a slot held before the block, as another slot holds it.
    fn unread(&mut self, from: SlotId, to: SlotId) -> Result<Content, Exit> {
        if from == to {
            return Ok(Content::Unread);
        }
        let read = self.machine.world.read_slot(from);
        self.machine.known(read).map(Content::Word)
    }

    fn pay(&mut self, from: AccountId, to: AccountId, value: Operand) -> bool {
        let value = self.get(value);
        let world = &mut self.machine.world;
        if from == to {
            return world.read_balance(from) >= value;
        }
        let was_paid = world.debit(from, value);
        if was_paid {
            world.credit(to, value);
        }
        was_paid
    }

    /// Begins a creation; false if it fails, which no path has seen.
    fn create(
        &mut self,
        creator: AccountRef,
        created: AccountRef,
        value: Operand,
    ) -> Result<bool, Exit> {
        let (creator, value) = (self.buffers.account(creator), self.get(value));
        let world = &mut self.machine.world;
        let suffices = value.is_zero() || world.read_balance(creator) >= value;
        let Some(nonce) = world.read_nonce(creator).checked_add(1).filter(|_| suffices) else {
            return Ok(false);
        };
        world.change(creator, |values| values.nonce = nonce);
        let address = world.account(self.buffers.account(created)).address;
        let opened = self.machine.open_account(creator, address, value)?;
        self.buffers.checkpoints.extend(opened.map(|(_, checkpoint)| checkpoint));
        Ok(opened.is_some())
    }

    fn account(&mut self, address: Operand) -> Result<(), Exit> {
        let address = Address::from_word(self.get(address).into());
        self.bound()?;
        let loaded = self.machine.world.load(address);
        let account = self.machine.known(loaded)?;
        self.buffers.accounts.push(account);
        Ok(())
    }

    fn slot(
        &mut self,
        account: AccountRef,
        key: Operand,
        declared: Option<Operand>,
    ) -> Result<(), Exit> {
        let (key, declared) = (self.get(key), declared.map(|slot| self.get(slot)));
        let key = self.machine.declared.key(key, declared);
        self.bound()?;
        let slot = self.machine.world.find_slot(self.buffers.account(account), key);
        self.machine.world.look_at_slot(slot);
        self.buffers.slots.push(slot);
        Ok(())
    }

    /// The overlay grows with transactions, however they are analysed.
    fn bound(&mut self) -> Result<(), Exit> {
        if self.machine.world.known() > self.machine.limits.overlay_max {
            return Err(self.machine.abandon(Abandoned::Limit));
        }
        Ok(())
    }

    fn input(&self, input: Input) -> U256 {
        let Machine { block, spec, ref tx, .. } = *self.machine;
        let price = U256::from(tx.gas_price);
        Inputs { block, spec, tx: self.tx, to: self.to, price, gas: self.gas }.word(input)
    }
}
