//! Instructions that compute a word from words, with revm's arithmetic.

use crate::alu::{bit, byte, shift_amount, sign_extend};
use core::cmp::Ordering;

use revm::{DatabaseRef, bytecode::opcode as op, primitives::U256};
use revm_interpreter::instructions::i256::{i256_cmp, i256_div, i256_mod};

use super::{
    control,
    frame::Frame,
    machine::{Machine, Run, Step, charge},
};

/// The function of an arithmetic opcode.
pub(super) fn function<DB: DatabaseRef>(code: u8) -> Run<DB> {
    match code {
        op::ADD => add,
        op::SUB => sub,
        op::EXP => exp,
        op::ADDMOD => |_, frame| ternary(frame, U256::add_mod),
        op::MULMOD => |_, frame| ternary(frame, U256::mul_mod),
        op::MUL => |_, frame| binary(frame, U256::wrapping_mul),
        op::DIV => |_, frame| binary(frame, |a, b| a.checked_div(b).unwrap_or_default()),
        op::SDIV => |_, frame| binary(frame, i256_div),
        op::MOD => |_, frame| binary(frame, |a, b| a.checked_rem(b).unwrap_or_default()),
        op::SMOD => |_, frame| binary(frame, i256_mod),
        op::SIGNEXTEND => |_, frame| binary(frame, sign_extend),
        op::LT => |_, frame| binary(frame, |a, b| bit(a < b)),
        op::GT => |_, frame| binary(frame, |a, b| bit(a > b)),
        op::SLT => |_, frame| binary(frame, |a, b| bit(i256_cmp(&a, &b) == Ordering::Less)),
        op::SGT => |_, frame| binary(frame, |a, b| bit(i256_cmp(&a, &b) == Ordering::Greater)),
        op::EQ => |_, frame| binary(frame, |a, b| bit(a == b)),
        op::AND => |_, frame| binary(frame, |a, b| a & b),
        op::OR => |_, frame| binary(frame, |a, b| a | b),
        op::XOR => |_, frame| binary(frame, |a, b| a ^ b),
        op::BYTE => |_, frame| binary(frame, byte),
        op::SHL => |_, frame| binary(frame, |shift, a| a << shift_amount(shift)),
        op::SHR => |_, frame| binary(frame, |shift, a| a >> shift_amount(shift)),
        op::SAR => |_, frame| binary(frame, |shift, a| a.arithmetic_shr(shift_amount(shift))),
        op::ISZERO => |_, frame| unary(frame, |a| bit(a.is_zero())),
        op::NOT => |_, frame| unary(frame, |a| !a),
        op::CLZ => |_, frame| unary(frame, |a| U256::from(a.leading_zeros())),
        _ => control::halt,
    }
}

#[inline]
fn unary(frame: &mut Frame, compute: impl Fn(U256) -> U256) -> Step {
    let top = frame.stack.top();
    top.value = compute(top.value);
    top.provenance = top.provenance.flags();
    Ok(())
}

#[inline]
fn binary(frame: &mut Frame, compute: impl Fn(U256, U256) -> U256) -> Step {
    let first = frame.stack.pop();
    let top = frame.stack.top();
    top.value = compute(first.value, top.value);
    top.provenance = first.provenance.join(top.provenance);
    Ok(())
}

fn ternary(frame: &mut Frame, compute: impl Fn(U256, U256, U256) -> U256) -> Step {
    let [first, second] = frame.stack.pop_many();
    let top = frame.stack.top();
    top.value = compute(first.value, second.value, top.value);
    top.provenance = first.provenance.join(second.provenance).join(top.provenance);
    Ok(())
}

/// A sum keeps pointing into the mapping that one of its terms points into.
fn add<DB: DatabaseRef>(_: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let first = frame.stack.pop();
    let top = frame.stack.top();
    top.value = first.value.wrapping_add(top.value);
    top.provenance = first.provenance.offset_by(top.provenance);
    Ok(())
}

/// A difference keeps pointing into the mapping that its first term points into.
fn sub<DB: DatabaseRef>(_: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let first = frame.stack.pop();
    let top = frame.stack.top();
    top.value = first.value.wrapping_sub(top.value);
    top.provenance = first.provenance.offset_by(top.provenance.flags());
    Ok(())
}

fn exp<DB: DatabaseRef>(machine: &mut Machine<'_, DB>, frame: &mut Frame) -> Step {
    let exponent = {
        let base = frame.stack.pop();
        let exponent = *frame.stack.top();
        frame.stack.push(base);
        exponent
    };
    charge(frame, machine.gas_params.exp_cost(exponent.value))?;
    binary(frame, U256::pow)
}
