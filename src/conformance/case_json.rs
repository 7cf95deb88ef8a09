//! A file of `BlockchainTests`: names to cases, as ethereum/tests and
//! execution-spec-tests state them. Only the fields that a run depends on.

use std::collections::BTreeMap;

use alloy_eips::eip7928::BlockAccessList;
use alloy_primitives::{B256, Bytes, U64};
use serde::Deserialize;

use crate::input::state_json::StatedState;

/// The cases of a file by their names.
pub(super) type StatedCases = BTreeMap<String, StatedCase>;

/// A chain of blocks from a genesis state on.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatedCase {
    pub(super) network: String,
    pub(super) pre: StatedState,
    #[serde(rename = "genesisRLP")]
    pub(super) genesis_rlp: Bytes,
    pub(super) blocks: Vec<StatedBlock>,
    #[serde(rename = "lastblockhash")]
    pub(super) last_block_hash: B256,
    /// The state after the last block, unless only its root is stated.
    pub(super) post_state: Option<StatedState>,
    pub(super) post_state_hash: Option<B256>,
    /// Absent from tests that were filled before chains had ids of their own.
    #[serde(default)]
    pub(super) config: StatedConfig,
}

/// What the chain is like apart from its forks.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct StatedConfig {
    pub(super) chainid: Option<U64>,
}

/// One block, valid unless an exception is expected.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatedBlock {
    pub(super) rlp: Bytes,
    /// Its access list (EIP-7928), which travels beside the block.
    pub(super) block_access_list: Option<BlockAccessList>,
    /// The parts of an invalid block.
    #[serde(rename = "rlp_decoded")]
    rlp_decoded: Option<StatedParts>,
    /// Why the block is invalid: names, separated by `|`, any of which fits.
    pub(super) expect_exception: Option<String>,
    #[serde(rename = "expectExceptionALL")]
    pub(super) expect_exception_in_all: Option<String>,
}

/// What is stated of an invalid block beside its RLP.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatedParts {
    block_access_list: Option<BlockAccessList>,
}

impl StatedBlock {
    /// The access list that came with it.
    pub(super) fn access_list(&self) -> Option<&BlockAccessList> {
        let decoded = || self.rlp_decoded.as_ref()?.block_access_list.as_ref();
        self.block_access_list.as_ref().or_else(decoded)
    }

    pub(super) fn exception(&self) -> Option<&str> {
        self.expect_exception.as_deref().or(self.expect_exception_in_all.as_deref())
    }
}
