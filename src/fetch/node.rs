//! What is asked of a node, and what it answers: JSON-RPC, without its transport.

use core::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::RawValue};

use super::{Answer, BlockId};

/// One call of a method.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// Its parameters, a list.
    pub params: Value,
    /// The block that the call is about, for messages.
    pub block: String,
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node does not have the method, or does not let it be called.
    #[error("the node does not offer the method: {0}")]
    Absent(String),
    /// The node answers with an error.
    #[error("the node answers: {0}")]
    Error(String),
    /// The node cannot be reached, or does not answer as a node does.
    #[error("{0}")]
    Transport(String),
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeError {
    /// The method.
    pub method: &'static str,
    /// The block that the call was about.
    pub block: String,
    /// Why it failed.
    pub refusal: Refusal,
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for block {}: {}", self.method, self.block, self.refusal)
    }
}

impl core::error::Error for NodeError {}
impl revm::context::DBErrorMarker for NodeError {}

impl NodeError {
    pub(super) fn new(call: &Call, refusal: Refusal) -> Self {
        Self { method: call.method, block: call.block.clone(), refusal }
    }
}

/// What carries calls to a node and answers back. It repeats what may succeed later, and
/// bounds how many calls are under way.
pub trait Node: fmt::Debug + Sync {
    /// The results of calls, in their order. JSON `null` is a result.
    fn call(&self, calls: &[Call]) -> Vec<Result<Box<RawValue>, Refusal>>;
}

/// How a block states its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transactions {
    Whole,
    Hashes,
}

/// The answer to one call.
pub(super) fn ask(node: &dyn Node, call: &Call) -> Result<Answer, NodeError> {
    let answer = node.call(core::slice::from_ref(call)).pop();
    let none = || Err(Refusal::Transport("no answer".to_owned()));
    answer.unwrap_or_else(none).map_err(|refusal| NodeError::new(call, refusal))
}

/// An answer as the value that it must be.
pub(super) fn read<T: DeserializeOwned>(call: &Call, answer: &RawValue) -> Result<T, NodeError> {
    serde_json::from_str(answer.get()).map_err(|error| {
        let text: String = answer.get().chars().take(80).collect();
        NodeError::new(call, Refusal::Transport(format!("`{text}` is no answer to it: {error}")))
    })
}

/// A block; `null` where there is none.
pub(super) fn block(
    node: &dyn Node,
    id: BlockId,
    transactions: Transactions,
) -> Result<Answer, NodeError> {
    let is_whole = transactions == Transactions::Whole;
    let call = Call {
        method: "eth_getBlockByNumber",
        params: json!([id.parameter(), is_whole]),
        block: id.to_string(),
    };
    ask(node, &call)
}

/// The number that a block states.
pub(super) fn number(block: &RawValue) -> Option<u64> {
    let block: Value = serde_json::from_str(block.get()).ok()?;
    let digits = block.get("number")?.as_str()?.strip_prefix("0x")?;
    u64::from_str_radix(digits, 16).ok()
}

/// The chain that the node follows.
pub(super) fn chain_id(node: &dyn Node) -> Result<u64, NodeError> {
    let call = Call { method: "eth_chainId", params: json!([]), block: "latest".to_owned() };
    let answer = ask(node, &call)?;
    let id: alloy_primitives::U64 = read(&call, &answer)?;
    Ok(id.to())
}
