//! A state that one thread at a time may read -> one that all may: each thread reads its own.
//!
//! What a node opens for a block is often a transaction of its database, which can be sent to
//! another thread and not shared. [`PerThread`] opens one for each thread of a pool and one for
//! the thread that calls it.

use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::ThreadPool;
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{Address, B256, StorageKey, StorageValue},
    state::AccountInfo,
};

/// One state for each thread, all of the same block. Reads of a thread of the pool do not wait
/// for those of another; threads outside the pool share one, and threads of another rayon pool
/// share those of this one. A read must not use rayon: the thread could take up another read of
/// its own state, which it holds.
pub struct PerThread<S> {
    /// The last one is that of the threads outside the pool.
    states: Box<[Mutex<S>]>,
}

impl<S> PerThread<S> {
    /// Opens a state for each thread of `pool` and one more, by calling `open` as often.
    pub fn open<E>(pool: &ThreadPool, mut open: impl FnMut() -> Result<S, E>) -> Result<Self, E> {
        let states = (0..=pool.current_num_threads()).map(|_| open().map(Mutex::new));
        Ok(Self { states: states.collect::<Result<_, E>>()? })
    }

    fn of_this_thread(&self) -> MutexGuard<'_, S> {
        let outside = self.states.len() - 1;
        let thread = rayon::current_thread_index().map_or(outside, |thread| thread % outside);
        self.states[thread].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> fmt::Debug for PerThread<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerThread").field("states", &self.states.len()).finish()
    }
}

impl<S: DatabaseRef> DatabaseRef for PerThread<S> {
    type Error = S::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, S::Error> {
        self.of_this_thread().basic_ref(address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, S::Error> {
        self.of_this_thread().code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, S::Error> {
        self.of_this_thread().storage_ref(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, S::Error> {
        self.of_this_thread().block_hash_ref(number)
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;
    use crate::{MemoryState, StateError};

    /// Can be sent, and not shared.
    struct Unshared(MemoryState, Cell<u64>);

    impl DatabaseRef for Unshared {
        type Error = StateError;

        fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
            self.1.set(self.1.get() + 1);
            self.0.basic_ref(address)
        }

        fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, StateError> {
            self.0.code_by_hash_ref(code_hash)
        }

        fn storage_ref(
            &self,
            address: Address,
            key: StorageKey,
        ) -> Result<StorageValue, StateError> {
            self.0.storage_ref(address, key)
        }

        fn block_hash_ref(&self, number: u64) -> Result<B256, StateError> {
            self.0.block_hash_ref(number)
        }
    }

    #[test]
    fn each_thread_reads_its_own_state() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let open = || Ok::<_, StateError>(Unshared(MemoryState::default(), Cell::new(0)));
        let shared = PerThread::open(&pool, open).unwrap();
        shared.basic_ref(Address::ZERO).unwrap();
        pool.broadcast(|_| shared.basic_ref(Address::ZERO).unwrap());
        let reads = shared.states.iter().map(|state| state.lock().unwrap().1.get());
        assert_eq!(reads.collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn a_state_that_cannot_be_opened_is_an_error() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let error = PerThread::open(&pool, || Err::<MemoryState, _>("closed")).unwrap_err();
        assert_eq!(error, "closed");
    }
}
