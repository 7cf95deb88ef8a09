//! Evaluates exact paths: a call's outcome to the unit of gas and the byte of a
//! log, without running its code.
//!
//! Where no path fits, or the gas does not suffice for it, there is no answer,
//! and nothing has happened: whoever asked runs the code.

use revm::{
    Database,
    context::TxEnv,
    context_interface::{Cfg, cfg::GasParams, context::SStoreResult},
    precompile::{PrecompileSpecId, Precompiles},
    primitives::{
        Address, B256, BLOCK_HASH_HISTORY, Bytes, KECCAK_EMPTY, Log, U256, hardfork::SpecId,
        map::DefaultHashBuilder,
    },
    state::AccountInfo,
};

use hashbrown::HashSet;

use super::{
    ExactPaths,
    used::{FoundAccount, Mark, Used, UsedAccount, UsedSlot},
};
use crate::{
    Block,
    alu::compute_of,
    interpreter::{Ending, HashCache},
    keys::{AddressKey, WordKey},
    template::{
        TemplateKey,
        answers::Answer,
        buffers::word,
        host::{Host, evaluate},
        inputs::Inputs,
        operation::{Operation, Test},
        trace::{AccountRef, Logged},
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
struct FrameGas {
    left: u64,
    refund: i64,
}

/// Evaluates the calls of one block's transactions, one at a time.
pub struct Evaluator<'a> {
    block: &'a Block,
    paths: &'a ExactPaths,
    spec: SpecId,
    params: GasParams,
    precompiles: &'static Precompiles,
    hashes: HashCache,
    used: Used,
    listed_accounts: HashSet<AddressKey, DefaultHashBuilder>,
    listed_slots: HashSet<(AddressKey, WordKey), DefaultHashBuilder>,
    values: Vec<U256>,
    accounts: Vec<usize>,
    slots: Vec<usize>,
    checkpoints: Vec<(Mark, usize)>,
    /// The frames that wait for the one that runs.
    callers: Vec<FrameGas>,
    gas: FrameGas,
    logs: Vec<Log>,
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
        let entry = self.paths.cache.get(&key)?;
        let tree = entry.read();
        self.open(state, call)?;
        let ending = self.walk(state, &tree, call)?;
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
    fn get(&self, constants: &[U256], operand: Operand) -> U256 {
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

    fn is_precompile(&self, address: &Address) -> bool {
        // EIP-1352 keeps the addresses of two bytes for them.
        let [front @ .., _, _] = &address.0.0;
        *front == [0; 18] && self.precompiles.get(address).is_some()
    }

    /// One operation; none where the path cannot go on.
    #[inline]
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

impl Evaluator<'_> {
    #[inline]
    fn charge(&mut self, gas: u64) -> Option<()> {
        self.gas.left = self.gas.left.checked_sub(gas)?;
        Some(())
    }

    /// The account at this address. What is added to a hoard may overflow it, which
    /// no path follows.
    fn account(&mut self, state: &mut impl Database, address: Address) -> Option<usize> {
        if let Some(known) = self.used.find(address) {
            return Some(known);
        }
        let info: Option<AccountInfo> = state.basic(address).ok()?;
        let exists = info.is_some();
        let AccountInfo { balance, nonce, code_hash, .. } = info.unwrap_or_default();
        let code_hash = if code_hash.is_zero() { KECCAK_EMPTY } else { code_hash };
        if balance.bit(255) {
            return None;
        }
        let is_warm =
            self.listed_accounts.contains(&AddressKey(address)) || self.is_precompile(&address);
        let found = FoundAccount { exists, balance, nonce, code_hash };
        Some(self.used.add(address, found, is_warm))
    }

    fn load(&mut self, state: &mut impl Database, slot: usize) -> Option<U256> {
        let used = &mut self.used.slots[slot];
        if used.found.is_none() {
            let address = self.used.accounts[used.account].address;
            let value = state.storage(address, used.key).ok()?;
            (used.found, used.value) = (Some(value), value);
        }
        Some(used.value)
    }

    fn store(&mut self, state: &mut impl Database, slot: usize, value: U256) -> Option<()> {
        let is_istanbul = self.spec.is_enabled_in(SpecId::ISTANBUL);
        // EIP-2200: a call with a stipend cannot store.
        if is_istanbul && self.gas.left <= self.params.call_stipend() {
            return None;
        }
        let present_value = self.load(state, slot)?;
        let original_value = self.used.slots[slot].found?;
        let is_cold = self.used.warm_slot(slot);
        let values = SStoreResult { original_value, present_value, new_value: value };
        self.charge(self.params.sstore_static_gas())?;
        self.charge(self.params.sstore_dynamic_gas(is_istanbul, &values, is_cold))?;
        self.gas.refund += self.params.sstore_refund(is_istanbul, &values);
        self.used.store(slot, value);
        Some(())
    }

    fn credit(&mut self, account: usize, value: U256) -> Option<()> {
        let balance = self.used.accounts[account].balance.checked_add(value)?;
        self.used.set_balance(account, balance);
        Some(())
    }

    /// Moves a value; whether it was there.
    fn pay(&mut self, from: usize, to: usize, value: U256) -> Option<bool> {
        let payer = &mut self.used.accounts[from];
        payer.looked_at_balance = true;
        let Some(rest) = payer.balance.checked_sub(value) else { return Some(false) };
        self.used.touch(from);
        self.used.touch(to);
        if from != to {
            self.used.set_balance(from, rest);
            self.credit(to, value)?;
        }
        Some(true)
    }

    fn enter(&mut self, asked: U256, has_value: bool, touched: Option<AccountRef>) -> Option<()> {
        let asked = u64::try_from(asked).unwrap_or(u64::MAX);
        let given = asked.min(self.params.call_stipend_reduction(self.gas.left));
        self.charge(given)?;
        let stipend = if has_value { self.params.call_stipend() } else { 0 };
        self.callers.push(self.gas);
        self.gas = FrameGas { left: given.checked_add(stipend)?, refund: 0 };
        if let Some(account) = touched {
            self.used.touch(self.accounts[account.0 as usize]);
        }
        Some(())
    }

    fn leave(&mut self, ending: Ending) -> Option<()> {
        let callee = self.gas;
        self.gas = self.callers.pop()?;
        if ending != Ending::Halt {
            self.gas.left = self.gas.left.checked_add(callee.left)?;
        }
        if ending == Ending::Success {
            self.gas.refund += callee.refund;
        }
        Some(())
    }

    fn log(&mut self, constants: &[U256], log: &Logged<AccountRef>) {
        let address = self.used.accounts[self.accounts[log.account.0 as usize]].address;
        let word = |operand: &Operand| B256::from(self.get(constants, *operand));
        let topics = log.topics.iter().map(word).collect();
        let mut data = Vec::with_capacity(log.data.len() * 32);
        for operand in &log.data {
            data.extend_from_slice(&self.get(constants, *operand).to_be_bytes::<32>());
        }
        data.truncate(log.bytes as usize);
        self.logs.push(Log::new_unchecked(address, topics, Bytes::from(data)));
    }
}

/// What values ask of their surroundings.
struct Surroundings<'s, DB> {
    state: &'s mut DB,
    hashes: &'s mut HashCache,
    paths: &'s ExactPaths,
    precompiles: &'static Precompiles,
    spec: SpecId,
    block: &'s Block,
    gas: u64,
}

impl<DB: Database> Host for Surroundings<'_, DB> {
    #[inline]
    fn keccak256(&mut self, input: &[u8]) -> B256 {
        self.hashes.keccak256(input)
    }

    fn precompile(&mut self, number: u8, word: u8, input: &[u8]) -> Option<U256> {
        let precompile = self.precompiles.get(&Address::with_last_byte(number))?;
        let answer = self.paths.cache.answers.ask(precompile, self.spec, input, self.gas)?;
        // An answer of another length is on another path.
        (!answer.output.is_empty()).then(|| word_of(&answer, word))
    }

    fn block_hash(&mut self, number: U256) -> Option<U256> {
        let age = self.block.env.number.checked_sub(number).unwrap_or_default();
        let in_reach = !age.is_zero() && age <= U256::from(BLOCK_HASH_HISTORY);
        match u64::try_from(number) {
            Ok(number) if in_reach => self.state.block_hash(number).ok().map(Into::into),
            _ => Some(U256::ZERO),
        }
    }
}

/// A word of an answer, zero beyond its end.
fn word_of(answer: &Answer, word: u8) -> U256 {
    let mut bytes = [0; 32];
    let rest = answer.output.get(32 * usize::from(word)..).unwrap_or_default();
    let rest = &rest[..rest.len().min(32)];
    bytes[..rest.len()].copy_from_slice(rest);
    U256::from_be_bytes(bytes)
}
