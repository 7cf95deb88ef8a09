//! Random blocks, predicted in every way, in parallel against sequential
//! execution. `examples/differential.rs` does the same for as long as one likes.

#[path = "support/differential.rs"]
mod differential;
#[path = "support/filled.rs"]
mod filled;

use forewave::{
    FillLoop, ReuseCache,
    compare::compare_outcomes,
    input::{BlockInput, LoadOptions, Senders},
    sequential,
};
use forewave_fixtures::SplitMix64;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng},
};
use rayon::{ThreadPool, ThreadPoolBuilder};
use revm::primitives::hardfork::SpecId;

use self::{
    differential::{Choices, Drawn, Prediction, Ran, check, drawn, shrink, write},
    filled::check_orders,
};

/// Bytes that decide one case, at most.
const CASE_BYTES_MAX: usize = 8192;

fn pools() -> [ThreadPool; 3] {
    [1, 2, 8].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn however_a_block_is_predicted_it_ends_as_in_sequential_execution(
        bytes in prop::collection::vec(any::<u8>(), 200..CASE_BYTES_MAX),
    ) {
        let choices = &mut Choices(&bytes);
        let prediction = Prediction::drawn(choices);
        let drawn = drawn(choices, 40);
        for pool in pools() {
            let rest = choices.0;
            if let Err(difference) = check(&drawn, prediction, &mut Choices(rest), &pool) {
                prop_assert!(false, "{}", difference);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn whatever_order_of_its_transactions_is_filled_it_ends_as_in_sequential_execution(
        bytes in prop::collection::vec(any::<u8>(), 200..CASE_BYTES_MAX),
        seed in any::<u64>(),
        is_of_amsterdam in any::<bool>(),
    ) {
        let Drawn { mut block, state } = drawn(&mut Choices(&bytes), 24);
        if is_of_amsterdam && block.spec().is_enabled_in(SpecId::OSAKA) {
            block.cfg.set_spec_and_mainnet_gas_params(SpecId::AMSTERDAM);
            block.makes_access_list = true;
        }
        let cache = ReuseCache::new();
        // What the protocol does before the transactions may fail.
        if let Ok(mut fill) = FillLoop::new(&block, &state, &cache)
            && fill.seal().is_ok()
        {
            check_orders(&mut fill, &block, &state, (3, 8), &mut SplitMix64::new(seed));
        }
    }
}

/// Blocks of a fixed random stream.
fn blocks(count: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let block = move || {
        let mut bytes = vec![0; CASE_BYTES_MAX];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    core::iter::repeat_with(block).take(count)
}

#[test]
fn random_blocks_are_a_fair_mix() {
    let pool = &pools()[1];
    let mut total = Ran::default();
    let (mut blocks_run, mut invalid) = (0, 0);
    for bytes in blocks(300) {
        let choices = &mut Choices(&bytes);
        let prediction = Prediction::drawn(choices);
        let drawn = drawn(choices, 40);
        let ran =
            check(&drawn, prediction, choices, pool).unwrap_or_else(|found| panic!("{found}"));
        total.txs += ran.txs;
        total.transfers += ran.transfers;
        total.successes += ran.successes;
        total.reexecuted += ran.reexecuted;
        blocks_run += 1;
        invalid += usize::from(ran.is_invalid);
    }
    assert!(total.txs > 10 * blocks_run, "{total:?}");
    assert!(total.transfers * 2 < total.txs, "{total:?}");
    assert!(total.successes * 2 > total.txs, "{total:?}");
    assert!(total.reexecuted * 40 > total.txs, "{total:?}");
    assert!(invalid > 0 && invalid * 10 < blocks_run, "{invalid} of {blocks_run}");
}

#[test]
fn a_random_block_that_is_written_can_be_opened_and_executes_to_the_same() {
    let options = LoadOptions { senders: Senders::Recovered, ..LoadOptions::default() };
    for bytes in blocks(60) {
        let drawn = drawn(&mut Choices(&bytes), 20);
        let Ok(expected) = sequential(&drawn.block, &drawn.state) else { continue };
        let directory = tempfile::tempdir().unwrap();
        write(&drawn, directory.path()).unwrap();
        let input = BlockInput::load(directory.path(), &options).unwrap();
        let found = sequential(&input.block, &input.state).unwrap();
        assert_eq!(compare_outcomes(&found, &expected), None, "{}", drawn.block.number());
    }
}

#[test]
fn shrinking_leaves_the_transactions_that_the_difference_needs() {
    let is_big = |bytes: &Vec<u8>| drawn(&mut Choices(bytes), 40).block.transactions.len() > 8;
    let bytes = blocks(100).find(is_big).unwrap();
    let drawn = drawn(&mut Choices(&bytes), 40);
    let needed = [1, 6].map(|at| drawn.block.transactions[at].clone());
    let least =
        shrink(&drawn, |fewer| needed.iter().all(|tx| fewer.block.transactions.contains(tx)));
    assert_eq!(least.block.transactions, needed);
}
