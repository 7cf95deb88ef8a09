//! The state as a transaction sees it: accounts read once, balances as it moves them.

use hashbrown::HashMap;
use revm::{
    DatabaseRef,
    bytecode::{Bytecode, opcode as op},
    primitives::{
        Address, B256, KECCAK_EMPTY, StorageKey, U256, keccak256, map::DefaultHashBuilder,
    },
};

use super::{
    Evaluation,
    data::{Origin, READS_TOLD_APART, UNKNOWN, Value},
};
use crate::{
    AccessKind, Location, Scope, WideningCause,
    keys::{AddressKey, WordKey},
};

/// Gas of a slot's first use and of a store, for an estimate (EIP-2929).
const LOAD_GAS: u64 = 2100;
const STORE_GAS: u64 = 2900;

/// An account as it was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) balance: U256,
    pub(super) nonce: u64,
    pub(super) code_hash: B256,
    pub(super) code: Option<Bytecode>,
    /// Whether it was created with code that is not known.
    pub(super) is_lost: bool,
}

impl Found {
    pub(super) fn has_code(&self) -> bool {
        self.code_hash != KECCAK_EMPTY && !self.code_hash.is_zero()
    }
}

/// The accounts of one transaction.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    found: HashMap<AddressKey, Found, DefaultHashBuilder>,
    /// What was paid in and out, where an amount is not known without one.
    moved: Vec<(Address, Option<[U256; 2]>)>,
}

impl Accounts {
    pub(super) fn clear(&mut self) {
        self.found.clear();
        self.moved.clear();
    }

    /// Ether moves from one account to another.
    pub(super) fn pay(&mut self, from: Address, to: Address, value: &Value) {
        if value.is_known() && value.word.is_zero() {
            return;
        }
        for (address, is_in) in [(to, 0), (from, 1)] {
            let at = self.moved.iter().position(|(moved, _)| *moved == address);
            let at = at.unwrap_or_else(|| {
                self.moved.push((address, Some([U256::ZERO; 2])));
                self.moved.len() - 1
            });
            let amounts = &mut self.moved[at].1;
            match amounts {
                Some(amounts) if value.is_known() => {
                    amounts[is_in] = amounts[is_in].saturating_add(value.word);
                }
                _ => *amounts = None,
            }
        }
    }

    fn balance(&self, address: Address, before: U256) -> Option<U256> {
        match self.moved.iter().find(|(moved, _)| *moved == address) {
            None => Some(before),
            Some((_, amounts)) => {
                amounts.map(|[paid_in, out]| before.wrapping_add(paid_in).wrapping_sub(out))
            }
        }
    }
}

/// Transient storage (EIP-1153).
#[derive(Debug, Default)]
pub(super) struct Transient {
    values: HashMap<(AddressKey, WordKey), Value, DefaultHashBuilder>,
    /// Whether something was stored somewhere that is not known.
    is_lost: bool,
}

impl Transient {
    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.is_lost = false;
    }

    pub(super) fn load(&self, this: Address, key: &Value) -> Value {
        if !key.is_known() || self.is_lost {
            return Value::UNKNOWN;
        }
        let held = self.values.get(&(AddressKey(this), WordKey(key.word)));
        held.copied().unwrap_or(Value::input(U256::ZERO))
    }

    pub(super) fn store(&mut self, this: Address, key: &Value, value: Value) {
        if !key.is_known() {
            self.is_lost = true;
            return;
        }
        self.values.insert((AddressKey(this), WordKey(key.word)), value);
    }
}

impl<DB: DatabaseRef> Evaluation<'_, DB> {
    /// An account in the state.
    pub(super) fn account(&mut self, address: Address) -> Option<&Found> {
        let found = &mut self.scratch.accounts.found;
        if !found.contains_key(&AddressKey(address)) {
            let info = match self.state.basic_ref(address) {
                Ok(info) => info.unwrap_or_default(),
                Err(error) => {
                    self.error = Some(error);
                    return None;
                }
            };
            let account = Found {
                balance: info.balance,
                nonce: info.nonce,
                code_hash: info.code_hash,
                code: info.code,
                is_lost: false,
            };
            found.insert(AddressKey(address), account);
        }
        found.get(&AddressKey(address))
    }

    /// A contract is created; `code` is not there if it is not known.
    pub(super) fn found(&mut self, address: Address, code: Option<Bytecode>) {
        let balance = self.account(address).map_or(U256::ZERO, |found| found.balance);
        let is_lost = code.is_none();
        let hash = code.as_ref().map_or(B256::ZERO, |code| keccak256(code.original_byte_slice()));
        let created = Found { balance, nonce: 1, code_hash: hash, code, is_lost };
        self.scratch.accounts.found.insert(AddressKey(address), created);
    }

    /// The nonce with which an account creates a contract.
    pub(super) fn take_nonce(&mut self, address: Address) -> Option<u64> {
        let nonce = self.account(address)?.nonce;
        // That of the sender was raised before.
        let is_sender = address == self.tx.caller;
        let nonce = if is_sender { nonce.max(self.tx.nonce.saturating_add(1)) } else { nonce };
        let found = self.scratch.accounts.found.get_mut(&AddressKey(address))?;
        found.nonce = nonce.saturating_add(1);
        Some(nonce)
    }

    /// The code of an account.
    pub(super) fn code(&mut self, address: Address) -> Option<(B256, Bytecode)> {
        let found = self.account(address)?;
        let hash = found.code_hash;
        if !found.has_code() {
            return Some((hash, Bytecode::default()));
        }
        if let Some(code) = &found.code {
            return Some((hash, code.clone()));
        }
        match self.state.code_by_hash_ref(hash) {
            Ok(code) => {
                let found = &mut self.scratch.accounts.found;
                if let Some(found) = found.get_mut(&AddressKey(address)) {
                    found.code = Some(code.clone());
                }
                Some((hash, code))
            }
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }

    /// A read of the state that something may be decided by.
    fn origin_of(&mut self, location: Location) -> Origin {
        let position = self.scratch.reads.iter().position(|read| *read == location);
        position.map_or_else(|| self.new_origin(location), origin_at)
    }

    /// The first read of a place.
    fn new_origin(&mut self, location: Location) -> Origin {
        let reads = &mut self.scratch.reads;
        reads.push(location);
        origin_at(reads.len() - 1)
    }

    /// A slot is read; its value, if that is asked for.
    pub(super) fn load(
        &mut self,
        this: Address,
        key: &Value,
        scope: Option<StorageKey>,
        is_asked: bool,
    ) -> Value {
        self.decide(key);
        if !key.is_known() {
            self.widen_key(this, scope);
            return Value::UNKNOWN;
        }
        let is_must = self.must();
        let position = self.scratch.record.slot(this, key.word);
        let slot = &mut self.scratch.record.slots[position];
        if !slot.uses.has(AccessKind::Read) {
            self.gas += LOAD_GAS;
        }
        slot.scope = scope;
        let value = slot.value;
        self.scratch.record.use_slot(position, AccessKind::Read, is_must);
        if !is_asked {
            return Value::UNKNOWN;
        }
        if let Some(value) = value {
            return value;
        }
        if scope.is_some_and(|slot| self.scratch.lost_mappings.contains(&(this, slot))) {
            return Value::UNKNOWN;
        }
        let word = match self.state.storage_ref(this, key.word) {
            Ok(word) => word,
            Err(error) => {
                self.error = Some(error);
                return Value::UNKNOWN;
            }
        };
        let origin = self.new_origin(Location::Storage(this, key.word));
        let value = Value { word, origin };
        self.scratch.record.slots[position].value = Some(value);
        value
    }

    /// A slot is written. Its gas depends on what it holds, so it is read as well.
    pub(super) fn store(
        &mut self,
        this: Address,
        key: &Value,
        value: Value,
        scope: Option<StorageKey>,
    ) {
        self.load(this, key, scope, false);
        if !key.is_known() {
            // From now on any entry may hold something else.
            if let Some(slot) = scope {
                self.scratch.lost_mappings.push((this, slot));
            }
            return;
        }
        self.gas += STORE_GAS;
        let is_must = self.must();
        let position = self.scratch.record.slot(this, key.word);
        self.scratch.record.use_slot(position, AccessKind::Write, is_must);
        // Of what was learnt only the key is known: what was read may well still hold.
        if self.learnt_depth == 0 || value.is_known() {
            self.scratch.put_stored(position, value);
            self.scratch.record.slots[position].is_stored = true;
        }
    }

    /// A slot of some key is touched.
    fn widen_key(&mut self, address: Address, scope: Option<StorageKey>) {
        match scope {
            Some(slot) => self.widen(Scope::Mapping { address, slot }, WideningCause::Key),
            None => self.widen(Scope::Contract { address }, WideningCause::Key),
        }
    }

    /// What an instruction says of an account.
    pub(super) fn ask_account(&mut self, code: u8, of: &Value) -> Value {
        self.decide(of);
        let Some(address) = Self::address_of(of) else {
            self.widen(Scope::Everything, WideningCause::Target);
            return Value::UNKNOWN;
        };
        let is_balance = code == op::BALANCE;
        let location =
            if is_balance { Location::Balance(address) } else { Location::Code(address) };
        self.touch(AccessKind::Read, location);
        let Some(found) = self.account(address).cloned() else { return Value::UNKNOWN };
        if code == op::EXTCODEHASH && !found.has_code() && found.nonce == 0 {
            self.touch(AccessKind::Read, Location::Balance(address));
        }
        let word = match code {
            op::EXTCODESIZE | op::EXTCODEHASH if found.is_lost => None,
            op::BALANCE => self.scratch.accounts.balance(address, found.balance),
            op::EXTCODESIZE => {
                let size = self.code(address).map(|(_, code)| code.len());
                size.map(U256::from)
            }
            op::EXTCODEHASH if found.nonce == 0 && !found.has_code() && found.balance.is_zero() => {
                Some(U256::ZERO)
            }
            op::EXTCODEHASH if found.has_code() => Some(found.code_hash.into()),
            op::EXTCODEHASH => Some(KECCAK_EMPTY.into()),
            _ => None,
        };
        let origin = self.origin_of(location);
        word.map_or(Value::UNKNOWN, |word| Value { word, origin })
    }

    /// Everything that an origin stands for.
    pub(super) fn deciding_reads(&self) -> Vec<Location> {
        let is_deciding = |at: &usize| self.deciding & !UNKNOWN & origin_at(*at) != 0;
        let reads = &self.scratch.reads;
        let mut deciding: Vec<Location> =
            (0..reads.len()).filter(is_deciding).map(|at| reads[at]).collect();
        deciding.sort_unstable();
        deciding
    }
}

/// The origin of what was read as that many others before.
fn origin_at(position: usize) -> Origin {
    1 << u32::try_from(position).unwrap_or(u32::MAX).min(READS_TOLD_APART)
}
