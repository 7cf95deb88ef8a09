//! From an instruction and its operands to the word that it computes. Shared by the
//! evaluation of programs and the folding of constants in expressions.

use core::cmp::Ordering;

use revm::{
    bytecode::opcode as op,
    primitives::{U256, ruint::aliases::U512},
};
use revm_interpreter::instructions::i256::{i256_cmp, i256_div, i256_mod};

/// What the instruction `code` computes from its operands, topmost first; none
/// if it computes nothing.
#[inline]
pub(crate) fn compute(code: u8, words: [U256; 3]) -> Option<U256> {
    compute_of(code, |at| words[at], |word| word)
}

/// The same, of operands that are only fetched where the instruction has them,
/// given away where it is computed: a word that is handed on is copied, and
/// copying what was just computed limb by limb takes longer than computing it.
#[inline]
pub(crate) fn compute_of<T>(
    code: u8,
    word: impl Fn(usize) -> U256,
    give: impl FnOnce(U256) -> T,
) -> Option<T> {
    let (a, b, c) = (|| word(0), || word(1), || word(2));
    Some(match code {
        op::ADD => give(a().wrapping_add(b())),
        op::MUL => give(a().wrapping_mul(b())),
        op::SUB => give(a().wrapping_sub(b())),
        op::DIV => give(a().checked_div(b()).unwrap_or_default()),
        op::SDIV => give(i256_div(a(), b())),
        op::MOD => give(a().checked_rem(b()).unwrap_or_default()),
        op::SMOD => give(i256_mod(a(), b())),
        op::ADDMOD => give(a().add_mod(b(), c())),
        op::MULMOD => give(mul_mod(a(), b(), c())),
        op::EXP => give(a().pow(b())),
        op::SIGNEXTEND => give(sign_extend(a(), b())),
        op::LT => give(bit(a() < b())),
        op::GT => give(bit(a() > b())),
        op::SLT => give(bit(i256_cmp(&a(), &b()) == Ordering::Less)),
        op::SGT => give(bit(i256_cmp(&a(), &b()) == Ordering::Greater)),
        op::EQ => give(bit(a() == b())),
        op::ISZERO => give(bit(a().is_zero())),
        op::AND => give(a() & b()),
        op::OR => give(a() | b()),
        op::XOR => give(a() ^ b()),
        op::NOT => give(!a()),
        op::BYTE => give(byte(a(), b())),
        op::SHL => give(b() << shift_amount(a())),
        op::SHR => give(b() >> shift_amount(a())),
        op::SAR => give(b().arithmetic_shr(shift_amount(a()))),
        op::CLZ => give(U256::from(a().leading_zeros())),
        _ => return None,
    })
}

/// `MULMOD`. The modulus is mostly 2^256 - 1, with which libraries ask for the upper
/// half of a product: what does not fit then counts as much as what does.
fn mul_mod(a: U256, b: U256, modulus: U256) -> U256 {
    if modulus != U256::MAX {
        return a.mul_mod(b, modulus);
    }
    let product: U512 = a.widening_mul(b);
    let [low, high] = [0, 4].map(|at| {
        let limbs = product.as_limbs()[at..].first_chunk::<4>();
        U256::from_limbs(*limbs.expect("a product has eight limbs"))
    });
    let (sum, carried) = low.overflowing_add(high);
    // A carry leaves at most 2^256 - 2, so that one more fits.
    let sum = sum.wrapping_add(bit(carried));
    if sum == U256::MAX { U256::ZERO } else { sum }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_modulo_the_greatest_word_are_those_of_long_division() {
        let shifted = |word: U256| [0, 128, 192, 255].map(|bits: usize| word << bits);
        let words = [0, 1, 2, u64::MAX].map(U256::from).into_iter().flat_map(shifted);
        let words: Vec<U256> = words.flat_map(|word| [word, !word]).collect();
        for a in &words {
            for b in &words {
                assert_eq!(mul_mod(*a, *b, U256::MAX), a.mul_mod(*b, U256::MAX), "{a} {b}");
            }
        }
    }
}
