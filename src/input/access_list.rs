//! `block_access_list.json` to a [`BlockAccessList`] (EIP-7928): what a node answers to
//! `eth_getBlockAccessList`, in its JSON-RPC envelope or out of it; the list of a case of the execution
//! spec tests; what `bal --json` prints; or the RLP of a list as a `0x` string, in quotes
//! or not.
//!
//! Whether the list is in order, and true, is judged elsewhere: a wrong list can be loaded.

use alloy_eips::eip7928::{AccountChanges, BlockAccessList};
use alloy_primitives::Bytes;
use alloy_rlp::Decodable;
use serde::Deserialize;
use serde_json::Value;

use super::{
    InputError, SourceFile,
    json::{self, field_error, without_type_names},
    limits::ACCESS_LIST_VALUES_MAX,
};

/// What a list may be written as.
const FORMS: &str = "a list of account entries, or its RLP as a 0x string";

/// Parses a list.
pub fn parse_access_list(file: &SourceFile) -> Result<BlockAccessList, InputError> {
    let path = &file.path;
    let bare = file.bytes.trim_ascii();
    let document = if bare.starts_with(b"0x") {
        Value::String(String::from_utf8_lossy(bare).into_owned())
    } else {
        json::unwrap_answer(path, json::parse_document(file, ACCESS_LIST_VALUES_MAX)?)?
    };
    let document = match document {
        // What `forewave bal --json` prints.
        Value::Object(mut fields) if fields.contains_key("access_list") => {
            fields.remove("access_list").unwrap_or_default()
        }
        document => document,
    };
    match document {
        Value::String(text) => {
            let wrong = |why: String| {
                let found = Value::String(text.clone());
                field_error(path, ".", format!("{FORMS} ({why})"), Some(&found))
            };
            let rlp: Bytes = text.parse().map_err(|_| wrong("not hexadecimal".into()))?;
            let mut rest = rlp.as_ref();
            let list = BlockAccessList::decode(&mut rest).map_err(|why| wrong(why.to_string()))?;
            if rest.is_empty() { Ok(list) } else { Err(wrong("bytes follow the list".into())) }
        }
        Value::Array(accounts) => {
            let account = |(position, account): (usize, Value)| {
                AccountChanges::deserialize(&account).map_err(|why| {
                    let expected = without_type_names(&why.to_string());
                    let expected = format!("an account's entry ({expected})");
                    field_error(path, format!("[{position}]"), expected, Some(&account))
                })
            };
            accounts.into_iter().enumerate().map(account).collect()
        }
        other => Err(field_error(path, ".", FORMS, Some(&other))),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, U256};

    use super::*;

    fn parse(text: &str) -> Result<BlockAccessList, String> {
        let file = SourceFile { path: "l.json".into(), bytes: text.into() };
        parse_access_list(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_is_read_from_json_with_the_names_of_nodes_and_of_tests_and_from_rlp() {
        let address = Address::repeat_byte(1);
        let of_node = format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":[{{"address":"{address}","storageChanges":[],
            "storageReads":["0x2"],"balanceChanges":[{{"index":"0x1","value":"0x5"}}],
            "nonceChanges":[],"codeChanges":[]}}]}}"#
        );
        let list = parse(&of_node).unwrap();
        assert_eq!(list[0].storage_reads, [U256::from(2)]);
        assert_eq!(list[0].balance_changes[0].post_balance, U256::from(5));
        let of_test = of_node.replace(r#""index""#, r#""blockAccessIndex""#);
        let of_test = of_test.replace(r#""value""#, r#""postBalance""#);
        assert_eq!(parse(&of_test), Ok(list.clone()));
        let rlp = Bytes::from(alloy_rlp::encode(&list));
        assert_eq!(parse(&format!("\"{rlp}\"")), Ok(list.clone()));
        assert_eq!(parse(&format!("{rlp}\n")), Ok(list.clone()));
        let of_bal = serde_json::json!({ "hash": "0x", "access_list": list });
        assert_eq!(parse(&of_bal.to_string()), Ok(list));
    }

    #[test]
    fn what_is_no_list_is_said_to_be_none_with_its_place() {
        for (text, part) in [
            ("{}", "expected a list of account entries, or its RLP as a 0x string"),
            ("\"0xzz\"", "not hexadecimal"),
            ("\"0xc0c0\"", "bytes follow the list"),
            ("\"0xc1\"", "l.json"),
            (r#"[{"address":"0x01"}]"#, "`[0]`: expected an account's entry"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
