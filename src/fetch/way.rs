//! The ways to a block's pre-state, best first.

use core::fmt;

use rayon::{
    ThreadPool,
    iter::{IntoParallelRefIterator, ParallelIterator},
};
use serde::Serialize;
use serde_json::json;

use super::{
    BlockId, Node, NodeError, Refusal,
    node::{Call, ask},
    remote::Known,
};
use crate::input::{self, BlockInput, SourceFile};

/// Where a pre-state is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// One trace of the whole block.
    TraceBlock,
    /// A trace of each transaction.
    TraceTransactions,
    /// Accounts and slots one by one, as running the block asks for them.
    OnDemand,
}

impl Way {
    /// The ways that need debug methods, best first.
    pub const TRACED: [Self; 2] = [Self::TraceBlock, Self::TraceTransactions];
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TraceBlock => "debug_traceBlockByNumber",
            Self::TraceTransactions => "debug_traceTransaction",
            Self::OnDemand => "reads on demand",
        })
    }
}

/// Why a way does not do.
#[derive(Debug)]
pub(super) struct Fault {
    /// Whether the node does not have its method, so that no block can be had by it.
    pub(super) is_absent: bool,
    pub(super) message: String,
}

impl From<NodeError> for Fault {
    fn from(error: NodeError) -> Self {
        let is_absent = matches!(error.refusal, Refusal::Absent(_));
        Self { is_absent, message: error.refusal.to_string() }
    }
}

impl Way {
    /// What this way tells of the state before the block.
    pub(super) fn known(
        self,
        node: &dyn Node,
        block: &BlockInput,
        id: BlockId,
        readers: &ThreadPool,
    ) -> Result<Known, Fault> {
        let answer = match self {
            Self::OnDemand => return Ok(Known::default()),
            _ if block.tx_hashes.is_empty() => return Ok(Known::default()),
            Self::TraceBlock => trace_block(node, id)?,
            Self::TraceTransactions => trace_transactions(node, block, id, readers)?,
        };
        let file = SourceFile { path: self.to_string().into(), bytes: answer };
        input::parse_known(&file, &block.block)
            .map_err(|error| Fault { is_absent: false, message: error.to_string() })
    }
}

fn tracer() -> serde_json::Value {
    json!({ "tracer": "prestateTracer" })
}

fn trace_block(node: &dyn Node, id: BlockId) -> Result<Vec<u8>, NodeError> {
    let call = Call {
        method: "debug_traceBlockByNumber",
        params: json!([id.parameter(), tracer()]),
        block: id.to_string(),
    };
    Ok(ask(node, &call)?.get().into())
}

/// The same form as the trace of a block. The first transaction goes alone: where the node
/// does not have the method, one call finds it out.
fn trace_transactions(
    node: &dyn Node,
    block: &BlockInput,
    id: BlockId,
    readers: &ThreadPool,
) -> Result<Vec<u8>, NodeError> {
    let trace = |hash: &alloy_primitives::B256| {
        let call = Call {
            method: "debug_traceTransaction",
            params: json!([hash, tracer()]),
            block: id.to_string(),
        };
        ask(node, &call)
    };
    let Some((first, others)) = block.tx_hashes.split_first() else { return Ok(b"[]".into()) };
    let mut traces = vec![trace(first)?];
    let others: Result<Vec<_>, _> = readers.install(|| others.par_iter().map(trace).collect());
    traces.extend(others?);
    let texts: Vec<&str> = traces.iter().map(|trace| trace.get()).collect();
    Ok(format!("[{}]", texts.join(",")).into_bytes())
}
