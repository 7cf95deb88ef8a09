//! The four calls, followed into the code they run.
//!
//! Whose storage a callee works on, who its caller is and what value it sees
//! follow from the kind of call; a proxy of any kind is nothing but that. A
//! call that runs no code ends at once; precompiles are evaluated, or assumed to
//! find what they verify.

use core::ops::Range;

use revm::{
    DatabaseRef,
    bytecode::{
        Bytecode,
        opcode::{AND, CALL, CALLCODE, DELEGATECALL, STATICCALL},
    },
    primitives::{Address, U256, hardfork::SpecId},
};

use super::{
    frame::{CALL_DEPTH_MAX, Exit, Frame, FrameKind},
    machine::{Ending, Machine, Step, charge},
    table::success,
    verification::assume_verified,
    word::{Provenance, Word},
    world::{AccountId, Checkpoint},
};
use crate::template::{AccountRef, Answer, CheckpointRef, Function};

/// The precompile that returns its input.
const IDENTITY: u8 = 4;

/// The precompile for powers, the length of whose answer its input says.
const MODEXP: u8 = 5;

/// Where the input of [`MODEXP`] says how long the answer is.
const MODULUS_LENGTH_AT: usize = 64;

/// The 20 bytes of an address.
const ADDRESS_MASK: U256 = U256::from_limbs([u64::MAX, u64::MAX, u32::MAX as u64, 0]);

/// A call whose operands have been checked and paid for.
struct Prepared {
    to: Address,
    code: Bytecode,
    gas: u64,
    value: Word,
    input: Range<usize>,
    output: Range<usize>,
    /// The callee and what its failure undoes, as the trace names them.
    traced: AccountRef,
    traced_checkpoint: CheckpointRef,
}

/// `CALL`, `CALLCODE`, `DELEGATECALL` and `STATICCALL`.
pub(super) fn call<const KIND: u8, DB: DatabaseRef>(
    machine: &mut Machine<'_, DB>,
    frame: &mut Frame,
) -> Step {
    let [gas, to] = frame.stack.pop_many();
    let value = if matches!(KIND, CALL | CALLCODE) { frame.stack.pop() } else { Word::default() };
    let [in_start, in_len, out_start, out_len] = frame.stack.pop_many();
    let has_value = !value.value.is_zero();
    machine.trace.decide(value);
    if KIND == CALL && frame.is_static && has_value {
        return Err(Exit::Halt);
    }
    let input = machine.expand(frame, in_start, in_len)?;
    let output = machine.expand(frame, out_start, out_len)?;
    if has_value {
        charge(frame, machine.gas_params.transfer_value_cost())?;
    }
    let to = machine.resolve(to)?;
    let named = machine.named_account(frame, to)?;
    let (callee, traced) = named;
    if has_value {
        machine.trace.balance(frame.traced);
        machine.world.read_balance(frame.account);
    }
    let is_precompile = machine.is_precompile(&to.to_address());
    if is_precompile {
        machine.trace.pin(to);
    }
    let code = machine.code_to_run(frame, named, is_precompile, KIND == CALL, has_value)?;

    machine.meter(frame);
    let asked_for = gas;
    let asked = u64::try_from(gas.value).unwrap_or(u64::MAX);
    let gas = if machine.spec.is_enabled_in(SpecId::TANGERINE) {
        asked.min(machine.gas_params.call_stipend_reduction(frame.gas))
    } else {
        asked
    };
    charge(frame, gas)?;
    frame.metered = frame.gas;
    let gas = if has_value { gas.saturating_add(machine.gas_params.call_stipend()) } else { gas };

    machine.set_returndata(frame, &[], Provenance::CONSTANT)?;
    if frame.depth >= CALL_DEPTH_MAX {
        machine.trace.refuse_exact();
        return end(frame, gas, false);
    }
    let checkpoint = machine.world.checkpoint();
    let traced_checkpoint = machine.trace.checkpoint();
    let touched = matches!(KIND, CALL | STATICCALL).then_some(traced);
    machine.trace.enter(asked_for, has_value, touched);
    if has_value {
        let was_paid = machine.pay::<KIND>(frame, callee, value.value);
        let payee = if KIND == CALL { traced } else { frame.traced };
        machine.trace.pay(frame.traced, payee, value, was_paid);
        if !was_paid {
            if machine.trace.is_exact() {
                machine.trace.revert(traced_checkpoint);
            }
            machine.trace.leave(Ending::Success);
            return end(frame, gas, false);
        }
    }
    if KIND == CALL && !has_value && !machine.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON) {
        // Before EIP-161 a call brings its target into being.
        machine.world.credit(callee, U256::ZERO);
        machine.trace.touch(traced);
    }
    let to_address = to.to_address();
    let prepared =
        Prepared { to: to_address, code, gas, value, input, output, traced, traced_checkpoint };
    machine.hand_on(prepared.input.len())?;
    if is_precompile {
        return machine.call_precompile(frame, &prepared, checkpoint);
    }
    if prepared.code.is_empty() {
        machine.trace.leave(Ending::Success);
        return end(frame, gas, true);
    }
    machine.enter::<KIND>(frame, callee, prepared, to, checkpoint)
}

/// Ends a call that runs no code and uses no gas.
fn end(frame: &mut Frame, gas: u64, succeeded: bool) -> Step {
    frame.gas = frame.gas.saturating_add(gas);
    frame.metered = frame.gas;
    frame.stack.push(success(succeeded));
    Ok(())
}

/// Whether a path knows what a precompile that answered costs and how long its
/// answer is: the signer of a hash, two hashes, and sum and product on a curve.
const fn is_followed_exactly(number: u8, answer_len: usize) -> bool {
    matches!((number, answer_len), (1..=3, 32) | (6 | 7, 64))
}

impl<DB: DatabaseRef> Machine<'_, DB> {
    /// The code that a call to `callee` runs, after its surcharges: for an
    /// account that comes into being, and for a delegation (EIP-7702).
    fn code_to_run(
        &mut self,
        frame: &mut Frame,
        (callee, traced): (AccountId, AccountRef),
        is_precompile: bool,
        may_create: bool,
        has_value: bool,
    ) -> Result<Bytecode, Exit> {
        let code = self.world.read_code(callee);
        let code = self.known(code)?;
        let is_spurious = self.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
        let now = self.world.account(callee).now;
        let is_empty = if is_spurious { now.is_empty() } else { !now.exists };
        if has_value {
            self.world.note_emptiness_read(callee);
            self.trace.emptiness(traced);
        }
        if !is_precompile {
            self.trace.pin_code(traced, now.code_hash);
        }
        if may_create && has_value {
            self.meter(frame);
            self.trace.fund(traced);
        }
        if may_create && is_empty {
            charge(frame, self.gas_params.new_account_cost(is_spurious, has_value))?;
            if has_value {
                frame.metered = frame.gas;
            }
        }
        let Some(delegate) = code.eip7702_address() else { return Ok(code) };
        charge(frame, self.gas_params.warm_storage_read_cost())?;
        let delegate = Word::address(delegate, Provenance::STATE);
        let (delegate, traced) = self.named_account(frame, delegate)?;
        self.trace.pin_code(traced, self.world.account(delegate).now.code_hash);
        let code = self.world.read_code(delegate);
        self.known(code)
    }

    /// Moves the value of a call; false if the caller does not have it.
    fn pay<const KIND: u8>(&mut self, frame: &Frame, callee: AccountId, value: U256) -> bool {
        let payee = if KIND == CALL { callee } else { frame.account };
        if payee == frame.account {
            return self.world.read_balance(payee) >= value;
        }
        let paid = self.world.debit(frame.account, value);
        if paid {
            self.world.credit(payee, value);
        }
        paid
    }

    fn call_precompile(
        &mut self,
        frame: &mut Frame,
        call: &Prepared,
        checkpoint: Checkpoint,
    ) -> Step {
        let input = frame.memory.slice(call.input.start, call.input.len());
        let Some(precompile) = self.precompiles.get(&call.to) else {
            return end(frame, call.gas, true);
        };
        if let Some(verified) = assume_verified(precompile, self.spec, input, call.gas) {
            self.trace.refuse_exact();
            let gas_left = call.gas - verified.gas;
            return self.answer(frame, call, verified.output, gas_left, Provenance::UNKNOWN);
        }
        let inputs = frame.memory.dependencies(call.input.start, call.input.len());
        let provenance = inputs.join(Provenance::INPUT);
        let Some(Answer { gas, output }) = self.ask(precompile, input, call.gas) else {
            self.world.revert(checkpoint);
            self.trace.give_up();
            return end(frame, 0, false);
        };
        self.answer(frame, call, &output, call.gas - gas, provenance)
    }

    /// Hands the output of a precompile that succeeded to the frame that called it.
    fn answer(
        &mut self,
        frame: &mut Frame,
        call: &Prepared,
        output: &[u8],
        gas_left: u64,
        provenance: Provenance,
    ) -> Step {
        self.set_returndata(frame, output, provenance)?;
        if !provenance.is_unknown() {
            self.record_answer(frame, call);
        }
        let len = call.output.len().min(output.len());
        frame.memory.copy(call.output.start, &frame.returndata, 0, len);
        self.trace.charge(call.gas - gas_left);
        self.trace.leave(Ending::Success);
        frame.gas = frame.gas.saturating_add(gas_left);
        frame.metered = frame.gas;
        frame.stack.push(Word::new(U256::ONE, provenance));
        Ok(())
    }

    /// Notes in the trace what the bytes are that a precompile answered.
    fn record_answer(&mut self, frame: &mut Frame, call: &Prepared) {
        let Range { start, end } = call.input;
        let [zeros @ .., number] = &call.to.0.0;
        if zeros.iter().any(|byte| *byte != 0) {
            self.trace.give_up();
        }
        if !self.trace.is_on() {
            return;
        }
        if *number == IDENTITY {
            frame.returndata.copy(0, &frame.memory, start, end - start);
            return;
        }
        if *number == MODEXP {
            let at = start + MODULUS_LENGTH_AT;
            if at + 32 > end {
                self.trace.give_up();
                return;
            }
            let id = self.trace.word(&frame.memory, at);
            self.trace.pin(frame.memory.word(at).with_id(id));
        }
        let len = frame.returndata.len();
        if !is_followed_exactly(*number, len) {
            self.trace.refuse_exact();
        }
        for (word, at) in (0..=u8::MAX).zip((0..len).step_by(32)) {
            let function = Function::Precompile { number: *number, word };
            let id = self.trace.digest(function, &frame.memory, start, end - start);
            frame.returndata.set_shadow(at, 32.min(len - at), id);
            if word == 0 {
                self.trace.demand(id);
            }
        }
        if len > 32 * usize::from(u8::MAX) {
            self.trace.give_up();
        }
    }

    fn enter<const KIND: u8>(
        &mut self,
        frame: &Frame,
        callee: AccountId,
        call: Prepared,
        to: Word,
        checkpoint: Checkpoint,
    ) -> Step {
        let depth = frame.depth + 1;
        if depth > self.limits.call_depth_max {
            return Err(self.abandon(super::machine::Abandoned::Limit));
        }
        let mut next = self.frame();
        next.calldata.grow(call.input.len());
        next.calldata.copy(0, &frame.memory, call.input.start, call.input.len());
        next.kind = FrameKind::Call(call.output);
        next.code = call.code;
        next.gas = call.gas;
        next.metered = call.gas;
        next.is_static = frame.is_static || KIND == STATICCALL;
        next.depth = depth;
        next.checkpoint = checkpoint;
        next.traced_checkpoint = call.traced_checkpoint;
        next.traced_code = self.trace.code(&next.code);
        let keeps_storage = matches!(KIND, CALLCODE | DELEGATECALL);
        (next.account, next.traced, next.address) = if keeps_storage {
            (frame.account, frame.traced, frame.address)
        } else {
            let id = self.trace.compute(AND, [to, Word::constant(ADDRESS_MASK)]);
            let address = Word::address(to.to_address(), to.provenance.flags()).with_id(id);
            (callee, call.traced, address)
        };
        (next.caller, next.value) = if KIND == DELEGATECALL {
            (frame.caller, frame.value)
        } else {
            (frame.address, call.value)
        };
        self.entered = Some(next);
        Err(Exit::Enter)
    }
}
