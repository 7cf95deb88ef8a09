//! A run that is to end before it is done: a builder's deadline has passed, a
//! better parent has come.
//!
//! Everything that works on a block (predictors, `execute`, `sequential`, the
//! fetchers) learns what it does from the state. So a state that refuses to
//! answer ends all of them, on every thread, the way any failing state does:
//! with an error, nothing changed and no thread left behind. [`Cancellable`] is
//! such a state. The caller sets the [`CancelToken`], or makes it with a deadline.
//!
//! What is under way when the token is set runs on to its next read. A block that
//! finds all it needs in what it has read before has none, so an execution that is
//! given the token ([`Workers::until`](crate::Workers::until),
//! [`sequential_until`](crate::sequential_until), [`FillLoop::until`](crate::FillLoop::until)) also looks at it before each
//! transaction: it ends with the transaction at which it is, which the transaction's
//! gas bounds.

use core::sync::atomic::{AtomicBool, Ordering};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::DBErrorMarker,
    primitives::{Address, B256, StorageKey, StorageValue},
    state::AccountInfo,
};

use crate::ExecutionError;

/// Ends what runs with it, once and for all: when it is set, or at a time. Its clones are the
/// same token.
///
/// ```
/// use std::time::Duration;
/// use forewave_executor::CancelToken;
///
/// let token = CancelToken::after(Duration::from_secs(3600));
/// assert!(!token.is_cancelled());
/// token.clone().cancel();
/// assert!(token.is_cancelled());
/// assert!(CancelToken::after(Duration::ZERO).is_cancelled());
/// ```
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    is_set: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl CancelToken {
    /// A token that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that sets itself at a time. The clock is looked at whenever the token is.
    pub fn at(deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..Self::default() }
    }

    /// A token that sets itself after so long. What is beyond the clock never comes.
    pub fn after(duration: Duration) -> Self {
        Self { deadline: Instant::now().checked_add(duration), ..Self::default() }
    }

    /// Sets the token, from any thread.
    pub fn cancel(&self) {
        self.is_set.store(true, Ordering::Relaxed);
    }

    /// Whether it is set.
    pub fn is_cancelled(&self) -> bool {
        let has_come = |deadline| Instant::now() >= deadline;
        self.is_set.load(Ordering::Relaxed) || self.deadline.is_some_and(has_come)
    }
}

/// What ends a run between two transactions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadline<'a>(Option<&'a CancelToken>);

impl<'a> Deadline<'a> {
    pub(crate) const fn new(token: Option<&'a CancelToken>) -> Self {
        Self(token)
    }

    /// An error if it has come.
    pub(crate) fn check<E: core::error::Error + 'static>(self) -> Result<(), ExecutionError<E>> {
        let has_come = self.0.is_some_and(CancelToken::is_cancelled);
        if has_come { Err(ExecutionError::Cancelled) } else { Ok(()) }
    }
}

/// Why a [`Cancellable`] state did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancellableError<E: core::error::Error + 'static> {
    /// The token is set.
    #[error("the run was cancelled")]
    Cancelled,
    /// The state itself could not.
    #[error(transparent)]
    State(E),
}

impl<E: core::error::Error + Send + Sync + 'static> DBErrorMarker for CancellableError<E> {}

impl<E: core::error::Error + 'static> ExecutionError<CancellableError<E>> {
    /// Whether the run ended because its token was set.
    pub const fn is_cancelled(&self) -> bool {
        use CancellableError::Cancelled;
        matches!(
            self,
            Self::Cancelled | Self::State { source: Cancelled, .. } | Self::SystemState(Cancelled)
        )
    }
}

/// A state that answers until its token is set.
#[derive(Debug)]
pub struct Cancellable<'a, DB> {
    state: &'a DB,
    token: &'a CancelToken,
}

impl<'a, DB: DatabaseRef> Cancellable<'a, DB> {
    /// `state`, until `token` is set.
    pub const fn new(state: &'a DB, token: &'a CancelToken) -> Self {
        Self { state, token }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&DB) -> Result<T, DB::Error>,
    ) -> Result<T, CancellableError<DB::Error>> {
        if self.token.is_cancelled() {
            return Err(CancellableError::Cancelled);
        }
        read(self.state).map_err(CancellableError::State)
    }
}

impl<DB: DatabaseRef<Error: Send + Sync>> DatabaseRef for Cancellable<'_, DB> {
    type Error = CancellableError<DB::Error>;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        self.read(|state| state.basic_ref(address))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Self::Error> {
        self.read(|state| state.code_by_hash_ref(code_hash))
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, Self::Error> {
        self.read(|state| state.storage_ref(address, key))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Self::Error> {
        self.read(|state| state.block_hash_ref(number))
    }
}

#[cfg(test)]
mod tests {
    use forewave_analyzer::MemoryState;

    use super::*;

    #[test]
    fn a_deadline_sets_its_token() {
        let now = Instant::now();
        assert!(CancelToken::at(now).clone().is_cancelled());
        assert!(!CancelToken::at(now + core::time::Duration::from_hours(1)).is_cancelled());
    }

    #[test]
    fn a_state_answers_until_its_token_is_set() {
        let (state, token) = (MemoryState::default(), CancelToken::new());
        let cancellable = Cancellable::new(&state, &token);
        assert_eq!(cancellable.basic_ref(Address::ZERO), Ok(None));
        let missing = cancellable.block_hash_ref(7).unwrap_err();
        assert_eq!(missing.to_string(), state.block_hash_ref(7).unwrap_err().to_string());
        token.clone().cancel();
        assert_eq!(cancellable.basic_ref(Address::ZERO), Err(CancellableError::Cancelled));
        let slot = cancellable.storage_ref(Address::ZERO, StorageKey::ZERO);
        assert_eq!(slot, Err(CancellableError::Cancelled));
    }
}
