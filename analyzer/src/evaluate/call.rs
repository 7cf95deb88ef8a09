//! Calls and creations, followed into the summaries of the code that they run.

use revm::{
    DatabaseRef,
    bytecode::{Bytecode, opcode as op},
    precompile::{Precompile, PrecompileId, PrecompileStatus},
    primitives::{Address, B256, Bytes, U256, keccak256},
};

use super::{
    Evaluation,
    data::{UNKNOWN, Value},
    frame::{Frame, Running},
};
use crate::{
    AccessKind, Location, Scope, WideningCause,
    learnt::Selected,
    program::{CallOperation, CreateOperation, LENGTH, Program, SUCCESS},
    protocol::Protocol,
    summaries::CodeSummary,
    symbolic::CallKind,
};

/// Gas of a precompile, for an estimate.
const PRECOMPILE_GAS: u64 = 3000;

/// Gas of a call to an account that was not used yet, for an estimate (EIP-2929).
const CALL_GAS: u64 = 2600;

/// Gas of a call that sends value, and of a creation.
const VALUE_GAS: u64 = 9000;
const CREATE_GAS: u64 = 32_000;

/// Gas of a byte of code that is deployed.
const DEPOSIT_GAS: u64 = 200;

impl<DB: DatabaseRef> Evaluation<'_, DB> {
    /// The code that a call to an account runs: its own, or what it delegates to
    /// (EIP-7702).
    pub(super) fn code_to_run(&mut self, to: Address) -> Option<(B256, Bytecode)> {
        let (hash, code) = self.code(to)?;
        let delegated = Protocol::<DB>::delegated(self.tx, to);
        let Some(delegate) = delegated.or_else(|| code.eip7702_address()) else {
            return Some((hash, code));
        };
        if self.protocol.is_precompile(&delegate) {
            return Some((B256::ZERO, Bytecode::default()));
        }
        self.touch(AccessKind::Read, Location::Code(delegate));
        self.code(delegate)
    }

    /// Follows the function of `code` that the frame's call data names. Whether the
    /// call can succeed.
    pub(super) fn enter(&mut self, frame: Frame, (hash, code): &(B256, Bytecode)) -> bool {
        let answer = frame.answer;
        if code.is_empty() {
            return true;
        }
        let Some(summary) = self.summary(hash, code) else {
            self.widen(Scope::Everything, WideningCause::NotSummarized);
            self.scratch.data[answer].lose();
            return true;
        };
        let calldata = &self.scratch.data[frame.calldata];
        if calldata.is_lost || calldata.origin(0, 4) & UNKNOWN != 0 {
            self.widen(Scope::Everything, WideningCause::Selector);
            self.scratch.data[answer].lose();
            return true;
        }
        let programs = summary.programs.clone();
        let selected = calldata.slice(0, 4).first_chunk::<4>().map(|it| u32::from_be_bytes(*it));
        let own = selected.and_then(|selector| programs.function(selector));
        let program = match selected {
            Some(_) => own.or(programs.fallback.as_ref()),
            None if calldata.len() == 0 => programs.receive.as_ref(),
            None => programs.fallback.as_ref(),
        };
        let before = self.mark();
        let succeeds =
            program.is_some_and(|program| self.descend(frame, program, &summary.inputs, code));
        let key = (summary.skeleton, Selected::by(selected));
        let run = (&*summary.inputs, code);
        let has = [program.is_some(), own.is_some() || selected.is_none()];
        succeeds | self.ask_learnt(frame, key, run, before, has)
    }

    fn descend(
        &mut self,
        frame: Frame,
        program: &Program,
        inputs: &[U256],
        code: &Bytecode,
    ) -> bool {
        if self.depth >= self.evaluator.limits.depth_max || self.calls_left == 0 {
            self.widen(Scope::Everything, WideningCause::Limit);
            self.scratch.data[frame.answer].lose();
            return true;
        }
        self.depth += 1;
        self.calls_left -= 1;
        let used = self.scratch.data_used;
        let succeeds = self.follow(frame, program, inputs, code);
        self.scratch.data_used = used;
        self.depth -= 1;
        succeeds
    }

    fn summary(&mut self, hash: &B256, code: &Bytecode) -> Option<CodeSummary> {
        if let Some(known) = self.scratch.summaries.get(hash) {
            return Some(known.clone());
        }
        let found = self.evaluator.summaries.get(hash);
        if let Some(summary) = &found {
            self.scratch.summaries.insert(*hash, summary.clone());
        } else if !self.scratch.missing.iter().any(|(missing, _)| missing == hash) {
            self.scratch.missing.push((*hash, code.clone()));
        }
        found
    }

    /// A call of a frame.
    pub(super) fn call(&mut self, running: &mut Running<'_>, call: &CallOperation) {
        let target = running.value(call.target);
        self.decide(&target);
        let used = self.scratch.data_used;
        let input = self.scratch.open();
        self.fill(running, &call.input, input);
        let value = match call.code {
            op::CALL | op::CALLCODE => running.value(call.value),
            _ => Value::input(U256::ZERO),
        };
        self.scratch.data[running.received].clear();
        running.success = if let Some(to) = Self::address_of(&target) {
            self.call_account(running, call, to, value, input)
        } else {
            self.widen(Scope::Everything, WideningCause::Target);
            self.scratch.data[running.received].lose();
            Value::UNKNOWN
        };
        self.scratch.data_used = used;
        self.receive(running, call.output);
    }

    fn call_account(
        &mut self,
        running: &Running<'_>,
        call: &CallOperation,
        to: Address,
        value: Value,
        input: usize,
    ) -> Value {
        let received = running.received;
        let this = running.frame.this;
        if self.protocol.is_precompile(&to) {
            return self.call_precompile(to, input, received, call.is_answer_asked);
        }
        self.gas += CALL_GAS;
        self.touch(AccessKind::Read, Location::Code(to));
        // Whether ether is sent decides whose balances are touched.
        self.decide(&value);
        let sends = !value.is_known() || !value.word.is_zero();
        if sends {
            self.send(this, to, &value, call.code == op::CALL);
        }
        let delegates = call.kind == CallKind::Delegate;
        if self.account(to).is_some_and(|found| found.is_lost) {
            self.widen(Scope::Everything, WideningCause::Creation);
            self.scratch.data[received].lose();
            return Value::UNKNOWN;
        }
        let Some(code) = self.code_to_run(to) else { return Value::UNKNOWN };
        let own = Value::input(this.into_word().into());
        let frame = Frame {
            this: if delegates { this } else { to },
            caller: if call.code == op::DELEGATECALL { running.frame.caller } else { own },
            value: if call.code == op::DELEGATECALL { running.frame.value } else { value },
            calldata: input,
            answer: received,
            is_returned: false,
            is_static: running.frame.is_static || call.kind == CallKind::Static,
        };
        let succeeds = self.enter(frame, &code);
        Value::input(U256::from(u8::from(succeeds)))
    }

    /// Ether goes from one account to another.
    fn send(&mut self, from: Address, to: Address, value: &Value, leaves: bool) {
        self.gas += VALUE_GAS;
        self.touch(AccessKind::Read, Location::Balance(from));
        let found = self.account(to);
        if found.is_some_and(|found| !found.has_code() && found.nonce == 0) {
            // Whether it is empty decides what the call costs (EIP-161).
            self.touch(AccessKind::Read, Location::Balance(to));
        }
        if leaves && from != to {
            self.touch(AccessKind::Write, Location::Balance(from));
            self.touch(AccessKind::Delta, Location::Balance(to));
            let paid = if self.must() { value } else { &Value::UNKNOWN };
            self.scratch.accounts.pay(from, to, paid);
        }
    }

    /// A precompile: what it answers is computed if that is asked for, up to a limit.
    fn call_precompile(
        &mut self,
        to: Address,
        input: usize,
        received: usize,
        is_asked: bool,
    ) -> Value {
        let data = &self.scratch.data[input];
        let origin = data.origin(0, data.len()) | data.len_origin;
        let precompile = self.protocol.precompile(&to);
        if precompile.is_some_and(|it| *it.id() == PrecompileId::Identity) {
            let input = data.clone();
            self.scratch.data[received] = input;
            return Value::input(U256::ONE);
        }
        self.gas += PRECOMPILE_GAS;
        let precompile = precompile.filter(|_| is_asked && origin & UNKNOWN == 0);
        let answered = precompile.and_then(|precompile| {
            let input = data.slice(0, data.len());
            answer(precompile, input, self.precompile_gas_left)
        });
        let answer = &mut self.scratch.data[received];
        answer.clear();
        if let Some((output, gas)) = answered {
            self.precompile_gas_left -= gas;
            answer.assign(&output);
            answer.depend_on(origin);
        } else {
            answer.push(&Value::UNKNOWN, 32);
            answer.push(&Value::UNKNOWN, 32);
            answer.len_origin = UNKNOWN;
        }
        Value::input(U256::ONE)
    }

    /// A word of what the latest call answered.
    pub(super) fn answered(&self, running: &Running<'_>, word: u32) -> Value {
        let received = &self.scratch.data[running.received];
        match word {
            SUCCESS => running.success,
            LENGTH => Value { word: U256::from(received.len()), origin: received.len_origin },
            // Behind its end memory keeps what it held.
            word if (word as usize + 1) * 32 > received.len() => Value::UNKNOWN,
            word => received.word(word as usize * 32),
        }
    }

    /// A creation by code: its address, and what its init code stores.
    pub(super) fn create(&mut self, running: &mut Running<'_>, creation: &CreateOperation) {
        let CreateOperation { value, ref init, salt } = *creation;
        self.gas += CREATE_GAS;
        let this = running.frame.this;
        let value = running.value(value);
        let salt = salt.map(|salt| running.value(salt));
        let used = self.scratch.data_used;
        let code = self.scratch.open();
        self.fill(running, init, code);
        self.touch(AccessKind::Read, Location::Nonce(this));
        self.touch(AccessKind::Write, Location::Nonce(this));
        let Some(nonce) = self.take_nonce(this) else { return };
        self.pay_for_bytes(self.scratch.data[code].len());
        let bytes = &self.scratch.data[code];
        let origin = bytes.origin(0, bytes.len()) | bytes.len_origin;
        let is_known = origin & UNKNOWN == 0;
        let init = Bytecode::new_legacy(bytes.slice(0, bytes.len()).to_vec().into());
        // The code decides what is touched, as does the salt.
        self.deciding |= origin & !UNKNOWN;
        let created = match salt {
            None => Some(this.create(nonce)),
            Some(salt) => {
                self.decide(&salt);
                let hash = keccak256(init.original_byte_slice());
                let is_named = is_known && salt.is_known();
                is_named.then(|| this.create2(B256::from(salt.word), hash))
            }
        };
        self.scratch.data[running.received].clear();
        if let Some(created) = created {
            for kind in [AccessKind::Read, AccessKind::Write] {
                self.touch(kind, Location::Nonce(created));
                self.touch(kind, Location::Code(created));
            }
            if !value.is_known() || !value.word.is_zero() {
                self.send(this, created, &value, true);
            }
            if is_known {
                let calldata = self.scratch.open();
                let answer = self.scratch.open();
                let own = Value::input(this.into_word().into());
                self.initialize(created, own, value, init, [calldata, answer]);
            } else {
                self.widen(Scope::Everything, WideningCause::Creation);
                self.found(created, None);
            }
            let word = Value::input(created.into_word().into());
            self.scratch.data[running.received].push(&word, 32);
        } else {
            self.widen(Scope::Everything, WideningCause::Creation);
            self.scratch.data[running.received].lose();
        }
        running.success = Value::UNKNOWN;
        self.scratch.data_used = used;
    }

    /// Runs init code, and remembers the code that it deploys.
    pub(super) fn initialize(
        &mut self,
        created: Address,
        caller: Value,
        value: Value,
        init: Bytecode,
        [calldata, answer]: [usize; 2],
    ) {
        self.gas += CREATE_GAS;
        let frame = Frame {
            this: created,
            caller,
            value,
            calldata,
            answer,
            is_returned: false,
            is_static: false,
        };
        let code = (keccak256(init.original_byte_slice()), init);
        self.found(created, Some(Bytecode::default()));
        self.enter(frame, &code);
        // What it answers is the code of the contract.
        let answer = &self.scratch.data[answer];
        self.gas += DEPOSIT_GAS * answer.len() as u64;
        let origin = answer.origin(0, answer.len()) | answer.len_origin;
        let bytes = answer.slice(0, answer.len()).to_vec();
        self.deciding |= origin & !UNKNOWN;
        let code = (origin & UNKNOWN == 0).then(|| Bytecode::new_legacy(bytes.into()));
        self.found(created, code);
    }

    /// An account ends; its balance goes to another.
    pub(super) fn destroy(&mut self, this: Address, to: &Value) {
        self.decide(to);
        let Some(to) = Self::address_of(to) else {
            self.widen(Scope::Everything, WideningCause::Target);
            return;
        };
        let balance = self.ask_account(op::BALANCE, &Value::input(this.into_word().into()));
        self.decide(&balance);
        if balance.is_known() && balance.word.is_zero() {
            return;
        }
        self.send(this, to, &Value::UNKNOWN, true);
    }
}

/// What `precompile` answers within this gas, and the gas that it takes; none if it fails
/// or takes more.
fn answer(precompile: &Precompile, input: &[u8], gas_max: u64) -> Option<(Bytes, u64)> {
    let done = precompile.execute(input, gas_max, 0).ok()?;
    let is_success = done.status == PrecompileStatus::Success && done.gas_used <= gas_max;
    is_success.then_some((done.bytes, done.gas_used))
}
