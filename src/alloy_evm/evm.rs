//! An EVM that answers with a result that was worked out before, if it has one.

use core::fmt;

use alloy_evm::{Database, Evm, EvmEnv, EvmFactory};
use alloy_primitives::{Address, Bytes};
use revm::{Inspector, context::result::ResultAndState, inspector::NoOpInspector, state::EvmState};

/// An EVM that can be told the result of its next transaction.
pub trait Prepare: Evm {
    /// The next transaction has this result: it is not run.
    fn prepare(&mut self, result: ResultAndState<Self::HaltReason>);

    /// Takes the changes of what has been run since the last call, system calls included and
    /// prepared results left out, and keeps those of what is run from now on.
    fn take_changes(&mut self) -> Vec<EvmState>;

    /// Keeps no changes of what is run from now on.
    fn drop_changes(&mut self);
}

/// An EVM around another one, whose next result may be [prepared](Prepare).
pub struct PreparedEvm<E: Evm> {
    inner: E,
    prepared: Option<ResultAndState<E::HaltReason>>,
    /// What has been run since it was last asked for, once an executor asks for it.
    changes: Option<Vec<EvmState>>,
}

impl<E: Evm> PreparedEvm<E> {
    const fn new(inner: E) -> Self {
        Self { inner, prepared: None, changes: None }
    }

    /// The EVM inside.
    pub const fn inner(&self) -> &E {
        &self.inner
    }

    /// The EVM inside, to be changed.
    pub const fn inner_mut(&mut self) -> &mut E {
        &mut self.inner
    }

    /// Keeps the changes of what has been run, if they are kept.
    fn keep(&mut self, result: &Result<ResultAndState<E::HaltReason>, E::Error>) {
        if let (Some(changes), Ok(result)) = (&mut self.changes, result) {
            changes.push(result.state.clone());
        }
    }
}

impl<E: Evm> fmt::Debug for PreparedEvm<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_prepared = self.prepared.is_some();
        f.debug_struct("PreparedEvm").field("is_prepared", &is_prepared).finish_non_exhaustive()
    }
}

impl<E: Evm> Prepare for PreparedEvm<E> {
    fn prepare(&mut self, result: ResultAndState<E::HaltReason>) {
        self.prepared = Some(result);
    }

    fn take_changes(&mut self) -> Vec<EvmState> {
        self.changes.replace(Vec::new()).unwrap_or_default()
    }

    fn drop_changes(&mut self) {
        self.changes = None;
    }
}

impl<E: Evm> Evm for PreparedEvm<E> {
    type DB = E::DB;
    type Tx = E::Tx;
    type Error = E::Error;
    type HaltReason = E::HaltReason;
    type Spec = E::Spec;
    type BlockEnv = E::BlockEnv;
    type Precompiles = E::Precompiles;
    type Inspector = E::Inspector;

    fn block(&self) -> &E::BlockEnv {
        self.inner.block()
    }

    fn cfg_env(&self) -> &revm::context::CfgEnv<E::Spec> {
        self.inner.cfg_env()
    }

    fn chain_id(&self) -> u64 {
        self.inner.chain_id()
    }

    fn transact_raw(&mut self, tx: E::Tx) -> Result<ResultAndState<E::HaltReason>, E::Error> {
        if let Some(prepared) = self.prepared.take() {
            return Ok(prepared);
        }
        let result = self.inner.transact_raw(tx);
        self.keep(&result);
        result
    }

    fn transact_system_call(
        &mut self,
        caller: Address,
        contract: Address,
        data: Bytes,
    ) -> Result<ResultAndState<E::HaltReason>, E::Error> {
        let result = self.inner.transact_system_call(caller, contract, data);
        self.keep(&result);
        result
    }

    fn finish(self) -> (E::DB, EvmEnv<E::Spec, E::BlockEnv>) {
        self.inner.finish()
    }

    fn set_inspector_enabled(&mut self, enabled: bool) {
        self.inner.set_inspector_enabled(enabled);
    }

    fn components(&self) -> (&E::DB, &E::Inspector, &E::Precompiles) {
        self.inner.components()
    }

    fn components_mut(&mut self) -> (&mut E::DB, &mut E::Inspector, &mut E::Precompiles) {
        self.inner.components_mut()
    }
}

/// Makes [`PreparedEvm`]s around the EVMs of another factory.
#[derive(Clone, Copy, Debug, Default)]
pub struct PreparedEvmFactory<G> {
    inner: G,
}

impl<G> PreparedEvmFactory<G> {
    /// Around the EVMs of `inner`.
    pub const fn new(inner: G) -> Self {
        Self { inner }
    }

    /// The factory inside.
    pub const fn inner(&self) -> &G {
        &self.inner
    }
}

impl<G: EvmFactory> EvmFactory for PreparedEvmFactory<G> {
    type Evm<DB: Database, I: Inspector<G::Context<DB>>> = PreparedEvm<G::Evm<DB, I>>;
    type Context<DB: Database> = G::Context<DB>;
    type Tx = G::Tx;
    type Error<DBError: revm::context::DBErrorMarker> = G::Error<DBError>;
    type HaltReason = G::HaltReason;
    type Spec = G::Spec;
    type BlockEnv = G::BlockEnv;
    type Precompiles = G::Precompiles;

    fn create_evm<DB: Database>(
        &self,
        db: DB,
        env: EvmEnv<G::Spec, G::BlockEnv>,
    ) -> PreparedEvm<G::Evm<DB, NoOpInspector>> {
        PreparedEvm::new(self.inner.create_evm(db, env))
    }

    fn create_evm_with_inspector<DB: Database, I: Inspector<G::Context<DB>>>(
        &self,
        db: DB,
        env: EvmEnv<G::Spec, G::BlockEnv>,
        inspector: I,
    ) -> PreparedEvm<G::Evm<DB, I>> {
        PreparedEvm::new(self.inner.create_evm_with_inspector(db, env, inspector))
    }
}
