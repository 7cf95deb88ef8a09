//! A state that counts its reads and fails, panics or dawdles at a chosen one.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::{thread, time::Duration};

use forewave::{CancelToken, MemoryState, StateError};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::DBErrorMarker,
    primitives::{Address, B256, StorageKey, StorageValue},
    state::AccountInfo,
};

/// What the panicking state says.
pub(crate) const PANIC: &str = "the state panicked on purpose";

/// What goes wrong, and at which read, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// One read fails; the same read succeeds when it is tried again.
    Once(usize),
    /// This read and all after it fail.
    From(usize),
    /// One read panics.
    Panic(usize),
    /// This read and all after it panic.
    PanicFrom(usize),
    /// Every read on a thread of a pool panics.
    PanicOnPool,
    /// Every read takes this long.
    Slow(Duration),
}

/// An error that was asked for, or the state's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FaultError {
    #[error("read {0} failed on purpose")]
    Injected(usize),
    #[error(transparent)]
    State(#[from] StateError),
}

impl DBErrorMarker for FaultError {}

/// A state with a fault.
#[derive(Debug)]
pub(crate) struct FaultyState<'a> {
    state: &'a MemoryState,
    fault: Fault,
    reads: AtomicUsize,
    /// Set at this read.
    token: Option<(usize, &'a CancelToken)>,
    /// Reads that began when it was set.
    late: AtomicUsize,
}

impl<'a> FaultyState<'a> {
    pub(crate) const fn new(state: &'a MemoryState, fault: Fault) -> Self {
        Self { state, fault, reads: AtomicUsize::new(0), token: None, late: AtomicUsize::new(0) }
    }

    /// The same state, which sets `token` at read `at`.
    pub(crate) const fn watched(self, at: usize, token: &'a CancelToken) -> Self {
        Self { token: Some((at, token)), ..self }
    }

    /// How often it was read.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    /// How often it was read after the token was set.
    pub(crate) fn late_reads(&self) -> usize {
        self.late.load(Ordering::Relaxed)
    }

    fn read(&self) -> Result<&'a MemoryState, FaultError> {
        if self.token.is_some_and(|(_, token)| token.is_cancelled()) {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
        let read = self.reads.fetch_add(1, Ordering::Relaxed);
        if let Some((at, token)) = self.token
            && read == at
        {
            token.cancel();
        }
        match self.fault {
            Fault::Once(at) if read == at => return Err(FaultError::Injected(read)),
            Fault::From(at) if read >= at => return Err(FaultError::Injected(read)),
            Fault::Panic(at) if read == at => panic!("{PANIC}"),
            Fault::PanicFrom(at) if read >= at => panic!("{PANIC}"),
            Fault::PanicOnPool if rayon::current_thread_index().is_some() => panic!("{PANIC}"),
            Fault::Slow(time) => thread::sleep(time),
            _ => {}
        }
        Ok(self.state)
    }
}

impl DatabaseRef for FaultyState<'_> {
    type Error = FaultError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, FaultError> {
        Ok(self.read()?.basic_ref(address)?)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, FaultError> {
        Ok(self.read()?.code_by_hash_ref(code_hash)?)
    }

    fn storage_ref(&self, address: Address, key: StorageKey) -> Result<StorageValue, FaultError> {
        Ok(self.read()?.storage_ref(address, key)?)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, FaultError> {
        Ok(self.read()?.block_hash_ref(number)?)
    }
}
