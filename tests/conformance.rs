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

#[test]
fn execution_spec_tests_pass_up_to_osaka_and_its_blob_forks() {
    let Some(total) = run_all("eest", 64) else { return };
    assert!(total.failures.is_empty(), "{}", total.failures.join("\n"));
    let (later, skipped): (Vec<_>, Vec<_>) = total.skipped.into_iter().partition(|(network, _)| {
        network.ends_with("Amsterdam") || network.contains("ToAmsterdam")
    });
    assert!(
        later.iter().all(|(_, reason)| reason.contains("the rules of Amsterdam are not followed"))
    );
    assert!(total.passed > 3_500 && total.passed > 20 * skipped.len(), "{skipped:?}");
    assert!(skipped.iter().all(has_reason), "{skipped:?}");
}
