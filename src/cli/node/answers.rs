//! The body of a response to the results of its calls.

use std::{borrow::Cow, time::Duration};

use forewave::{Printable, fetch::Refusal};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Answered;

/// What a server says that wants to be asked less often, by its code or in its words.
const LIMIT_CODES: [i64; 2] = [-32005, 429];
const LIMIT_WORDS: [&str; 5] =
    ["rate limit", "too many requests", "request limit", "throughput", "compute units"];

/// JSON-RPC's code for a method that is not there, and what servers say otherwise.
const ABSENT_CODE: i64 = -32601;
const ABSENT_WORDS: [&str; 8] = [
    "method not found",
    "does not exist/is not available",
    "not supported",
    "unsupported method",
    "unsupported tracer",
    "not whitelisted",
    "not allowed",
    "is not available",
];

/// The most characters that a message repeats of what a node says.
const SAID_CHARS_MAX: usize = 200;

/// Why a request as a whole brings nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It may succeed later.
    Passing {
        /// What is wrong.
        message: String,
        /// The pause that the node asks for.
        after: Option<Duration>,
    },
    /// It will not succeed.
    Final(String),
    /// The node takes one call in a request.
    NoBatches,
}

#[derive(Deserialize)]
struct Answer<'a> {
    id: Option<usize>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<ErrorObject<'a>>,
}

#[derive(Deserialize)]
struct ErrorObject<'a> {
    #[serde(default)]
    code: i64,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

impl ErrorObject<'_> {
    fn has(&self, codes: &[i64], words: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        codes.contains(&self.code) || words.iter().any(|word| message.contains(word))
    }

    fn said(&self) -> String {
        let message: String = self.message.chars().take(SAID_CHARS_MAX).collect();
        format!("{} ({})", Printable(message), self.code)
    }
}

/// The results in a body, by the ids of the calls; nothing if it is no answer in JSON-RPC.
/// A call that is refused for being one too many has no result.
pub(super) fn answers(body: &[u8], ids: &[usize]) -> Option<Result<Answered, Fault>> {
    let mut answered = Answered::new();
    if let [id] = ids
        && let Ok(answer) = serde_json::from_slice::<Answer<'_>>(body)
        && (answer.result.is_some() || answer.error.is_some() || answer.id.is_some())
    {
        answered.extend(result(&answer).map(|result| (*id, result)));
        return Some(Ok(answered));
    }
    if let Ok(list) = serde_json::from_slice::<Vec<Answer<'_>>>(body) {
        for answer in &list {
            let Some(id) = answer.id.filter(|id| ids.contains(id)) else { continue };
            answered.extend(result(answer).map(|result| (id, result)));
        }
        return Some(Ok(answered));
    }
    let alone = serde_json::from_slice::<Answer<'_>>(body).ok()?;
    let error = alone.error?;
    Some(Err(if error.has(&LIMIT_CODES, &LIMIT_WORDS) {
        Fault::Passing { message: error.said(), after: None }
    } else {
        Fault::NoBatches
    }))
}

fn result(answer: &Answer<'_>) -> Option<Result<Box<RawValue>, Refusal>> {
    match &answer.error {
        None => {
            let null = || RawValue::from_string("null".to_owned()).expect("null is JSON");
            Some(Ok(answer.result.map_or_else(null, ToOwned::to_owned)))
        }
        Some(error) if error.has(&LIMIT_CODES, &LIMIT_WORDS) => None,
        Some(error) if error.has(&[ABSENT_CODE], &ABSENT_WORDS) => {
            Some(Err(Refusal::Absent(error.said())))
        }
        Some(error) => Some(Err(Refusal::Error(error.said()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, ids: &[usize], expected: &str) {
        let text = match answers(body.as_bytes(), ids) {
            None => "none".to_owned(),
            Some(Err(fault)) => format!("{fault:?}"),
            Some(Ok(answered)) => {
                let one = |(id, result): (usize, Result<Box<RawValue>, Refusal>)| match result {
                    Ok(value) => format!("{id}={}", value.get()),
                    Err(refusal) => format!("{id}: {refusal}"),
                };
                answered.into_iter().map(one).collect::<Vec<_>>().join(", ")
            }
        };
        assert_eq!(text, expected, "{body}");
    }

    #[test]
    fn answers_are_told_apart_by_their_ids() {
        check(r#"{"jsonrpc":"2.0","id":3,"result":"0x1"}"#, &[3], "3=\"0x1\"");
        check(r#"{"jsonrpc":"2.0","id":3,"result":null}"#, &[3], "3=null");
        check(r#"[{"id":2,"result":[1]},{"id":1,"result":{}},{"id":9}]"#, &[1, 2], "1={}, 2=[1]");
    }

    #[test]
    fn a_call_that_is_one_too_many_has_no_result_and_is_repeated() {
        let limited = r#"{"code":-32005,"message":"limit exceeded"}"#;
        check(&format!(r#"{{"id":1,"error":{limited}}}"#), &[1], "");
        check(&format!(r#"[{{"id":1,"error":{limited}}},{{"id":2,"result":7}}]"#), &[1, 2], "2=7");
        let body = r#"{"error":{"code":1,"message":"Rate limit reached"}}"#;
        let expected = "Passing { message: \"Rate limit reached (1)\", after: None }";
        check(body, &[1, 2], expected);
    }

    #[test]
    fn an_absent_method_is_another_thing_than_an_error() {
        let absent = r#"{"id":1,"error":{"code":-32601,"message":"Method not found"}}"#;
        check(absent, &[1], "1: the node does not offer the method: Method not found (-32601)");
        let error = r#"{"id":1,"error":{"code":-32000,"message":"missing trie node"}}"#;
        check(error, &[1], "1: the node answers: missing trie node (-32000)");
    }

    #[test]
    fn a_node_that_refuses_several_calls_at_once_is_asked_one_by_one() {
        let body = r#"{"error":{"code":-32600,"message":"batch requests are disabled"}}"#;
        check(body, &[1, 2], "NoBatches");
        check("<html>", &[1], "none");
        check("{}", &[1], "none");
    }
}
