//! ethereum/tests through the parallel executor, where they are present beside
//! the project. They are not ours to publish.
//!
//! Every case is run; to stay within minutes unoptimised, each with one way to
//! predict and one number of threads, in turn, and every eighth with all of
//! them. `forewave test ../shared/ethereum-tests` runs every case in every way.

use std::path::Path;

use forewave::{
    ExactPaths, PredictorKind,
    conformance::{CaseReport, Setup, Verdict, run_file, source},
    input::{InputError, SourceFile},
};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// One file in so many is run in every way.
const ALL_WAYS_STEP: usize = 8;

/// The predictors and threads for the file at this position.
fn setup<'a>(position: usize, pools: &'a [ThreadPool], paths: &'a ExactPaths) -> Setup<'a> {
    if position.is_multiple_of(ALL_WAYS_STEP) {
        return Setup { predictors: &PredictorKind::ALL, pools, paths };
    }
    let predictor = position % PredictorKind::ALL.len();
    let pool = position / PredictorKind::ALL.len() % pools.len();
    Setup {
        predictors: core::slice::from_ref(&PredictorKind::ALL[predictor]),
        pools: core::slice::from_ref(&pools[pool]),
        paths,
    }
}

fn failure(file: &SourceFile, case: &CaseReport) -> Option<String> {
    let Verdict::Failed(problem) = &case.verdict else { return None };
    Some(format!("{} {}: {problem}", file.path.display(), case.case))
}

#[test]
fn ethereum_tests_pass_and_what_is_skipped_has_a_reason() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/ethereum-tests");
    if !tests.exists() {
        eprintln!("skipped: no ethereum/tests at {}", tests.display());
        return;
    }
    let pools = [1, 2, 8].map(|n| ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    let paths = ExactPaths::new();
    let (mut position, mut passed) = (0, 0);
    let (mut failures, mut skipped) = (Vec::new(), Vec::new());
    source::for_each_file(&tests, &mut |file| {
        for case in run_file(&file, &setup(position, &pools, &paths), |_| true)? {
            failures.extend(failure(&file, &case));
            match case.verdict {
                Verdict::Passed => passed += 1,
                Verdict::Skipped(reason) => skipped.push(reason),
                Verdict::Failed(_) => {}
            }
        }
        position += 1;
        Ok::<_, InputError>(())
    })
    .unwrap();
    eprintln!("{passed} cases passed, {} skipped", skipped.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(passed > 100 * skipped.len(), "{skipped:?}");
    let reasoned =
        |reason: &String| reason.contains("no block to judge") || reason.contains("EIP-");
    assert!(skipped.iter().all(reasoned), "{skipped:?}");
}
