//! `pre_state.json` and `block_hashes.json` to a [`MemoryState`].
//!
//! The pre-state has the form of geth's `prestateTracer` and of a genesis
//! `alloc`: address -> `balance`, `nonce`, `code`, `storage`, all optional.
//! Numbers may be JSON numbers, or decimal or `0x` strings. An unknown field is
//! an error, since a misspelt one would silently read as empty; so is an account
//! or a slot that is given twice, however it is written.

use core::fmt;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use forewave_analyzer::MemoryState;
use hashbrown::HashSet;
use revm::{bytecode::Bytecode, primitives::KECCAK_EMPTY, state::AccountInfo};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use super::{
    InputError, SourceFile,
    json::{self, Entries},
    limits::{ACCOUNTS_MAX, BLOCK_HASHES_MAX, SLOTS_MAX},
};

/// An account as its file states it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct StatedAccount {
    balance: U256,
    nonce: U64,
    code: Bytes,
    /// Of an account whose code is not given, so that needing it is an error.
    code_hash: Option<B256>,
    storage: Entries<U256, U256, SLOTS_MAX>,
}

impl StatedAccount {
    fn info(&self) -> Result<AccountInfo, String> {
        let balance = self.balance;
        let nonce = self.nonce.to();
        if self.code.is_empty() {
            let code_hash = self.code_hash.filter(|hash| !hash.is_zero()).unwrap_or(KECCAK_EMPTY);
            let code = (code_hash == KECCAK_EMPTY).then(Bytecode::default);
            return Ok(AccountInfo { balance, nonce, code_hash, code, ..AccountInfo::default() });
        }
        let code = Bytecode::new_raw_checked(self.code.clone())
            .map_err(|error| format!("`code` is not valid bytecode: {error}"))?;
        Ok(AccountInfo {
            balance,
            nonce,
            code_hash: code.hash_slow(),
            code: Some(code),
            ..AccountInfo::default()
        })
    }
}

/// The whole file, or the accounts inside another file.
pub(crate) struct StatedState(pub(crate) MemoryState);

impl<'de> Deserialize<'de> for StatedState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StateVisitor).map(Self)
    }
}

struct StateVisitor;

impl<'de> Visitor<'de> for StateVisitor {
    type Value = MemoryState;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of accounts by address")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MemoryState, A::Error> {
        let mut state = MemoryState::default();
        let mut seen = HashSet::new();
        let mut slots = 0;
        while let Some(address) = map.next_key::<Address>()? {
            let in_account = |message: &dyn fmt::Display| {
                de::Error::custom(format!("account {address}: {message}"))
            };
            if !seen.insert(address) {
                return Err(de::Error::custom(format!("duplicate account {address}")));
            }
            if seen.len() > ACCOUNTS_MAX {
                return Err(de::Error::custom(format!("more than {ACCOUNTS_MAX} accounts")));
            }
            let account: StatedAccount = map.next_value().map_err(|e: A::Error| in_account(&e))?;
            slots += account.storage.0.len();
            if slots > SLOTS_MAX {
                return Err(de::Error::custom(format!("more than {SLOTS_MAX} slots")));
            }
            state.insert_account(address, account.info().map_err(|e| in_account(&e))?);
            for (key, value) in account.storage.0 {
                state.insert_storage(address, key, value);
            }
        }
        Ok(state)
    }
}

/// Parses `pre_state.json` and, where given, `block_hashes.json`.
pub(super) fn parse_state(
    pre_state: &SourceFile,
    block_hashes: Option<&SourceFile>,
) -> Result<MemoryState, InputError> {
    let StatedState(mut state) = json::parse(pre_state)?;
    if let Some(file) = block_hashes {
        let hashes: Entries<U64, B256, BLOCK_HASHES_MAX> = json::parse(file)?;
        for (number, hash) in hashes.0 {
            state.insert_block_hash(number.to(), hash);
        }
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use revm::DatabaseRef;

    use super::*;

    fn parse(text: &str) -> Result<MemoryState, String> {
        let file = SourceFile { path: "pre_state.json".into(), bytes: text.into() };
        parse_state(&file, None).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_may_be_decimal_hex_or_plain() {
        for (balance, nonce) in [("\"0x10\"", "2"), ("\"16\"", "\"0x2\""), ("16", "\"2\"")] {
            let text = format!(
                r#"{{"0x00000000000000000000000000000000000000aa":
                     {{"balance":{balance},"nonce":{nonce},"storage":{{"0x01":"0x2"}}}}}}"#
            );
            let state = parse(&text).unwrap();
            let address = Address::with_last_byte(0xaa);
            let info = state.basic_ref(address).unwrap().unwrap();
            assert_eq!((info.balance, info.nonce), (U256::from(16), 2));
            assert_eq!(state.storage_ref(address, U256::from(1)), Ok(U256::from(2)));
        }
    }

    #[test]
    fn a_wrong_field_is_refused_with_its_account_and_its_place() {
        let cases = [
            (
                r#"{"0x00000000000000000000000000000000000000aa":{"balence":"0x1"}}"#,
                "unknown field `balence`",
            ),
            (r#"{"0x00000000000000000000000000000000000000aa":{"nonce":"0x1z"}}"#, "0x1z"),
            (
                r#"{"0x00000000000000000000000000000000000000aa":{"code":"0xef0100"}}"#,
                "not valid bytecode",
            ),
            (r#"{"0xaa":{}}"#, "invalid string length"),
            (r"[]", "expected an object of accounts by address"),
        ];
        for (text, part) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("pre_state.json:1:") && error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_code_hash_without_its_code_is_kept_so_that_needing_the_code_is_an_error() {
        let hash = B256::repeat_byte(7);
        let text =
            format!(r#"{{"0x00000000000000000000000000000000000000aa":{{"codeHash":"{hash}"}}}}"#);
        let state = parse(&text).unwrap();
        let info = state.basic_ref(Address::with_last_byte(0xaa)).unwrap().unwrap();
        assert_eq!((info.code_hash, info.code), (hash, None));
        assert!(state.code_by_hash_ref(hash).is_err());
    }
}
