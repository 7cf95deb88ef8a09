//! Words of the EVM to words, where `U256` has no operation of its own. Shared
//! by the interpreter, whose words are known, and by the folding of constants
//! in expressions.

use revm::primitives::U256;

/// A flag as the EVM pushes it: one or zero.
pub(crate) fn bit(set: bool) -> U256 {
    U256::from(u8::from(set))
}

/// 256 and more shift everything out.
pub(crate) fn shift_amount(shift: U256) -> usize {
    usize::try_from(shift).map_or(256, |shift| shift.min(256))
}

/// `BYTE`: the byte at `index`, counted from the most significant.
pub(crate) fn byte(index: U256, value: U256) -> U256 {
    match usize::try_from(index) {
        Ok(index @ 0..32) => U256::from(value.byte(31 - index)),
        _ => U256::ZERO,
    }
}

/// `SIGNEXTEND`: the lowest `index + 1` bytes as a signed number.
pub(crate) fn sign_extend(index: U256, value: U256) -> U256 {
    let Ok(index @ 0..31) = usize::try_from(index) else { return value };
    let sign_bit = 8 * index + 7;
    let mask = (U256::ONE << sign_bit) - U256::ONE;
    if value.bit(sign_bit) { value | !mask } else { value & mask }
}
