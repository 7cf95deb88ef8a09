//! The predictors that interpret no code: `none` and `access-list`.
//!
//! [`ProtocolPredictor`] gives what the protocol itself does with a
//! transaction, [`AccessListPredictor`] adds what the transaction declares
//! (EIP-2930). An access list does not say what is written, so its slots are
//! taken as written; beyond [`DECLARED_KEYS_MAX`] keys it stands for whole contracts. Neither carries anything from one transaction of the
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
    AccessKind, AccessSetBuilder, AnalyzeError, Block, Location, PredictedAccess, Predictor, Scope,
    WidenedAccess, predict_each,
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
        predict_with(block, state, transactions, |_, _| Vec::new())
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
    declared: impl Fn(&TxEnv, &mut AccessSetBuilder) -> Vec<WidenedAccess>,
) -> Result<Vec<PredictedAccess>, AnalyzeError<DB::Error>> {
    let view = Protocol::new(block, state);
    predict_each(block, transactions, |tx| {
        let mut set = AccessSetBuilder::new();
        view.accesses(tx, &mut |kind, location| {
            set.add(kind, location);
        })?;
        let widened = declared(tx, &mut set);
        Ok(PredictedAccess::exact(set.build(), tx.gas_limit).with_widened(widened))
    })
}

/// Declared keys, and declared accounts, of one transaction (EIP-2930) that are looked at one by one. To declare a key is no
/// promise to touch it, so that a list can name thousands for nothing; of the lists of 60 real
/// blocks the longest has 111 keys.
pub const DECLARED_KEYS_MAX: usize = 256;

/// The slots of the access list, as reads and writes, and its accounts' code. Gives what stands for the
/// slots that are too many to be named.
fn declared_accesses(tx: &TxEnv, set: &mut AccessSetBuilder) -> Vec<WidenedAccess> {
    let (mut left, mut widened) = (DECLARED_KEYS_MAX, Vec::new());
    for (position, item) in tx.access_list().into_iter().flatten().enumerate() {
        if position == DECLARED_KEYS_MAX {
            widened.push(WidenedAccess { scope: Scope::Everything, kind: AccessKind::Write });
            break;
        }
        let address = *item.address();
        set.read(Location::Code(address));
        let mut keys = item.storage_slots();
        for key in keys.by_ref().take(left) {
            let location = Location::Storage(address, (*key).into());
            set.read(location).write(location);
            left -= 1;
        }
        if keys.next().is_some() {
            let scope = Scope::Contract { address };
            widened.push(WidenedAccess { scope, kind: AccessKind::Write });
        }
    }
    widened
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

#[cfg(test)]
mod tests {
    use revm::{
        context::{
            BlockEnv, CfgEnv,
            transaction::{AccessList, AccessListItem},
        },
        primitives::B256,
    };

    use super::*;
    use crate::{BlockReward, Confidence, MemoryState, StateExtent};

    /// What is predicted of a transaction that declares so many accounts, each with so many keys.
    fn declaring(accounts: usize, keys: usize) -> PredictedAccess {
        let item = |account: usize| AccessListItem {
            address: Address::left_padding_from(&(account + 0x1000).to_be_bytes()),
            storage_keys: (0..keys).map(|key| B256::from(U256::from(key))).collect(),
        };
        let access_list = AccessList((0..accounts).map(item).collect());
        let block = Block {
            cfg: CfgEnv::default(),
            env: BlockEnv::default(),
            parent_hash: B256::ZERO,
            parent_beacon_block_root: None,
            deposit_contract: None,
            state_extent: StateExtent::Touched,
            transactions: vec![TxEnv { tx_type: 1, access_list, ..TxEnv::default() }],
            withdrawals: vec![],
            ommers: vec![],
            reward: BlockReward::OfFork,
            is_dao_fork: false,
            makes_access_list: false,
            access_list: None,
        };
        let predicted = AccessListPredictor.predict_range(&block, &MemoryState::default(), 0..1);
        predicted.unwrap().remove(0)
    }

    #[test]
    fn of_a_long_list_of_declared_keys_so_many_are_named_and_the_others_stand_for_contracts() {
        let slots = |predicted: &PredictedAccess| {
            let locations = predicted.set().locations();
            locations.iter().filter(|at| matches!(at, Location::Storage(..))).count()
        };
        let short = declaring(1, 67);
        assert_eq!((slots(&short), short.confidence()), (67, Confidence::Exact));
        let long = declaring(1, 12_534);
        assert_eq!(slots(&long), DECLARED_KEYS_MAX);
        let Confidence::Widened(Scope::Contract { .. }) = long.confidence() else {
            panic!("{:?}", long.confidence())
        };
        assert_eq!(declaring(DECLARED_KEYS_MAX, 1).confidence(), Confidence::Exact);
        let many = declaring(12_534, 0);
        assert_eq!(many.confidence(), Confidence::Widened(Scope::Everything));
        assert!(many.set().locations().len() < 2 * DECLARED_KEYS_MAX);
    }
}
