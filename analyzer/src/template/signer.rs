//! Conditions on the signer of something, which are taken to hold.
//!
//! A signature is sent to be found valid, and recovering its signer costs more
//! than the rest of most templates. So a path that found it valid needs no guard.

use revm::bytecode::opcode;

use super::{
    trace::Trace,
    value::{Function, Operand, Value},
};

/// The precompile that recovers the signer of a hash.
const ECRECOVER: u8 = 1;

/// Whether the condition is that a signature is valid: its signer is somebody,
/// or who is expected.
pub(super) fn is_verified(trace: &Trace, condition: Operand, is_true: bool) -> bool {
    let either = |one: Operand, other: Operand| is_signer(trace, one) || is_signer(trace, other);
    match condition.position().map(|at| &trace.values[at]) {
        Some(Value::Compute(opcode::EQ, [one, other, _])) if is_true => either(*one, *other),
        Some(Value::Compute(opcode::XOR | opcode::SUB, [one, other, _])) if !is_true => {
            either(*one, *other)
        }
        _ => is_true && is_signer(trace, condition),
    }
}

/// Whether the value is the signer that was recovered, or its address.
fn is_signer(trace: &Trace, operand: Operand) -> bool {
    let mut operand = operand;
    while let Some(at) = operand.position() {
        operand = match &trace.values[at] {
            Value::Compute(opcode::AND, [one, other, _]) => {
                if one.position().is_some() {
                    *one
                } else {
                    *other
                }
            }
            Value::Digest { function: Function::Precompile { number, .. }, .. } => {
                return *number == ECRECOVER;
            }
            _ => return false,
        };
    }
    false
}
