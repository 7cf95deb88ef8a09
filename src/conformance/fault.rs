//! The faults of invalid blocks, by the names that tests give them: how each
//! shows, or who else finds it.
//!
//! Most faults are the executor's to find. Those in [`CONSENSUS`] belong to
//! consensus outside it, each for a reason. Such a block is run all the same: it
//! may be rejected on the way, and if it is not, it counts as not judged.

use forewave_executor::{ExecutionError, SystemFailure};
use revm::context::result::InvalidTransaction as Invalid;

use super::rejection::Rejection;
use crate::compare::Mismatch;

/// How the faults that the executor judges show. A name that is in neither table
/// fits any rejection.
const EXECUTOR: &[(&str, Shows)] = &[
    ("TransactionException.INSUFFICIENT_ACCOUNT_FUNDS", |r| {
        matches!(
            r.transaction(),
            Some(Invalid::LackOfFundForMaxFee { .. } | Invalid::OverflowPaymentInTransaction)
        )
    }),
    ("BlockException.INVALID_BLOCK_ACCESS_LIST", |r| {
        let is_of_list = |mismatch: &Mismatch| mismatch.field == "block_access_list_hash";
        matches!(r, Rejection::AccessList(_))
            || matches!(r, Rejection::Header(mismatch) if is_of_list(mismatch))
    }),
    ("TransactionException.INTRINSIC_GAS_TOO_LOW", |r| {
        matches!(
            r.transaction(),
            Some(
                Invalid::CallGasCostMoreThanGasLimit { .. }
                    | Invalid::GasFloorMoreThanGasLimit { .. }
            )
        )
    }),
    ("TransactionException.INTRINSIC_GAS_BELOW_FLOOR_GAS_COST", |r| {
        matches!(r.transaction(), Some(Invalid::GasFloorMoreThanGasLimit { .. }))
    }),
    ("TransactionException.INSUFFICIENT_MAX_FEE_PER_GAS", |r| {
        matches!(r.transaction(), Some(Invalid::GasPriceLessThanBasefee))
    }),
    ("TransactionException.PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS", |r| {
        matches!(r.transaction(), Some(Invalid::PriorityFeeGreaterThanMaxFee))
    }),
    ("TransactionException.INSUFFICIENT_MAX_FEE_PER_BLOB_GAS", |r| {
        matches!(r.transaction(), Some(Invalid::BlobGasPriceGreaterThanMax { .. }))
    }),
    ("TransactionException.INITCODE_SIZE_EXCEEDED", |r| {
        matches!(r.transaction(), Some(Invalid::CreateInitCodeSizeLimit))
    }),
    ("TransactionException.SENDER_NOT_EOA", |r| {
        matches!(r.transaction(), Some(Invalid::RejectCallerWithCode))
    }),
    ("TransactionException.NONCE_IS_MAX", |r| {
        matches!(r.transaction(), Some(Invalid::NonceOverflowInTransaction))
    }),
    ("TransactionException.NONCE_MISMATCH_TOO_LOW", |r| {
        matches!(r.transaction(), Some(Invalid::NonceTooLow { .. }))
    }),
    ("TransactionException.NONCE_MISMATCH_TOO_HIGH", |r| {
        matches!(r.transaction(), Some(Invalid::NonceTooHigh { .. }))
    }),
    ("TransactionException.GAS_LIMIT_EXCEEDS_MAXIMUM", |r| {
        matches!(r.transaction(), Some(Invalid::TxGasLimitGreaterThanCap { .. }))
    }),
    ("TransactionException.TYPE_3_TX_PRE_FORK", |r| {
        matches!(
            r.transaction(),
            Some(Invalid::Eip4844NotSupported | Invalid::BlobVersionedHashesNotSupported)
        )
    }),
    ("TransactionException.TYPE_3_TX_ZERO_BLOBS", |r| {
        matches!(r.transaction(), Some(Invalid::EmptyBlobs))
    }),
    ("TransactionException.TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH", |r| {
        matches!(r.transaction(), Some(Invalid::BlobVersionNotSupported))
    }),
    ("TransactionException.TYPE_4_EMPTY_AUTHORIZATION_LIST", |r| {
        matches!(r.transaction(), Some(Invalid::EmptyAuthorizationList))
    }),
    ("TransactionException.TYPE_4_TX_PRE_FORK", |r| {
        matches!(
            r.transaction(),
            Some(Invalid::Eip7702NotSupported | Invalid::AuthorizationListNotSupported)
        )
    }),
    ("TransactionException.INVALID_CHAINID", |r| {
        matches!(r.transaction(), Some(Invalid::InvalidChainId))
    }),
    ("TransactionException.GAS_ALLOWANCE_EXCEEDED", |r| {
        matches!(r, Rejection::Execution(ExecutionError::GasLimitExceeded { .. }))
            || matches!(r.transaction(), Some(Invalid::CallerGasLimitMoreThanBlock))
    }),
    ("TransactionException.TYPE_3_TX_BLOB_COUNT_EXCEEDED", |r| {
        matches!(r, Rejection::BlobGasLimit { .. })
            || matches!(r.transaction(), Some(Invalid::TooManyBlobs { .. }))
    }),
    ("TransactionException.TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED", |r| {
        matches!(r, Rejection::BlobGasLimit { .. })
    }),
    ("TransactionException.TYPE_3_TX_CONTRACT_CREATION", |r| matches!(r, Rejection::Rlp(_))),
    ("TransactionException.TYPE_4_TX_CONTRACT_CREATION", |r| matches!(r, Rejection::Rlp(_))),
    ("TransactionException.INVALID_SIGNATURE_VRS", |r| matches!(r, Rejection::Signature(_))),
    ("BlockException.INVALID_GAS_USED", |r| r.header_field() == Some("gas_used")),
    ("BlockException.INVALID_LOG_BLOOM", |r| r.header_field() == Some("logs_bloom")),
    ("BlockException.INVALID_RECEIPTS_ROOT", |r| r.header_field() == Some("receipts_root")),
    ("BlockException.INVALID_STATE_ROOT", |r| r.header_field() == Some("state_root")),
    ("BlockException.INVALID_REQUESTS", |r| r.header_field() == Some("requests_hash")),
    ("BlockException.INVALID_DEPOSIT_EVENT_LAYOUT", |r| {
        matches!(r, Rejection::Execution(ExecutionError::DepositLayout { .. }))
    }),
    ("BlockException.SYSTEM_CONTRACT_EMPTY", |r| {
        r.system_failure() == Some(&SystemFailure::NoCode)
    }),
    ("BlockException.SYSTEM_CONTRACT_CALL_FAILED", |r| {
        r.system_failure().is_some_and(|failure| *failure != SystemFailure::NoCode)
    }),
    ("BlockException.BLOB_GAS_USED_ABOVE_LIMIT", |r| matches!(r, Rejection::BlobGasLimit { .. })),
    ("BlockException.INCORRECT_BLOB_GAS_USED", |r| {
        matches!(r, Rejection::BlobGasUsed { .. } | Rejection::BlobGasLimit { .. })
    }),
];

/// Whether a fault shows as this rejection.
type Shows = fn(&Rejection) -> bool;

/// Faults that consensus finds outside the executor, and why it is not asked.
const CONSENSUS: &[(&str, &str)] = &[
    ("BlockException.RLP_", RLP),
    ("BlockException.INCORRECT_BLOCK_FORMAT", RLP),
    ("TransactionException.RLP_", RLP),
    ("BlockException.IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS", OMMERS),
    ("BlockException.UNCLE_", OMMERS),
    ("BlockException.TOO_MANY_UNCLES", OMMERS),
    ("BlockException.UNKNOWN_PARENT", ANCESTRY),
    ("BlockException.INVALID_BLOCK_NUMBER", ANCESTRY),
    ("BlockException.INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT", ANCESTRY),
    ("BlockException.INVALID_GASLIMIT", ANCESTRY),
    ("BlockException.GASLIMIT_TOO_BIG", ANCESTRY),
    ("BlockException.INVALID_BASEFEE_PER_GAS", ANCESTRY),
    ("BlockException.INCORRECT_EXCESS_BLOB_GAS", ANCESTRY),
    ("BlockException.INVALID_DIFFICULTY", POW),
    ("BlockException.IMPORT_IMPOSSIBLE_DIFFICULTY_OVER_PARIS", POW),
    ("BlockException.IMPORT_IMPOSSIBLE_PARIS_WRONG_POS", POW),
    ("BlockException.IMPORT_IMPOSSIBLE_PARIS_WRONG_POW", POW),
    ("BlockException.EXTRA_DATA_TOO_BIG", EXTRA_DATA),
    ("BlockException.EXTRA_DATA_INVALID_DAO", EXTRA_DATA),
    ("BlockException.INVALID_TRANSACTIONS_ROOT", BODY),
    ("BlockException.INVALID_WITHDRAWALS_ROOT", BODY),
    ("BlockException.INVALID_BLOCK_HASH", BODY),
    ("BlockException.RLP_BLOCK_LIMIT_EXCEEDED", RLP),
];

const RLP: &str = "the shape of its RLP: judged where blocks are decoded";
const OMMERS: &str = "its ommers: judged against the chain's history";
const ANCESTRY: &str = "a header field that follows from the parent's header";
const POW: &str = "proof of work, or where it ends";
const EXTRA_DATA: &str = "extra data, which execution never sees";
const BODY: &str = "the header's commitment to the body, which precedes execution";

/// What a rejection, or its absence, means for a block that must be invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It was rejected as it must be.
    Rejected,
    /// It was not, and nobody here is to do it.
    NotJudged(&'static str),
    /// What is wrong.
    Wrong(String),
}

/// Judges what became of a block whose fault is `exception`.
pub(super) fn judge(exception: &str, rejection: Option<&Rejection>) -> Judgement {
    let names = || exception.split('|').map(str::trim);
    let outside = names().find_map(outside_the_executor);
    match (rejection, outside) {
        (Some(_), Some(_)) => Judgement::Rejected,
        (Some(rejection), None) if names().any(|name| fits(name, rejection)) => Judgement::Rejected,
        (Some(rejection), None) => {
            Judgement::Wrong(format!("must be rejected for {exception}, but: {rejection}"))
        }
        (None, Some(reason)) => Judgement::NotJudged(reason),
        (None, None) => Judgement::Wrong(format!("accepted, but it is invalid: {exception}")),
    }
}

fn outside_the_executor(name: &str) -> Option<&'static str> {
    CONSENSUS.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, reason)| *reason)
}

/// Whether a fault of this name shows as this rejection.
fn fits(name: &str, rejection: &Rejection) -> bool {
    let known = EXECUTOR.iter().find(|(known, _)| *known == name);
    known.is_none_or(|(_, shows)| shows(rejection))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    #[test]
    fn a_rejection_must_fit_the_fault_and_only_consensus_may_let_a_block_pass() {
        let blobs = Rejection::BlobGasLimit { used: 2, limit: 1 };
        let orphan = Rejection::UnknownParent(B256::ZERO);
        let funds = "TransactionException.INSUFFICIENT_ACCOUNT_FUNDS";
        let count = "TransactionException.TYPE_3_TX_BLOB_COUNT_EXCEEDED";
        let uncles = "BlockException.IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS";
        assert_eq!(judge(count, Some(&blobs)), Judgement::Rejected);
        assert_eq!(judge(&format!("{funds}|{count}"), Some(&blobs)), Judgement::Rejected);
        assert!(matches!(judge(funds, Some(&blobs)), Judgement::Wrong(_)));
        assert!(matches!(judge(funds, None), Judgement::Wrong(_)));
        assert_eq!(judge(uncles, None), Judgement::NotJudged(OMMERS));
        assert_eq!(judge(uncles, Some(&orphan)), Judgement::Rejected);
        assert_eq!(judge("TransactionException.NEW", Some(&orphan)), Judgement::Rejected);
    }
}
