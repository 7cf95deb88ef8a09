//! Instructions that compute a word from words, with revm's arithmetic.

use revm::{DatabaseRef, bytecode::opcode as op, primitives::U256};

use super::{
    control,
    frame::Frame,
    machine::{Machine, Run, Step, charge},
    word::{Provenance, Word},
};
use crate::alu::compute;

/// The function of an arithmetic opcode.
pub(super) fn function<DB: DatabaseRef>(code: u8) -> Run<DB> {
    match code {
        op::ADD => add,
        op::SUB => sub,
        op::EXP => exp,
        op::ADDMOD => ternary::<{ op::ADDMOD }, DB>,
        op::MULMOD => ternary::<{ op::MULMOD }, DB>,
        op::MUL => binary::<{ op::MUL }, DB>,
        op::DIV => binary::<{ op::DIV }, DB>,
        op::SDIV => binary::<{ op::SDIV }, DB>,
        op::MOD => binary::<{ op::MOD }, DB>,
        op::SMOD => binary::<{ op::SMOD }, DB>,
        op::SIGNEXTEND => binary::<{ op::SIGNEXTEND }, DB>,
        op::LT => binary::<{ op::LT }, DB>,
        op::GT => binary::<{ op::GT }, DB>,
        op::SLT => binary::<{ op::SLT }, DB>,
        op::SGT => binary::<{ op::SGT }, DB>,
        op::EQ => binary::<{ op::EQ }, DB>,
        op::AND => binary::<{ op::AND }, DB>,
        op::OR => binary::<{ op::OR }, DB>,
        op::XOR => binary::<{ op::XOR }, DB>,
        op::BYTE => binary::<{ op::BYTE }, DB>,
        op::SHL => binary::<{ op::SHL }, DB>,
        op::SHR => binary::<{ op::SHR }, DB>,
        op::SAR => binary::<{ op::SAR }, DB>,
        op::ISZERO => unary::<{ op::ISZERO }, DB>,
        op::NOT => unary::<{ op::NOT }, DB>,
        op::CLZ => unary::<{ op::CLZ }, DB>,
        _ => control::halt,
    }
}

fn unary<const OP: u8, DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let top = frame.stack.top();
    let id = machine.trace.compute(OP, [*top]);
    let value = compute(OP, [top.value, U256::ZERO, U256::ZERO]).unwrap_or_default();
    *top = Word::new(value, top.provenance.flags()).with_id(id);
    Ok(())
}

fn binary<const OP: u8, DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let first = frame.stack.pop();
    let provenance = first.provenance.join(frame.stack.top().provenance);
    combine::<OP, DB>(machine, frame, first, provenance)
}

/// Replaces the top word by what `OP` computes from `first` and it.
#[inline]
fn combine<const OP: u8, DB: DatabaseRef>(
    machine: &mut Machine<'_, DB>,
    frame: &mut Frame,
    first: Word,
    provenance: Provenance,
) -> Step {
    let top = frame.stack.top();
    let id = machine.trace.compute(OP, [first, *top]);
    let value = compute(OP, [first.value, top.value, U256::ZERO]).unwrap_or_default();
    *top = Word::new(value, provenance).with_id(id);
    Ok(())
}

fn ternary<const OP: u8, DB: DatabaseRef>(
    machine: &mut Machine<'_, DB>,
    frame: &mut Frame,
) -> Step {
    let [first, second] = frame.stack.pop_many();
    let top = frame.stack.top();
    let id = machine.trace.compute(OP, [first, second, *top]);
    let value = compute(OP, [first.value, second.value, top.value]).unwrap_or_default();
    let provenance = first.provenance.join(second.provenance).join(top.provenance);
    *top = Word::new(value, provenance).with_id(id);
    Ok(())
}

/// A sum keeps pointing into the mapping that one of its terms points into.
fn add<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let first = frame.stack.pop();
    let provenance = first.provenance.offset_by(frame.stack.top().provenance);
    combine::<{ op::ADD }, DB>(machine, frame, first, provenance)
}

/// A difference keeps pointing into the mapping that its first term points into.
fn sub<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let first = frame.stack.pop();
    let provenance = first.provenance.offset_by(frame.stack.top().provenance.flags());
    combine::<{ op::SUB }, DB>(machine, frame, first, provenance)
}

fn exp<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let base = frame.stack.pop();
    let exponent = *frame.stack.top();
    if machine.trace.is_exact() && !machine.trace.is_constant(exponent) {
        machine.meter(frame);
        machine.trace.power(exponent);
        frame.metered = frame.metered.saturating_sub(machine.gas_params.exp_cost(exponent.value));
    }
    charge(frame, machine.gas_params.exp_cost(exponent.value))?;
    let provenance = base.provenance.join(exponent.provenance);
    combine::<{ op::EXP }, DB>(machine, frame, base, provenance)
}
