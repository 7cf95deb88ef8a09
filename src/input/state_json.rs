//! `pre_state.json` and `block_hashes.json` to a [`MemoryState`].
//!
//! The pre-state has the form of geth's `prestateTracer` and of a genesis
//! `alloc`: address -> `balance`, `nonce`, `code`, `storage`, all optional.
//! Numbers may be JSON numbers, or decimal or `0x` strings. An unknown field is
//! an error, since a misspelt one would silently read as empty; so is an account
//! or a slot that is given twice, however it is written.
//!
//! It may also be what a node answers to `debug_traceBlockByNumber`: a list of
//! such states, one for each transaction, in envelopes or not. They are merged:
//! the first mention of an account or slot is what it was before the block.

use core::fmt;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use forewave_analyzer::{MemoryState, TxIndex};
use hashbrown::{HashMap, HashSet, hash_map::Entry};
use revm::{bytecode::Bytecode, primitives::KECCAK_EMPTY, state::AccountInfo};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{
    InputError, SourceFile,
    json::{self, Entries, shorten},
    limits::{ACCOUNTS_MAX, BLOCK_HASHES_MAX, SLOTS_MAX},
};
use crate::fetch::Known;

/// An account as its file states it.
#[derive(Debug, Default, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "an account, which is an object"
)]
struct StatedAccount {
    balance: U256,
    nonce: U64,
    code: Option<Bytes>,
    /// Alone: of an account whose code is not given, so that needing it is an error.
    code_hash: Option<B256>,
    storage: Option<Entries<U256, U256, SLOTS_MAX>>,
}

impl StatedAccount {
    fn info(&self) -> Result<AccountInfo, String> {
        let balance = self.balance;
        let nonce = self.nonce.to();
        let Some(code) = &self.code else {
            let code_hash = self.code_hash.filter(|hash| !hash.is_zero()).unwrap_or(KECCAK_EMPTY);
            let code = (code_hash == KECCAK_EMPTY).then(Bytecode::default);
            return Ok(AccountInfo { balance, nonce, code_hash, code, ..AccountInfo::default() });
        };
        let code = Bytecode::new_raw_checked(code.clone())
            .map_err(|error| format!("`code` is not valid bytecode: {error}"))?;
        let code_hash = if code.is_empty() { KECCAK_EMPTY } else { code.hash_slow() };
        // A node gives the hash of an account that does not exist as zero.
        let none = (code_hash == KECCAK_EMPTY).then_some(B256::ZERO);
        if let Some(stated) = self.code_hash
            && stated != code_hash
            && Some(stated) != none
        {
            return Err(format!("`codeHash` is {stated}, but `code` has the hash {code_hash}"));
        }
        Ok(AccountInfo { balance, nonce, code_hash, code: Some(code), ..AccountInfo::default() })
    }

    /// Whether it is as only a creation leaves an account.
    fn is_contract(&self) -> bool {
        !self.nonce.is_zero() || self.code.as_ref().is_some_and(|code| !code.is_empty())
    }
}

/// Accounts by address: the whole file, or a part of another file.
pub(crate) struct StatedState(pub(crate) MemoryState);

impl<'de> Deserialize<'de> for StatedState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut merged = Merged::default();
        deserializer.deserialize_map(Accounts { merged: &mut merged, answer: None })?;
        Ok(Self(merged.state))
    }
}

/// The accounts that the transactions of a block create themselves, each with the
/// transaction. A tracer gives the state that a later transaction finds there.
pub(super) type Created = HashMap<Address, TxIndex>;

/// States put together, the first mention of everything first.
#[derive(Default)]
struct Merged {
    state: MemoryState,
    /// The accounts mentioned, with their slots where there can be another state.
    mentioned: HashMap<Address, HashSet<U256>>,
    slots: usize,
}

impl Merged {
    fn add(
        &mut self,
        address: Address,
        account: StatedAccount,
        answer: Option<&Answer<'_>>,
    ) -> Result<(), String> {
        if answer.is_some_and(|answer| answer.creates(address, &account)) {
            return Ok(());
        }
        let info = account.info()?;
        let accounts = self.mentioned.len();
        let mentioned = match self.mentioned.entry(address) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if accounts == ACCOUNTS_MAX => {
                return Err(format!("more than {ACCOUNTS_MAX} accounts"));
            }
            Entry::Vacant(entry) => {
                self.state.insert_account(address, info);
                entry.insert(HashSet::new())
            }
        };
        for (key, value) in account.storage.unwrap_or_default().0 {
            self.slots += 1;
            if self.slots > SLOTS_MAX {
                return Err(format!("more than {SLOTS_MAX} slots"));
            }
            if answer.is_none_or(|answer| answer.tx.is_none()) || mentioned.insert(key) {
                self.state.insert_storage(address, key, value);
            }
        }
        Ok(())
    }
}

/// What is known of a node's answer where it is read.
#[derive(Clone, Copy)]
struct Answer<'a> {
    created: &'a Created,
    /// The transaction, inside a list.
    tx: Option<TxIndex>,
}

impl Answer<'_> {
    /// Whether an earlier transaction of the block creates the account that this
    /// one finds: then it was not there before the block.
    fn creates(&self, address: Address, account: &StatedAccount) -> bool {
        let creator = self.created.get(&address).copied();
        account.is_contract() && self.tx.zip(creator).is_some_and(|(tx, creator)| creator < tx)
    }
}

/// Reads accounts, or a node's answer that holds some.
struct Accounts<'a> {
    merged: &'a mut Merged,
    /// Where envelopes and lists may be around the accounts.
    answer: Option<Answer<'a>>,
}

impl<'de> DeserializeSeed<'de> for Accounts<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Accounts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of accounts by address")?;
        if self.answer.is_some_and(|answer| answer.tx.is_none()) {
            f.write_str(" or a list of such objects, one for each transaction")?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut states: A) -> Result<(), A::Error> {
        let Some(Answer { created, tx: None }) = self.answer else {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        };
        for position in 0.. {
            let tx = TxIndex::new(position);
            let answer = Some(Answer { created, tx: Some(tx) });
            let state = Accounts { merged: &mut *self.merged, answer };
            let read = states.next_element_seed(state);
            if read
                .map_err(|error: A::Error| de::Error::custom(format!("{tx}: {error}")))?
                .is_none()
            {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { merged, answer } = self;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            match (key.as_str(), answer) {
                ("jsonrpc" | "id" | "txHash", Some(_)) => drop(map.next_value::<IgnoredAny>()?),
                ("result", Some(_)) => {
                    map.next_value_seed(Accounts { merged: &mut *merged, answer })?;
                }
                ("error", Some(_)) => match map.next_value::<Value>()? {
                    Value::Null => {}
                    error => {
                        let error = shorten(&error.to_string());
                        return Err(de::Error::custom(format!("the node gave an error: {error}")));
                    }
                },
                ("pre" | "post", Some(_)) => {
                    return Err(de::Error::custom(
                        "this is the output of prestateTracer with `diffMode`, which leaves out \
                         what is read and not changed; trace without `diffMode`",
                    ));
                }
                (key, _) => {
                    let key: de::value::StrDeserializer<'_, A::Error> = key.into_deserializer();
                    let address = Address::deserialize(key)?;
                    if !seen.insert(address) {
                        return Err(de::Error::custom(format!("duplicate account {address}")));
                    }
                    let in_account = |message: &dyn fmt::Display| {
                        de::Error::custom(format!("account {address}: {message}"))
                    };
                    let account = map.next_value().map_err(|e: A::Error| in_account(&e))?;
                    let added = merged.add(address, account, answer.as_ref());
                    added.map_err(|message| in_account(&message))?;
                }
            }
        }
        Ok(())
    }
}

/// What a tracer's answer, one state for each transaction, tells of the state before the
/// block: of what it mentions, be it to be empty.
pub(super) fn parse_known(file: &SourceFile, created: &Created) -> Result<Known, InputError> {
    let mut merged = Merged::default();
    json::parse_seed(
        file,
        Accounts { merged: &mut merged, answer: Some(Answer { created, tx: None }) },
    )?;
    let Merged { state, mentioned, .. } = merged;
    Ok(Known { state, mentioned })
}

/// Parses `pre_state.json` and, where given, `block_hashes.json`.
pub(super) fn parse_state(
    pre_state: &SourceFile,
    block_hashes: Option<&SourceFile>,
    created: &Created,
) -> Result<MemoryState, InputError> {
    let mut merged = Merged::default();
    let answer = Some(Answer { created, tx: None });
    json::parse_seed(pre_state, Accounts { merged: &mut merged, answer })?;
    let Merged { mut state, .. } = merged;
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
        parse_state(&file, None, &Created::new()).map_err(|error| error.to_string())
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
            ("7", "expected an object of accounts by address"),
            ("[[]]", "tx0: invalid type: sequence, expected an object of accounts by address"),
            ("null", "expected an object of accounts by address or a list of such objects"),
            (r#"{"0x00000000000000000000000000000000000000aa":null}"#, "expected an account"),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method"}}"#,
                "no such method",
            ),
            (
                r#"[{"txHash":"0x1","result":{}},{"txHash":"0x2","error":"execution timeout"}]"#,
                "tx1: the node gave an error: \"execution timeout\"",
            ),
            (r#"{"result":{"pre":{},"post":{}}}"#, "trace without `diffMode`"),
            (r#"[{"result":{"post":{},"pre":{}}}]"#, "tx0: this is the output"),
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

    #[test]
    fn a_code_hash_that_contradicts_the_code_is_refused() {
        let empty = KECCAK_EMPTY;
        let other = B256::repeat_byte(7);
        let right = alloy_primitives::keccak256([0x60, 0x01]);
        let designator = format!("0xef0100{}", "11".repeat(20));
        let cases = [
            ("0x6001", right, true),
            ("0x6001", other, false),
            ("0x6001", B256::ZERO, false),
            ("0x", empty, true),
            ("0x", B256::ZERO, true),
            ("0x", other, false),
            (&designator, other, false),
        ];
        for (code, hash, is_taken) in cases {
            let parsed = parse(&format!(
                r#"{{"0x00000000000000000000000000000000000000aa":
                     {{"code":"{code}","codeHash":"{hash}"}}}}"#
            ));
            assert_eq!(parsed.is_ok(), is_taken, "{code} {hash}");
            if let Err(error) = parsed {
                assert!(error.contains("account 0x") && error.contains("codeHash"), "{error}");
            }
        }
    }

    /// Two transactions' states: a contract, then the same with a slot changed and one more.
    const STATES: [&str; 2] = [
        r#"{"0x00000000000000000000000000000000000000aa":
            {"balance":"0x5","nonce":1,"code":"0x6001","storage":{"0x1":"0x0","0x2":"0x2"}}}"#,
        r#"{"0x00000000000000000000000000000000000000aa":
            {"balance":"0x6","nonce":2,"code":"0x6002","storage":{"0x1":"0x9","0x3":"0x3"}},
            "0x00000000000000000000000000000000000000bb":{"nonce":1,"code":"0x6003"}}"#,
    ];

    #[test]
    fn of_a_state_for_each_transaction_the_first_mention_counts_in_every_envelope() {
        let [first, second] = STATES;
        let forms = [
            format!("[{first},{second}]"),
            format!(
                r#"[{{"txHash":"0x1","result":{first}}},{{"txHash":"0x2","result":{second}}}]"#
            ),
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"result":[{{"result":{first}}},{{"result":{second}}}]}}"#
            ),
            format!(r#"[{{"jsonrpc":"2.0","id":1,"result":{first}}},{second}]"#),
        ];
        for form in forms {
            let state = parse(&form).unwrap();
            let address = Address::with_last_byte(0xaa);
            let info = state.basic_ref(address).unwrap().unwrap();
            assert_eq!((info.balance, info.nonce), (U256::from(5), 1), "{form}");
            assert_eq!(info.code.unwrap().original_bytes(), Bytes::from_static(&[0x60, 1]));
            let slot = |key| state.storage_ref(address, U256::from(key)).unwrap();
            assert_eq!([1, 2, 3].map(slot), [0, 2, 3].map(U256::from), "{form}");
            assert!(state.basic_ref(Address::with_last_byte(0xbb)).unwrap().is_some());
        }
        let whole = parse(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{first}}}"#)).unwrap();
        assert_eq!(whole.accounts().count(), 1);
    }

    #[test]
    fn an_account_that_an_earlier_transaction_creates_is_not_there_before_the_block() {
        let [first, second] = STATES;
        let text = format!("[{first},{second}]");
        let file = SourceFile { path: "pre_state.json".into(), bytes: text.into() };
        let address = Address::with_last_byte(0xbb);
        let held = |creator| {
            let created = Created::from_iter([(address, TxIndex::new(creator))]);
            parse_state(&file, None, &created).unwrap().basic_ref(address).unwrap().is_some()
        };
        assert_eq!([held(0), held(1), held(2)], [false, true, true]);
    }
}
