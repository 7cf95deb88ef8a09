//! Plans of sample blocks there and back; every byte flipped, every end cut off, and hostile
//! messages whose header is true.

use std::path::Path;

use alloy_primitives::keccak256;

use super::*;
use crate::{
    PredictorKind,
    input::{BlockInput, LoadOptions},
    predict,
};

fn planned(name: &str, kind: PredictorKind) -> (Block, Plan) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/blocks").join(name);
    let BlockInput { block, state, .. } =
        BlockInput::load(&directory, &LoadOptions::default()).unwrap();
    let predictions = predict(&block, &state, &kind).unwrap();
    let plan = Plan::new(predictions);
    (block, plan)
}

/// The same message with another rest, and the header that is true of it.
fn sealed(rest: &[u8]) -> Vec<u8> {
    let length = (rest.len() as u64).to_be_bytes();
    [&MAGIC[..], &VERSION.to_be_bytes(), &length, keccak256(rest).as_slice(), rest].concat()
}

#[test]
fn a_plan_comes_back_as_it_was() {
    let blocks = ["mixed-defi", "lending", "create2-factory", "delegation", "self-destruct"];
    for name in blocks {
        for kind in [PredictorKind::Static, PredictorKind::Hybrid, PredictorKind::None] {
            let (block, plan) = planned(name, kind);
            let bytes = plan.to_bytes(&block);
            let back = Plan::from_bytes(&bytes, &block).unwrap();
            assert_eq!(back.predictions(), plan.predictions(), "{name} {kind}");
            assert_eq!(back.schedule(), plan.schedule(), "{name} {kind}");
            assert_eq!(back.to_bytes(&block), bytes, "{name} {kind}");
        }
    }
}

#[test]
fn every_flipped_byte_and_every_cut_is_an_error() {
    let (block, plan) = planned("lending", PredictorKind::Static);
    let bytes = plan.to_bytes(&block);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let error = Plan::from_bytes(&flipped, &block).unwrap_err();
        match at {
            0..8 => assert_eq!(error, PortableError::NotAPlan),
            8..12 => assert!(matches!(error, PortableError::Version { .. })),
            12..20 => assert!(matches!(error, PortableError::Length { .. })),
            _ => assert_eq!(error, PortableError::Checksum),
        }
        let error = Plan::from_bytes(&bytes[..at], &block).unwrap_err();
        match at {
            0..8 => assert_eq!(error, PortableError::NotAPlan),
            8..HEADER_BYTES => assert_eq!(error, PortableError::Truncated { what: "header" }),
            _ => assert!(matches!(error, PortableError::Length { .. })),
        }
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(Plan::from_bytes(&longer, &block), Err(PortableError::Length { .. })));
}

#[test]
fn a_message_with_a_true_header_is_an_error_or_a_plan_that_verifies() {
    let (block, plan) = planned("multicall", PredictorKind::Static);
    let bytes = plan.to_bytes(&block);
    let rest = &bytes[HEADER_BYTES..];
    let (mut refused, mut read) = (0, 0);
    for at in 0..rest.len() {
        for change in [rest[at] ^ 1 << (at % 7), 0xff] {
            let mut changed = rest.to_vec();
            changed[at] = change;
            match Plan::from_bytes(&sealed(&changed), &block) {
                Err(_) => refused += 1,
                Ok(plan) => {
                    assert_eq!(crate::verify(plan.schedule(), plan.graph()), Ok(()));
                    read += 1;
                }
            }
        }
        let cut = Plan::from_bytes(&sealed(&rest[..at]), &block);
        assert!(cut.is_err(), "cut at {at}");
    }
    assert!(refused > 0 && read > 0, "{refused} refused, {read} read");
}

#[test]
fn a_length_that_no_memory_holds_is_an_error_at_once() {
    let (block, plan) = planned("lending", PredictorKind::Static);
    let digest = &plan.to_bytes(&block)[HEADER_BYTES..HEADER_BYTES + 32];
    // The largest number there is, where the number of addresses belongs.
    let huge = [&[0xff; 9][..], &[1]].concat();
    let error = Plan::from_bytes(&sealed(&[digest, &huge].concat()), &block).unwrap_err();
    assert_eq!(error, PortableError::Truncated { what: "addresses" });
    let too_long = [&[0xff; 10][..], &[1]].concat();
    let error = Plan::from_bytes(&sealed(&[digest, &too_long].concat()), &block).unwrap_err();
    assert_eq!(error, PortableError::Malformed { what: "addresses" });
}

#[test]
fn a_plan_of_other_transactions_is_refused() {
    let (block, plan) = planned("lending", PredictorKind::Static);
    let bytes = plan.to_bytes(&block);
    let mut other = block.clone();
    other.transactions[3].value += alloy_primitives::U256::ONE;
    let error = Plan::from_bytes(&bytes, &other).unwrap_err();
    let found = block.transactions.len() as u64;
    let digest = transactions_digest(&block);
    assert_eq!(error, PortableError::OtherBlock { found, digest });
    other.transactions.swap(0, 1);
    assert!(matches!(Plan::from_bytes(&bytes, &other), Err(PortableError::OtherBlock { .. })));
}

#[test]
fn a_schedule_of_another_graph_is_refused() {
    let (block, plan) = planned("nonce-chain", PredictorKind::Static);
    let free = Plan::new(vec![crate::PredictedAccess::default(); block.transactions.len()]);
    let bytes = plan.to_bytes(&block);
    // The schedule of a block without a conflict, behind predictions that are full of them.
    let end = |plan: &Plan| {
        let waves = plan.schedule().waves();
        let numbers = waves.iter().flat_map(crate::Wave::chains).map(|chain| {
            assert!(chain.transactions().iter().all(|tx| tx.index() < 0x80));
            1 + chain.transactions().len()
        });
        1 + waves.len() + numbers.sum::<usize>()
    };
    let predictions = &bytes[HEADER_BYTES..bytes.len() - end(&plan)];
    let schedule = {
        let bytes = free.to_bytes(&block);
        bytes[bytes.len() - end(&free)..].to_vec()
    };
    let error = Plan::from_bytes(&sealed(&[predictions, &schedule].concat()), &block).unwrap_err();
    assert!(matches!(error, PortableError::Schedule(_)), "{error}");
}
