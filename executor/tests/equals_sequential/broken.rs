//! Blocks of plain transfers over a state that fails, or is cancelled, at any of
//! their reads.

use core::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use forewave_analyzer::{MemoryState, StateError};
use forewave_executor::{CancelToken, Cancellable, ExecutionError, Workers, execute, sequential};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::DBErrorMarker,
    primitives::{Address, B256, StorageKey, StorageValue, hardfork::SpecId},
    state::AccountInfo,
};

use crate::{
    common::{account, block, call, funded},
    nothing_predicted, plan_of, pool,
};

/// A state that fails, or sets a token, at one of its reads.
struct Watched<'a> {
    state: &'a MemoryState,
    at: usize,
    reads: AtomicUsize,
    token: Option<&'a CancelToken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it broke on purpose")
    }
}

impl core::error::Error for Broken {}
impl DBErrorMarker for Broken {}
impl From<StateError> for Broken {
    fn from(error: StateError) -> Self {
        panic!("{error}")
    }
}

impl<'a> Watched<'a> {
    const fn new(state: &'a MemoryState, at: usize, token: Option<&'a CancelToken>) -> Self {
        Self { state, at, reads: AtomicUsize::new(0), token }
    }

    fn read(&self) -> Result<&MemoryState, Broken> {
        let is_here = self.reads.fetch_add(1, Ordering::Relaxed) >= self.at;
        match self.token {
            Some(token) if is_here => token.cancel(),
            None if is_here => return Err(Broken),
            _ => {}
        }
        Ok(self.state)
    }
}

impl DatabaseRef for Watched<'_> {
    type Error = Broken;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Broken> {
        Ok(self.read()?.basic_ref(address)?)
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, Broken> {
        Ok(self.read()?.code_by_hash_ref(hash)?)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, Broken> {
        Ok(self.read()?.storage_ref(address, key)?)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Broken> {
        Ok(self.read()?.block_hash_ref(number)?)
    }
}

#[test]
fn a_state_that_fails_from_any_read_on_is_an_error_and_a_cancelled_run_ends() {
    let transactions = (1..9).map(|n| call(n, 0, account(n + 20), 5, &[])).collect();
    let (block, state) = (block(SpecId::PRAGUE, transactions), funded());
    let expected = sequential(&block, &state).unwrap();
    let plan = plan_of(&block, &nothing_predicted(&block));
    for threads in [1, 3] {
        let pool = pool(threads);
        let whole = Watched::new(&state, usize::MAX, None);
        let run = |state: &Watched<'_>| execute(&block, state, &plan, &pool);
        assert_eq!(run(&whole).unwrap().first_difference(&expected), None);
        for at in 0..whole.reads.into_inner() {
            let error = run(&Watched::new(&state, at, None)).unwrap_err();
            let is_right = matches!(
                error,
                ExecutionError::State { source: Broken, .. } | ExecutionError::SystemState(Broken)
            );
            assert!(is_right, "read {at}: {error}");
            let token = CancelToken::new();
            let watched = Watched::new(&state, at, Some(&token));
            let cancellable = Cancellable::new(&watched, &token);
            let workers = Workers::new(&pool).until(&token);
            match execute(&block, &cancellable, &plan, workers) {
                Ok(outcome) => assert_eq!(outcome.first_difference(&expected), None),
                Err(error) => assert!(error.is_cancelled(), "read {at}: {error}"),
            }
        }
    }
}
