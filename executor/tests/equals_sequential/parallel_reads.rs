//! A state whose reads use rayon themselves, on the threads that run the block: no
//! thread waits for another that waits for it.

use core::time::Duration;
use std::{sync::mpsc, thread};

use forewave_analyzer::{Block, MemoryState, StateError};
use forewave_executor::{OneByOne, RunPlan, execute, sequential, with_prefetch};
use rayon::{ThreadPool, ThreadPoolBuilder};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{Address, B256, StorageKey, StorageValue, hardfork::SpecId},
    state::AccountInfo,
};

use crate::{
    common::{Program, account, block, call, deploy, funded},
    nothing_predicted, plan_of,
};

/// Reads two halves at once and waits for both, long enough for other jobs to be taken.
pub(crate) struct InHalves(pub(crate) MemoryState);

impl InHalves {
    fn read<T>(&self, read: impl FnOnce(&MemoryState) -> T) -> T {
        let half = || thread::sleep(Duration::from_micros(50));
        rayon::join(half, half);
        read(&self.0)
    }
}

impl DatabaseRef for InHalves {
    type Error = StateError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        self.read(|state| state.basic_ref(address))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, StateError> {
        self.read(|state| state.code_by_hash_ref(code_hash))
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, StateError> {
        self.read(|state| state.storage_ref(address, key))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StateError> {
        self.read(|state| state.block_hash_ref(number))
    }
}

/// Fails if the work does not end.
fn ends(what: &str, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    let ended = ended.recv_timeout(Duration::from_mins(2));
    assert_ne!(ended, Err(mpsc::RecvTimeoutError::Timeout), "{what} hangs");
    worker.join().expect(what);
}

fn counters() -> (Block, MemoryState) {
    let mut state = funded();
    for n in 30..34 {
        deploy(&mut state, account(n), Program::new().increment(0).increment(1).build());
    }
    let calls = (0..64).map(|n| call(n % 8 + 1, u64::from(n / 8), account(30 + n % 4), 0, &[]));
    (block(SpecId::CANCUN, calls.collect()), state)
}

/// Runs the block by every plan.
fn run_all(pool: &ThreadPool) {
    let (block, state) = counters();
    let truth = sequential(&block, &state).expect("a valid block");
    let state = InHalves(state);
    for plan in plans(&block) {
        let outcome = execute(&block, &state, &plan, pool).expect("a valid block");
        assert_eq!(outcome.first_difference(&truth), None);
    }
}

/// On all threads: as if nothing conflicted, and in block order.
fn plans(block: &Block) -> [RunPlan; 2] {
    let in_order = RunPlan::in_block_order(block).on_all_threads();
    [plan_of(block, &nothing_predicted(block)), in_order]
}

#[test]
fn a_state_may_use_rayon_on_the_threads_that_run_the_block() {
    for threads in [1, 2, 3, 8] {
        ends(&format!("{threads} threads"), move || {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            run_all(&pool);
            // From a thread of the pool's own, and two blocks at a time.
            pool.install(|| run_all(&pool));
            thread::scope(|scope| {
                scope.spawn(|| run_all(&pool));
                run_all(&pool);
            });
        });
    }
}

#[test]
fn fetchers_may_read_with_rayon() {
    for threads in [1, 2, 8] {
        ends(&format!("{threads} fetchers"), move || {
            let pool = ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
            let fetchers = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let (block, state) = counters();
            let truth = sequential(&block, &state).expect("a valid block");
            let state = InHalves(state);
            let view = OneByOne(&state);
            let (outcome, _) = with_prefetch(&block, &view, &[], &fetchers, |state| {
                execute(&block, state, &plans(&block)[1], &pool)
            });
            assert_eq!(outcome.expect("a valid block").first_difference(&truth), None);
        });
    }
}
