//! Evaluates exact paths: a call's outcome to the unit of gas and the byte of a
//! log, without running its code.
//!
//! Where no path fits, or the gas does not suffice for it, there is no answer,
//! and nothing has happened: whoever asked runs the code.

use revm::{
    Database,
    context::TxEnv,
    context_interface::{Cfg, cfg::GasParams},
    precompile::{PrecompileSpecId, Precompiles},
    primitives::{
        Address, B256, KECCAK_EMPTY, Log, U256, hardfork::SpecId, map::DefaultHashBuilder,
    },
};

use hashbrown::HashSet;

use super::{
    ExactPaths,
    surroundings::Surroundings,
    used::{Mark, Used, UsedAccount, UsedSlot},
};
use crate::{
    Block,
    alu::compute_of,
    interpreter::{Ending, HashCache},
    keys::{AddressKey, WordKey},
    template::{
        TemplateKey,
        buffers::word,
        host::evaluate,
        inputs::Inputs,
        operation::{Operation, Test},
        trace::AccountRef,
        tree::{Attempt, Next, Tree, way},
        value::{Operand, Value},
    },
};

/// The call that a transaction is, once it is valid and its sender has paid.
#[derive(Clone, Copy, Debug)]
pub struct TopCall<'t> {
    /// The transaction.
    pub tx: &'t TxEnv,
    /// Its recipient.
    pub to: Address,
    /// Hash of the code that runs: the recipient's or its delegate's (EIP-7702).
    pub code_hash: B256,
    /// The delegate, if the recipient has one.
    pub delegate: Option<Address>,
    /// Gas that the call is given.
    pub gas: u64,
    /// Effective gas price, in wei.
    pub price: U256,
    /// What the sender has left, the value of the call included.
    pub sender_balance: U256,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallOutcome {
    /// Whether it succeeded; otherwise it changed nothing.
    pub is_success: bool,
    /// Whether it failed by an exceptional halt.
    pub is_halt: bool,
    /// Gas that is left.
    pub gas_left: u64,
    /// Gas to be refunded, before its cap.
    pub refund: i64,
}

/// Gas of a frame, and what it has earned of refunds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FrameGas {
    pub(super) left: u64,
    pub(super) refund: i64,
}

/// Evaluates the calls of one block's transactions, one at a time.
pub struct Evaluator<'a> {
    block: &'a Block,
    paths: &'a ExactPaths,
    pub(super) spec: SpecId,
    pub(super) params: GasParams,
    pub(super) precompiles: &'static Precompiles,
    hashes: HashCache,
    pub(super) used: Used,
    pub(super) listed_accounts: HashSet<AddressKey, DefaultHashBuilder>,
    listed_slots: HashSet<(AddressKey, WordKey), DefaultHashBuilder>,
    values: Vec<U256>,
    pub(super) accounts: Vec<usize>,
    slots: Vec<usize>,
    checkpoints: Vec<(Mark, usize)>,
    /// The frames that wait for the one that runs.
    pub(super) callers: Vec<FrameGas>,
    pub(super) gas: FrameGas,
    pub(super) logs: Vec<Log>,
    bytes: Vec<u8>,
}

impl core::fmt::Debug for Evaluator<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Evaluator").finish_non_exhaustive()
    }
}

impl<'a> Evaluator<'a> {
    /// An evaluator for a block, if its rules are those of its fork: exact paths
    /// know the gas of no others. Before EIP-161 accounts have rules of their own.
    pub fn new(block: &'a Block, paths: &'a ExactPaths) -> Option<Self> {
        let spec = block.spec();
        let params = block.cfg.gas_params().clone();
        let is_usual = params == GasParams::new_spec(spec)
            && (SpecId::SPURIOUS_DRAGON..SpecId::AMSTERDAM).contains(&spec);
        is_usual.then(|| Self {
            block,
            paths,
            spec,
            params,
            precompiles: Precompiles::new(PrecompileSpecId::from_spec_id(spec)),
            hashes: HashCache::default(),
            used: Used::default(),
            listed_accounts: HashSet::default(),
            listed_slots: HashSet::default(),
            values: Vec::new(),
            accounts: Vec::new(),
            slots: Vec::new(),
            checkpoints: Vec::new(),
            callers: Vec::new(),
            gas: FrameGas::default(),
            logs: Vec::new(),
            bytes: Vec::new(),
        })
    }

    /// The outcome of a call on this state, if a path fits. A state that cannot be
    /// read gives none either; whoever runs the code meets that again.
    pub fn call(&mut self, state: &mut impl Database, call: &TopCall<'_>) -> Option<CallOutcome> {
        let key = TemplateKey::new(call.code_hash, &call.tx.data, self.spec);
        let entry = self.paths.cache.get(&key).filter(|entry| entry.is_worth_trying())?;
        let tree = entry.read()?;
        self.open(state, call)?;
        let Some(ending) = self.walk(state, &tree, call) else {
            entry.note_missed();
            return None;
        };
        entry.note_used();
        let FrameGas { left, refund } = self.gas;
        if ending != Ending::Success {
            self.used.revert(Mark::default());
            self.logs.clear();
        }
        Some(CallOutcome {
            is_success: ending == Ending::Success,
            is_halt: ending == Ending::Halt,
            gas_left: if ending == Ending::Halt { 0 } else { left },
            refund: if ending == Ending::Success { refund } else { 0 },
        })
    }

    /// The accounts that the last call has used.
    pub fn accounts(&self) -> &[UsedAccount] {
        &self.used.accounts
    }

    /// The slots that the last call has used.
    pub fn slots(&self) -> &[UsedSlot] {
        &self.used.slots
    }

    /// The logs of the last call.
    pub fn take_logs(&mut self) -> Vec<Log> {
        core::mem::take(&mut self.logs)
    }

    /// Begins a transaction: who is warm, who pays whom.
    fn open(&mut self, state: &mut impl Database, call: &TopCall<'_>) -> Option<()> {
        let &TopCall { tx, to, delegate, gas, sender_balance, .. } = call;
        self.used.clear();
        self.values.clear();
        self.accounts.clear();
        self.slots.clear();
        self.checkpoints.clear();
        self.callers.clear();
        self.logs.clear();
        self.gas = FrameGas { left: gas, refund: 0 };
        self.listed_accounts.clear();
        self.listed_slots.clear();
        self.listed_accounts.extend([tx.caller, to].into_iter().chain(delegate).map(AddressKey));
        if self.spec.is_enabled_in(SpecId::SHANGHAI) {
            // EIP-3651.
            self.listed_accounts.insert(AddressKey(self.block.env.beneficiary));
        }
        for item in &tx.access_list.0 {
            let address = AddressKey(item.address);
            self.listed_accounts.insert(address);
            let keys = item.storage_keys.iter();
            self.listed_slots.extend(keys.map(|key| (address, WordKey((*key).into()))));
        }
        let sender = self.account(state, tx.caller)?;
        let recipient = self.account(state, to)?;
        if let Some(delegate) = delegate {
            let delegate = self.account(state, delegate)?;
            self.used.accounts[delegate].looked_at_code = true;
        }
        self.used.accounts[sender].balance = sender_balance;
        self.used.accounts[recipient].looked_at_code = true;
        self.used.touch(recipient);
        if sender != recipient {
            self.used.set_balance(sender, sender_balance.checked_sub(tx.value)?);
            self.credit(recipient, tx.value)?;
        }
        Some(())
    }

    fn walk(
        &mut self,
        state: &mut impl Database,
        tree: &Tree,
        call: &TopCall<'_>,
    ) -> Option<Ending> {
        let TopCall { tx, to, price, gas, .. } = *call;
        let inputs = Inputs { block: self.block, spec: self.spec, tx, to, price, gas };
        let constants = &*tree.constants.words;
        let mut node = tree.root(Attempt::Success)?;
        loop {
            for operation in tree.operations(node) {
                self.step(state, &inputs, constants, operation)?;
            }
            let way = match &node.next {
                Next::Truth(test, ways) => {
                    let is_true = self.is_true(constants, *test)?;
                    ways[usize::from(is_true)]
                }
                Next::Guard(test, ways) => {
                    let answer = match *test {
                        Test::Value(value) => self.get(constants, value),
                        Test::Code(account) => self.code(account),
                        Test::Truth(_) | Test::Computed(..) => return None,
                    };
                    way(ways, answer)
                }
                Next::End(outcome) => return Some(outcome.ending),
            };
            node = tree.node(way?);
        }
    }

    #[inline]
    pub(super) fn get(&self, constants: &[U256], operand: Operand) -> U256 {
        word(&self.values, constants, operand)
    }

    #[inline]
    fn is_true(&self, constants: &[U256], test: Test) -> Option<bool> {
        Some(match test {
            Test::Truth(value) => !self.get(constants, value).is_zero(),
            Test::Computed(code, args) => {
                let get =
                    |at: usize| args.get(at).map_or(U256::ZERO, |at| self.get(constants, *at));
                compute_of(code, get, |word| !word.is_zero()).unwrap_or_default()
            }
            Test::Value(_) | Test::Code(_) => return None,
        })
    }

    /// The hash of an account's code, as a guard asks for it.
    fn code(&mut self, account: AccountRef) -> U256 {
        let account = self.accounts[account.0 as usize];
        let used = &mut self.used.accounts[account];
        used.looked_at_code = true;
        let (hash, address) = (used.found.code_hash, used.address);
        // A precompile has no code, but is not like an account without.
        let is_precompile = hash == KECCAK_EMPTY && self.is_precompile(&address);
        if is_precompile { U256::ZERO } else { hash.into() }
    }

    pub(super) fn is_precompile(&self, address: &Address) -> bool {
        // EIP-1352 keeps the addresses of two bytes for them.
        let [front @ .., _, _] = &address.0.0;
        *front == [0; 18] && self.precompiles.get(address).is_some()
    }

    /// One operation; none where the path cannot go on.
    #[allow(clippy::inline_always, reason = "a call costs as much as most operations do")]
    #[inline(always)]
    fn step(
        &mut self,
        state: &mut impl Database,
        inputs: &Inputs<'_>,
        constants: &[U256],
        operation: &Operation,
    ) -> Option<()> {
        match operation {
            Operation::Value(Value::Compute(code, args)) => {
                let next = self.values.len();
                self.values.push(U256::ZERO);
                let (known, rest) = self.values.split_at_mut(next);
                compute_of(*code, |at| word(known, constants, args[at]), |word| rest[0] = word);
            }
            Operation::Value(Value::Input(input)) => self.values.push(inputs.word(*input)),
            Operation::Value(value) => {
                let Self { values, bytes, hashes, paths, precompiles, spec, block, .. } = self;
                let mut surroundings = Surroundings {
                    state,
                    hashes,
                    paths,
                    precompiles,
                    spec: *spec,
                    block,
                    gas: self.gas.left,
                };
                let get = |operand| word(values, constants, operand);
                let value = evaluate(&mut surroundings, value, bytes, get)?;
                self.values.push(value);
            }
            &Operation::Slot(account, key, _) => {
                let account = self.accounts[account.0 as usize];
                let key = self.get(constants, key);
                let address = AddressKey(self.used.accounts[account].address);
                let Self { used, slots, listed_slots, .. } = self;
                slots.push(used.slot(account, key, || {
                    !listed_slots.is_empty() && listed_slots.contains(&(address, WordKey(key)))
                }));
            }
            &Operation::Load(slot) => {
                let slot = self.slots[slot.0 as usize];
                if self.used.warm_slot(slot) {
                    self.charge(self.params.cold_storage_additional_cost())?;
                }
                let value = self.load(state, slot)?;
                self.values.push(value);
            }
            &Operation::Store(slot, value) => {
                let (slot, value) = (self.slots[slot.0 as usize], self.get(constants, value));
                self.store(state, slot, value)?;
            }
            &Operation::Charge(gas) => self.charge(gas)?,
            &Operation::Warm(account) => {
                if self.used.warm(self.accounts[account.0 as usize]) {
                    self.charge(self.params.cold_account_additional_cost())?;
                }
            }
            &Operation::Account(address) => {
                let address = Address::from_word(self.get(constants, address).into());
                let account = self.account(state, address)?;
                self.accounts.push(account);
            }
            &Operation::Enter { asked, has_value, touched } => {
                let asked = self.get(constants, asked);
                self.enter(asked, has_value, touched)?;
            }
            &Operation::Leave(ending) => self.leave(ending)?,
            Operation::Log(log) => self.log(constants, log),
            operation => self.rare_step(state, constants, operation)?,
        }
        Some(())
    }

    #[inline(never)]
    fn rare_step(
        &mut self,
        state: &mut impl Database,
        constants: &[U256],
        operation: &Operation,
    ) -> Option<()> {
        let id = |account: AccountRef| self.accounts[account.0 as usize];
        match *operation {
            Operation::TransientLoad(account, key) => {
                let value = self.used.transient(id(account), self.get(constants, key));
                self.values.push(value);
            }
            Operation::TransientStore(account, key, value) => {
                let (account, [key, value]) =
                    (id(account), [key, value].map(|operand| self.get(constants, operand)));
                self.used.store_transient(account, key, value);
            }
            Operation::Balance(account) => {
                let account = &mut self.used.accounts[self.accounts[account.0 as usize]];
                account.looked_at_balance = true;
                self.values.push(account.balance);
            }
            Operation::CodeSize(account) => {
                let account = &mut self.used.accounts[self.accounts[account.0 as usize]];
                account.looked_at_code = true;
                let hash = account.found.code_hash;
                let has_none = hash == KECCAK_EMPTY;
                let len = if has_none { 0 } else { state.code_by_hash(hash).ok()?.len() };
                self.values.push(U256::from(len));
            }
            Operation::CodeHash(account) => {
                let account = &mut self.used.accounts[self.accounts[account.0 as usize]];
                (account.looked_at_code, account.looked_at_emptiness) = (true, true);
                let is_empty = account.is_empty();
                self.values.push(if is_empty {
                    U256::ZERO
                } else {
                    account.found.code_hash.into()
                });
            }
            Operation::Emptiness(account) => {
                let account = id(account);
                self.used.accounts[account].looked_at_emptiness = true;
            }
            Operation::Fund(account) => {
                let account = id(account);
                let used = &mut self.used.accounts[account];
                used.looked_at_emptiness = true;
                if used.is_empty() {
                    self.charge(self.params.new_account_cost(true, true))?;
                }
            }
            Operation::Power(exponent) => {
                self.charge(self.params.exp_cost(self.get(constants, exponent)))?;
            }
            Operation::GasLeft => self.values.push(U256::from(self.gas.left)),
            Operation::Pay { from, to, value } => {
                let (from, to, value) = (id(from), id(to), self.get(constants, value));
                let was_paid = self.pay(from, to, value)?;
                self.values.push(U256::from(u8::from(was_paid)));
            }
            Operation::Checkpoint => self.checkpoints.push((self.used.mark(), self.logs.len())),
            Operation::Revert(checkpoint) => {
                let (mark, logs) = *self.checkpoints.get(checkpoint.0 as usize)?;
                self.used.revert(mark);
                self.logs.truncate(logs);
            }
            // Of no exact path.
            _ => return None,
        }
        Some(())
    }
}
