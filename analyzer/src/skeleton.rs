//! From bytecode to its skeleton: what all deployments of one source share.
//!
//! Immutables and embedded addresses are taken out of the code as inputs, and the
//! metadata behind it is left off, so that clones (EIP-1167), pools of a factory
//! and everything else that differs only there has one summary. A constant counts
//! as an input if it is pushed with 20 bytes or more and could not be written
//! shorter, or is shorter than its push, as compilers write immutables; masks,
//! selectors and hashes stay.

use revm::{
    bytecode::opcode as op,
    primitives::{B256, U256, keccak256},
};

/// Bytes of the shortest push that may hold an input.
const INPUT_BYTES_MIN: usize = 20;

/// Leading zero bytes that make a pushed word of 32 bytes an immutable.
const ZERO_BYTES_MIN: usize = 4;

/// Trailing zero bits that make a constant a mask, a selector or a power.
const TRAILING_ZEROS_MIN: usize = 64;

/// The longest metadata that is left off.
const METADATA_BYTES_MAX: usize = 256;

/// Code without what its deployments differ in.
#[derive(Clone, Debug)]
pub(crate) struct Skeleton {
    /// Names the skeleton.
    pub(crate) hash: B256,
    /// Where the pushes are whose data was taken out, sorted.
    pub(crate) inputs_at: Box<[usize]>,
    /// What was taken out.
    pub(crate) inputs: Box<[U256]>,
    /// Bytes of the code without its metadata.
    pub(crate) len: usize,
}

/// The skeleton of `code`.
pub(crate) fn skeleton(code: &[u8]) -> Skeleton {
    let len = code.len() - metadata_len(code);
    let mut rest = code[..len].to_vec();
    let (mut inputs_at, mut inputs) = (Vec::new(), Vec::new());
    let mut pc = 0;
    while let Some(&opcode) = code.get(pc) {
        let len = match opcode {
            op::PUSH1..=op::PUSH32 => usize::from(opcode - op::PUSH0),
            _ => 0,
        };
        if len >= INPUT_BYTES_MIN
            && let Some(data) = code.get(pc + 1..pc + 1 + len)
            && is_input(data)
        {
            inputs_at.push(pc);
            inputs.push(U256::from_be_slice(data));
            if let Some(data) = rest.get_mut(pc + 1..pc + 1 + len) {
                data.fill(0);
            }
        }
        pc += 1 + len;
    }
    // The code says how long it is.
    rest.extend((code.len() as u64).to_be_bytes());
    Skeleton { hash: keccak256(rest), inputs_at: inputs_at.into(), inputs: inputs.into(), len }
}

/// Whether pushed bytes are an address or an immutable.
fn is_input(data: &[u8]) -> bool {
    let value = U256::from_be_slice(data);
    let is_mask = (value.wrapping_add(U256::ONE) & value).is_zero();
    if is_mask || value.trailing_zeros() >= TRAILING_ZEROS_MIN {
        return false;
    }
    let zeros = data.iter().take_while(|byte| **byte == 0).count();
    match data.len() {
        20 => zeros < ZERO_BYTES_MIN * 4,
        32 => zeros >= ZERO_BYTES_MIN,
        _ => false,
    }
}

/// Bytes of the CBOR map behind the code, with its length.
fn metadata_len(code: &[u8]) -> usize {
    let Some((rest, len)) = code.split_last_chunk::<2>() else { return 0 };
    let len = usize::from(u16::from_be_bytes(*len));
    let start = rest.len().checked_sub(len).filter(|_| len <= METADATA_BYTES_MAX);
    // A map of one to four entries.
    let is_map = start.is_some_and(|start| matches!(code[start], 0xa1..=0xa4));
    if is_map { len + 2 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(data: &[u8]) -> Vec<u8> {
        let opcode = op::PUSH0 + u8::try_from(data.len()).unwrap();
        [&[opcode], data].concat()
    }

    #[test]
    fn code_that_differs_in_addresses_and_immutables_has_one_skeleton() {
        let mut fee = [0; 32];
        fee[31] = 30;
        let code = |address: u8, fee: &[u8; 32], tail: u8| {
            let metadata = [0xa1, 0x61, b'x', tail, 0, 4];
            [push(&[address; 20]), push(fee), vec![op::STOP], metadata.to_vec()].concat()
        };
        let one = skeleton(&code(0x11, &fee, 1));
        fee[31] = 5;
        let other = skeleton(&code(0x22, &fee, 2));
        assert_eq!(one.hash, other.hash);
        assert_eq!(*one.inputs_at, [0, 21]);
        assert_eq!(*other.inputs, [U256::from_be_slice(&[0x22; 20]), U256::from(5)]);
    }

    #[test]
    fn masks_selectors_and_hashes_stay() {
        let mut selector = [0; 32];
        selector[..4].copy_from_slice(&[0xa9, 5, 0x9c, 0xbb]);
        for data in [&[0xff; 20][..], &[0xff; 32], &selector, &[0xab; 32]] {
            assert_eq!(skeleton(&push(data)).inputs.len(), 0, "{data:x?}");
        }
    }

    #[test]
    fn a_push_that_ends_with_the_code_is_left_alone() {
        for len in 0..33 {
            let code = [&[op::PUSH32][..], &vec![7; len]].concat();
            assert!(skeleton(&code).inputs.is_empty());
        }
        assert_eq!(skeleton(&[]).inputs.len(), 0);
    }
}
