//! The predictors that interpret no code: `none` and `access-list`.
//!
//! [`ProtocolPredictor`] gives what the protocol itself does with a
//! transaction, [`AccessListPredictor`] adds what the transaction declares
//! (EIP-2930). An access list does not say what is written, so its slots are
//! taken as written. Neither carries anything from one transaction of the
//! block to the next, except the authorizations' nonces that cannot be known
//! otherwise: a sender's nonce is its transaction's.

use core::ops::Range;

use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::TxEnv,
    context_interface::{
        Cfg, Transaction as _,
        transaction::{AccessListItemTr, AuthorizationTr},
    },
    precompile::{Precompile, PrecompileSpecId, Precompiles},
    primitives::{Address, TxKind, U256},
    state::AccountInfo,
};

use crate::{
    AccessKind, AccessSetBuilder, AnalyzeError, Block, Location, PredictedAccess, Predictor,
    predict_each,
};

/// The predictor `none`: what the protocol touches around the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtocolPredictor;

/// The predictor `access-list`: [`ProtocolPredictor`], and the access list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessListPredictor;

impl<DB: DatabaseRef> Predictor<DB> for ProtocolPredictor {
    fn predict_range(
        &self,
        block: &Block,
        state: &DB,
        transactions: Range<usize>,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        predict_with(block, state, transactions, |_, _| {})
    }

    fn knows_code(&self) -> bool {
        false
    }
}

impl<DB: DatabaseRef> Predictor<DB> for AccessListPredictor {
    fn predict_range(
        &self,
        block: &Block,
        state: &DB,
        transactions: Range<usize>,
    ) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
        predict_with(block, state, transactions, declared_accesses)
    }
}

fn predict_with<DB: DatabaseRef>(
    block: &Block,
    state: &DB,
    transactions: Range<usize>,
    declared: impl Fn(&TxEnv, &mut AccessSetBuilder),
) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
    let view = Protocol::new(block, state);
    predict_each(block, transactions, |tx| {
        let mut set = AccessSetBuilder::new();
        view.accesses(tx, &mut |kind, location| {
            set.add(kind, location);
        })?;
        declared(tx, &mut set);
        Ok(PredictedAccess::exact(set.build(), tx.gas_limit))
    })
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

/// What the protocol does around a transaction's code.
#[derive(Debug)]
pub(crate) struct Protocol<'a, DB> {
    block: &'a Block,
    state: &'a DB,
    precompiles: &'static Precompiles,
}

/// Takes one access.
type Touch<'t> = dyn FnMut(AccessKind, Location) + 't;

impl<'a, DB: DatabaseRef> Protocol<'a, DB> {
    pub(crate) fn new(block: &'a Block, state: &'a DB) -> Self {
        let precompiles = Precompiles::new(PrecompileSpecId::from_spec_id(block.spec()));
        Self { block, state, precompiles }
    }

    pub(crate) fn precompile(&self, address: &Address) -> Option<&'static Precompile> {
        self.precompiles.get(address)
    }

    pub(crate) fn is_precompile(&self, address: &Address) -> bool {
        self.precompiles.contains(address)
    }

    /// Hands out every access of the protocol.
    pub(crate) fn accesses(&self, tx: &TxEnv, touch: &mut Touch<'_>) -> Result<(), DB::Error> {
        for field in [Location::Balance(tx.caller), Location::Nonce(tx.caller)] {
            touch(AccessKind::Read, field);
            touch(AccessKind::Write, field);
        }
        // EIP-3607: only accounts without code, or delegated, may send.
        touch(AccessKind::Read, Location::Code(tx.caller));
        touch(AccessKind::Delta, Location::Balance(self.block.env.beneficiary));
        self.authorities(tx, touch)?;
        match tx.kind {
            TxKind::Call(to) if self.precompiles.contains(&to) => {}
            TxKind::Call(to) => self.recipient(tx, to, touch)?,
            TxKind::Create => created(tx, touch),
        }
        Ok(())
    }

    /// Whom the transaction itself lets an account delegate to (EIP-7702).
    pub(crate) fn delegated(tx: &TxEnv, to: Address) -> Option<Address> {
        tx.authorization_list.iter().rev().find_map(|authorization| {
            (authorization.authority() == Some(to)).then(|| authorization.address())
        })
    }

    /// The recipient's code, and the code it delegates to (EIP-7702).
    fn recipient(&self, tx: &TxEnv, to: Address, touch: &mut Touch<'_>) -> Result<(), DB::Error> {
        touch(AccessKind::Read, Location::Code(to));
        let delegate = match Self::delegated(tx, to) {
            Some(delegate) => Some(delegate),
            None => self.code(&self.state.basic_ref(to)?.unwrap_or_default())?.eip7702_address(),
        };
        if let Some(delegate) = delegate.filter(|delegate| !self.precompiles.contains(delegate)) {
            touch(AccessKind::Read, Location::Code(delegate));
        }
        if !tx.value.is_zero() && to != tx.caller {
            touch(AccessKind::Delta, Location::Balance(to));
        }
        Ok(())
    }

    /// The accounts that the authorizations delegate (EIP-7702). Whether one
    /// applies depends on a nonce, which is taken from the state before the
    /// block, or, for the sender, from the transaction.
    fn authorities(&self, tx: &TxEnv, touch: &mut Touch<'_>) -> Result<(), DB::Error> {
        let chain_id = U256::from(self.block.cfg.chain_id());
        let mut applied: Vec<Address> = Vec::new();
        for authorization in &tx.authorization_list {
            let named = authorization.chain_id();
            if (!named.is_zero() && named != chain_id) || authorization.nonce() == u64::MAX {
                continue;
            }
            let Some(authority) = authorization.authority() else { continue };
            let (nonce, code) = (Location::Nonce(authority), Location::Code(authority));
            touch(AccessKind::Read, nonce);
            touch(AccessKind::Read, code);
            let info = self.state.basic_ref(authority)?.unwrap_or_default();
            let held = self.code(&info)?;
            if info.is_empty() {
                // Gas is refunded for an authority that exists.
                touch(AccessKind::Read, Location::Balance(authority));
            }
            let before =
                if authority == tx.caller { tx.nonce.saturating_add(1) } else { info.nonce };
            let earlier = applied.iter().filter(|other| **other == authority).count();
            let expected = before.saturating_add(earlier as u64);
            if (held.is_empty() || held.is_eip7702()) && authorization.nonce() == expected {
                touch(AccessKind::Write, nonce);
                touch(AccessKind::Write, code);
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
fn created(tx: &TxEnv, touch: &mut Touch<'_>) {
    let address = tx.caller.create(tx.nonce);
    for field in [Location::Nonce(address), Location::Code(address)] {
        touch(AccessKind::Read, field);
        touch(AccessKind::Write, field);
    }
    if !tx.value.is_zero() {
        touch(AccessKind::Delta, Location::Balance(address));
    }
}
