//! What each operation of a program does with this transaction's values.

use revm::{
    DatabaseRef,
    bytecode::opcode as op,
    context_interface::{Block as _, Cfg as _},
    primitives::{KECCAK_EMPTY, U256},
};

use super::{
    Evaluation,
    data::{Data, POINTER, UNKNOWN, Value},
    frame::Running,
};
use crate::{
    program::{Operand, Operation, Span},
    symbolic::graph::Source,
};

impl<DB: DatabaseRef> Evaluation<'_, DB> {
    pub(super) fn operate(&mut self, running: &mut Running<'_>, operation: &Operation) {
        let this = running.frame.this;
        match *operation {
            Operation::Immutable { to, index } => {
                let word = running.inputs.get(usize::from(index)).copied();
                let value = word.map_or(Value::UNKNOWN, Value::input);
                running.set(to, value);
            }
            Operation::Environment { to, code } => {
                let value = self.environment(running, code);
                running.set(to, value);
            }
            Operation::CallData { to, at } => {
                let at = running.value(at);
                let value = self.scratch.data[running.frame.calldata].load(&at);
                running.set(to, value);
            }
            Operation::Compute { to, code, operands } => {
                if matches!(code, op::BLOCKHASH | op::BLOBHASH) {
                    let value = self.hash_by_number(code, &running.value(operands[0]));
                    running.set(to, value);
                } else {
                    running.compute(to, code, operands);
                }
            }
            Operation::Keccak { to, parts } => {
                let value = self.keccak(running, parts);
                running.set(to, value);
            }
            Operation::Load { to, key, scope } => {
                let key = running.value(key);
                let scope = Self::scope(running, scope);
                let value = self.load(this, &key, scope, to != Operand::NONE);
                running.set(to, value);
            }
            Operation::Store { key, value, scope } => {
                let (key, value) = (running.value(key), running.value(value));
                let scope = Self::scope(running, scope);
                self.store(this, &key, value, scope);
            }
            Operation::TransientLoad { to, key } => {
                let key = running.value(key);
                let value = self.scratch.transient.load(this, &key);
                running.set(to, value);
            }
            Operation::TransientStore { key, value } => {
                let (key, value) = (running.value(key), running.value(value));
                let value = if self.must() { value } else { Value::UNKNOWN };
                self.scratch.transient.store(this, &key, value);
            }
            Operation::Account { to, code, of } => {
                let of = running.value(of);
                let value = self.ask_account(code, &of);
                running.set(to, value);
            }
            Operation::Call(position) => {
                let call = running.program.calls[usize::from(position)];
                self.call(running, &call);
            }
            Operation::Answer { to, word } => {
                let value = self.answered(running, word);
                running.set(to, value);
            }
            Operation::Create(position) => {
                let creation = running.program.creations[usize::from(position)];
                self.create(running, &creation);
            }
            Operation::Destroy { to } => {
                let to = running.value(to);
                self.destroy(this, &to);
            }
            _ => self.operate_on_memory(running, operation),
        }
    }

    fn operate_on_memory(&mut self, running: &mut Running<'_>, operation: &Operation) {
        match *operation {
            Operation::StoreMemory { at, word, is_byte } => {
                let (at, word) = (running.value(at), running.value(word));
                let len = if is_byte { 1 } else { 32 };
                let memory = &mut self.scratch.data[running.memory];
                match at.offset() {
                    Some(POINTER) if running.has_pointer && !word.is_known() => {
                        // Wherever what is allocated next lies, it lies by itself.
                        memory.store(POINTER, &memory.fresh_pointer(), len);
                    }
                    Some(start) => memory.store(start, &word, len),
                    None => memory.lose_from(running.first_allocated()),
                }
            }
            Operation::CopyMemory { source, to, from, len } => {
                let [to, from, len] = [to, from, len].map(|it| running.value(it));
                self.copy(running, source, [&to, &from, &len]);
            }
            Operation::LoadMemory { to, at } => {
                let at = running.value(at);
                let value = self.scratch.data[running.memory].load(&at);
                running.set(to, value);
            }
            Operation::HashMemory { to, at, len } => {
                let (at, len) = (running.value(at), running.value(len));
                let value = match (at.offset(), len.offset()) {
                    (_, Some(0)) => Value::input(KECCAK_EMPTY.into()),
                    (Some(start), Some(bytes)) => {
                        let mut data = core::mem::take(&mut self.scratch.room);
                        data.clear();
                        data.copy(0, &self.scratch.data[running.memory], start, bytes);
                        self.pay_for_bytes(bytes);
                        let origin = data.origin(0, data.len());
                        let value = self.hash(data.slice(0, data.len()), origin);
                        self.scratch.room = data;
                        value
                    }
                    _ => Value::UNKNOWN,
                };
                running.set(to, value);
            }
            _ => {}
        }
    }

    fn copy(&mut self, running: &mut Running<'_>, source: Source, [to, from, len]: [&Value; 3]) {
        if len.is_known() && len.word.is_zero() {
            return;
        }
        let (Some(at), Some(bytes)) = (to.offset(), len.offset()) else {
            let from = to.offset().unwrap_or_else(|| running.first_allocated());
            self.scratch.data[running.memory].lose_from(from);
            return;
        };
        self.pay_for_bytes(bytes);
        let start = from.offset();
        let mut memory = core::mem::take(&mut self.scratch.data[running.memory]);
        match (source, start) {
            (Source::CallData, Some(start)) => {
                memory.copy(at, &self.scratch.data[running.frame.calldata], start, bytes);
            }
            (Source::Answer, Some(start)) => {
                memory.copy(at, &self.scratch.data[running.received], start, bytes);
            }
            (Source::Memory, Some(start)) => {
                memory.copy_within(at, start, bytes, &mut self.scratch.room);
            }
            (Source::Code, Some(start)) => {
                self.pay_for_bytes(running.code.len());
                let mut room = core::mem::take(&mut self.scratch.room);
                room.assign(running.code.original_byte_slice());
                memory.copy(at, &room, start, bytes);
                self.scratch.room = room;
            }
            _ => memory.lose_range(at, bytes),
        }
        self.scratch.data[running.memory] = memory;
    }

    /// What a call answered goes to memory.
    pub(super) fn receive(&mut self, running: &mut Running<'_>, output: [Operand; 2]) {
        let [to, len] = output.map(|word| running.value(word));
        if len.is_known() && len.word.is_zero() {
            return;
        }
        let (Some(at), Some(asked)) = (to.offset(), len.offset()) else {
            let from = to.offset().unwrap_or_else(|| running.first_allocated());
            self.scratch.data[running.memory].lose_from(from);
            return;
        };
        let received = &self.scratch.data[running.received];
        if received.len_origin & UNKNOWN != 0 {
            self.scratch.data[running.memory].lose_range(at, asked);
        } else {
            let bytes = asked.min(received.len());
            let mut memory = core::mem::take(&mut self.scratch.data[running.memory]);
            memory.copy(at, &self.scratch.data[running.received], 0, bytes);
            self.scratch.data[running.memory] = memory;
        }
    }

    fn scope(running: &Running<'_>, scope: Operand) -> Option<U256> {
        (scope != Operand::NONE).then(|| running.value(scope).word)
    }

    /// `BLOCKHASH` and `BLOBHASH`.
    fn hash_by_number(&self, code: u8, number: &Value) -> Value {
        if !number.is_known() {
            return Value::UNKNOWN;
        }
        if code == op::BLOCKHASH {
            let number = u64::try_from(number.word);
            return number.map_or(Value::input(U256::ZERO), |number| self.block_hash(number));
        }
        let at = usize::try_from(number.word).ok();
        let hash = at.and_then(|at| self.tx.blob_hashes.get(at));
        Value::input(hash.map_or(U256::ZERO, |hash| (*hash).into()))
    }

    fn keccak(&mut self, running: &Running<'_>, parts: Span) -> Value {
        if parts.len as usize > crate::expr::KECCAK_PARTS_MAX {
            return self.long_keccak(running, parts);
        }
        let mut bytes = [0; 32 * crate::expr::KECCAK_PARTS_MAX];
        let (mut len, mut origin) = (0, 0);
        for (part, word) in parts.of(&running.program.parts) {
            let part = usize::from(*part);
            let value = running.value(*word);
            origin |= value.origin;
            // A part of no bytes stands for some that are not known.
            let Some(room) = bytes.get_mut(len..len + part).filter(|_| part > 0) else {
                return Value::UNKNOWN;
            };
            room.copy_from_slice(&value.word.to_be_bytes::<32>()[32 - part..]);
            len += part;
        }
        self.hash(&bytes[..len], origin)
    }

    fn environment(&self, running: &Running<'_>, code: u8) -> Value {
        let env = &self.block.env;
        let word = match code {
            op::ADDRESS => running.frame.this.into_word().into(),
            op::ORIGIN => return self.origin,
            op::CALLER => return running.frame.caller,
            op::CALLVALUE => return running.frame.value,
            op::CALLDATASIZE => {
                let calldata = &self.scratch.data[running.frame.calldata];
                let origin = calldata.len_origin;
                return Value { word: U256::from(calldata.len()), origin };
            }
            op::GASPRICE => self.gas_price,
            op::COINBASE => env.beneficiary.into_word().into(),
            op::TIMESTAMP => env.timestamp,
            op::NUMBER => env.number,
            op::DIFFICULTY => env.prevrandao.map_or(env.difficulty, Into::into),
            op::GASLIMIT => U256::from(env.gas_limit),
            op::CHAINID => U256::from(self.block.cfg.chain_id()),
            op::BASEFEE => U256::from(env.basefee),
            op::BLOBBASEFEE => env.blob_gasprice().map_or(U256::ZERO, U256::from),
            op::SLOTNUM => U256::from(env.slot_num),
            _ => return Value::UNKNOWN,
        };
        Value::input(word)
    }

    fn block_hash(&self, number: u64) -> Value {
        let now = self.block.number();
        if number >= now || now - number > 256 {
            return Value::input(U256::ZERO);
        }
        // A hash that the state does not hold decides no access that is known.
        let hash = self.state.block_hash_ref(number);
        hash.map_or(Value::UNKNOWN, |hash| Value::input(hash.into()))
    }
}

impl Data {
    /// The word that begins at an offset.
    fn load(&self, at: &Value) -> Value {
        match at.offset() {
            Some(start) => {
                let mut value = self.word(start);
                value.origin |= at.origin;
                value
            }
            // Far behind the end.
            None if at.is_known() && !self.is_lost => Value::input(U256::ZERO),
            None => Value::UNKNOWN,
        }
    }
}
