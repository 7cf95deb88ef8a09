//! The predictors that interpret no code: `none` and `access-list`.
//!
//! [`ProtocolPredictor`] gives what the protocol itself does with a
//! transaction, [`AccessListPredictor`] adds what the transaction declares
//! (EIP-2930). An access list does not say what is written, so its slots are
//! taken as written. Neither carries anything from one transaction of the
//! block to the next, except the authorizations' nonces that cannot be known
//! otherwise: a sender's nonce is its transaction's.

use core::ops::ControlFlow;

use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::TxEnv,
    context_interface::{
        Cfg, Transaction as _,
        transaction::{AccessListItemTr, AuthorizationTr},
    },
    precompile::{PrecompileSpecId, Precompiles},
    primitives::{Address, TxKind, U256},
    state::AccountInfo,
};

use crate::{AccessSetBuilder, AnalyzeError, Block, Location, PredictedAccess, Predictor};

/// The predictor `none`: what the protocol touches around the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtocolPredictor;

/// The predictor `access-list`: [`ProtocolPredictor`], and the access list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessListPredictor;

impl ProtocolPredictor {
    /// The prediction of one transaction, which none of the others has a part in.
    pub fn predict_one<DB: DatabaseRef>(
        block: &Block,
        state: &DB,
        tx: &TxEnv,
    ) -> Result<PredictedAccess, DB::Error> {
        let mut set = AccessSetBuilder::new();
        Protocol::new(block, state).accesses(tx, &mut set)?;
        Ok(PredictedAccess::exact(set.build(), tx.gas_limit))
    }
}

impl<DB: DatabaseRef> Predictor<DB> for ProtocolPredictor {
    fn predict_each(
        &self,
        block: &Block,
        state: &DB,
        each: &mut dyn FnMut(PredictedAccess) -> ControlFlow<()>,
    ) -> Result<(), AnalyzeError<DB::Error>> {
        predict_with(block, state, |_, _| {}, each)
    }
}

impl<DB: DatabaseRef> Predictor<DB> for AccessListPredictor {
    fn predict_each(
        &self,
        block: &Block,
        state: &DB,
        each: &mut dyn FnMut(PredictedAccess) -> ControlFlow<()>,
    ) -> Result<(), AnalyzeError<DB::Error>> {
        predict_with(block, state, declared_accesses, each)
    }
}

fn predict_with<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    declared: impl Fn(&TxEnv, &mut AccessSetBuilder),
    each: &mut dyn FnMut(PredictedAccess) -> ControlFlow<()>,
) -> Result<(), AnalyzeError<DB::Error>> {
    let view = Protocol::new(block, state);
    for (tx, env) in block.indexed() {
        let mut set = AccessSetBuilder::new();
        view.accesses(env, &mut set).map_err(|source| AnalyzeError::State { tx, source })?;
        declared(env, &mut set);
        if each(PredictedAccess::exact(set.build(), env.gas_limit)).is_break() {
            break;
        }
    }
    Ok(())
}

/// The slots of the access list, as reads and writes, and its accounts' code.
fn declared_accesses(tx: &TxEnv, set: &mut AccessSetBuilder) {
    for item in tx.access_list().into_iter().flatten() {
        let address = *item.address();
        set.read(Location::Code(address));
        for key in item.storage_slots() {
            let location = Location::Storage(address, (*key).into());
            set.read(location).write(location);
        }
    }
}

struct Protocol<'a, DB> {
    block: &'a Block,
    state: &'a DB,
    precompiles: &'static Precompiles,
}

impl<'a, DB: DatabaseRef> Protocol<'a, DB> {
    fn new(block: &'a Block, state: &'a DB) -> Self {
        let precompiles = Precompiles::new(PrecompileSpecId::from_spec_id(block.spec()));
        Self { block, state, precompiles }
    }

    fn accesses(&self, tx: &TxEnv, set: &mut AccessSetBuilder) -> Result<(), DB::Error> {
        for field in [Location::Balance(tx.caller), Location::Nonce(tx.caller)] {
            set.read(field).write(field);
        }
        // EIP-3607: only accounts without code, or delegated, may send.
        set.read(Location::Code(tx.caller));
        set.delta(Location::Balance(self.block.env.beneficiary));
        self.authorities(tx, set)?;
        match tx.kind {
            TxKind::Call(to) if self.precompiles.contains(&to) => {}
            TxKind::Call(to) => self.recipient(tx, to, set)?,
            TxKind::Create => created(tx, set),
        }
        Ok(())
    }

    /// The recipient's code, and the code it delegates to (EIP-7702).
    fn recipient(
        &self,
        tx: &TxEnv,
        to: Address,
        set: &mut AccessSetBuilder,
    ) -> Result<(), DB::Error> {
        set.read(Location::Code(to));
        let delegated = tx.authorization_list.iter().rev().find_map(|authorization| {
            (authorization.authority() == Some(to)).then(|| authorization.address())
        });
        let delegate = match delegated {
            Some(delegate) => Some(delegate),
            None => self.code(&self.state.basic_ref(to)?.unwrap_or_default())?.eip7702_address(),
        };
        if let Some(delegate) = delegate.filter(|delegate| !self.precompiles.contains(delegate)) {
            set.read(Location::Code(delegate));
        }
        if !tx.value.is_zero() && to != tx.caller {
            set.delta(Location::Balance(to));
        }
        Ok(())
    }

    /// The accounts that the authorizations delegate (EIP-7702). Whether one
    /// applies depends on a nonce, which is taken from the state before the
    /// block, or, for the sender, from the transaction.
    fn authorities(&self, tx: &TxEnv, set: &mut AccessSetBuilder) -> Result<(), DB::Error> {
        let chain_id = U256::from(self.block.cfg.chain_id());
        let mut applied: Vec<Address> = Vec::new();
        for authorization in &tx.authorization_list {
            let named = authorization.chain_id();
            if (!named.is_zero() && named != chain_id) || authorization.nonce() == u64::MAX {
                continue;
            }
            let Some(authority) = authorization.authority() else { continue };
            let (nonce, code) = (Location::Nonce(authority), Location::Code(authority));
            set.read(nonce).read(code);
            let info = self.state.basic_ref(authority)?.unwrap_or_default();
            let held = self.code(&info)?;
            if info.is_empty() {
                // Gas is refunded for an authority that exists.
                set.read(Location::Balance(authority));
            }
            let before =
                if authority == tx.caller { tx.nonce.saturating_add(1) } else { info.nonce };
            let earlier = applied.iter().filter(|other| **other == authority).count();
            let expected = before.saturating_add(earlier as u64);
            if (held.is_empty() || held.is_eip7702()) && authorization.nonce() == expected {
                set.write(nonce).write(code);
                applied.push(authority);
            }
        }
        Ok(())
    }

    fn code(&self, info: &AccountInfo) -> Result<Bytecode, DB::Error> {
        match &info.code {
            Some(code) => Ok(code.clone()),
            None if info.is_empty_code_hash() || info.code_hash.is_zero() => {
                Ok(Bytecode::default())
            }
            None => self.state.code_by_hash_ref(info.code_hash),
        }
    }
}

/// The created account: checked for a collision (EIP-684), then given nonce,
/// code and endowment.
fn created(tx: &TxEnv, set: &mut AccessSetBuilder) {
    let address = tx.caller.create(tx.nonce);
    for field in [Location::Nonce(address), Location::Code(address)] {
        set.read(field).write(field);
    }
    if !tx.value.is_zero() {
        set.delta(Location::Balance(address));
    }
}
