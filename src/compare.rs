//! Outcome against outcome, and outcome against header: the first difference,
//! named so that a person can find it.

mod unchecked;

use core::fmt::{Debug, Display};

use alloy_primitives::B256;
use forewave_executor::{BlockOutcome, TxReceipt};
use revm::primitives::hardfork::SpecId;
use serde::{Deserialize, Serialize};

pub use self::unchecked::{Unchecked, WhyUnchecked, unchecked};
use crate::input::ExpectedHeader;

/// The most of a value that a mismatch repeats, in characters.
const VALUE_CHARS_MAX: usize = 96;

/// What an outcome is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The outcome of sequential execution.
    Sequential,
    /// The block's header.
    Header,
}

/// A field in which a parallel outcome is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// What it was compared with.
    pub against: Against,
    /// The field, such as `receipts[3].gas_used`.
    pub field: String,
    /// What it must be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl Mismatch {
    fn new(against: Against, field: impl Display, expected: &str, found: &str) -> Self {
        let cut = |text: &str| match text.char_indices().nth(VALUE_CHARS_MAX) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text.to_owned(),
        };
        Self { against, field: field.to_string(), expected: cut(expected), found: cut(found) }
    }
}

/// What a parallel outcome differs in from what it must be: the first difference
/// from the sequential outcome, and every one from the header.
pub fn compare(
    parallel: &BlockOutcome,
    sequential: &BlockOutcome,
    header: &ExpectedHeader,
    spec: SpecId,
) -> Vec<Mismatch> {
    let mut mismatches: Vec<Mismatch> =
        compare_outcomes(parallel, sequential).into_iter().collect();
    mismatches.extend(compare_header(parallel, header, spec));
    mismatches
}

/// The first difference of a parallel outcome from the sequential one.
pub fn compare_outcomes(parallel: &BlockOutcome, sequential: &BlockOutcome) -> Option<Mismatch> {
    let part = parallel.first_difference(sequential)?;
    Some(
        first_receipt_difference(&parallel.receipts, &sequential.receipts)
            .or_else(|| first_state_difference(parallel, sequential))
            .unwrap_or_else(|| {
                Mismatch::new(Against::Sequential, part, "the sequential value", "another value")
            }),
    )
}

fn first_receipt_difference(found: &[TxReceipt], expected: &[TxReceipt]) -> Option<Mismatch> {
    if found.len() != expected.len() {
        let (expected, found) = (expected.len().to_string(), found.len().to_string());
        return Some(Mismatch::new(Against::Sequential, "receipts.length", &expected, &found));
    }
    let pairs = found.iter().zip(expected).enumerate();
    let (position, (found, expected)) = pairs.into_iter().find(|(_, (a, b))| a != b)?;
    let differs = |name: &str, expected: &dyn Debug, found: &dyn Debug| {
        let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
        let field = format!("receipts[{position}].{name}");
        (expected != found).then(|| Mismatch::new(Against::Sequential, field, &expected, &found))
    };
    differs("status", &expected.status, &found.status)
        .or_else(|| differs("gas_used", &expected.gas_used, &found.gas_used))
        .or_else(|| {
            differs(
                "cumulative_gas_used",
                &expected.cumulative_gas_used,
                &found.cumulative_gas_used,
            )
        })
        .or_else(|| differs("created_address", &expected.created_address, &found.created_address))
        .or_else(|| differs("logs", &expected.logs, &found.logs))
}

fn first_state_difference(found: &BlockOutcome, expected: &BlockOutcome) -> Option<Mismatch> {
    let mut addresses = expected.state.keys().chain(found.state.keys());
    let address = *addresses.find(|at| expected.state.get(*at) != found.state.get(*at))?;
    let (expected, found) = (expected.state.get(&address), found.state.get(&address));
    let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
    Some(Mismatch::new(Against::Sequential, format!("state[{address}]"), &expected, &found))
}

/// Every field in which an outcome differs from the block's header, of those that
/// [`unchecked`] does not name. The receipts root is compared since Byzantium: before
/// EIP-658 it depends on state roots; the requests' hash where the outcome has all
/// requests.
pub fn compare_header(
    outcome: &BlockOutcome,
    header: &ExpectedHeader,
    spec: SpecId,
) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    let mut compare = |field: &str, expected: Option<String>, found: String| {
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            mismatches.push(Mismatch::new(Against::Header, field, &expected, &found));
        }
    };
    let text = |value: Option<B256>| value.map(|value| value.to_string());
    compare("gas_used", header.gas_used.map(|gas| gas.to_string()), outcome.gas_used.to_string());
    let bloom = header.logs_bloom.map(|bloom| bloom.to_string());
    compare("logs_bloom", bloom, outcome.logs_bloom().to_string());
    if spec.is_enabled_in(SpecId::BYZANTIUM) {
        compare("receipts_root", text(header.receipts_root), outcome.receipts_root().to_string());
    }
    if let (Some(expected), Some(found)) = (header.requests_hash, outcome.requests_hash()) {
        compare("requests_hash", Some(expected.to_string()), found.to_string());
    }
    if let (Some(expected), Some(found)) = (header.access_list_hash, outcome.access_list_hash()) {
        compare("block_access_list_hash", Some(expected.to_string()), found.to_string());
    }
    mismatches
}
