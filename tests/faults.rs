//! Faults at every step of a block of 200 transactions: a state that fails,
//! panics or is slow. Each ends in the outcome of sequential execution or in an
//! error that says what happened; the state is as it was, no thread is left
//! behind, and the pool goes on to execute the block. So does a run that is
//! cancelled.

#[path = "faults/cancel.rs"]
mod cancel;
#[path = "support/faulty_state.rs"]
mod faulty_state;
#[path = "faults/panics.rs"]
mod panics;

use std::{
    fs, panic,
    sync::{
        OnceLock,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use faulty_state::{Fault, FaultError, FaultyState, PANIC};
use forewave::{
    AnalyzeError, BlockError, BlockOutcome, CancelToken, Cancellable, ExecutionError, OneByOne,
    PanickedError, Plan, PredictorKind, execute_block, predict, sequential, with_prefetch,
};
use forewave_fixtures::{Scenario, Workload};
use rayon::{ThreadPool, ThreadPoolBuilder};

const TRANSACTIONS: usize = 200;

/// Threads that run, or wait for another, where a fault strikes.
const THREADS: usize = 3;

/// A test that takes longer hangs.
const TEST_TIME_MAX: Duration = Duration::from_mins(5);

/// After how many faults a pool is checked.
const POOL_CHECKED_EVERY: usize = 64;

/// A block whose transactions fail, depend on each other, and call code.
fn workload() -> &'static Workload {
    static WORKLOAD: OnceLock<Workload> = OnceLock::new();
    WORKLOAD.get_or_init(|| Scenario::MixedDefi.generate(TRANSACTIONS, 7))
}

fn truth() -> &'static BlockOutcome {
    static TRUTH: OnceLock<BlockOutcome> = OnceLock::new();
    TRUTH.get_or_init(|| sequential(&workload().block, &workload().state).unwrap())
}

fn plan(predictor: PredictorKind) -> Plan {
    let Workload { block, state } = workload();
    Plan::new(predict(block, state, &predictor).unwrap())
}

fn pool() -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(THREADS).build().unwrap()
}

/// Threads of this process, where the system says so.
fn threads() -> Option<usize> {
    Some(fs::read_dir("/proc/self/task").ok()?.count())
}

/// Ends the process if `work` hangs, and keeps panics that are asked for quiet.
fn guarded(work: impl FnOnce()) {
    static QUIET: OnceLock<()> = OnceLock::new();
    QUIET.get_or_init(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(PANIC) {
                loud(info);
            }
        }));
    });
    let (done, watched) = channel::<()>();
    let watch = thread::spawn(move || {
        if watched.recv_timeout(TEST_TIME_MAX) == Err(RecvTimeoutError::Timeout) {
            eprintln!("a test of faults hangs");
            std::process::abort();
        }
    });
    work();
    drop(done);
    watch.join().unwrap();
}

/// Executes the block over a state with a fault; how often it was read.
#[track_caller]
fn check_execution(plan: &Plan, pool: &ThreadPool, fault: Fault) -> usize {
    let Workload { block, state } = workload();
    let faulty = FaultyState::new(state, fault);
    match plan.execute(block, &faulty, pool) {
        Ok(outcome) => {
            assert_eq!(outcome.first_difference(truth()), None, "{fault:?}");
            let certain = match fault {
                Fault::From(at) | Fault::PanicFrom(at) => faulty.reads() > at,
                _ => false,
            };
            assert!(!certain, "{fault:?} was swallowed");
        }
        Err(
            ExecutionError::State { source: FaultError::Injected(_), .. }
            | ExecutionError::SystemState(FaultError::Injected(_)),
        ) => assert!(matches!(fault, Fault::Once(_) | Fault::From(_)), "{fault:?}"),
        Err(ExecutionError::Panicked(PanickedError { message })) => {
            assert!(matches!(fault, Fault::Panic(_) | Fault::PanicFrom(_)), "{fault:?}");
            assert_eq!(message, PANIC, "{fault:?}");
        }
        Err(other) => panic!("{fault:?}: {other}"),
    }
    faulty.reads()
}

/// Injects a fault at every read of an execution.
fn check_every_step(predictor: PredictorKind, fault: fn(usize) -> Fault) {
    guarded(|| {
        let (plan, pool) = (plan(predictor), pool());
        let before = threads();
        let reads = check_execution(&plan, &pool, Fault::None);
        for at in 0..reads {
            check_execution(&plan, &pool, fault(at));
            if at % POOL_CHECKED_EVERY == 0 {
                check_execution(&plan, &pool, Fault::None);
            }
        }
        check_execution(&plan, &pool, Fault::None);
        // Other tests come and go, but none leaves as many.
        if let (Some(before), Some(after)) = (before, threads()) {
            assert!(after < before + reads, "{before} threads have become {after}");
        }
        assert!(reads > TRANSACTIONS, "{reads}");
    });
}

#[test]
fn a_read_that_fails_once_at_any_step_is_an_error_or_is_made_up_for() {
    for predictor in [PredictorKind::Static, PredictorKind::None] {
        check_every_step(predictor, Fault::Once);
    }
}

#[test]
fn a_state_that_fails_from_any_step_on_is_an_error() {
    check_every_step(PredictorKind::Static, Fault::From);
}

#[test]
fn a_panic_at_any_step_is_an_error() {
    check_every_step(PredictorKind::Static, Fault::Panic);
}

#[test]
fn a_state_that_panics_from_any_step_on_is_an_error() {
    check_every_step(PredictorKind::None, Fault::PanicFrom);
}

#[test]
fn a_slow_state_changes_nothing() {
    guarded(|| {
        let (plan, pool) = (plan(PredictorKind::Static), pool());
        check_execution(&plan, &pool, Fault::Slow(Duration::from_micros(200)));
    });
}

/// Predicts over a state with a fault; how often it was read.
#[track_caller]
fn check_prediction(predictor: PredictorKind, fault: Fault) -> usize {
    let Workload { block, state } = workload();
    let faulty = FaultyState::new(state, fault);
    match predict(block, &faulty, &predictor) {
        Ok(predictions) => {
            assert_eq!(predictions.len(), TRANSACTIONS);
            assert_eq!(fault, Fault::None, "{predictor} swallowed {fault:?}");
        }
        Err(AnalyzeError::State { source, .. }) => {
            assert!(matches!(source, FaultError::Injected(_)), "{predictor} {fault:?}");
            assert!(matches!(fault, Fault::From(_)), "{predictor} {fault:?}");
        }
        Err(AnalyzeError::Panicked(PanickedError { message })) => {
            assert!(matches!(fault, Fault::Panic(_)), "{predictor} {fault:?}");
            assert_eq!(message, PANIC, "{predictor} {fault:?}");
        }
        Err(other) => panic!("{predictor} {fault:?}: {other}"),
    }
    faulty.reads()
}

#[test]
fn a_fault_at_any_step_of_a_prediction_is_an_error() {
    for predictor in PredictorKind::ALL {
        guarded(|| {
            let reads = check_prediction(predictor, Fault::None);
            for at in 0..reads {
                check_prediction(predictor, Fault::From(at));
                check_prediction(predictor, Fault::Panic(at));
            }
        });
    }
}

/// Predicts and executes at once over a state with a fault; how often it was read.
#[track_caller]
fn check_whole(predictor: PredictorKind, pool: &ThreadPool, fault: Fault) -> usize {
    let Workload { block, state } = workload();
    let faulty = FaultyState::new(state, fault);
    match execute_block(block, &faulty, &predictor, pool) {
        Ok(outcome) => {
            assert_eq!(outcome.first_difference(truth()), None, "{fault:?}");
            // How often threads read depends on which of them runs what.
            let certain = match fault {
                Fault::From(at) | Fault::PanicFrom(at) => faulty.reads() > at,
                _ => false,
            };
            assert!(!certain, "{fault:?} was swallowed");
        }
        Err(
            BlockError::Analyze(AnalyzeError::State { source: FaultError::Injected(_), .. })
            | BlockError::Execute(
                ExecutionError::State { source: FaultError::Injected(_), .. }
                | ExecutionError::SystemState(FaultError::Injected(_)),
            ),
        ) => assert!(matches!(fault, Fault::Once(_) | Fault::From(_)), "{fault:?}"),
        Err(
            BlockError::Analyze(AnalyzeError::Panicked(PanickedError { message }))
            | BlockError::Execute(ExecutionError::Panicked(PanickedError { message })),
        ) => {
            assert!(matches!(fault, Fault::Panic(_) | Fault::PanicFrom(_)), "{fault:?}");
            assert_eq!(message, PANIC, "{fault:?}");
        }
        Err(other) => panic!("{fault:?}: {other}"),
    }
    faulty.reads()
}

#[test]
fn the_whole_way_through_fails_as_its_steps_do_and_the_pool_goes_on() {
    guarded(|| {
        let pool = pool();
        let before = threads();
        for predictor in [PredictorKind::Static, PredictorKind::None] {
            let reads = check_whole(predictor, &pool, Fault::None);
            for at in (0..reads).step_by(3) {
                for fault in [Fault::Once, Fault::From, Fault::Panic, Fault::PanicFrom] {
                    check_whole(predictor, &pool, fault(at));
                }
                if at % POOL_CHECKED_EVERY == 0 {
                    check_whole(predictor, &pool, Fault::None);
                }
            }
            check_whole(predictor, &pool, Fault::None);
            // Other tests come and go, but none leaves as many.
            if let (Some(before), Some(after)) = (before, threads()) {
                assert!(after < before + reads, "{before} threads have become {after}");
            }
        }
    });
}

#[test]
fn a_run_that_is_cancelled_while_it_is_predicted_ends_cleanly() {
    guarded(|| {
        let block = &workload().block;
        let pool = pool();
        let reads = check_whole(PredictorKind::Static, &pool, Fault::None);
        for at in (0..reads).step_by(3) {
            let token = CancelToken::new();
            let state = cancelling(&token, at);
            let cancellable = Cancellable::new(&state, &token);
            match execute_block(block, &cancellable, &PredictorKind::Static, &pool) {
                Ok(outcome) => assert_eq!(outcome.first_difference(truth()), None, "{at}"),
                Err(error) => assert!(error.is_cancelled() && token.is_cancelled(), "{error}"),
            }
            // Each thread may have been about to read, and none begins another.
            let late = state.late_reads();
            assert!(late <= THREADS, "{late} after {at}");
        }
        check_whole(PredictorKind::Static, &pool, Fault::None);
    });
}

#[test]
fn a_fault_that_a_fetcher_meets_is_met_again_by_who_needs_the_value() {
    let Workload { block, state } = workload();
    guarded(|| {
        let (plan, pool, fetchers) = (plan(PredictorKind::Static), pool(), pool());
        let run = |fault| {
            let faulty = FaultyState::new(state, fault);
            let faulty_view = OneByOne(&faulty);
            let (outcome, _) = with_prefetch(block, &faulty_view, &[], &fetchers, |state| {
                plan.execute(block, state, &pool)
            });
            match outcome {
                Ok(outcome) => assert_eq!(outcome.first_difference(truth()), None, "{fault:?}"),
                Err(ExecutionError::State { .. } | ExecutionError::SystemState(_)) => {
                    assert!(matches!(fault, Fault::From(_)), "{fault:?}");
                }
                Err(ExecutionError::Panicked(_)) => {
                    assert!(matches!(fault, Fault::PanicFrom(_)), "{fault:?}");
                }
                Err(other) => panic!("{fault:?}: {other}"),
            }
            faulty.reads()
        };
        for at in (0..run(Fault::None)).step_by(3) {
            run(Fault::From(at));
            run(Fault::PanicFrom(at));
        }
        run(Fault::None);
    });
}

/// A state that sets a token at one of its reads, as a deadline would.
fn cancelling(token: &CancelToken, at: usize) -> FaultyState<'_> {
    FaultyState::new(&workload().state, Fault::None).watched(at, token)
}

#[test]
fn a_run_that_is_cancelled_at_any_step_ends_cleanly() {
    guarded(|| {
        let block = &workload().block;
        let (plan, pool) = (plan(PredictorKind::Static), pool());
        let reads = check_execution(&plan, &pool, Fault::None);
        for at in 0..reads {
            let token = CancelToken::new();
            let state = cancelling(&token, at);
            match plan.execute(block, &Cancellable::new(&state, &token), &pool) {
                Ok(outcome) => assert_eq!(outcome.first_difference(truth()), None, "{at}"),
                Err(error) => assert!(error.is_cancelled() && token.is_cancelled(), "{error}"),
            }
            // Each thread may have been about to read, and none begins another.
            let late = state.late_reads();
            assert!(late <= THREADS, "{late} after {at}");
        }
        check_execution(&plan, &pool, Fault::None);
    });
}

#[test]
fn a_prediction_that_is_cancelled_at_any_step_ends_cleanly() {
    guarded(|| {
        let block = &workload().block;
        for predictor in PredictorKind::ALL {
            for at in (0..check_prediction(predictor, Fault::None)).step_by(5) {
                let token = CancelToken::new();
                let state = cancelling(&token, at);
                match predict(block, &Cancellable::new(&state, &token), &predictor) {
                    // The last read has answered.
                    Ok(_) => assert_eq!(state.reads(), at + 1, "{predictor}"),
                    Err(error) => {
                        let error = BlockError::from(error);
                        assert!(error.is_cancelled(), "{predictor} {at}: {error}");
                    }
                }
                assert_eq!(state.reads(), at + 1, "{predictor}");
            }
        }
    });
}

#[test]
fn a_deadline_ends_a_run_on_a_slow_state_and_the_pool_goes_on() {
    guarded(|| {
        let Workload { block, state } = workload();
        let pool = pool();
        let token = CancelToken::new();
        let slow = FaultyState::new(state, Fault::Slow(Duration::from_millis(1)));
        let deadline = token.clone();
        let clock = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            deadline.cancel();
        });
        let cancellable = Cancellable::new(&slow, &token);
        let outcome = execute_block(block, &cancellable, &PredictorKind::Static, &pool);
        assert!(outcome.is_err_and(|error| error.is_cancelled()));
        clock.join().unwrap();
        check_execution(&plan(PredictorKind::Static), &pool, Fault::None);
    });
}

#[test]
fn the_state_is_as_it_was() {
    let Workload { block, state } = Scenario::MixedDefi.generate(TRANSACTIONS, 7);
    let before = state.clone();
    let plan = plan(PredictorKind::Static);
    let pool = pool();
    for at in (0..1000).step_by(50) {
        drop(plan.execute(&block, &FaultyState::new(&state, Fault::From(at)), &pool));
    }
    plan.execute(&block, &state, &pool).unwrap();
    assert!(state.accounts().eq(before.accounts()));
}
