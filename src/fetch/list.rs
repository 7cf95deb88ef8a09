//! The access list of a block (EIP-7928) from a node, as the node answers it: the one that the header
//! commits to, or none.
//!
//! Nodes keep lists for some weeks, and some do not offer them at all. A block can be run without
//! its list, so that is no error; a list of another hash is one.

use alloy_eips::eip7928::compute_block_access_list_hash;
use alloy_primitives::B256;
use serde_json::json;

use super::{
    FetchError, Node, NodeError, Refusal,
    node::{Call, ask},
};
use crate::input::{SourceFile, parse_access_list};

/// What a node may call the method: as the execution APIs specify it, and where it is one for debugging.
const METHODS: [&str; 2] = ["eth_getBlockAccessList", "debug_getBlockAccessList"];

/// Why a node gave no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoList {
    /// Whether the node does not have the method, so that it gives none of any block.
    pub(super) is_absent: bool,
    pub(super) message: String,
}

/// The list of a block whose header states this hash of it.
pub(super) fn access_list(
    node: &dyn Node,
    number: u64,
    stated: B256,
) -> Result<Result<SourceFile, NoList>, FetchError> {
    let mut none = NoList { is_absent: true, message: String::new() };
    for method in METHODS {
        let params = json!([format!("{number:#x}")]);
        let call = Call { method, params, block: number.to_string() };
        let answer = match ask(node, &call) {
            Ok(answer) => answer,
            Err(NodeError { refusal: refusal @ Refusal::Absent(_), .. }) => {
                none.message = refusal.to_string();
                continue;
            }
            Err(NodeError { refusal: refusal @ Refusal::Error(_), .. }) => {
                return Ok(Err(NoList { is_absent: false, message: refusal.to_string() }));
            }
            Err(error) => return Err(error.into()),
        };
        if answer.get() == "null" {
            let message = "the node has no access list of the block".to_owned();
            return Ok(Err(NoList { is_absent: false, message }));
        }
        let bytes = answer.get().as_bytes().to_vec();
        let file = SourceFile { path: "block_access_list.json".into(), bytes };
        let found = compute_block_access_list_hash(&parse_access_list(&file)?);
        if found != stated {
            return Err(FetchError::OtherList { block: number, stated, found });
        }
        return Ok(Ok(file));
    }
    Ok(Err(none))
}
