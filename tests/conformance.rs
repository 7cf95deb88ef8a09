//! ethereum/tests and execution-spec-tests through the parallel executor, where they
//! are present beside the project. They are not ours to publish.
//!
//! Every case is run; to stay within minutes unoptimised, each with one predictor
//! and one number of threads, in turn, and some files with all of them.
//! `forewave test ../shared/ethereum-tests` runs every case in every way.

use std::path::Path;

use forewave::{
    PredictorKind,
    conformance::{CaseReport, Setup, Verdict, Ways, run_file, source},
    input::{InputError, SourceFile},
};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// The predictors and threads for the file at this position: all of them for one file
/// in so many.
fn setup(position: usize, all_ways_step: usize, pools: &[ThreadPool]) -> Setup<'_> {
    let ways = Ways::All;
    if position.is_multiple_of(all_ways_step) {
        return Setup { ways, predictors: &PredictorKind::ALL, pools };
    }
    let predictor = position % PredictorKind::ALL.len();
    let pool = position / PredictorKind::ALL.len() % pools.len();
    Setup {
        ways,
        predictors: core::slice::from_ref(&PredictorKind::ALL[predictor]),
        pools: core::slice::from_ref(&pools[pool]),
    }
}

fn failure(file: &SourceFile, case: &CaseReport) -> Option<String> {
    let Verdict::Failed(problem) = &case.verdict else { return None };
    Some(format!("{} {}: {problem}", file.path.display(), case.case))
}

/// What became of all cases at a path.
#[derive(Default)]
struct Total {
    passed: usize,
    failures: Vec<String>,
    /// Network and reason.
    skipped: Vec<(String, String)>,
}

/// Runs the tests of this directory beside the project, if it is there.
fn run_all(directory: &str, all_ways_step: usize) -> Option<Total> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(directory);
    if !tests.exists() {
        eprintln!("skipped: no {}", tests.display());
        return None;
    }
    let pools = [1, 2, 8].map(|n| ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    let (mut position, mut total) = (0, Total::default());
    source::for_each_file(&tests, &mut |file| {
        for case in run_file(&file, &setup(position, all_ways_step, &pools), |_| true)? {
            total.failures.extend(failure(&file, &case));
            match case.verdict {
                Verdict::Passed => total.passed += 1,
                Verdict::Skipped(reason) => total.skipped.push((case.network, reason)),
                Verdict::Failed(_) => {}
            }
        }
        position += 1;
        Ok::<_, InputError>(())
    })
    .unwrap();
    eprintln!("{directory}: {} cases passed, {} skipped", total.passed, total.skipped.len());
    Some(total)
}

/// A case is left out for a fault that consensus finds outside the executor, or a rule
/// that is named.
fn has_reason((_, reason): &(String, String)) -> bool {
    reason.contains("no block to judge") || reason.contains("EIP-")
}

#[test]
fn ethereum_tests_pass_and_what_is_skipped_has_a_reason() {
    let Some(total) = run_all("ethereum-tests", 8) else { return };
    assert!(total.failures.is_empty(), "{}", total.failures.join("\n"));
    assert!(total.passed > 100 * total.skipped.len(), "{:?}", total.skipped);
    assert!(total.skipped.iter().all(has_reason), "{:?}", total.skipped);
}

/// Cases of the test network that EIP-7928 was first tested on, whose gas decides what is touched:
/// name, and the rule of gas that revm has in another form.
const OTHER_GAS: [(&str, &str); 1] =
    [("test_bal_extcodesize_and_oog", "EXTCODESIZE costs 100 more since EIP-8038")];

#[test]
fn execution_spec_tests_pass() {
    let Some(total) = run_all("eest", 64) else { return };
    let is_of_gas = |failure: &&String| OTHER_GAS.iter().any(|(name, _)| failure.contains(name));
    let failures: Vec<_> = total.failures.iter().filter(|failure| !is_of_gas(failure)).collect();
    assert!(failures.is_empty(), "{failures:?}");
    assert!(total.failures.len() <= OTHER_GAS.len(), "{:?}", total.failures);
    assert!(total.passed > 4_000, "{}", total.passed);
    assert!(total.passed > 20 * total.skipped.len(), "{:?}", total.skipped);
    assert!(total.skipped.iter().all(has_reason), "{:?}", total.skipped);
}
