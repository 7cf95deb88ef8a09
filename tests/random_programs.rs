//! The analysis of random programs against their execution, at every fork.

#[path = "support/programs.rs"]
mod programs;

use forewave::Limits;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng},
};

use self::programs::{Case, Verdict};

/// Bytes that decide one case, at most.
const CASE_BYTES_MAX: usize = 1600;

/// Cases that are counted.
const CASES_COUNTED: usize = 2000;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn what_is_predicted_exactly_is_what_is_touched(
        bytes in prop::collection::vec(any::<u8>(), 200..CASE_BYTES_MAX),
    ) {
        Case::from_bytes(&bytes).check(Limits::default());
    }

    #[test]
    fn templates_predict_as_the_interpreter_does(
        bytes in prop::collection::vec(any::<u8>(), 200..CASE_BYTES_MAX),
    ) {
        Case::from_bytes(&bytes).check_templates();
    }
}

#[test]
fn the_random_programs_run_and_are_mostly_predicted_exactly() {
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut total = Verdict::default();
    for _ in 0..CASES_COUNTED {
        let mut bytes = vec![0; CASE_BYTES_MAX];
        rng.fill_bytes(&mut bytes);
        total += Case::from_bytes(&bytes).check(Limits::default());
    }
    assert!(total.looks_too_many * 200 <= total.txs, "{total:?}");
    assert_eq!(total.refused_blocks, 0, "{total:?}");
    assert!(total.exact_txs * 10 >= total.txs * 9, "{total:?}");
    assert!(total.locations >= 5 * total.txs, "{total:?}");
}
