//! The precompiles that only verify: from a call to the answer it has when what
//! it verifies is true.
//!
//! A pairing or a proof costs more to check than the rest of most transactions
//! costs to analyse, and it is sent to be found valid. So the answer is
//! assumed, as success is assumed elsewhere, and marked as a guess. What is
//! malformed, or too poor in gas, is left to the precompile itself.

use revm::{
    precompile::{
        Precompile, PrecompileId, bls12_381_const, bn254, kzg_point_evaluation, secp256r1,
    },
    primitives::hardfork::SpecId,
};

/// The word 1: verified.
const VERIFIED: [u8; 32] = {
    let mut word = [0; 32];
    word[31] = 1;
    word
};

/// Bytes of a point evaluation (EIP-4844): hash, point, value, commitment, proof.
const POINT_EVALUATION_BYTES: usize = 192;

/// Bytes of a signature check (EIP-7951): hash, signature, public key.
const SIGNATURE_CHECK_BYTES: usize = 160;

/// What a verifying precompile answers, and the gas it takes.
pub(super) struct Verified {
    pub(super) gas: u64,
    pub(super) output: &'static [u8],
}

/// The answer of `precompile` if it verifies and `input` is valid.
pub(super) fn assume_verified(
    precompile: &Precompile,
    spec: SpecId,
    input: &[u8],
    gas_limit: u64,
) -> Option<Verified> {
    let (gas, output): (u64, &'static [u8]) = match precompile.id() {
        PrecompileId::Bn254Pairing => {
            let (base, each) = if spec.is_enabled_in(SpecId::ISTANBUL) {
                (bn254::pair::ISTANBUL_PAIR_BASE, bn254::pair::ISTANBUL_PAIR_PER_POINT)
            } else {
                (bn254::pair::BYZANTIUM_PAIR_BASE, bn254::pair::BYZANTIUM_PAIR_PER_POINT)
            };
            (base + each * pairs(input, bn254::PAIR_ELEMENT_LEN)?, &VERIFIED)
        }
        PrecompileId::Bls12Pairing => {
            let pairs = pairs(input, bls12_381_const::PAIRING_INPUT_LENGTH)?;
            let each = bls12_381_const::PAIRING_MULTIPLIER_BASE;
            (bls12_381_const::PAIRING_OFFSET_BASE + each * pairs, &VERIFIED)
        }
        PrecompileId::KzgPointEvaluation if input.len() == POINT_EVALUATION_BYTES => {
            (kzg_point_evaluation::GAS_COST, kzg_point_evaluation::RETURN_VALUE)
        }
        PrecompileId::P256Verify if input.len() == SIGNATURE_CHECK_BYTES => {
            (secp256r1::P256VERIFY_BASE_GAS_FEE_OSAKA, &VERIFIED)
        }
        _ => return None,
    };
    (gas <= gas_limit).then_some(Verified { gas, output })
}

/// How many pairs of points `input` is, if it is a whole number and not none.
fn pairs(input: &[u8], pair_bytes: usize) -> Option<u64> {
    let is_whole = !input.is_empty() && input.len().is_multiple_of(pair_bytes);
    is_whole.then(|| (input.len() / pair_bytes) as u64)
}
