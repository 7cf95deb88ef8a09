//! A header against the body in its file: the root of the transactions, the root
//! of the withdrawals, and whether there are ommers. A list that the file leaves
//! out is empty only where the header says so.

use std::path::Path;

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH,
    proofs::{calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_primitives::B256;
use alloy_rpc_types_eth::{Block as RpcBlock, Transaction};

use super::{
    InputError,
    block_json::{Absent, StatedBlock},
    json::field_error,
};

/// Checks what the header says of the lists, where it says anything.
pub(super) fn check_body(path: &Path, stated: &StatedBlock) -> Result<(), InputError> {
    let StatedBlock { rpc, absent, .. } = stated;
    if !absent.contains("transactionsRoot") {
        check_transactions(path, rpc)?;
    }
    check_withdrawals(path, rpc, absent)?;
    let has_ommers = rpc.header.ommers_hash != EMPTY_OMMER_ROOT_HASH;
    if !absent.contains("sha3Uncles") && has_ommers == rpc.uncles.is_empty() {
        let expected = if has_ommers {
            "the hashes of the ommers that `sha3Uncles` stands for"
        } else {
            "no ommers, as `sha3Uncles` says"
        };
        let found =
            format!("[{}]", rpc.uncles.iter().map(B256::to_string).collect::<Vec<_>>().join(","));
        let (field, expected) = ("uncles".to_owned(), expected.to_owned());
        return Err(InputError::Field { path: path.to_owned(), field, expected, found });
    }
    Ok(())
}

fn check_transactions(path: &Path, rpc: &RpcBlock) -> Result<(), InputError> {
    let envelopes: Vec<_> =
        rpc.transactions.txns().map(|tx: &Transaction| tx.inner.inner()).collect();
    let found = calculate_transaction_root(&envelopes);
    compare_roots(path, ("transactionsRoot", "transactions"), rpc.header.transactions_root, found)
}

fn check_withdrawals(path: &Path, rpc: &RpcBlock, absent: &Absent) -> Result<(), InputError> {
    match (rpc.header.withdrawals_root, &rpc.withdrawals) {
        (None | Some(EMPTY_ROOT_HASH), None) => Ok(()),
        (Some(_), None) => {
            let expected = "the withdrawals that `withdrawalsRoot` stands for";
            Err(field_error(path, "withdrawals", expected, None))
        }
        (Some(stated), Some(list)) => {
            let found = calculate_withdrawals_root(list);
            compare_roots(path, ("withdrawalsRoot", "withdrawals"), stated, found)
        }
        // Of a block that has not run the root need not be known.
        (None, Some(list)) if list.is_empty() || absent.contains("hash") => Ok(()),
        (None, Some(_)) => {
            Err(field_error(path, "withdrawalsRoot", "the root of the withdrawals", None))
        }
    }
}

fn compare_roots(
    path: &Path,
    (field, of): (&'static str, &'static str),
    stated: B256,
    found: B256,
) -> Result<(), InputError> {
    if stated == found {
        return Ok(());
    }
    Err(InputError::RootMismatch { path: path.to_owned(), field, stated, of, found })
}
