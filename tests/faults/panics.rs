//! What panics apart from a state: a predictor, and a thread of the pool while
//! the calling one goes on.

use core::ops::Range;

use forewave::{
    AnalyzeError, Block, ExecutionError, PanickedError, PredictedAccess, Predictor, PredictorKind,
    execute, execute_block,
};
use forewave_fixtures::Workload;
use revm::DatabaseRef;

use crate::{
    POOL_CHECKED_EVERY, check_execution,
    faulty_state::{Fault, FaultyState, PANIC},
    guarded, plan, pool, threads, truth, workload,
};

/// A predictor that panics.
struct Panicking;

impl<DB: DatabaseRef> Predictor<DB> for Panicking {
    fn predict_range(
        &self,
        _: &Block,
        _: &DB,
        _: Range<usize>,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        panic!("{PANIC}")
    }
}

#[test]
fn a_predictor_that_panics_is_an_error_and_the_pool_goes_on() {
    let Workload { block, state } = workload();
    guarded(|| {
        let pool = pool();
        for _ in 0..POOL_CHECKED_EVERY {
            let error = execute_block(block, state, &Panicking, &pool).unwrap_err();
            assert!(error.to_string().contains(PANIC), "{error}");
        }
        check_execution(&plan(PredictorKind::Static), &pool, Fault::None);
    });
}

#[test]
fn a_panic_on_the_pools_own_threads_alone_is_an_error_and_the_pool_goes_on() {
    guarded(|| {
        let (plan, pool) = (plan(PredictorKind::None), pool());
        let before = threads();
        let block = &workload().block;
        let run_plan = plan.run_plan(block).on_all_threads();
        let mut panics = 0;
        for _ in 0..POOL_CHECKED_EVERY {
            let state = FaultyState::new(&workload().state, Fault::PanicOnPool);
            match execute(block, &state, &run_plan, &pool) {
                // The calling thread was done before the others read anything.
                Ok(outcome) => assert_eq!(outcome.first_difference(truth()), None),
                Err(error) => {
                    let message = PANIC.to_owned();
                    assert_eq!(error, ExecutionError::Panicked(PanickedError { message }));
                    panics += 1;
                }
            }
        }
        assert!(panics > 0, "no thread of the pool has read anything");
        check_execution(&plan, &pool, Fault::None);
        if let (Some(before), Some(after)) = (before, threads()) {
            assert!(after < before + POOL_CHECKED_EVERY, "{before} threads have become {after}");
        }
    });
}
