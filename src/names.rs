//! Addresses, calls, locations and scopes -> words: the one place that names what is printed.
//!
//! ```text
//! labels, well-known contracts ──> address     `USDT`, `0x2FAF48…6AD2`
//! signatures of functions ──────> call         `transfer`
//! hashes of the evaluation ─────> storage key  `mapping(slot 2)[0x2FAF48…6AD2]`
//! getters of the contract ──────> slot         `USDT.balances[0x2FAF48…6AD2]`
//! ```
//!
//! Words are for people. Wherever they are printed for a machine, the address and the
//! key stand beside them in full.

mod getters;
mod keys;
mod known;
mod labels;
mod reports;

use std::{borrow::Cow, collections::BTreeMap};

use alloy_primitives::{Address, TxKind, U256};
use forewave_analyzer::{
    AnalyzeError, Block, KeyOrigin, Location, PredictedAccess, Scope, Scratch, StaticPredictor,
    TxIndex,
};
use forewave_scheduler::{Cause, ConflictGraph};
use revm::{DatabaseRef, context::TxEnv};

use self::keys::Keys;
pub use self::{
    labels::{Labels, LabelsError},
    reports::{PlaceReport, TxReport},
};
use crate::{
    input::{BlockInput, Chain},
    selectors::Selectors,
};

/// Hex digits of an address that are shown in front of what is left out, and behind it.
const ADDRESS_DIGITS: (usize, usize) = (6, 4);

/// Hex digits of a word up to which it is shown in full.
const WORD_DIGITS_MAX: usize = 16;

/// What is known of names in one block.
#[derive(Clone, Debug)]
pub struct Names {
    addresses: BTreeMap<Address, Cow<'static, str>>,
    selectors: Selectors,
    keys: Keys,
    /// The getter that reads a declared slot, by contract and slot.
    fields: BTreeMap<(Address, U256), &'static str>,
}

impl Names {
    /// Names of well-known contracts of a chain, of common functions, and those of the caller, which
    /// come first.
    pub fn new(chain: Chain, labels: &Labels) -> Self {
        let mut addresses = known::addresses(chain);
        addresses.extend(labels.iter().map(|(at, name)| (*at, Cow::Owned(name.to_owned()))));
        Self {
            addresses,
            selectors: Selectors::common(),
            keys: Keys::default(),
            fields: BTreeMap::new(),
        }
    }

    /// The same, with words for storage keys: from what the summaries of the code hash for each
    /// transaction, and from which slots the getters of the contracts read. Nothing runs.
    pub fn with_storage<DB: DatabaseRef>(
        mut self,
        block: &Block,
        state: &DB,
        predictor: &StaticPredictor,
        predictions: &[PredictedAccess],
    ) -> Result<Self, AnalyzeError<DB::Error>> {
        let contracts = contracts(predictions);
        if contracts.is_empty() {
            return Ok(self);
        }
        let mut scratch = Scratch::keeping_preimages();
        for (tx, env) in block.indexed() {
            let prediction = predictor
                .predict_tx(&mut scratch, block, state, env)
                .map_err(|source| AnalyzeError::State { tx, source })?;
            self.keys.note(scratch.take_preimages(), prediction.origins());
        }
        for prediction in predictions {
            self.keys.note(Vec::new(), prediction.origins());
        }
        self.fields = getters::fields(block, state, predictor, &contracts);
        Ok(self)
    }

    /// An account: by its name, or by the ends of its address.
    pub fn address(&self, address: Address) -> Cow<'_, str> {
        match self.addresses.get(&address) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(short_address(address)),
        }
    }

    /// The name of an account that has one.
    pub fn name(&self, address: Address) -> Option<&str> {
        self.addresses.get(&address).map(AsRef::as_ref)
    }

    /// What a transaction does in a word or two: the name of the function that it calls, or its
    /// selector; `creation`, `payment`, or `call` without a function.
    pub fn call(&self, tx: &TxEnv) -> String {
        match (tx.kind, tx.data.first_chunk::<4>()) {
            (TxKind::Create, _) => "creation".to_owned(),
            (TxKind::Call(_), Some(selector)) => {
                let selector = u32::from_be_bytes(*selector);
                let name = self.selectors.name(selector).map(str::to_owned);
                name.unwrap_or_else(|| format!("{selector:#010x}"))
            }
            (TxKind::Call(_), None) if tx.data.is_empty() && !tx.value.is_zero() => {
                "payment".to_owned()
            }
            (TxKind::Call(_), None) => "call".to_owned(),
        }
    }

    /// A transaction in words: `USDT.transfer`, `payment to 0x2FAF48…6AD2`, `creation of 0x…`.
    pub fn transaction(&self, tx: &TxEnv) -> String {
        let call = self.call(tx);
        match tx.kind {
            TxKind::Create => format!("{call} of {}", self.address(tx.caller.create(tx.nonce))),
            TxKind::Call(to) if tx.data.len() < 4 => format!("{call} to {}", self.address(to)),
            TxKind::Call(to) => format!("{}.{call}", self.address(to)),
        }
    }

    /// The signature of the function that a transaction likely calls, and its selector.
    pub fn function(&self, tx: &TxEnv) -> Option<(u32, Option<&str>)> {
        let selector = u32::from_be_bytes(*tx.data.first_chunk::<4>()?);
        tx.kind.is_call().then(|| (selector, self.selectors.signature(selector)))
    }

    /// A location in words.
    pub fn location(&self, location: &Location) -> String {
        match location {
            Location::Balance(of) => format!("balance of {}", self.address(*of)),
            Location::Nonce(of) => format!("nonce of {}", self.address(*of)),
            Location::Code(of) => format!("code of {}", self.address(*of)),
            Location::Storage(of, key) => self.slot(*of, *key),
        }
    }

    /// A scope in words.
    pub fn scope(&self, scope: &Scope) -> String {
        match scope {
            Scope::Mapping { address, slot } => {
                let contract = self.address(*address);
                match self.fields.get(&(*address, *slot)) {
                    Some(field) => format!("any entry of {contract}.{field}"),
                    None => format!("any entry of {contract} mapping(slot {})", number(*slot)),
                }
            }
            Scope::Contract { address } => format!("any slot of {}", self.address(*address)),
            Scope::Everything => "everything".to_owned(),
        }
    }

    /// Where two transactions meet, in words.
    pub fn cause(&self, graph: &ConflictGraph, cause: &Cause) -> String {
        match cause {
            Cause::Location(id) => self.location(&graph.accesses().location(*id)),
            Cause::Scope(scope) => self.scope(scope),
        }
    }

    /// What is reported of a transaction.
    pub fn report(&self, input: &BlockInput, tx: TxIndex) -> TxReport {
        TxReport::new(self, input, tx)
    }

    /// Whether a location is in a scope, as far as is known of its key.
    pub fn is_in(&self, location: &Location, scope: &Scope) -> bool {
        match (*scope, *location) {
            (Scope::Everything, _) => true,
            (Scope::Contract { address }, Location::Storage(of, _)) => address == of,
            (Scope::Mapping { address, slot }, Location::Storage(of, key)) => {
                address == of && self.keys.place(of, key).is_none_or(|place| place.root == slot)
            }
            _ => false,
        }
    }

    /// A storage slot of a contract in words.
    fn slot(&self, address: Address, key: U256) -> String {
        let contract = self.address(address);
        let place = self.keys.place(address, key);
        let Some(place) = place else {
            // No hash is known to lead here.
            let field = self.fields.get(&(address, key)).map(|field| format!("{contract}.{field}"));
            return field.unwrap_or_else(|| format!("{contract} {}", plain_slot(key)));
        };
        let mut words = match self.fields.get(&(address, place.root)) {
            Some(field) => format!("{contract}.{field}"),
            None => format!("{contract} {}", place.container()),
        };
        for key in &place.keys {
            let key = match key {
                keys::Key::Word(word) => self.word(*word),
                keys::Key::Bytes(bytes) => text_or_hex(bytes),
                keys::Key::Unknown(key) => format!("? {}", hex(*key)),
            };
            words.push('[');
            words.push_str(&key);
            words.push(']');
        }
        if !place.offset.is_zero() {
            words.push('+');
            words.push_str(&number(place.offset));
        }
        words
    }

    /// A word as the key of a mapping: an account, a number, or hex.
    fn word(&self, word: U256) -> String {
        if word.bit_len() <= 64 {
            return word.to_string();
        }
        if word.bit_len() <= 160 {
            return self.address(Address::from_word(word.into())).into_owned();
        }
        // A small negative number, such as a tick.
        let negative = word.wrapping_neg();
        if negative.bit_len() <= 64 { format!("-{negative}") } else { hex(word) }
    }
}

/// The contracts of which storage is predicted to be touched, sorted.
fn contracts(predictions: &[PredictedAccess]) -> Vec<Address> {
    let storage = |location: &Location| match location {
        Location::Storage(address, _) => Some(*address),
        _ => None,
    };
    let mut contracts: Vec<Address> = predictions
        .iter()
        .flat_map(|prediction| {
            let named = prediction.set().iter().filter_map(|(_, location)| storage(location));
            let widened = prediction.widened().iter().filter_map(|widened| match widened.scope {
                Scope::Mapping { address, .. } => Some(address),
                _ => None,
            });
            named.chain(widened)
        })
        .collect();
    contracts.sort_unstable();
    contracts.dedup();
    contracts
}

/// The ends of an address: `0x2FAF48…6AD2`.
pub fn short_address(address: Address) -> String {
    let text = address.to_checksum(None);
    let (front, behind) = ADDRESS_DIGITS;
    format!("{}…{}", &text[..2 + front], &text[text.len() - behind..])
}

/// A slot that no hash went into.
fn plain_slot(key: U256) -> String {
    if key.bit_len() <= 64 {
        return format!("slot {key}");
    }
    let words = forewave_analyzer::slot_in_words(key);
    // Only a well-known place has a name; a number is shown as all keys are.
    let is_number = words
        .strip_prefix("slot ")
        .is_some_and(|slot| slot.starts_with(|first: char| first == '-' || first.is_ascii_digit()));
    if is_number { format!("slot {}", hex(key)) } else { words }
}

/// A number: in decimal if it is short.
fn number(word: U256) -> String {
    if word.bit_len() <= 64 { word.to_string() } else { hex(word) }
}

/// A word in hex, its middle left out if it is long.
fn hex(word: U256) -> String {
    let digits = format!("{word:x}");
    if digits.len() <= WORD_DIGITS_MAX {
        return format!("0x{digits}");
    }
    format!("0x{}…{}", &digits[..8], &digits[digits.len() - 6..])
}

/// Bytes that are the key of a mapping: text if they are printable, hex if not.
fn text_or_hex(bytes: &[u8]) -> String {
    let is_text = bytes.iter().all(|byte| byte.is_ascii_graphic() && !b"\"\\[]".contains(byte));
    match core::str::from_utf8(bytes) {
        Ok(text) if is_text && !bytes.is_empty() => format!("\"{text}\""),
        _ => alloy_primitives::hex::encode_prefixed(bytes),
    }
}

/// The origin of a key as the slot of its mapping.
const fn mapping_slot(origin: KeyOrigin) -> Option<U256> {
    match origin {
        KeyOrigin::Plain => None,
        KeyOrigin::Mapping(slot) => Some(slot),
    }
}

#[cfg(test)]
mod tests;
